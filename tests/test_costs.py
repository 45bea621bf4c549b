"""Bits and steps of structures: worked out by hand, laws, and what rounding must not swallow."""

from fractions import Fraction

import numpy as np
import pytest
from small_models import component, family, model, structure, theta_at

from bayes_mesa.costing.costs import Counts, totals
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Facts, Heuristics, Overlap

LINEAR = family("linear", rate=1.0)
COMPONENTS = (component("a", 3, 5), component("b", 7, 11), component("c", 13, 17))
STRUCTURES = (
    structure("one", {"a": 2, "b": 1}, {"a": 1, "c": 3}),
    structure("two", {"a": 1, "c": 1}, {"c": 2, "b": 2}, deploy="other"),
)


def whole(found, values=None):
    return totals(Counts.of(found), theta_at(found, found.families[0], values))


def test_totals_by_hand():
    found = whole(model(COMPONENTS, STRUCTURES, [LINEAR]))
    np.testing.assert_array_equal(found.full_bits, [[2 * 3 + 7, 3 + 13]])
    np.testing.assert_array_equal(found.full_steps, [[5 + 3 * 17, 2 * 17 + 2 * 11]])


def test_what_all_structures_pay_is_split_off_by_count():
    found = whole(model(COMPONENTS, STRUCTURES, [LINEAR]))
    assert (found.shared_bits[0], found.shared_steps[0]) == (3.0, 2 * 17)
    np.testing.assert_array_equal(found.bits, [[3 + 7, 13]])
    np.testing.assert_array_equal(found.steps, [[5 + 17, 2 * 11]])


def test_counts_and_uses_in_file_order():
    facts = Facts(("f",), (Known(1.0),), (Known(1.0),), ((),), {"two": 2.5})
    counts = Counts.of(model(COMPONENTS, STRUCTURES, [LINEAR], facts=facts))
    np.testing.assert_array_equal(counts.bits, [[2, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(counts.steps, [[1, 0, 3], [0, 2, 2]])
    np.testing.assert_array_equal(counts.uses, [1.0, 2.5])


@pytest.mark.parametrize("fraction", [0.0, 0.25, 1.0])
def test_an_overlap_takes_its_share_as_often_as_both_run(fraction):
    # c runs 3 and 2 times, a 1 and 0 times, b 0 and 2 times.
    overlaps = (Overlap("c", "a", Known(fraction)), Overlap("b", "c", Known(fraction)))
    found = whole(model(COMPONENTS, STRUCTURES, [LINEAR], overlaps=overlaps))
    one = 5 + 3 * 17 - fraction * 17 * 1
    two = 2 * 17 + 2 * 11 - fraction * 11 * 2
    np.testing.assert_allclose(found.full_steps, [[one, two]], rtol=1e-15)


def test_an_overlap_that_all_structures_have_is_shared():
    structures = (
        structure("one", [], {"a": 1, "c": 1}),
        structure("two", [], {"a": 2, "c": 2}, deploy="other"),
    )
    overlaps = (Overlap("c", "a", Known(0.5)),)
    found = whole(model(COMPONENTS, structures, [LINEAR], overlaps=overlaps))
    np.testing.assert_allclose(found.full_steps, [[22 - 8.5, 44 - 17]], rtol=1e-15)
    assert (found.steps >= 0).all()


def test_heuristics_multiply_only_the_components_named():
    heuristics = Heuristics(("a", "c"), Known(3.0), Known(0.5))
    found = whole(model(COMPONENTS, STRUCTURES, [LINEAR], heuristics=heuristics))
    np.testing.assert_array_equal(found.full_bits, [[2 * 9 + 7, 9 + 39]])
    np.testing.assert_array_equal(found.full_steps, [[2.5 + 3 * 8.5, 2 * 8.5 + 22]])


def test_an_overlap_is_of_effective_steps():
    heuristics = Heuristics(("c",), Known(1.0), Known(10.0))
    overlaps = (Overlap("c", "a", Known(0.5)),)
    found = whole(model(COMPONENTS, STRUCTURES, [LINEAR], heuristics=heuristics, overlaps=overlaps))
    np.testing.assert_allclose(found.full_steps[0, 0], 5 + 3 * 170 - 0.5 * 170)


def test_a_difference_of_one_bit_beside_shared_1e18():
    parts = (component("a", 2, 3), component("b", 1, 2), component("shared", 1e18, 1e18))
    both = ["shared"]
    structures = (
        structure("one", ["a", *both], ["a", *both]),
        structure("two", ["b", *both], ["b", *both], deploy="other"),
    )
    found = whole(model(parts, structures, [LINEAR]))
    np.testing.assert_array_equal(found.bits, [[2, 1]])
    np.testing.assert_array_equal(found.steps, [[3, 2]])
    assert found.shared_bits[0] == 1e18


def test_order_of_structures_and_components_does_not_matter():
    rng = np.random.default_rng(42)
    values = {f"{axis}.{n}": rng.lognormal(5, 4, 50) for axis in ("bits", "steps") for n in "abc"}
    forward = model(COMPONENTS, STRUCTURES, [LINEAR])
    backward = model(COMPONENTS[::-1], STRUCTURES[::-1], [LINEAR])
    theta = [theta_at(m, LINEAR, values, shape=(50,)) for m in (forward, backward)]
    first, second = (totals(Counts.of(m), t) for m, t in zip((forward, backward), theta, strict=1))
    np.testing.assert_allclose(first.full_bits, second.full_bits[:, ::-1], rtol=1e-14)
    np.testing.assert_allclose(first.full_steps, second.full_steps[:, ::-1], rtol=1e-14)


def test_totals_are_exact_to_rounding():
    rng = np.random.default_rng(42)
    costs = rng.lognormal(3, 6, 3)
    values = {f"bits.{n}": x for n, x in zip("abc", costs, strict=True)}
    found = whole(model(COMPONENTS, STRUCTURES, [LINEAR]), values)
    a, b, c = map(Fraction, costs)
    np.testing.assert_allclose(
        found.full_bits[0], [float(2 * a + b), float(a + c)], rtol=4e-16, atol=0
    )


def test_jax_gives_the_same():
    import jax
    import jax.numpy as jnp

    found = model(COMPONENTS, STRUCTURES, [LINEAR], overlaps=(Overlap("c", "a", Known(0.3)),))
    plain = whole(found)
    with jax.enable_x64(True):
        traced = totals(Counts.of(found), theta_at(found, LINEAR, xp=jnp), jnp)
        np.testing.assert_allclose(traced.steps, plain.steps, rtol=1e-15)
        np.testing.assert_allclose(traced.full_bits, plain.full_bits, rtol=1e-15)
