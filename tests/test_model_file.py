"""Model files: the whole contract read, and every fault answered on its line."""

import hashlib
import math
import re
import sys
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_mesa.domain.beliefs import Known, Prior, lognormal_from_quantiles
from bayes_mesa.domain.model import (
    Component,
    Constraint,
    Correlation,
    Facts,
    Family,
    Heuristics,
    Overlap,
    Quantity,
    Regime,
    Selection,
    Structure,
)
from bayes_mesa.domain.model import Path as PathDependence
from bayes_mesa.errors import InputError, ModelFileError
from bayes_mesa.evidence import KINDS
from bayes_mesa.model_file import load_evidence, load_model, shipped_models
from bayes_mesa.text.wording import listed

FULL = """\
[model]
name = "everything_1"
title = "Title"
source = "Source"
note = "Note"
base_objective = "good"

[components.first]
bits = { q05 = 1e2, q95 = 1e5 }
steps = { dist = "LogNormal", loc = 3.4, scale = 2.1 }
kind = "cited"
note = "why"
shared = false
[components.second]
bits = 7
steps = { dist = "Uniform", low = 0, high = 5 }
[components.third]

[structures.slow]
symbol = "Hs"
stores = ["first", "second", "first"]
runs = { second = 2, third = 0 }
train = "good"
deploy = "odd"
multiplicity = 2
[structures.fast]
runs = ["second"]
train = "good"
deploy = "good"
[structures.drift]
runs = ["first"]
train = "drifted"
deploy = "good"

[objectives.drifted]
loss = 1e-3

[[constraints]]
at_least = ["bits.first", ["bits.second", "bits.third"]]

[[correlations]]
between = ["bits.first", "steps.first"]
rho = -0.5

[[overlaps]]
component = "first"
inside = "second"
fraction = { dist = "Beta", concentration1 = 1, concentration0 = 3 }

[heuristics]
of = ["first"]
bits = 3

[facts]
count = 3
bits = { q05 = 2, q95 = 60 }
steps = 10
uses = { slow = 2, fast = 0.5 }

[exchange.power]
rate = { q05 = 1e-2, q95 = 1e6 }
exponent = { dist = "LogNormal", loc = 0.2, scale = 0.5 }
[exchange.linear]
weight = 2
rate = 5
[exchange.levin]
kappa = 0

[selection]
pressure = { dist = "LogNormal", loc = 0.0, scale = 0.5 }
episodes = 1e6
cap = 1e9
max_bits = 1e10

[path]
lock_in = 0.2
deceptive = { dist = "Beta", concentration1 = 1, concentration0 = 3 }

[evidence.choices]
kind = "choice"
file = "sub/choices.csv"
"""
CHOICES = "bits,steps,base_steps,stored,trials\n1,2,3,4,5\n"

SMALL = """\
[model]
name = "small"
[components.a]
bits = 10
steps = { q05 = 1, q95 = 9 }
[components.b]
bits = { q05 = 1, q95 = 9 }
steps = 2
[structures.one]
stores = ["a"]
runs = ["b"]
train = "base"
deploy = "base"
[structures.two]
runs = ["a", "b"]
train = "base"
deploy = "other"
[exchange.linear]
rate = 1
[exchange.levin]
kappa = 1
"""


@pytest.fixture
def full(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "choices.csv").write_text(CHOICES)
    (tmp_path / "full.toml").write_text(FULL)
    return load_model(tmp_path / "full.toml")


@pytest.fixture
def lines_of(tmp_path, monkeypatch):
    """The lines that a malformed file is answered with."""
    monkeypatch.chdir(tmp_path)

    def lines(text, **files):
        for name, content in files.items():
            Path(f"{name}.csv").write_text(content)
        Path("x.toml").write_text(text)
        with pytest.raises(ModelFileError) as caught:
            load_model("x.toml")
        return str(caught.value).splitlines()

    return lines


