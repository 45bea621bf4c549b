"""Enumeration against brute force, and intervals that hold the exact answer for certain."""

import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from reference import enumeration as slow
from small_grammars import FAMILIES, catalan, chain, finite, grammar_model, post_like, rule
from typer.testing import CliRunner

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.critical_pressure import critical_pressure, tree_sums
from bayes_mesa.domain.model import CLASSES, Facts
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars import program_search
from bayes_mesa.grammars.certificate import unlisted_prior_mass
from bayes_mesa.grammars.coverage import ClassTotals
from bayes_mesa.grammars.listing import listed_programs
from bayes_mesa.grammars.program_search import UNIT, Search
from bayes_mesa.interface import cli
from bayes_mesa.interface.console import enumeration_text
from bayes_mesa.model_file import load_model
from bayes_mesa.verdicts import enumeration
from bayes_mesa.verdicts.enumeration import enumerate_programs, programs_of
from bayes_mesa.verdicts.theta_at import theta_at

MASS = ("mean", "lower", "upper")


def listing_below(model, bits, bands=3):
    """Every program of fewer than ``bits`` rule bits, in several bands."""
    search = Search(model.grammar)
    low = search.reached
    for k in range(1, bands + 1):
        assert search.band(max(low + 1, int(low + (bits * UNIT - low) * k / bands)), 10**9)
    return listed_programs(model, model.grammar, search)


def row_key(model, listing, k):
    def counts(row):
        return tuple(
            sorted((c.name, int(n)) for c, n in zip(model.components, row, strict=True) if n)
        )

    return (
        float(listing.rule_bits[k]), counts(listing.stores[k]), counts(listing.runs[k]),
        listing.objectives[listing.train[k]], listing.objectives[listing.deploy[k]],
    )  # fmt: skip


GRAMMARS = {
    "post_like": (post_like, 18.3),
    "catalan": (catalan, 19.7),
    "chain": (chain, 30.1),
    "finite": (finite, 9.9),
}


@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize("part", [0.4, 0.7, 1.0])
def test_every_program_once_with_brute_force(name, part):
    make, bits = GRAMMARS[name]
    model = make()
    expected = slow.classes(slow.programs(model.grammar, bits * part))
    listing = listing_below(model, bits * part)
    found = {row_key(model, listing, k): k for k in range(len(listing))}
    assert found.keys() == expected.keys()
    assert len(found) == len(listing)
    for key, k in found.items():
        assert listing.count[k] == len(expected[key])
        assert listing.codes.of(k) in expected[key]
        assert len(listing.codes.of(k)) == min(map(len, expected[key]))
    assert listing.programs == sum(map(len, expected.values()))
    assert np.all(np.diff(listing.rule_bits) >= 0)


@pytest.mark.parametrize("name", GRAMMARS)
def test_bits_steps_and_classes_of_every_entry(name):
    model = replace(GRAMMARS[name][0](), facts=facts(2))
    result = enumerate_programs(model, 1.0, max_programs=300)
    most = programs_of(model, 300).rule_bits.max()
    brute = slow.programs(model.grammar, most + 1e-9)
    by_text = {slow_text(model, code): meaning for code, meaning in brute.items()}
    for family in model.families:
        for entry in result["by_exchange"][family.name]["programs"]:
            meaning = by_text[entry["program"]]
            _, (penalty, bits, steps) = slow.weight(model, family, meaning)
            assert entry["penalty"] == pytest.approx(penalty, rel=1e-12)
            assert entry["bits"] == pytest.approx(bits, rel=1e-12)
            assert entry["steps"] == pytest.approx(steps, rel=1e-12)
            assert entry["class"] == slow.class_of(model, meaning)


def slow_text(model, code):
    from bayes_mesa.domain.expression import expression

    return expression(model.grammar, code)


