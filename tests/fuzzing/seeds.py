"""Sound cases to begin with: the shipped models, one that has every table, and all evidence."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from fuzzing.case import EVIDENCE, FACTS, MODEL, Case

if TYPE_CHECKING:
    from bayes_mesa.domain.model import Model

_MODEL = """\
[model]
name = "everything"
title = "Every table"
source = "made up"
note = '''two
lines'''
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
steps = { dist = "Gamma", concentration = 2, rate = 0.1 }
"""
_TRADE = """\
[exchange.power]
rate = { q05 = 1e-2, q95 = 1e6 }
exponent = { dist = "LogNormal", loc = 0.2, scale = 0.5 }
[exchange.linear]
weight = 2
rate = 5
[exchange.levin]
kappa = { dist = "InverseGamma", concentration = 3, rate = 2 }
"""

EVERYTHING = f"""\
{_MODEL}
[structures.slow]
symbol = "Hs"
stores = ["first", "second", "first"]
runs = {{ second = 2, third = 1 }}
train = "good"
deploy = "odd"
multiplicity = 2
[structures.fast]
runs = ["second"]
train = "good"
deploy = "good"
[structures.drift]
runs = ["first", "third"]
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
fraction = {{ dist = "Beta", concentration1 = 1, concentration0 = 3 }}
[heuristics]
of = ["first"]
bits = 3
steps = {{ dist = "Weibull", scale = 1, concentration = 2 }}
[facts]
count = 3
bits = {{ q05 = 2, q95 = 60 }}
steps = {{ dist = "LogUniform", low = 1, high = 10 }}
uses = {{ slow = 2, fast = 0.5 }}

{_TRADE}
[selection]
pressure = {{ dist = "LogNormal", loc = 0.0, scale = 0.5 }}
episodes = 1e6
[path]
lock_in = 0.2
deceptive = {{ dist = "Beta", concentration1 = 1, concentration0 = 3 }}

