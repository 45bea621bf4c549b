"""Numbers at the ends of double precision: the verdict is its closed-form limit, or an error."""

import re
import warnings

import numpy as np
import pytest
from small_models import component, family, known_facts, lognormal, model, structure

from bayes_mesa.costing.fact_sums import MOST_POWER
from bayes_mesa.domain.slots import assemble, slots
from bayes_mesa.errors import ModelFileError, RefusedError
from bayes_mesa.model_file import load_model
from bayes_mesa.pages.checkup import checkup
from bayes_mesa.verdicts.program_list import with_listed
from bayes_mesa.verdicts.verdict import verdicts

#: `slow` stores 10 bits and runs 3 steps, `fast` stores 14 bits and runs 1 step.
SLOW, FAST = (10.0, 3.0), (14.0, 1.0)
SIMPLE = 2.0 ** (SLOW[0] - FAST[0])  # odds of fast where time costs nothing
EXCHANGES = {
    "linear": {"rate": lognormal(0, 1)},
    "levin": {"kappa": lognormal(0, 1)},
    "power": {"rate": lognormal(0, 1), "exponent": lognormal(1, 0.1)},
}
TEXT = """\
[model]
name = "ends"
[components.slow]
bits = {slow[0]}
steps = {slow[1]}
[components.fast]
bits = {fast[0]}
steps = {fast[1]}
[exchange.linear]
rate = {{ q05 = 1, q95 = 2 }}
[exchange.levin]
kappa = {{ q05 = 1, q95 = 2 }}
[exchange.power]
rate = {{ q05 = 1, q95 = 2 }}
exponent = {{ dist = "LogNormal", loc = 1, scale = 0.1 }}
[selection]
pressure = {{ q05 = 1, q95 = 2 }}
[grammar]
start = "S"
[[grammar.rules]]
symbol = "S"
name = "slow"
stores = ["slow"]
runs = ["slow"]
train = "base"
deploy = "base"
[[grammar.rules]]
symbol = "S"
name = "fast"
stores = ["fast"]
runs = ["fast"]
train = "base"
deploy = "x"
"""
STRUCTURES = [
    structure("slow", ["slow"], ["slow"]),
    structure("fast", ["fast"], ["fast"], deploy="x"),
]


@pytest.fixture(autouse=True)
def no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def by_hand(name, slow=SLOW, fast=FAST, **parts):
    made = model(
        [component("slow", *slow), component("fast", *fast)],
        STRUCTURES,
        [family(name, **EXCHANGES[name])],
        **parts,
    )
    return made, made.families[0]


def of_grammar(folder, name, slow=SLOW, fast=FAST):
    path = folder / "m.toml"
    path.write_text(TEXT.format(slow=slow, fast=fast))
    made = with_listed(load_model(path))
    return made, made.family(name)


def fast_mass(made, chosen, pressure=1.0, **varied):
    """Mass of `fast` for every value of what varies; the rest is at its median."""
    size = len(next(iter(varied.values()))) if varied else 1
    values = {
        s.name: np.full((size,) if s.size is None else (size, s.size), s.belief.median)
        for s in slots(made, chosen)
    }
    values["pressure"] = np.full(size, pressure)
    values |= {name: np.asarray(x, float) for name, x in varied.items()}
    return verdicts(made, chosen, assemble(made, values, chosen, np))["class_mass"][:, 1]


def odds(mass):
    return mass / (1.0 - mass)


TINY = [1e-307, 1e-300, 1e-200, 1e-100]
HUGE = [1e100, 1e200, 1e300, 1.7e308]
#: (family, parameter, values, odds of `fast` in the limit): time costs nothing, or everything.
LIMITS = [
    ("linear", "linear_rate", HUGE, SIMPLE),
    ("linear", "linear_rate", TINY, np.inf),
    ("power", "power_rate", HUGE, SIMPLE),
    ("power", "power_rate", TINY, np.inf),
    ("levin", "levin_kappa", [0.0, 5e-324, *TINY, 1e-40, 1e-28], SIMPLE),
    ("levin", "levin_kappa", [1e3, 1e4, 1e5], np.inf),
    # (t/rate)^(1/exponent) goes to 1 for every time there is.
    ("power", "power_exponent", HUGE, SIMPLE),
]