def test_bands_pauses_and_full_tables_change_nothing(monkeypatch):
    model = post_like()
    whole = listing_below(model, 24.0, bands=1)
    monkeypatch.setattr(program_search, "_QUOTA", 7)
    pieces = listing_below(model, 24.0, bands=5)
    assert len(whole) > 1 << 10  # the first table was too small
    for name in ("rule_bits", "stores", "runs", "train", "deploy", "count"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(pieces, name))
    assert [whole.text(k) for k in range(50)] == [pieces.text(k) for k in range(50)]


def test_the_limit_is_kept_to_the_program():
    for most in (1, 2, 17, 400):
        listing = programs_of(post_like(), most)
        assert (listing.programs, listing.count.sum(), listing.complete) == (most, most, False)
        below = slow.programs(post_like().grammar, listing.up_to_bits)
        assert len(below) <= most
        rows = {row_key(post_like(), listing, k) for k in range(len(listing))}
        assert {slow.key(m) for m in below.values()} <= rows


def test_a_grammar_that_ends_is_complete():
    listing = programs_of(finite(), 1000)
    assert (listing.complete, listing.programs, listing.up_to_bits) == (True, 12, math.inf)
    assert np.all(unlisted_prior_mass(listing, finite().grammar, 1.0) == 0.0)


def test_codes_that_are_too_long_end_the_search(monkeypatch):
    monkeypatch.setattr(program_search, "MAX_NODES", 12)
    listing = programs_of(chain(), 10**6)
    assert not listing.complete
    assert len(slow.programs(chain().grammar, listing.up_to_bits)) <= listing.programs
    assert max(len(listing.codes.of(k)) for k in range(len(listing))) == 12


def test_a_named_program_stands_for_its_row():
    texts = {"a": "switch(optimize(base), optimize(simplest))"}
    result = enumerate_programs(post_like(programs=texts), max_programs=5000)
    assert texts["a"] in [p["program"] for p in result["programs"]]


# What is not listed


def calm():
    """The post's grammar with fewer nested programs: its sum is finite at a pressure of 0.8."""
    model = post_like()
    rules = tuple(
        replace(r, weight=r.weight / 4) if "Policy" in r.args else r for r in model.grammar.rules
    )
    return replace(model, structures=(), grammar=replace(model.grammar, rules=rules))


@pytest.mark.parametrize("pressure", [0.8, 1.0, 2.0])
@pytest.mark.parametrize(
    ("model", "bits"),
    [(catalan(left=9.0), 9.0), (chain(), 8.0), (calm(), 9.0)],
    ids=["catalan", "chain", "calm"],
)
def test_listed_and_remaining_prior_mass_are_the_whole(model, bits, pressure):
    grammar = model.grammar
    assert critical_pressure(grammar) < pressure
    brute = slow.programs(grammar, bits)
    listed = math.fsum(2.0 ** (-pressure * m.rule_bits) for m in brute.values())
    rest = unlisted_prior_mass(listing_below(model, bits), grammar, pressure).sum()
    whole = {
        "S": lambda: hand_sum(grammar, pressure),
        "Policy": lambda: tree_sums(grammar, pressure)["Policy"],
    }[grammar.start]()
    assert rest > 1e-9
    assert (listed + rest) / whole == pytest.approx(1.0, abs=1e-12)


def hand_sum(grammar, pressure):
    shares = [2.0 ** (-pressure * b) for b in grammar.rule_bits]
    if len(shares) == 3:  # base | own | wrap(S)
        return (shares[0] + shares[1]) / (1.0 - shares[2])
    p, q = shares  # leaf | pair(S, S)
    return 2.0 * p / (1.0 + math.sqrt(1.0 - 4.0 * p * q))


def test_remaining_prior_mass_by_behaviour():
    model = post_like()
    deep, shallow = listing_below(model, 24.0), listing_below(model, 12.0)
    rest = unlisted_prior_mass(shallow, model.grammar, 1.5)
    later = deep.rule_bits >= 12.0
    seen = np.zeros_like(rest)
    share = deep.count * np.exp2(-1.5 * deep.rule_bits)
    np.add.at(seen, (deep.train[later], deep.deploy[later]), share[later])
    last = unlisted_prior_mass(deep, model.grammar, 1.5)
    np.testing.assert_allclose(seen + last, rest, rtol=1e-9)