[evidence.choices]
kind = "choice"
file = "choices.csv"
[evidence.judged]
kind = "elicitation"
file = "judged.csv"
"""

REGIME = f"""\
{_MODEL}
[structures]
slow = {{ stores = ["first"], runs = ["second", "third"], train = "good", deploy = "odd" }}
fast = {{ stores = ["second"], runs = ["first"], train = "good", deploy = "good" }}
{_TRADE}
[regime]
budget = 1e9
steps_per_rollout = 1e5
rollouts = 8
task_rollouts = {{ q05 = 1, q95 = 100 }}
planning_exponent = {{ dist = "Exponential", rate = 1 }}
task_episodes = {{ dist = "HalfNormal", scale = 50 }}
learning_exponent = 2
target_success = 0.8
"""

GRAMMAR = f"""\
{_MODEL}
[facts]
file = "facts.csv"
{_TRADE}
[selection]
pressure = {{ dist = "LogNormal", loc = 0.0, scale = 0.5 }}
[grammar]
start = "Policy"
[[grammar.rules]]
symbol = "Policy"
name = "optimize"
args = ["Objective"]
stores = ["first"]
runs = ["second", "third"]
weight = 9
[[grammar.rules]]
symbol = "Policy"
name = "switch"
args = ["Policy", "Policy"]
stores = {{ third = 2 }}
runs = ["third"]
executes = [0]
train = 0
deploy = 1
weight = 0.5
[[grammar.rules]]
symbol = "Objective"
name = "base"
train = "good"
deploy = "good"
[[grammar.rules]]
symbol = "Objective"
name = "simplest"
train = "odd"
deploy = "odd"
[structures.labelled]
program = "switch(optimize(base), optimize(simplest))"
symbol = "Hp"
"""

#: For facts: the least model that reads them.
FACTS_MODEL = """\
model = { name = "facts" }
facts = { file = "facts.csv" }
exchange.linear.rate = 10
components.first = { bits = 3, steps = 4 }
structures.fast = { stores = ["first"], runs = ["first"], train = "base", deploy = "base" }
"""

TABLES = {
    "choice": "bits,steps,base_steps,stored,trials,group\n4,100,500,3,10,a\n4,2000,500,9,10,b\n",
    "measurement": "component,quantity,value,log_sd\nfirst,bits,120,0.5\nthird,steps,7e2,1\n",
    "comparison": "left,right,quantity,left_larger,trials,expert\n"
    'first,second,bits,3,4,"one, two"\nfirst,third,steps,0,4,x\n',
    "selection": "structure,count\nslow,3\nfast,5\n",
    "winrate": "compute_ratio,wins,games\n2,66,100\n0.5,3,10\n",
    "tradeoff": "source,exponent,log_sd\n\"Jones 2021\",1.176,0.47\n'x',2,.3\n",
    "elicitation": "expert,component,quantity,q05,q50,q95,weight\n"
    "Ada,third,bits,1,10,1000,1\nBob,third,bits,2,30,1e4,0.5\n",
}
CLASSES = "class,count,rollouts\nhonest,3,1\ndeceptive,5,1\nhonest,1,8\ndeceptive,2,8\n"
FACTS_CSV = "name,bits,steps,needs\nf1,2,10,\nf2,3,20,f1\nf3,4.5,1e3,f1 f2\nf4,0,0,\n"


def evidence_toml(kinds: dict[str, str]) -> str:
    """A file of evidence tables, from names to kinds; each has its own CSV."""
    return "\n".join(
        f'[evidence.{name}]\nkind = "{kind}"\nfile = "{name}.csv"' for name, kind in kinds.items()
    )


@cache
def sound() -> dict[str, tuple[Case, ...]]:
    """Sound cases by target."""
    return {MODEL: (*_written(), *_shipped()), EVIDENCE: tuple(_evidence()), FACTS: (_facts(),)}


def _written() -> tuple[Case, ...]:
    beside = {
        "choices.csv": TABLES["choice"].encode(),
        "judged.csv": TABLES["elicitation"].encode(),
    }
    return (
        Case(MODEL, {"m.toml": EVERYTHING.encode(), **beside}, "m.toml"),
        Case(MODEL, {"m.toml": REGIME.encode()}, "m.toml"),
        Case(MODEL, {"m.toml": GRAMMAR.encode(), "facts.csv": FACTS_CSV.encode()}, "m.toml"),
    )


def _shipped() -> list[Case]:
    folder = Path(str(resources.files("bayes_mesa.models")))
    beside = {path.name: path.read_bytes() for path in folder.glob("*.csv")}
    found = []
    paths = sorted(folder.glob("*.toml"), key=lambda path: (path.stem.startswith("program_"), path))
    for path in paths:
        text = path.read_bytes()
        named = {name: content for name, content in beside.items() if name.encode() in text}
        found.append(Case(MODEL, {"m.toml": text, **named}, "m.toml"))
    return found


def _evidence() -> list[Case]:
    found = []
    for kind, rows in TABLES.items():
        files = {"e.toml": evidence_toml({"e": kind}).encode(), "e.csv": rows.encode()}
        found.append(Case(EVIDENCE, files, "e.toml", "regime"))
    files = {"e.toml": evidence_toml({"e": "selection"}).encode(), "e.csv": CLASSES.encode()}
    found.append(Case(EVIDENCE, files, "e.toml", "regime"))
    both = {"a": "measurement", "b": "tradeoff"}
    files = {
        "e.toml": evidence_toml(both).encode(),
        **{f"{name}.csv": TABLES[kind].encode() for name, kind in both.items()},
    }
    found.append(Case(EVIDENCE, files, "e.toml", "everything"))
    return found


def _facts() -> Case:
    files = {"m.toml": FACTS_MODEL.encode(), "facts.csv": FACTS_CSV.encode()}
    return Case(FACTS, files, "m.toml")


#: How many of the model cases, the last ones, are large grammars.
LARGE = 2

MODELS = {"everything": EVERYTHING, "regime": REGIME, "grammar": GRAMMAR}


def read_models(folder: Path) -> dict[str, Model]:
    """The models that evidence is read against."""
    from bayes_mesa.model_file import load_model

    found = {}
    for name, case in zip(MODELS, _written(), strict=True):
        found[name] = load_model(case.write(folder / name))
    return found