def holds(mass, limit):
    if np.isinf(limit):
        assert (mass >= 1.0 - 1e-12).all()
    else:
        np.testing.assert_allclose(odds(mass), limit, rtol=1e-9)


@pytest.mark.parametrize(("name", "parameter", "values", "limit"), LIMITS)
def test_structures(name, parameter, values, limit):
    holds(fast_mass(*by_hand(name), **{parameter: values}), limit)


@pytest.mark.parametrize(("name", "parameter", "values", "limit"), LIMITS)
def test_structures_with_facts(name, parameter, values, limit):
    """Both derive where time is free, and store where it is not: the facts' factors cancel."""
    facts = known_facts([3.0, 5.0], [10.0, 1e4])
    made = by_hand(name, facts=facts)
    if parameter == "power_exponent":
        for value in values:
            with pytest.raises(RefusedError, match="an exponent of at most 10000, found"):
                fast_mass(*made, power_exponent=[value])
        return
    holds(fast_mass(*made, **{parameter: values}), limit)


@pytest.mark.parametrize(("name", "parameter", "values", "limit"), LIMITS)
def test_a_grammar(tmp_path, name, parameter, values, limit):
    """The exact sums over programs, or a refusal out of their reach: never another mass."""
    made = of_grammar(tmp_path, name)
    refused = 0
    for value in values:
        try:
            mass = fast_mass(*made, **{parameter: [value]})
        except RefusedError:
            refused += 1
            continue
        holds(mass, limit)
    reach = {("levin", np.inf): 1, ("linear", np.inf): 1, ("power", SIMPLE): len(values)}
    assert refused <= reach.get((name, limit), 0)


@pytest.mark.parametrize("exponent", [10.0, 50.0, 100.0])
def test_a_large_exponent_agrees_between_structures_and_a_grammar(tmp_path, exponent):
    one = fast_mass(*by_hand("power"), power_rate=[1.0], power_exponent=[exponent])
    other = fast_mass(*of_grammar(tmp_path, "power"), power_rate=[1.0], power_exponent=[exponent])
    np.testing.assert_allclose(one, other, rtol=1e-9)
    np.testing.assert_allclose(odds(one), SIMPLE * 2 ** (3 ** (1 / exponent) - 1), rtol=1e-9)


@pytest.mark.parametrize("kappa", [1e12, 1e19, 1e100, 1.7e308])
def test_facts_under_a_steep_levin_are_refused_at_once(kappa):
    """The nodes of the sum grow with the root of kappa: without a limit they never end."""
    facts = known_facts([3.0, 5.0], [10.0, 1e4])
    with pytest.raises(RefusedError, match=re.escape(f"at most {MOST_POWER:g}, found {kappa:g}")):
        fast_mass(*by_hand("levin", facts=facts), levin_kappa=[kappa])


@pytest.mark.parametrize("kappa", [1e12, 1e100, 1e300])
def test_structures_under_a_steep_levin(kappa):
    assert fast_mass(*by_hand("levin"), levin_kappa=[kappa]) == [1.0]


@pytest.mark.parametrize("rate", [1e-3, 1.0, 1e3])
def test_an_exponent_of_one_is_the_linear_family(tmp_path, rate):
    facts = known_facts([3.0, 5.0], [10.0, 1e2])
    for linear, power in (
        (by_hand("linear"), by_hand("power")),
        (by_hand("linear", facts=facts), by_hand("power", facts=facts)),
        (of_grammar(tmp_path, "linear"), of_grammar(tmp_path, "power")),
    ):
        one = fast_mass(*linear, linear_rate=[rate])
        other = fast_mass(*power, power_rate=[rate], power_exponent=[1.0])
        np.testing.assert_allclose(one, other, rtol=1e-9)


@pytest.mark.parametrize("name", EXCHANGES)
def test_a_tiny_pressure_leaves_all_alike_and_a_huge_one_the_cheapest(tmp_path, name):
    for made in (by_hand(name), of_grammar(tmp_path, name)):
        alike = fast_mass(*made, pressure=1e-300)
        np.testing.assert_allclose(alike, 0.5, rtol=1e-12)
        cheapest = fast_mass(*made, pressure=1e3)
        assert cheapest in ([0.0], [1.0])


