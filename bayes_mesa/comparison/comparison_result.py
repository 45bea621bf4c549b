"""What a comparison found, and how it is said in words and numbers."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.comparison.comparison_table import NAMES, Cells, shares, side_by_side, signed
from bayes_mesa.comparison.paired_verdicts import ESTIMANDS
from bayes_mesa.text.html_table import html_line, html_table
from bayes_mesa.text.number_text import probability_text
from bayes_mesa.text.wording import quoted, shortened
from bayes_mesa.verdicts.estimand import finite

if TYPE_CHECKING:
    from markupsafe import Markup


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
        own = [signed(one.changes[e]) for e in ESTIMANDS]
        names = [NAMES[e] for e in ESTIMANDS]
        if len(set(own)) == 1:
            does = f"{' and '.join(names)} both change by {own[0]}"
        else:
            does = f"{names[0]} changes by {own[0]}, {names[1]} by {own[1]}"
        if self.contributions is not None and len(self.contributions) > 1:
            whole = dict.fromkeys(signed(self.changes[e], error=False) for e in ESTIMANDS)
            does += f" (all differences together: {' and '.join(whole)})"
        return f"{self.second} {said}: {does}."


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

    def __repr__(self) -> str:
        figures = (
            f"{quoted(s.name)} {probability_text(s.figures['deceptive_favored']['mean'])}"
            for s in self.sides
        )
        return f"<Comparison of P(deceptive favored): {', '.join(figures)}>"

    def _repr_html_(self) -> str:
        """The verdicts side by side and what explains the differences, as a notebook shows them."""
        from markupsafe import Markup

        parts = [_html(side_by_side(self.sides))]
        for pair in self.differences:
            parts.append(html_line(pair.sentences[0]))
            if pair.contributions:
                parts.append(_html(shares(pair)))
            parts += map(html_line, pair.notes)
        return Markup("").join(parts)

    def __str__(self) -> str:
        return "\n\n".join("\n".join([*p.sentences, *p.notes]) for p in self.differences)


def _html(cells: Cells) -> Markup:
    """Names are cut where they are long; figures are not."""
    header, rows = cells
    short = tuple(map(shortened, header))
    return html_table(short, [(shortened(first), *rest) for first, *rest in rows])


def plain(value: Any) -> Any:
    """A value as JSON holds it: numbers are finite or None."""
    if isinstance(value, dict):
        return {k: plain(x) for k, x in value.items()}
    if isinstance(value, list | tuple):
        return [plain(x) for x in value]
    if isinstance(value, float | np.floating):
        return finite(value)
    return value
