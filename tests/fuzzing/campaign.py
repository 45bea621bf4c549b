"""Very many cases, each from a seed, a target and a number."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzzing.case import EVIDENCE, FACTS, MODEL, TARGETS, Case
from fuzzing.deeper import gone_through
from fuzzing.invention import Invention
from fuzzing.mutation import mutated
from fuzzing.seeds import LARGE, read_models, sound
from fuzzing.shrinking import shrunk
from fuzzing.trial import Broken, outcome

#: How often each target comes, of a hundred.
_SHARES = {MODEL: 60, EVIDENCE: 28, FACTS: 12}


@dataclass
class Tally:
    """How many cases became what, and the failures: name of the case, reason, where it lies."""

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[tuple[str, str, str]] = field(default_factory=list)

    def as_json(self) -> str:
        """For a process that waits for this one."""
        return json.dumps({"counts": self.counts, "failures": self.failures})


def target_of(number: int) -> str:
    """Which reader the case of this number is for."""
    place = Random(number).randrange(100)
    for target in TARGETS:
        place -= _SHARES[target]
        if place < 0:
            return target
    return FACTS


def case_of(target: str, seed: int, number: int) -> Case:
    """The case of this number; the same on every machine."""
    rng = Random(f"{seed}/{target}/{number}")
    if rng.random() < 0.35:
        invention = Invention(rng)
        made = {MODEL: invention.model, EVIDENCE: invention.evidence, FACTS: invention.facts}
        case = made[target]()
        if rng.random() < 0.6:
            return case
    else:
        cases = sound()[target]
        # Those with many rules take ten times as long, and are as other grammars.
        case = rng.choice(cases[:-LARGE] if target == MODEL and rng.random() < 0.8 else cases)
    others = tuple(other for cases in sound().values() for other in cases)
    return mutated(case, others, rng)


def run(target: str, seed: int, first: int, count: int, folder: Path, *, deeper: int = 0) -> Tally:
    """Try so many cases from ``first`` on; ``target`` may be ``all``.

    A case that fails is cut to what matters and left in ``folder``, under its name. With
    ``deeper`` one sound model of so many is checked and fitted too.
    """
    models = read_models(folder / "models")
    tally = Tally()
    for number in range(first, first + count):
        aim = target_of(number) if target == "all" else target
        case = case_of(aim, seed, number)
        try:
            kind, found = outcome(case, folder / "case", models)
            tally.counts[f"{aim} {kind}"] += 1
            if deeper and (aim, kind) == (MODEL, "sound"):
                if tally.counts["model sound"] % deeper == 0:
                    tally.counts[f"then {gone_through(found)}"] += 1
        except Broken as broken:
            name = f"{aim}-{seed}-{number}"
            tally.counts[f"{aim} broken"] += 1
            if len(tally.failures) < 50:
                least = shrunk(case, folder / "case", models)
                least.write(folder / name)
                tally.failures.append((name, str(broken), str(folder / name)))
    return tally