def random_grammar(rng, recursive):
    """Rules of two symbols, every symbol with a leaf; costs small enough that all counts."""
    components = ("a", "b", "c")
    goals = ("base", "own")

    def one(symbol, name, args):
        sides = [
            int(rng.integers(len(args))) if args and rng.random() < 0.8 else str(rng.choice(goals))
            for _ in range(2)
        ]
        return rule(
            symbol, name, args,
            stores=[c for c in components if rng.random() < 0.3],
            runs=["d", *(c for c in components if rng.random() < 0.3)],
            executes=[k for k in range(len(args)) if rng.random() < 0.7],
            train=sides[0], deploy=sides[1], weight=float(rng.uniform(0.5, 4.0)),
        )  # fmt: skip

    below = ["P", "G"] if recursive else ["G"]
    rules = [one("P", "honest", []), one("P", "use", ["G"])]
    for k in range(2):
        args = [str(rng.choice(below)) for _ in range(int(rng.integers(1, 3)))]
        rules.append(one("P", f"p{k}", args))
    rules += [one("G", f"g{k}", []) for k in range(2)]
    rules[0] = replace(rules[0], train="base", deploy="base")
    costs = {c: (float(rng.uniform(0, 6)), float(rng.uniform(0, 20))) for c in "abc"}
    return rules, costs | {"d": (1.0, 2.0)}, [c for c in components if rng.random() < 0.3]


def facts(n, needs=()):
    values = np.linspace(1.0, 4.0, n)
    return Facts(
        tuple(f"f{k}" for k in range(n)), tuple(Known(float(x)) for x in values),
        tuple(Known(float(3 * x * x)) for x in values[::-1]), needs,
    )  # fmt: skip


def random_model(seed):
    """A random model and its exact weight by family and class; odd seeds have infinitely many."""
    rng = np.random.default_rng(seed)
    recursive = seed % 2 == 1
    rules, costs, unshared = random_grammar(rng, recursive)
    more = {
        "pressure": float(rng.choice([1.0, 1.3, 2.0])),
        "losses": {"own": 0.7} if rng.random() < 0.5 else {},
        "unshared": unshared,
    }
    if recursive:
        model = grammar_model(rules, costs, start="P", families=("linear",), **more)
        return model, {f.name: slow.linear_totals(model, f) for f in model.families}
    if rng.random() < 0.6:
        more["facts"] = facts(3, ((), (0,), (0, 1)) if rng.random() < 0.5 else ())
    if rng.random() < 0.3:
        more["cap"] = 80.0
    if rng.random() < 0.3:
        more["max_bits"] = 22.0
    model = grammar_model(rules, costs, start="P", **more)
    found = slow.programs(model.grammar, math.inf)
    return model, {f.name: slow.masses(model, f, found) for f in model.families}


@pytest.mark.parametrize("certified", [False, True], ids=["known", "certified"])
@pytest.mark.parametrize("seed", range(0, 200, 10))
def test_the_interval_holds_the_exact_answer_and_shrinks(seed, certified, monkeypatch):
    if certified:
        monkeypatch.setattr(enumeration, "exact_totals", lambda at: None)
    checked = 0
    for each in range(seed, seed + 10):
        model, totals = random_model(each)
        found = [enumerate_programs(model, 1.0, max_programs=n) for n in (2, 12, 70, 900)]
        for name, total in totals.items():
            whole = sum(total.values())
            if whole == 0.0:
                assert found[-1]["by_exchange"][name]["deceptive_mass"]["mean"] is None
                continue
            checked += 1
            exact = total["deceptive"] / whole
            masses = [f["by_exchange"][name]["deceptive_mass"] for f in found]
            for mass in masses:
                assert mass["lower"] - 1e-12 <= exact <= mass["upper"] + 1e-12, (each, name)
                assert mass["mean"] is None or mass["lower"] <= mass["mean"] <= mass["upper"]
            for before, after in pairwise(masses):
                assert after["lower"] >= before["lower"] - 1e-12
                assert after["upper"] <= before["upper"] + 1e-12
            if found[-1]["complete"] or not (certified or cannot_be_summed(model)):
                assert masses[-1]["mean"] == pytest.approx(exact, abs=1e-12)
    assert checked > 5