def test_every_table_is_read(full, tmp_path):
    text = (tmp_path / "full.toml").read_bytes()
    assert (full.name, full.title, full.source, full.note) == (
        "everything_1",
        "Title",
        "Source",
        "Note",
    )
    assert full.text.encode() == text
    assert full.sha256 == hashlib.sha256(text).hexdigest()
    assert full.origin == str(tmp_path / "full.toml")
    steps = Prior("LogNormal", (("loc", 3.4), ("scale", 2.1)))
    assert full.components == (
        Component("first", lognormal_from_quantiles(1e2, 1e5), steps, "cited", "why", False),
        Component("second", Known(7.0), Prior("Uniform", (("low", 0.0), ("high", 5.0)))),
        Component("third"),
    )
    assert full.structures == (
        Structure("slow", {"first": 2, "second": 1}, {"second": 2}, "good", "odd", "Hs", 2.0),
        Structure("fast", {}, {"second": 1}, "good", "good"),
        Structure("drift", {}, {"first": 1}, "drifted", "good"),
    )
    assert full.classes == ("deceptive", "honest", "misaligned")
    assert full.losses == {"drifted": Known(1e-3)}
    first, second, third = (Quantity("bits", name) for name in ("first", "second", "third"))
    assert full.constraints == (Constraint((first,), (second, third)),)
    assert full.correlations == (Correlation((first, Quantity("steps", "first")), -0.5),)
    beta = Prior("Beta", (("concentration1", 1.0), ("concentration0", 3.0)))
    assert full.overlaps == (Overlap("first", "second", beta),)
    assert full.heuristics == Heuristics(("first",), Known(3.0), Known(1.0))
    fact = lognormal_from_quantiles(2, 60)
    assert full.facts == Facts(
        ("fact_1", "fact_2", "fact_3"),
        (fact,) * 3,
        (Known(10.0),) * 3,
        ((),) * 3,
        {"slow": 2.0, "fast": 0.5},
    )
    assert full.selection == Selection(
        Prior("LogNormal", (("loc", 0.0), ("scale", 0.5))), 1e6, 1e9, 1e10
    )
    assert full.path_dependence == PathDependence(Known(0.2), beta)
    assert [(t.name, t.kind, len(t)) for t in full.evidence] == [("choices", "choice", 1)]
    assert full.evidence[0].origin == str(tmp_path / "sub" / "choices.csv")


def test_families_keep_their_order_and_share_the_weight(full):
    rate = lognormal_from_quantiles(1e-2, 1e6)
    exponent = Prior("LogNormal", (("loc", 0.2), ("scale", 0.5)), low=1.0)
    assert full.families == (
        Family("power", 0.25, {"rate": rate, "exponent": exponent}),
        Family("linear", 0.5, {"rate": Known(5.0)}),
        Family("levin", 0.25, {"kappa": Known(0.0)}),
    )
    for mapping in (full.losses, full.facts.uses, full.families[0].parameters):
        assert isinstance(mapping, MappingProxyType)