SIZES = [0.0, 1.0, 2.0**31, 1e15, 1e300, 1e308]


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("bits", SIZES)
def test_bits_of_any_size(tmp_path, name, bits):
    """The same bits on both sides cancel; more on one side leaves the other."""
    for make in (by_hand, lambda *a: of_grammar(tmp_path, *a)):
        same = fast_mass(*make(name, (bits, 1.0), (bits, 1.0)))
        np.testing.assert_allclose(same, 0.5, rtol=1e-9)
        if bits > 1e4:
            assert fast_mass(*make(name, (0.0, 1.0), (bits, 1.0))) == [0.0]


@pytest.mark.parametrize("name", EXCHANGES)
@pytest.mark.parametrize("steps", SIZES[1:])
def test_steps_of_any_size(tmp_path, name, steps):
    for make in (by_hand, lambda *a: of_grammar(tmp_path, *a)):
        same = fast_mass(*make(name, (5.0, steps), (5.0, steps)))
        np.testing.assert_allclose(same, 0.5, rtol=1e-9)
        more = fast_mass(*make(name, (5.0, 1.0), (5.0, steps)))
        assert more <= 0.5 + 1e-12


@pytest.mark.parametrize("bits", SIZES)
@pytest.mark.parametrize("steps", SIZES[1:])
def test_a_file_at_the_ends_is_checked(tmp_path, bits, steps):
    """``check`` has an answer, all of it finite or absent (JSON knows no NaN)."""
    path = tmp_path / "m.toml"
    path.write_text(TEXT.format(slow=(bits, steps), fast=(1, 1)))
    assert checkup(load_model(path))["model"] == "ends"


BEYOND = {
    "1e309": "found 1e309",
    "1e400": "found 1e400",
    "nan": "must be a finite number, found nan",
    "-nan": "must be a finite number, found -nan",
    "inf": "must be a finite number, found inf",
    "-1e-300": "must be at least 0, found -1e-300",
    "1" + "0" * 310: "must have at most 300 digits",
}


@pytest.mark.parametrize("written", BEYOND)
def test_what_is_just_beyond_is_an_error_with_its_line(tmp_path, written):
    path = tmp_path / "m.toml"
    path.write_text(TEXT.format(slow=(written, 1), fast=(1, 1)))
    with pytest.raises(ModelFileError) as caught:
        load_model(path)
    fault = caught.value.faults[0]
    assert fault.line == 4
    assert BEYOND[written] in fault.message
    assert fault.field in ("components.slow.bits", "number")


@pytest.mark.parametrize(
    ("belief", "said"),
    [
        ('{ dist = "Gamma", concentration = 1e-9, rate = 1 }', "above 0 in its lower tail"),
        ('{ dist = "Weibull", scale = 1, concentration = 0.01 }', "above 0 in its lower tail"),
        ('{ dist = "LogNormal", loc = -700, scale = 5 }', "above 0 in its lower tail"),
        ('{ dist = "Beta", concentration1 = 1e300, concentration0 = 3 }', "from 1e-15 to 1e"),
        ('{ dist = "Beta", concentration1 = 3, concentration0 = 5e-324 }', "from 1e-15 to 1e"),
        ('{ dist = "LogNormal", loc = 700, scale = 5 }', "below 1.8e308"),
        ("{ q05 = 1e-300, q95 = 1e300 }", "below 1.8e308"),
    ],
)
def test_a_rate_whose_draws_leave_double_precision_is_refused(tmp_path, belief, said):
    text = TEXT.format(slow=SLOW, fast=FAST)
    path = tmp_path / "m.toml"
    path.write_text(text.replace("rate = { q05 = 1, q95 = 2 }", f"rate = {belief}", 1))
    with pytest.raises(ModelFileError, match=said) as caught:
        load_model(path)
    assert str(caught.value).startswith(f"{path}:10: exchange.linear.rate: must ")
