"""What a comparison found, and how it is said in words and numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bayes_mesa.comparison.paired_verdicts import ESTIMANDS
from bayes_mesa.text.number_text import signed_text
from bayes_mesa.verdicts.estimand import finite

NAMES = {"deceptive_favored": "P(deceptive favored)", "deceptive_mass": "deceptive mass"}


@dataclass(frozen=True)
class Change:
    """A change of one estimand and its Monte Carlo standard error; ``error`` None: not estimable.

    ``alone`` is the change where no other difference is made, ``last`` where all others are; None
    for changes that have no order.
    """

    mean: float
    error: float | None
    alone: float | None = None
    last: float | None = None


@dataclass(frozen=True)
class Contribution:
    """What one difference, or several that belong together, explains.

    Attributes
    ----------
    label
        A few words.
    clauses
        What the second model does, one predicate for each difference.
    keys
        Keys of the differences; empty for evidence.
    changes
        Estimand → its change, averaged over exchange families.
    by_exchange
        Exchange family of both models → the same under that family alone.
    beliefs
        Slot → what the first and the second hold about it (text and quantiles).
    """

    label: str
    clauses: tuple[str, ...]
    keys: tuple[str, ...]
    changes: dict[str, Change]
    by_exchange: dict[str, dict[str, Change]] = field(default_factory=dict)
    beliefs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Explained:
    """The difference of the second verdict from the first, and what explains it.

    Attributes
    ----------
    first, second
        Names of the two.
    changes
        Estimand → the whole difference. The contributions' changes add up to it.
    contributions
        Largest first, by the larger of their two changes; None where nothing can be said.
    unseen
        What the second does that neither estimand can depend on.
    parameters
        With evidence: slot → both medians and 90 % intervals, where they are not alike.
    exact
        Whether all orders of making the differences were counted, not a sample of them.
    notes
        What a reader must know.
    """

    first: str
    second: str
    changes: dict[str, Change]
    contributions: tuple[Contribution, ...] | None
    unseen: tuple[str, ...]
    parameters: dict[str, Any]
    exact: bool
    notes: tuple[str, ...]

    @property
    def sentences(self) -> list[str]:
        """The difference and every contribution in words and numbers."""
        return [*self._whole(), *map(self._sentence, self.contributions or ())]

    def _whole(self) -> list[str]:
        if self.contributions == ():
            return [
                f"Nothing that the verdict depends on differs between them: {self.second} is "
                f"{self.first} again."
            ]
        said = ", ".join(f"{NAMES[e]} {signed(self.changes[e])}" for e in ESTIMANDS)
        return [f"From {self.first} to {self.second}: {said}."]

    def _sentence(self, one: Contribution) -> str:
        said = " and ".join(one.clauses)
        if not any(one.changes[e].mean for e in ESTIMANDS):
            return f"{self.second} {said}: no change."
        each = [
            f"{signed(one.changes[e])} of {signed(self.changes[e], error=False)}" for e in ESTIMANDS
        ]
        if len(set(each)) == 1:
            return f"{self.second} {said}: {each[0]} in both."
        both = "; ".join(f"{x} in {NAMES[e]}" for x, e in zip(each, ESTIMANDS, strict=True))
        return f"{self.second} {said}: {both}."


@dataclass(frozen=True)
class Compared:
    """One model or posterior among those compared.

    ``figures``: ``deceptive_favored``, ``deceptive_mass``, ``class_mass``, ``by_exchange`` and
    ``nothing_fits``, each estimate as in ``summary.json``.
    """

    name: str
    source: str
    evidence: tuple[str, ...]
    figures: dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: the sides, and the first against each other one."""

    sides: tuple[Compared, ...]
    differences: tuple[Explained, ...]
    num_chains: int
    num_samples: int
    seed: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON: numbers are finite or None."""
        found = plain(asdict(self))
        for said, pair in zip(found["differences"], self.differences, strict=True):
            said["sentences"] = pair.sentences
        return found

    def __str__(self) -> str:
        return "\n\n".join("\n".join([*p.sentences, *p.notes]) for p in self.differences)


def signed(change: Change, *, error: bool = True) -> str:
    """A change with its sign and, unless left out, its standard error."""
    return signed_text(change.mean, change.error if error else None)


def plain(value: Any) -> Any:
    """A value as JSON holds it: numbers are finite or None."""
    if isinstance(value, dict):
        return {k: plain(x) for k, x in value.items()}
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, float | np.floating):
        return finite(value)
    return value
