"""Critical exchange: hand cases, equality with the exact twin, facts against every choice."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.envelope import verdict

from bayes_mesa._ext.envelope import verdicts
from bayes_mesa.costing import least
from bayes_mesa.costing.critical import critical_exchange


def critical(family, bits, steps, deceptive, *, eligible=None, uses=None, facts=()):
    """One draw of the public function, as two plain numbers."""
    fact_bits, fact_steps = np.array(facts, float).reshape(-1, 2).T
    value, crossings = critical_exchange(
        family,
        bits=np.array([bits], float),
        steps=np.array([steps], float),
        eligible=np.array([eligible or [True] * len(bits)]),
        deceptive=np.array(deceptive, bool),
        uses=np.array(uses or [1.0] * len(bits)),
        fact_bits=fact_bits[None],
        fact_steps=fact_steps[None],
    )
    return float(value[0]), int(crossings[0])


def judged(intercept, slope, deceptive):
    """The kernel on (N, L) lines."""
    shape = np.shape(intercept)
    start, first = np.empty(shape[0], np.int8), np.empty(shape[0])
    crossings = np.empty(shape[0], np.int64)
    verdicts(
        np.asarray(intercept, float),
        np.asarray(slope, float),
        np.asarray(deceptive, np.uint8),
        np.empty(shape[1], np.intp),
        start,
        first,
        crossings,
    )
    return start, first, crossings


class TestTwoStructures:
    """Honest (bits 30, steps 100) and a deceptive one, with gamma* = steps' gap / bits' gap."""

    def test_linear_crosses_once(self):
        assert critical("linear", [30, 10], [100, 500], [0, 1]) == (400 / 20, 1)

    def test_linear_is_not_favored_at_large_rates(self):
        assert critical("linear", [30, 40], [100, 50], [0, 1]) == (np.inf, 1)

    def test_levin_crosses_once(self):
        assert critical("levin", [30, 10], [100, 400], [0, 1]) == (20 / 2, 1)
        assert critical("levin", [30, 40], [100, 50], [0, 1]) == (0.0, 1)

    @pytest.mark.parametrize(
        ("bits", "steps", "rate", "kappa"),
        [
            ([30, 20], [100, 90], 0.0, np.inf),  # better on both axes: always
            ([30, 40], [100, 110], np.inf, 0.0),  # never
            ([30, 30], [100, 90], 0.0, np.inf),  # equal bits: the steps decide
            ([30, 30], [100, 110], np.inf, 0.0),
            ([30, 20], [100, 100], 0.0, np.inf),
            ([30, 30], [100, 100], np.inf, 0.0),  # an exact tie is not deceptive's
        ],
    )
    def test_without_a_crossing(self, bits, steps, rate, kappa):
        assert critical("linear", bits, steps, [0, 1]) == (rate, 0)
        assert critical("levin", bits, steps, [0, 1]) == (kappa, 0)


def test_two_and_three_crossings():
    # Costs at x: honest 0 + 16 x and 10; deceptive 3 + 4 x. Deceptive from x = 1/4 to 7/4.
    assert critical("linear", [0, 10, 3], [17, 1, 5], [0, 0, 1]) == (np.inf, 2)
    # Roles exchanged: deceptive at both ends.
    assert critical("linear", [0, 10, 3], [17, 1, 5], [1, 1, 0]) == (4.0, 2)
    # A third step down: deceptive, honest, deceptive, honest.
    bits, steps, sides = [0, 4, 12, 30], [65, 17, 5, 1], [1, 0, 1, 0]
    assert critical("linear", bits, steps, sides) == (48 / 4, 3)
    # levin: kappa 0 .. 2 deceptive, .. 4 honest, .. 9 deceptive, then honest.
    assert critical("levin", bits, [64, 16, 4, 1], sides) == (2.0, 3)


def test_touching_is_no_change():
    # Deceptive runs through the corner where two honest lines meet: x = 1.
    assert critical("linear", [0, 4, 2], [8, 4, 6], [0, 0, 1]) == (np.inf, 0)
    # And an honest one through the corner of two deceptive lines.
    assert critical("linear", [0, 4, 2], [8, 4, 6], [1, 1, 0]) == (0.0, 0)


def test_tie_over_an_interval_ends_the_verdict():
    # The same line on both sides is least until x = 1, then deceptive alone.
    assert critical("linear", [0, 0, 4], [8, 8, 4], [0, 1, 1]) == (np.inf, 1)
    # Deceptive alone until x = 1, then the same line on both sides.
    assert critical("linear", [0, 4, 4], [8, 4, 4], [1, 1, 0]) == (1.0, 1)


def test_empty_sides():
    lines = dict(bits=[30, 20], steps=[100, 90], deceptive=[0, 1])
    for family, always, never in (("linear", 0.0, np.inf), ("levin", np.inf, 0.0)):
        assert critical(family, **lines, eligible=[True, False]) == (never, 0)
        assert critical(family, **lines, eligible=[False, True]) == (always, 0)
        value, crossings = critical(family, **lines, eligible=[False, False])
        assert np.isnan(value)
        assert crossings == 0


def test_infinite_cost_is_as_not_eligible():
    assert critical("linear", [np.inf, 20], [1, 90], [0, 1]) == (0.0, 0)
    assert critical("levin", [3, 20], [1, np.inf], [0, 1]) == (0.0, 0)


def test_lines_that_are_not_finite_are_left_out():
    intercept, slope = [[0.0, 1.0, 0.5, np.nan]], [[np.inf, 1.0, 2.0, 0.0]]
    for side in ([1, 0, 1, 1], [0, 1, 0, 0]):
        start, first, crossings = judged(intercept, slope, side)
        assert (start[0], first[0], crossings[0]) == (side[2], 0.5, 1)


def test_levin_without_steps_has_no_value():
    value, crossings = critical("levin", [30, 20], [0, 90], [0, 1])
    assert np.isnan(value)
    assert crossings == 0
    assert critical("levin", [30, 20], [0, 90], [0, 1], eligible=[False, True]) == (np.inf, 0)


def test_extreme_steps_stay_in_range():
    value, crossings = critical("linear", [30, 10], [1e300, 1.5e308], [0, 1])
    assert value == pytest.approx(1.5e308 / 20, rel=1e-7)
    assert crossings == 1
    value, _ = critical("linear", [30, 10], [0, 1e-300], [0, 1])
    assert value == pytest.approx(1e-300 / 20)
    value, _ = critical("levin", [30, 10], [1e-300, 1e300], [0, 1])
    assert value == pytest.approx(20 / np.log2(1e300) / 2)


def test_shared_steps_swamp_no_difference():
    value, _ = critical("levin", [30.0, 10.0], [2.0**40, 2.0**40 + 1], [0, 1])
    assert value == pytest.approx(20 * 2.0**40 * np.log(2.0), rel=1e-11)


def test_other_families_are_refused():
    with pytest.raises(ValueError, match="requires linear or levin; got 'power'"):
        critical("power", [1, 2], [1, 2], [0, 1])


small = st.integers(0, 12)


@given(
    deceptive=st.lists(st.tuples(small, small), max_size=7),
    other=st.lists(st.tuples(small, small), max_size=7),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=400, deadline=None)
def test_equals_the_exact_twin(deceptive, other, order):
    """Whole numbers, so ties, shared lines and touching abound."""
    lines = [(line, 1) for line in deceptive] + [(line, 0) for line in other]
    if not lines:
        return
    order.shuffle(lines)
    (intercept, slope), side = np.array([line for line, _ in lines]).T, [s for _, s in lines]
    start, first, crossings = judged([intercept], [slope], side)
    exact = [[(Fraction(a), Fraction(m)) for a, m in part] for part in (deceptive, other)]
    expected = verdict(*exact)
    assert (start[0], crossings[0]) == (expected[0], expected[2])
    if expected[1] is None:
        assert np.isnan(first[0])
    else:
        assert first[0] == pytest.approx(float(expected[1]), rel=1e-15)


@pytest.mark.parametrize("num_lines", [3, 8, 40])
def test_equals_the_exact_twin_on_real_costs(num_lines):
    rng = np.random.default_rng(7)
    # Near the tangents of a smooth curve: many lines are on the envelopes, and they cross often.
    at = np.exp(rng.normal(0.0, 1.0, (8, num_lines)))
    slope, intercept = 1.0 / at, at + rng.exponential(0.05, at.shape)
    side = rng.integers(0, 2, num_lines)
    start, first, crossings = judged(intercept, slope, side)
    for i in range(len(at)):
        lines = [(Fraction(a), Fraction(m)) for a, m in zip(intercept[i], slope[i], strict=True)]
        parts = [[line for line, s in zip(lines, side, strict=True) if s == k] for k in (1, 0)]
        expected = verdict(*parts)
        assert (start[i], crossings[i]) == (expected[0], expected[2])
        if expected[1] is not None:
            assert first[i] == pytest.approx(float(expected[1]), rel=1e-9)
    assert num_lines == 3 or crossings.max() >= 3


@given(
    structures=st.lists(
        st.tuples(st.integers(0, 30), st.integers(1, 30), st.booleans(), st.integers(0, 3)),
        min_size=1,
        max_size=3,
    ),
    facts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_linear_facts_equal_every_choice(structures, facts):
    """All 2^n programs of every structure as lines of the exact twin."""
    parts = {True: [], False: []}
    for bits, steps, deceptive, uses in structures:
        for stored in np.ndindex((2,) * len(facts)):
            more = sum(b for (b, _), z in zip(facts, stored, strict=True) if z)
            derived = sum(t for (_, t), z in zip(facts, stored, strict=True) if not z)
            parts[deceptive].append((Fraction(bits + more), Fraction(steps + uses * derived)))
    parts = [sorted(set(parts[side])) for side in (True, False)]
    start, first, expected = verdict(*parts)
    bits, steps, deceptive, uses = zip(*structures, strict=True)
    found = critical("linear", bits, steps, deceptive, uses=[float(v) for v in uses], facts=facts)
    value = (0.0 if first is None else 1.0 / float(first)) if start == 1 else np.inf
    assert found == (pytest.approx(value, rel=1e-14), expected)


@pytest.mark.parametrize("uses", [(1.0, 1.0, 1.0), (1.0, 3.0, 0.0), (1.0, 2.0, 5.0)])
@pytest.mark.parametrize("family", ["linear", "levin"])
def test_facts_equal_256_choices_on_real_costs(family, uses, monkeypatch):
    monkeypatch.setattr(least, "BLOCK", 100)
    rng = np.random.default_rng(3)
    num_draws, n, deceptive = 200, 8, np.array([False, True, True])
    bits, steps = rng.uniform(0.0, 40.0, (num_draws, 3)), np.exp(rng.normal(4, 2, (num_draws, 3)))
    fact_bits, fact_steps = np.exp(rng.normal(1.0, 1.0, (2, num_draws, n)))
    found = critical_exchange(
        family,
        bits=bits,
        steps=steps,
        eligible=np.ones(bits.shape, bool),
        deceptive=deceptive,
        uses=np.array(uses),
        fact_bits=fact_bits,
        fact_steps=fact_steps,
    )
    stored = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    intercept = bits[:, :, None] + (fact_bits @ stored.T)[:, None, :]
    extra = (fact_steps @ (1 - stored).T)[:, None, :]
    slope = steps[:, :, None] + np.array(uses)[:, None] * extra
    slope = np.log2(slope) if family == "levin" else slope
    rows = (num_draws, -1)
    side = np.repeat(deceptive, 2**n)
    start, first, crossings = judged(intercept.reshape(rows), slope.reshape(rows), side)
    value = 1.0 / first if family == "linear" else first
    always, never = (0.0, np.inf) if family == "linear" else (np.inf, 0.0)
    value = np.where(start == 1, np.where(np.isnan(value), always, value), never)
    np.testing.assert_array_equal(found[1], crossings)
    np.testing.assert_allclose(found[0], value, rtol=1e-9)
    assert len(np.unique(crossings)) > 1


def test_scale_of_either_axis_scales_the_answer():
    rng = np.random.default_rng(5)
    bits, steps = rng.exponential(1.0, (2, 500, 4))
    rest = dict(
        eligible=np.ones((500, 4), bool),
        deceptive=np.array([True, False, True, False]),
        uses=np.ones(4),
        fact_bits=np.empty((500, 0)),
        fact_steps=np.empty((500, 0)),
    )
    base = critical_exchange("linear", bits=bits, steps=steps, **rest)
    other = critical_exchange("linear", bits=bits * 2.0**30, steps=steps * 2.0**1010, **rest)
    np.testing.assert_allclose(other[0], base[0] * 2.0**980, rtol=1e-12)
    np.testing.assert_array_equal(other[1], base[1])
    # Exchanging the roles keeps the crossings and swaps always and never.
    swapped = critical_exchange(
        "linear", bits=bits, steps=steps, **{**rest, "deceptive": ~rest["deceptive"]}
    )
    np.testing.assert_array_equal(swapped[1], base[1])
    assert np.all((swapped[0] == np.inf) == (base[0] < np.inf))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scratch": np.empty(1, np.intp)}, "scratch must hold 2 > 0 lines; got 1"),
        ({"slope": np.zeros((3, 1))}, "must agree in shape"),
        ({"deceptive": np.zeros(3, np.uint8)}, "must agree in shape"),
        ({"first": np.zeros(2)}, "must have 3 entries"),
    ],
)
def test_kernel_refuses_wrong_shapes(change, message):
    arguments = {
        "intercept": np.zeros((3, 2)),
        "slope": np.zeros((3, 2)),
        "deceptive": np.zeros(2, np.uint8),
        "scratch": np.empty(2, np.intp),
        "start": np.empty(3, np.int8),
        "first": np.empty(3),
        "crossings": np.empty(3, np.int64),
    }
    with pytest.raises(ValueError, match=message):
        verdicts(**{**arguments, **change})


@pytest.mark.parametrize("family", ["linear", "levin"])
@pytest.mark.parametrize("deceptive_uses", [1.0, 2.0])
def test_a_dominated_program_is_never_favored(family, deceptive_uses):
    """Rounding must not break the order where the envelopes run close together, or coincide."""
    rng = np.random.default_rng(11)
    bits, steps = np.exp(rng.normal(8.0, 4.0, (2, 1000, 2)))
    more = np.exp(rng.normal(-8.0, 8.0, (2, 1000))) * rng.integers(0, 2, (2, 1000))
    bits[:, 1], steps[:, 1] = bits[:, 0] + more[0], steps[:, 0] + more[1]
    value, crossings = critical_exchange(
        family,
        bits=bits,
        steps=steps,
        eligible=np.ones((1000, 2), bool),
        deceptive=np.array([False, True]),
        uses=np.array([1.0, deceptive_uses]),
        fact_bits=np.exp(rng.normal(3.0, 2.0, (1000, 20))),
        fact_steps=np.exp(rng.normal(5.0, 4.0, (1000, 20))),
    )
    np.testing.assert_array_equal(crossings, 0)
    np.testing.assert_array_equal(value, np.inf if family == "linear" else 0.0)