def cannot_be_summed(model):
    limited = model.selection.cap is not None or model.selection.max_bits is not None
    return limited or model.facts.depend


def test_bounds_hold_for_every_program():
    model, totals = random_model(3)
    whole = sum(totals["linear"].values())
    family = model.families[0]
    result = enumerate_programs(model, 1.0, max_programs=50)
    by_text = {slow_text(model, c): (c, m) for c, m in slow.programs(model.grammar, 14.0).items()}
    entries = result["by_exchange"]["linear"]["programs"]
    assert entries
    for entry in entries:
        exact = entry["count"] * slow.weight(model, family, by_text[entry["program"]][1])[0] / whole
        assert entry["lower"] * (1 - 1e-9) <= exact <= entry["upper"] * (1 + 1e-9)


def test_exact_totals_make_the_mean_exact(monkeypatch):
    model = post_like(families=("linear",))
    total = slow.linear_totals(model, model.families[0])
    whole = sum(total.values())
    monkeypatch.setattr(enumeration, "exact_totals", lambda at: None)
    without = enumerate_programs(model, 1.0, max_programs=2000)

    def exact(at):
        base = at.base(at.cheapest)
        # Relative to no payment at all: the seam says what its logs are relative to.
        nothing = replace(base, stores=0 * base.stores, runs=0 * base.runs, extra_steps=0.0)
        logs = np.log([total[c] or 1e-300 for c in CLASSES])
        return ClassTotals(nothing, logs, np.zeros(3))

    monkeypatch.setattr(enumeration, "exact_totals", exact)
    found = enumerate_programs(model, 1.0, max_programs=2000)
    mass = found["deceptive_mass"]
    assert mass["mean"] == pytest.approx(total["deceptive"] / whole, abs=1e-12)
    assert found["mass_listed"] > without["mass_listed"]
    wide = without["deceptive_mass"]
    assert wide["lower"] <= mass["lower"] <= mass["upper"] <= wide["upper"]
    shares = sum(p["weight"] for p in found["programs"])
    assert shares == pytest.approx(found["mass_listed"], rel=1e-9)
    for entry in found["programs"]:
        assert entry["lower"] == entry["weight"] == entry["upper"]


def test_costs_a_billion_times_what_decides():
    shift = 1e9
    base, far = post_like(), post_like()
    costs = {c.name: c for c in far.components}
    # Every program stores the search or the check, and plans: the search's bits are not mandatory.
    components = tuple(
        replace(c, steps=Known(c.steps.value + shift)) if c.name == "plan" else c
        for c in far.components
    )
    assert costs["plan"].steps.value == 40.0
    levin = replace(far, components=components, families=(FAMILIES["linear"],))
    near = enumerate_programs(replace(base, families=(FAMILIES["linear"],)), max_programs=20000)
    away = enumerate_programs(levin, max_programs=20000)
    # Programs that plan twice are gone; the others keep the odds of their differences.
    odds = [odds_of(r, "optimize(base)", "pretend(simplest)") for r in (near, away)]
    assert odds[0] == pytest.approx(odds[1], rel=1e-6)


def odds_of(result, left, right):
    weight = {p["program"]: p["weight"] for p in result["programs"]}
    return weight[left] / weight[right]


def test_mass_and_width_end_the_search_early():
    few = enumerate_programs(chain(), 0.9)
    many = enumerate_programs(chain(), 0.999999)
    assert few["reached"]
    assert many["reached"]
    assert 0.9 <= few["mass_listed"] < many["mass_listed"]
    assert few["programs_listed"] < many["programs_listed"]
    narrow = enumerate_programs(chain(), width=1e-7)
    mass = narrow["deceptive_mass"]
    assert narrow["reached"]
    assert mass["upper"] - mass["lower"] <= 1e-7
    assert not enumerate_programs(post_like(), max_programs=10)["reached"]