def test_defaults(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(SMALL)
    model = load_model(str(path))
    assert (model.title, model.base_objective, model.selection) == ("", "base", Selection())
    assert (model.facts, model.heuristics, model.path_dependence) == (Facts(), Heuristics(), None)
    assert model.structures[0].multiplicity == 1.0
    assert [family.weight for family in model.families] == [0.5, 0.5]


REGIME = """
[regime]
budget = 1e12
steps_per_rollout = 1000000
rollouts = 8
task_rollouts = { q05 = 2, q95 = 64 }
task_episodes = 1e3
"""


def test_a_regime_sets_the_cap_and_the_episodes(tmp_path):
    (tmp_path / "x.toml").write_text(SMALL + REGIME + "[selection]\nmax_bits = 9\n")
    found = load_model(tmp_path / "x.toml")
    task = lognormal_from_quantiles(2, 64)
    one = Known(1.0)
    assert found.regime == Regime(1e12, 1e6, 8, task, Known(1e3), one, one, 0.9)
    assert found.selection == Selection(Known(1.0), episodes=125_000.0, cap=8e6, max_bits=9.0)
    (tmp_path / "x.toml").write_text(SMALL + REGIME + "planning_exponent = 0\n")
    assert load_model(tmp_path / "x.toml").regime.planning_exponent == Known(0.0)


def test_evidence_over_rollouts_is_read_beside_a_regime(tmp_path, lines_of):
    table = '[evidence.e]\nkind = "selection"\nfile = "e.csv"\n'
    rows = "structure,count,rollouts\none,3,8\ntwo,1,8\none,4,16\n"
    (tmp_path / "e.csv").write_text(rows)
    (tmp_path / "x.toml").write_text(SMALL + REGIME + table)
    (read,) = load_model(tmp_path / "x.toml").evidence
    assert read.columns["rollouts"].tolist() == [8, 8, 16]
    assert lines_of(SMALL + REGIME + table, e=f"{rows}one,2,16\ntwo,1,1000001\none,1,2.5\n") == [
        "e.csv:5: structure: must name each structure once at 16 rollouts, found one again",
        "e.csv:6: rollouts: must be from 1 to 1000000, so that the budget pays for an episode, "
        "found 1000001",
        'e.csv:7: rollouts: must be a whole number from 0 to 2^53, found "2.5"',
    ]
    assert lines_of(SMALL + table, e=rows) == [
        "e.csv:1: rollouts: must be left out where the model has no [regime], found the column"
    ]
    # What a faulty regime would have allowed cannot be told.
    assert lines_of(SMALL + REGIME.replace("= 8", "= 0") + table, e=rows) == [
        "x.toml:26: regime.rollouts: must be at least 1, found 0"
    ]


def test_every_distribution_is_read(tmp_path):
    beliefs = [
        'dist = "LogNormal", loc = 1, scale = 2',
        'dist = "Gamma", concentration = 1, rate = 2',
        'dist = "InverseGamma", concentration = 1, rate = 2',
        'dist = "Exponential", rate = 2',
        'dist = "HalfNormal", scale = 2',
        'dist = "Uniform", low = 1, high = 2',
        'dist = "LogUniform", low = 1, high = 2',
        'dist = "Weibull", scale = 1, concentration = 2',
        'dist = "Beta", concentration1 = 1, concentration0 = 2',
    ]
    parts = "".join(f"[components.c{k}]\nbits = {{ {b} }}\n" for k, b in enumerate(beliefs))
    path = tmp_path / "m.toml"
    path.write_text(SMALL + parts)
    found = [component.bits for component in load_model(path).components[2:]]
    assert [f"dist = {b.name}" for b in found] == [
        b.split(",")[0].replace('"', "") for b in beliefs
    ]
    assert all(0 < belief.median < 10 for belief in found)


def test_an_exponent_that_is_never_below_one_is_not_truncated(tmp_path):
    path = tmp_path / "m.toml"
    belief = '{ dist = "Uniform", low = 1, high = 2 }'
    path.write_text(SMALL + f"[exchange.power]\nrate = 1\nexponent = {belief}\n")
    exponent = load_model(path).family("power").parameters["exponent"]
    assert exponent == Prior("Uniform", (("low", 1.0), ("high", 2.0)))


def test_shipped_models_are_found_by_name():
    assert "speed_simplicity" in shipped_models()
    assert load_model("speed_simplicity").name == "speed_simplicity"
    assert list(shipped_models()) == sorted(shipped_models())
    with pytest.raises(InputError, match=r"one of .*speed_simplicity.*; did you mean speed_simpl"):
        load_model("speed_simplicty")
    with pytest.raises(ModelFileError, match=r"^\./speed_simplicity:1: file: must be a file that"):
        load_model("./speed_simplicity")


MALFORMED = [
    # (what replaces what, the answer)
    ('name = "small"', "", ["x.toml:1: model.name: must be given, found nothing"]),
    (
        'name = "small"',
        'name = "Small-1"',
        ['x.toml:2: model.name: must be made of small letters, digits and _, found "Small-1"'],
    ),
    ("bits = 10", "bits = -1", ["x.toml:4: components.a.bits: must be at least 0, found -1"]),
    (
        "bits = 10",
        "bits = nan",
        ["x.toml:4: components.a.bits: must be a finite number, found nan"],
    ),
    (
        "bits = 10",
        "bits = 1e400",
        ["x.toml:4: components.a.bits: must be a finite number, found 1e400"],
    ),
    (
        "bits = 10",
        "bits = true",
        [
            "x.toml:4: components.a.bits: must be a number, { q05, q95 } or { dist, ... }, "
            "found true"
        ],
    ),
    (
        "bits = 10",
        "bits = { q05 = 100, q95 = 10 }",
        ["x.toml:4: components.a.bits.q95: must exceed q05 (100), found 10"],
    ),
    (
        "bits = 10",
        "bits = { q05 = 0, p95 = 2 }",
        [
            "x.toml:4: components.a.bits.p95: must be one of the keys q05, q95, "
            "found an unknown key; did you mean q95?",
            "x.toml:4: components.a.bits.q05: must be greater than 0, found 0",
        ],
    ),
    (
        "bits = 10",
        'bits = { dist = "Normal", loc = 1 }',
        [
            "x.toml:4: components.a.bits.dist: must be one of LogNormal, Gamma, InverseGamma, "
            "Exponential, HalfNormal, Uniform, LogUniform, Weibull, Beta, "
            'found "Normal"; did you mean LogNormal?'
        ],
    ),
    (
        "bits = 10",
        'bits = { dist = "Uniform", low = -3, high = 4 }',
        [
            "x.toml:4: components.a.bits: must be at least 0, found Uniform(low=-3, high=4)",
        ],
    ),
    (
        "bits = 10",
        'bits = { dist = "LogNormal", loc = 800, scale = 0 }',
        ["x.toml:4: components.a.bits.scale: must be greater than 0, found 0"],
    ),
    (
        "bits = 10",
        'bits = { dist = "LogNormal", loc = 800, scale = 1 }',
        [
            "x.toml:4: components.a.bits: must stay below 1.8e308 in its upper tail, "
            "found LogNormal(loc=800, scale=1)"
        ],
    ),
    (
        "bits = 10",
        "bit = 10",
        [
            "x.toml:4: components.a.bit: must be one of the keys bits, steps, kind, note, shared, "
            "found an unknown key; did you mean bits?"
        ],
    ),
    (
        "bits = 10",
        'kind = "gospel"',
        [
            'x.toml:4: components.a.kind: must be one of "opinion", "cited" or "measured", '
            'found "gospel"'
        ],
    ),
    (
        "[components.a]",
        "[components]\na = 3\n[components.'a b']",
        [
            "x.toml:4: components.a: must be a table, found 3",
            'x.toml:5: components."a b": must be a name of at most 100 letters, digits and _, '
            'found "a b"',
        ],
    ),
    (
        'stores = ["a"]',
        'stores = ["aa", "aa",\n "c", 4]',
        [
            'x.toml:10: structures.one.stores[0]: must be one of a, b, found "aa"; did you mean a?',
            'x.toml:11: structures.one.stores[2]: must be one of a, b, found "c"',
            "x.toml:11: structures.one.stores[3]: must be text in quotes, found 4",
        ],
    ),
    (
        'stores = ["a"]',
        "stores = { a = 1.0, b = -2 }",
        [
            "x.toml:10: structures.one.stores.a: must be a whole number, found 1.0",
            "x.toml:10: structures.one.stores.b: must be at least 0, found -2",
        ],
    ),
    (
        'train = "base"\ndeploy = "base"',
        'tran = "base"\nmultiplicity = 0',
        [
            "x.toml:9: structures.one.deploy: must be given, found nothing",
            "x.toml:12: structures.one.tran: must be one of the keys symbol, stores, runs, train, "
            "deploy, multiplicity, found an unknown key; did you mean train?",
            "x.toml:13: structures.one.multiplicity: must be greater than 0, found 0",
        ],
    ),
    (
        'stores = ["a"]',
        'program = "optimize(base)"',
        [
            "x.toml:10: structures.one.program: must be left out where there is no [grammar]",
        ],
    ),
    (
        'runs = ["b"]',
        "",
        [
            "x.toml:9: structures.one.runs: must run something that takes steps, "
            "as the levin exchange needs t > 0, found t = 0"
        ],
    ),
    (
        "steps = 2",
        "steps = 0",
        [
            "x.toml:11: structures.one.runs: must run something that takes steps, "
            "as the levin exchange needs t > 0, found t = 0"
        ],
    ),
    ("rate = 1", "rate = 0", ["x.toml:19: exchange.linear.rate: must be greater than 0, found 0"]),
    (
        "kappa = 1",
        "kappa = -1\nweight = 0",
        [
            "x.toml:21: exchange.levin.kappa: must be at least 0, found -1",
            "x.toml:22: exchange.levin.weight: must be greater than 0, found 0",
        ],
    ),
    (
        "[exchange.levin]",
        "[exchange.levine]",
        [
            'x.toml:20: exchange.levine: must be one of linear, levin, power, found "levine"; '
            "did you mean levin?"
        ],
    ),
    (
        "[exchange.levin]\nkappa = 1",
        "[exchange.power]\nexponent = 0.5",
        [
            "x.toml:20: exchange.power.rate: must be given, found nothing",
            "x.toml:21: exchange.power.exponent: must be at least 1 "
            "(a prior: with some of it above 1), found 0.5",
        ],
    ),
    (
        "[exchange.linear]\nrate = 1\n[exchange.levin]\nkappa = 1\n",
        "",
        ["x.toml:1: exchange: must hold at least one of linear, levin, power, found none"],
    ),
    (
        "[model]",
        "selection = 3\n[grammar]\n[model]",
        [
            "x.toml:1: selection: must be a table, found 3",
            "x.toml:2: grammar.rules: must be given, found nothing",
            "x.toml:2: grammar.start: must be given, found nothing",
            'x.toml:11: structures.one: must be written as program = "..." where there is a '
            "[grammar], found stores, runs, train, deploy",
            'x.toml:16: structures.two: must be written as program = "..." where there is a '
            "[grammar], found runs, train, deploy",
        ],
    ),
]

#: Appended to the small model, from line 22 on.
APPENDED = [
    (
        "[objectives.base]\nloss = 0",
        [
            "x.toml:23: objectives.base.loss: must be left out: the base objective loses nothing, "
            "and no loss can be declared"
        ],
    ),
    ("[objectives.odd]\n", ["x.toml:22: objectives.odd.loss: must be given, found nothing"]),
    (
        '[[constraints]]\nat_least = ["bits.a", "steps.b"]',
        [
            "x.toml:23: constraints[0].at_least: must compare bits with bits or steps with steps, "
            "found both"
        ],
    ),
    (
        '[[constraints]]\nat_least = ["bits.a", "bits.b"]\n[[constraints]]\n'
        'at_least = ["bit.a", ["steps.x", 3]]\n[[constraints]]\nat_least = ["bits.a"]',
        [
            'x.toml:25: constraints[1].at_least[0]: must be "bits.NAME" or "steps.NAME", '
            'found "bit.a"',
            "x.toml:25: constraints[1].at_least[1][0]: must be one of steps.a, steps.b, "
            'found "steps.x"; did you mean steps.b?',
            'x.toml:25: constraints[1].at_least[1][1]: must be "bits.NAME" or "steps.NAME", '
            "found 3",
            "x.toml:27: constraints[2].at_least: must be a list of at least 2, found a list of 1",
        ],
    ),
    (
        '[components.c]\nbits = 3\n[[constraints]]\nat_least = ["bits.c", "bits.a"]\n'
        '[[constraints]]\nat_least = ["bits.a", ["bits.a", "bits.c"]]',
        [
            "x.toml:25: constraints[0].at_least: must be possible (bits.c >= bits.a), "
            "found at most 3 against at least 10",
            "x.toml:27: constraints[1].at_least: must be possible (bits.a >= bits.a + bits.c), "
            "found at most 0 against at least 3",
        ],
    ),
    (
        '[[correlations]]\nbetween = ["bits.a", "bits.b"]\nrho = 1\n'
        '[[correlations]]\nbetween = ["bits.a", "bits.b"]\nrho = 0.1',
        [
            "x.toml:24: correlations[0].rho: must be less than 1, found 1",
            "x.toml:26: correlations[1].between[0]: must be uncertain, "
            "found bits.a, which is known (10)",
        ],
    ),
    (
        '[[correlations]]\nbetween = ["bits.b", "steps.a"]\nrho = 0.1\n'
        '[[correlations]]\nbetween = ["steps.a", "bits.b"]\nrho = 0.1\n'
        '[[correlations]]\nbetween = ["steps.a", "steps.a"]\nrho = 0.1',
        [
            "x.toml:26: correlations[1].between: must be a pair not given before, "
            "found steps.a and bits.b again",
            "x.toml:29: correlations[2].between: must be two different costs, found steps.a twice",
        ],
    ),
    (
        "[components.c]\nbits = { q05 = 1, q95 = 2 }\n"
        '[[correlations]]\nbetween = ["bits.b", "steps.a"]\nrho = 0.9\n'
        '[[correlations]]\nbetween = ["bits.b", "bits.c"]\nrho = 0.9\n'
        '[[correlations]]\nbetween = ["steps.a", "bits.c"]\nrho = -0.9',
        [
            "x.toml:24: correlations: must be possible together (a positive definite matrix), "
            "found a contradiction among bits.b, steps.a, bits.c"
        ],
    ),
    (
        '[[overlaps]]\ncomponent = "a"\ninside = "a"\nfraction = 1.5\n'
        '[[overlaps]]\ncomponent = "x"\ninside = "b"',
        [
            'x.toml:24: overlaps[0].inside: must be another component than "a", found the same',
            "x.toml:25: overlaps[0].fraction: must be between 0 and 1, found 1.5",
            "x.toml:26: overlaps[1].fraction: must be given, found nothing",
            'x.toml:27: overlaps[1].component: must be one of a, b, found "x"',
        ],
    ),
    (
        '[[overlaps]]\ncomponent = "a"\ninside = "b"\nfraction = 0.6\n[[overlaps]]\n'
        'component = "a"\ninside = "b"\n'
        'fraction = { dist = "Uniform", low = 0, high = 0.5 }',
        [
            "x.toml:29: overlaps[1].fraction: must sum to at most 1 over the overlaps of a, "
            "found up to 1.1"
        ],
    ),
    (
        '[heuristics]\nof = ["a", "b", "a"]\nbits = 0',
        [
            'x.toml:23: heuristics.of: must name each component once, found "a" 2 times',
            "x.toml:24: heuristics.bits: must be greater than 0, found 0",
        ],
    ),
    (
        "[facts]\ncount = 2.0\nbits = 1\nuses = { won = 1, two = -1 }",
        [
            "x.toml:22: facts.steps: must be given where there is no file, found nothing",
            "x.toml:23: facts.count: must be a whole number, found 2.0",
            "x.toml:25: facts.uses.two: must be at least 0, found -1",
            'x.toml:25: facts.uses.won: must be one of one, two, found "won"; did you mean two?',
        ],
    ),
    (
        '[facts]\ncount = 2\nfile = "facts.csv"',
        [
            "x.toml:23: facts.count: must not be given beside file, found both",
            'x.toml:24: facts.file: must be the name of a file, found no such file: "facts.csv"',
        ],
    ),
    (
        "[facts]\nuses = { one = 1 }",
        ["x.toml:22: facts: must give count (with bits and steps) or file, found neither"],
    ),
    (
        "[selection]\npressure = 0\nepisodes = inf\ncap = 0\nmax_bits = -1",
        [
            "x.toml:23: selection.pressure: must be greater than 0, found 0",
            "x.toml:24: selection.episodes: must be a finite number, found inf",
            "x.toml:25: selection.cap: must be greater than 0, found 0",
            "x.toml:26: selection.max_bits: must be greater than 0, found -1",
        ],
    ),
    (
        "[path]\nlock_in = 1.2",
        [
            "x.toml:22: path.deceptive: must be given, found nothing",
            "x.toml:23: path.lock_in: must be between 0 and 1, found 1.2",
        ],
    ),
    (
        "[regime]\nbudget = 1\nwhatever = 2",
        [
            "x.toml:22: regime.rollouts: must be given, found nothing",
            "x.toml:22: regime.steps_per_rollout: must be given, found nothing",
            "x.toml:22: regime.task_episodes: must be given, found nothing",
            "x.toml:22: regime.task_rollouts: must be given, found nothing",
            "x.toml:24: regime.whatever: must be one of the keys budget, steps_per_rollout, "
            "rollouts, task_rollouts, planning_exponent, task_episodes, learning_exponent, "
            "target_success, found an unknown key",
        ],
    ),
    (
        "[regime]\nbudget = 0\nsteps_per_rollout = inf\nrollouts = 8.0\ntask_rollouts = 0\n"
        "task_episodes = { q05 = 2, q95 = 1 }\nplanning_exponent = -1\n"
        'learning_exponent = { dist = "Uniform", low = -1, high = 1 }\ntarget_success = 1',
        [
            "x.toml:23: regime.budget: must be greater than 0, found 0",
            "x.toml:24: regime.steps_per_rollout: must be a finite number, found inf",
            "x.toml:25: regime.rollouts: must be a whole number, found 8.0",
            "x.toml:26: regime.task_rollouts: must be greater than 0, found 0",
            "x.toml:27: regime.task_episodes.q95: must exceed q05 (2), found 1",
            "x.toml:28: regime.planning_exponent: must be at least 0, found -1",
            "x.toml:29: regime.learning_exponent: must be at least 0, "
            "found Uniform(low=-1, high=1)",
            "x.toml:30: regime.target_success: must be less than 1, found 1",
        ],
    ),
    (
        "[selection]\ncap = 10\nepisodes = 3\nmax_bits = 9\n[regime]\nbudget = 15\n"
        "steps_per_rollout = 2\nrollouts = 8\ntask_rollouts = 1\ntask_episodes = 1\n"
        "target_success = 0.5",
        [
            "x.toml:23: selection.cap: must be left out beside [regime], which sets it, found both",
            "x.toml:24: selection.episodes: must be left out beside [regime], which sets it, "
            "found both",
            "x.toml:27: regime.budget: must pay for at least one episode of 8 rollouts "
            "(16 steps), found 15 steps",
        ],
    ),
    (
        "[regime]\nbudget = 1e308\nsteps_per_rollout = 1e-3\nrollouts = 1\ntask_rollouts = 1\n"
        "task_episodes = 1",
        [
            "x.toml:23: regime.budget: must be below 1.8e308 rollouts of steps_per_rollout, "
            "found 1e+308 / 0.001"
        ],
    ),
    (
        "[regime]\nbudget = 1e300\nsteps_per_rollout = 1e300\nrollouts = 0\ntask_rollouts = 1\n"
        "task_episodes = 1",
        ["x.toml:25: regime.rollouts: must be at least 1, found 0"],
    ),
    (
        '[evidence.e]\nkind = "forecast"\nfile = "../w.csv"\n[evidence.f]\nkind = "chioce"\n'
        'file = "/etc/passwd"',
        [
            f'x.toml:23: evidence.e.kind: must be one of {listed(KINDS)}, found "forecast"',
            'x.toml:24: evidence.e.file: must be beside or below this file, found "../w.csv"',
            f"x.toml:26: evidence.f.kind: must be one of {listed(KINDS)}, "
            'found "chioce"; did you mean choice?',
            "x.toml:27: evidence.f.file: must be relative to the folder of this file, "
            'found "/etc/passwd"',
        ],
    ),
    (
        '[evidence]\ne = "choice"\n[extra."two\\nlines"]',
        [
            'x.toml:23: evidence.e: must be a table, found "choice"',
            "x.toml:24: extra: must be one of the keys model, components, structures, objectives, "
            "constraints, correlations, overlaps, heuristics, facts, exchange, selection, regime, "
            "path, grammar, evidence, found an unknown key",
        ],
    ),
]


@pytest.mark.parametrize(("old", "new", "expected"), MALFORMED)
def test_malformed_small_models(lines_of, old, new, expected):
    assert SMALL.count(old) == 1
    assert lines_of(SMALL.replace(old, new)) == expected


@pytest.mark.parametrize(("added", "expected"), APPENDED)
def test_malformed_tables(lines_of, added, expected):
    assert lines_of(SMALL + added + "\n") == expected


def test_no_structure_can_be_eligible(lines_of):
    text = SMALL.replace('train = "base"', 'train = "other"')
    assert lines_of(text) == [
        'x.toml:9: structures: must have one with train = "base" or an objective with a declared '
        'loss, found "other"'
    ]


def test_an_empty_file_and_a_bare_one(lines_of):
    assert lines_of("") == [
        "x.toml:1: exchange: must hold at least one of linear, levin, power, found none",
        "x.toml:1: model.name: must be given, found nothing",
        "x.toml:1: structures: must hold at least one structure, found none",
    ]
    without = re.sub(r"\[components\.a\][^\0]*?(?=\[structures\.one\])", "", SMALL)
    assert lines_of(without) == [
        "x.toml:1: components: must hold what structures store and run, found none"
    ]


def test_faults_of_other_files_come_along(lines_of):
    tables = '[facts]\nfile = "f.csv"\n[evidence.e]\nkind = "choice"\nfile = "e.csv"\n'
    text = SMALL.replace("bits = 10", "bits = -1") + tables
    facts, choices = "name,bits,steps,needs\nf,1,1,f\n", CHOICES.replace("4,5", "5,4")
    assert lines_of(text, f=facts, e=choices) == [
        "e.csv:2: stored: must be at most trials (4), found 5",
        "f.csv:2: needs: must not lead back to the fact itself, found f needs f",
        "x.toml:4: components.a.bits: must be at least 0, found -1",
    ]


def test_evidence_is_checked_against_a_model_that_is_faulty_elsewhere(lines_of):
    table = '[evidence.e]\nkind = "selection"\nfile = "e.csv"\n'
    rows = "structure,count\nthree,1\n"
    unknown = 'e.csv:2: structure: must be one of one, two, found "three"'
    rate = "x.toml:19: exchange.linear.rate: must be greater than 0, found 0"
    assert lines_of(SMALL.replace("rate = 1", "rate = 0") + table, e=rows) == [unknown, rate]
    # The misspelt structure may be the one that the evidence names: nothing is said of it.
    broken = SMALL.replace('deploy = "other"', "")
    missing = "x.toml:14: structures.two.deploy: must be given, found nothing"
    assert lines_of(broken + table, e=rows) == [missing]


def test_a_link_out_of_the_folder_is_not_followed(lines_of, tmp_path):
    (tmp_path.parent / f"{tmp_path.name}.csv").write_text(CHOICES)
    Path("link.csv").symlink_to(tmp_path.parent / f"{tmp_path.name}.csv")
    text = SMALL + '[evidence.e]\nkind = "choice"\nfile = "link.csv"\n'
    assert lines_of(text) == [
        "x.toml:24: evidence.e.file: must not be a link that leaves the folder of this file, "
        'found "link.csv"'
    ]


def test_very_many_faults_are_cut(lines_of):
    unknown = ", ".join(f'"c{k}"' for k in range(20_000))
    found = lines_of(SMALL.replace('stores = ["a"]', f"stores = [{unknown}]"))
    assert len(found) == 1000


def test_evidence_of_its_own_file(tmp_path, full):
    path = tmp_path / "more.toml"
    path.write_text('[evidence.more]\nkind = "choice"\nfile = "sub/choices.csv"\n')
    (table,) = load_evidence(path, full)
    assert (table.name, table.columns["trials"].tolist()) == ("more", [5])
    path.write_text(
        '[model]\nname = "x"\n[evidence.choices]\nkind = "choice"\nfile = "sub/choices.csv"\n'
    )
    with pytest.raises(ModelFileError) as caught:
        load_evidence(path, full)
    assert [fault.field for fault in caught.value.faults] == ["model", "evidence.choices"]
    path.write_text("")
    with pytest.raises(ModelFileError, match="1: evidence: must hold at least one table"):
        load_evidence(path, full)


def test_evidence_of_its_own_file_knows_the_model(tmp_path, full):
    (tmp_path / "s.csv").write_text("structure,count\nnone,1\n")
    path = tmp_path / "more.toml"
    path.write_text('[evidence.more]\nkind = "selection"\nfile = "s.csv"\n')
    with pytest.raises(
        ModelFileError, match="s.csv:2: structure: must be one of slow, fast, drift"
    ):
        load_evidence(path, full)


LINE = re.compile(r"[^\n]*:[0-9]+: [^\n]+: [^\n]+")
PIECES = st.sampled_from(
    [*"[]{}=,\"'#.\n\\", "nan", "1e400", "-1", "0", "true", "{ q05 = 3 }", "[[x]]", "\x00", "\x85"]
)
EDITS = st.lists(
    st.tuples(st.integers(0, len(FULL)), st.integers(0, 12), st.one_of(st.just(""), PIECES)),
    min_size=1,
    max_size=3,
)


def edited(text, edits):
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    return text


@settings(max_examples=150, deadline=None)
@given(EDITS)
def test_any_edit_is_valid_or_answered_line_by_line(tmp_path_factory, edits):
    folder = tmp_path_factory.getbasetemp() / "edits"
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "sub" / "choices.csv").write_text(CHOICES)
    text = edited(FULL, edits)
    (folder / "m.toml").write_bytes(text.encode())
    answer = ""
    try:
        load_model(folder / "m.toml")
    except ModelFileError as error:
        answer = str(error)
        assert error.faults  # noqa: PT017
    for line in answer.splitlines():
        assert LINE.fullmatch(line)
        assert "pydantic" not in line