def test_the_average_is_over_families_by_weight():
    result = enumerate_programs(finite())
    parts = result["by_exchange"].values()
    for figure in MASS:
        average = sum(f["weight"] * f["deceptive_mass"][figure] for f in parts)
        assert result["deceptive_mass"][figure] == pytest.approx(average, abs=1e-14)
    weights = [p["weight"] for p in result["programs"]]
    assert weights == sorted(weights, reverse=True)
    assert sum(weights) == pytest.approx(1.0, abs=1e-12)
    for family in parts:
        penalties = [p["penalty"] for p in family["programs"]]
        assert penalties == sorted(penalties)


def test_champions_and_what_can_be_favored():
    model = post_like(losses={"simplest": 0.5})
    found = slow.programs(model.grammar, 18.0)
    result = enumerate_programs(model, 1.0, max_programs=20_000)
    for family in model.families:
        shown = result["by_exchange"][family.name]
        for name, champion in shown["champions"].items():
            own = [m for m in found.values() if slow.class_of(model, m) == name]
            best = min(slow.weight(model, family, m)[1][0] for m in own)
            assert champion["penalty"] == pytest.approx(best, rel=1e-12)
        first = shown["programs"][0]
        assert first["can_be_favored"] is True
        winners = {p["program"] for p in shown["programs"] if p["can_be_favored"]}
        for rate in np.geomspace(1e-3, 1e6, 40):
            costs = {p["program"]: lost_bits(p) + p["steps"] / rate for p in shown["programs"]}
            assert min(costs, key=costs.get) in winners
        assert len(winners) < 10


def lost_bits(entry):
    lost = 0.5 / math.log(2.0) if entry["class"] == "misaligned" else 0.0
    return entry["bits"] + lost


def test_structures_alone_are_all_listed():
    result = enumerate_programs(load_model("speed_simplicity"))
    assert (result["complete"], result["mass_listed"], result["reached"]) == (True, 1.0, True)
    assert {p["program"] for p in result["programs"]} == {
        "fast_honest", "slow_deceptive", "fast_deceptive",
    }  # fmt: skip
    assert "constraints" in result["at"]["text"]


def test_structures_agree_with_the_verdict():
    from bayes_mesa.verdicts.verdict import verdicts

    model = load_model("speed_simplicity")
    result, place = enumerate_programs(model), theta_at(model, {})
    for family in model.families:
        mass = verdicts(model, family, place.theta[family.name])["deceptive_mass"][0]
        shown = result["by_exchange"][family.name]["deceptive_mass"]
        assert shown["mean"] == pytest.approx(mass, rel=1e-9)


def test_nothing_fits():
    result = enumerate_programs(finite(cap=1.0))
    assert result["deceptive_mass"] == dict.fromkeys(MASS)
    assert result["programs"] == []
    json.dumps(result, allow_nan=False)


def test_a_capacity_makes_the_listing_exact():
    model = post_like(max_bits=23.0)
    result = enumerate_programs(model, 1.0)
    assert result["reached"]
    assert result["mass_listed"] == 1.0
    found = slow.programs(model.grammar, 23.0)
    for family in model.families:
        total = slow.masses(model, family, found)
        mass = result["by_exchange"][family.name]["deceptive_mass"]
        exact = total["deceptive"] / sum(total.values())
        assert [mass[n] for n in MASS] == pytest.approx([exact] * 3, abs=1e-12)


def test_too_many_facts_that_are_tied_are_refused():
    with pytest.raises(RefusedError, match="17 facts"):
        enumerate_programs(finite(facts=facts(17), cap=1e9))


def test_values_given_take_the_place_of_medians():
    fast = enumerate_programs(finite(), at={"linear_rate": 1e-2, "bits.near": 50.0})
    assert fast["at"]["what"] == "given"
    assert fast["at"]["values"]["bits.near"] == 50.0
    assert fast["by_exchange"]["linear"]["deceptive_mass"]["mean"] < 0.5


def test_below_the_critical_pressure():
    with pytest.raises(InputError, match="critical pressure"):
        enumerate_programs(catalan(), at={"pressure": 0.5})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mass": 0.0}, "mass must be > 0 and <= 1, found 0.0"),
        ({"mass": 1.5}, "mass must be > 0"),
        ({"mass": math.nan}, "mass must be > 0"),
        ({"width": 0.0}, "width must be > 0"),
        ({"max_programs": 0}, "max_programs must be a whole number >= 1, found 0"),
        ({"max_programs": 1.5}, "max_programs must be a whole number"),
        ({"at": {"bits.nothing": 1.0}}, "found 'bits.nothing'"),
        ({"at": {"pressure": math.inf}}, "at.pressure must be a finite number"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message):
        enumerate_programs(finite(), **arguments)


def test_levin_needs_steps():
    model = finite(families=("levin",))
    still = tuple(replace(c, steps=Known(0.0)) for c in model.components)
    with pytest.raises(InputError, match="more than 0 steps"):
        enumerate_programs(replace(model, components=still))


# The command


def call(*args, status=0):
    done = CliRunner().invoke(cli.app, [str(a) for a in args])
    assert done.exit_code == status, (done.output, done.exception)
    return done


def test_the_command_prints_the_contract():
    found = json.loads(call("enumerate", "program_space", "--max-programs", 20000, "--json").stdout)
    figures = {"mass_listed", "deceptive_mass", "programs"}
    entry = {"program", "symbol", "class", "bits", "steps", "weight", "lower", "upper"}
    assert {"at", "by_exchange"} | figures <= found.keys()
    assert found["deceptive_mass"].keys() == set(MASS)
    assert entry <= found["programs"][0].keys()
    for family in found["by_exchange"].values():
        assert figures <= family.keys()
        assert entry | {"penalty"} <= family["programs"][0].keys()
        mass = family["deceptive_mass"]
        assert 0.0 <= mass["lower"] <= mass["mean"] <= mass["upper"] <= 1.0
    assert {"Hfh", "Hsd"} <= {p["symbol"] for p in found["programs"]}


def test_the_command_prints_a_table():
    text = call("enumerate", "program_space", "--max-programs", 2000, "--width", 0.5).stdout
    for part in ("deceptive mass", "certainly", "Best of each class", "optimize(pointed)"):
        assert part in text
    assert "not reached" in enumeration_text(enumerate_programs(post_like(), max_programs=10))


@pytest.mark.parametrize("option", [("--mass", 0), ("--max-programs", 0), ("--width", 2)])
def test_bad_options(option):
    done = call("enumerate", "speed_simplicity", *option, status=2)
    assert done.stdout == ""
    assert "must be" in done.stderr


ENDLESS = """
[model]
name = "endless"
[components.leaf]
steps = 1
[grammar]
start = "S"
[[grammar.rules]]
symbol = "S"
name = "leaf"
runs = ["leaf"]
train = "base"
deploy = "base"
weight = 1.1
[[grammar.rules]]
symbol = "S"
name = "pair"
args = ["S", "S"]
train = 0
deploy = 1
[exchange.linear]
rate = 1e9
"""


@pytest.mark.slow
def test_an_interrupt_ends_at_once(tmp_path):
    path = tmp_path / "endless.toml"
    path.write_text(ENDLESS)
    command = [
        sys.executable, "-m", "bayes_mesa", "enumerate", str(path), "--mass", "0.999999",
        "--max-programs", str(10**15),
    ]  # fmt: skip
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(3.0)
    assert run.poll() is None
    sent = time.perf_counter()
    os.kill(run.pid, signal.SIGINT)
    watchdog = threading.Timer(20.0, run.kill)
    watchdog.start()
    said = run.stderr.readline()
    assert time.perf_counter() - sent < 0.2
    assert said.startswith("interrupted: ")
    assert "the deceptive mass lies between 0 and " in said
    run.communicate(timeout=20)
    watchdog.cancel()
    assert run.returncode == 130
    assert time.perf_counter() - sent < 1.0