def test_loading_runs_nothing(tmp_path, full):
    """No exec, import by name, socket, or opening outside the folder (an audit hook sees all)."""
    seen = []
    active = [True]

    def hook(event, arguments):
        if active[0] and event in ("exec", "compile", "import", "socket.connect", "os.system"):
            seen.append((event, str(arguments[:1])))
        if active[0] and event == "open" and not str(arguments[0]).startswith(str(tmp_path)):
            seen.append((event, str(arguments[0])))

    sys.addaudithook(hook)
    try:
        load_model(tmp_path / "full.toml")
    finally:
        active[0] = False
    assert seen == []


def test_numbers_at_the_ends_of_the_range(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(SMALL.replace("bits = 10", "bits = 1e308").replace("steps = 2", "steps = 1"))
    model = load_model(path)
    assert model.components[0].bits == Known(1e308)
    assert math.isfinite(np.float64(model.components[0].bits.value))


def test_a_fault_in_model_does_not_hide_a_declared_base_loss(tmp_path):
    path = tmp_path / "m.toml"
    path.write_text(
        '[model]\nname = "Bad Name"\n[components.a]\nbits = 1\n[structures.s]\nstores = ["a"]\n'
        'train = "base"\ndeploy = "base"\n[exchange.linear]\nrate = 1\n'
        "[objectives.base]\nloss = 1\n"
    )
    with pytest.raises(ModelFileError) as caught:
        load_model(str(path))
    assert [f.field for f in caught.value.faults] == ["model.name", "objectives.base.loss"]
