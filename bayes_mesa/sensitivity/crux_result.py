"""Cruxes as values: one for each belief, ranked, with a sentence and tables."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_mesa.sensitivity.crux_table import HEADER, MOST_ROWS, crux_row
from bayes_mesa.sensitivity.flips import Flip
from bayes_mesa.sensitivity.partial_information import Decision, Worth
from bayes_mesa.sensitivity.variance_shares import VarianceShare
from bayes_mesa.text.html_table import html_line, html_table
from bayes_mesa.text.number_text import number_text
from bayes_mesa.text.wording import quoted, shortened
from bayes_mesa.verdicts.estimand import finite

if TYPE_CHECKING:
    import pandas as pd

#: Name of the belief about which exchange family it is.
FAMILY = "exchange family"
#: How total effects were found, and how flips were.
REJUDGED_PRIOR = "judged again with the belief redrawn from its prior, given the others"
REJUDGED_DRAWS = (
    "judged again with the belief redrawn given the others, by a Gaussian copula of the draws"
)
FROM_DRAWS = "from the draws alone, by SALib's HDMR (no interaction of three beliefs)"
JUDGED = "every draw judged again with the belief multiplied"
REWEIGHED = "draws reweighed, as far as 100 effective ones carry it"
NOT_FOUND = "not found: the verdict cannot be judged again, nor seen from fewer than 400 draws"


@dataclass(frozen=True)
class Crux:
    """One belief. ``by_family`` holds, by exchange family, its shares and its flip.

    ``prior_sensitivity_noise`` is what an idle belief of such a density would stay below, nineteen
    times in twenty.
    """

    name: str
    first_order: VarianceShare
    total: VarianceShare
    worth: Worth | None = None
    flip: Flip | None = None
    prior_sensitivity: float | None = None
    prior_sensitivity_noise: float | None = None
    likelihood_sensitivity: float | None = None
    by_family: Mapping[str, Crux] | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON: numbers are finite or None."""
        found: dict[str, Any] = {
            "name": self.name,
            "first_order": self.first_order.as_dict(),
            "total": self.total.as_dict(),
            "evppi": None if self.worth is None else finite(self.worth.mean),
            "evppi_error": None if self.worth is None else finite(self.worth.error),
            "flip": None if self.flip is None else self.flip.as_dict(),
            "prior_sensitivity": finite(self.prior_sensitivity),
            "prior_sensitivity_noise": finite(self.prior_sensitivity_noise),
            "likelihood_sensitivity": finite(self.likelihood_sensitivity),
        }
        if self.by_family is not None:
            kept = ("first_order", "total", "flip")
            found["by_family"] = {
                f: {n: x for n, x in c.as_dict().items() if n in kept}
                for f, c in self.by_family.items()
            }
        return found

    @property
    def rank(self) -> tuple[float, float]:
        """Total effect, then first order; what has none comes last."""
        return tuple(
            -x if math.isfinite(x) else 1.0 for x in (self.total.mean, self.first_order.mean)
        )  # type: ignore[return-value]


@dataclass(frozen=True)
class Cruxes:
    """All beliefs, the one that the verdict hangs on most first.

    Attributes
    ----------
    of
        What is explained: ``deceptive_favored``, ``deceptive_mass`` or ``margin``.
    probability
        Its mean (of the margin: the probability that deceptive is favored), families averaged.
    threshold
        What a flip crosses.
    decision, evpi
        What information is valued for, and the worth of knowing everything.
    how, how_flips
        How total effects, and flips, were found.
    likelihood_sensitivity
        Of the verdict, to all the evidence together; None without any.
    rows
        One for each uncertain belief.
    varies
        Whether the verdict is not the same in every draw.
    """

    of: str
    probability: float
    threshold: float
    decision: Decision
    evpi: Worth | None
    how: str
    how_flips: str
    likelihood_sensitivity: float | None
    rows: tuple[Crux, ...]
    varies: bool = True

    def __str__(self) -> str:
        return self.sentence

    def __repr__(self) -> str:
        first = f", first {quoted(self.rows[0].name)}" if self.rows else ""
        return f"<Cruxes of {self.of}: {len(self.rows)} beliefs{first}>"

    def _repr_html_(self) -> str:
        """The sentence and a table, as a notebook shows them."""
        from markupsafe import Markup

        parts = [html_line(self.sentence)]
        if self.rows:
            shown = self.rows[:MOST_ROWS]
            parts.append(html_table(HEADER, [_cut(crux_row(c)) for c in shown]))
            if more := len(self.rows) - len(shown):
                parts.append(html_line(f"... and {more} more beliefs: to_pandas() has all."))
        return Markup("").join(parts)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: numbers are finite or None."""
        return {
            "of": self.of,
            "probability": finite(self.probability),
            "threshold": self.threshold,
            "decision": {
                n: getattr(self.decision, n) for n in ("safe", "deceptive", "stop", "failed")
            },
            "evpi": None if self.evpi is None else finite(self.evpi.mean),
            "evpi_error": None if self.evpi is None else finite(self.evpi.error),
            "how": self.how,
            "how_flips": self.how_flips,
            "likelihood_sensitivity": finite(self.likelihood_sensitivity),
            "sentence": self.sentence,
            "cruxes": [c.as_dict() for c in self.rows],
        }

    def to_pandas(self) -> pd.DataFrame:
        """One row for each belief, numbers flat: ``total``, ``total_lower``, … ``flip_to``."""
        import pandas as pd

        rows = {}
        for c in self.rows:
            shares = {"first_order": c.first_order, "total": c.total}
            row = {
                f"{n}{end}": getattr(s, of)
                for n, s in shares.items()
                for end, of in (("", "mean"), ("_lower", "lower"), ("_upper", "upper"))
            }
            said = c.as_dict()
            row |= {n: said[n] for n in ("evppi", "evppi_error")}
            flip = said["flip"] or {}
            row |= {f"flip_{n}": flip.get(n) for n in ("median", "to", "factor")}
            sensitivity = "prior_sensitivity"
            names = (sensitivity, f"{sensitivity}_noise", "likelihood_sensitivity")
            row |= {n: said[n] for n in names}
            rows[c.name] = row
        return pd.DataFrame.from_dict(rows, orient="index").astype(float).rename_axis("belief")

    @property
    def sentence(self) -> str:
        """The first one, in words."""
        if not self.rows:
            return "Nothing is uncertain: the verdict hangs on no belief."
        first = self.rows[0]
        if not math.isfinite(first.total.mean) and not math.isfinite(first.first_order.mean):
            if self.varies:
                return "The draws are too few to say what the verdict hangs on."
            return "The verdict is the same in every draw: it hangs on no belief within its range."
        said = f"The verdict hangs most on {_called(first)}: "
        if math.isfinite(first.first_order.mean):
            said += f"by itself it explains {_percent(first.first_order)} of the variance"
            if math.isfinite(first.total.mean):
                said += f", with others {_percent(first.total)}"
        else:
            said += f"with others it explains {_percent(first.total)} of the variance"
        if first.flip is not None and first.flip.factor != 1.0:
            side = "down" if self.probability > self.threshold else "up"
            said += (
                f"; a median of {number_text(first.flip.to)} instead of "
                f"{number_text(first.flip.median)} takes the probability {side} to "
                f"{self.threshold:g}"
            )
        if len(self.rows) > 1 and math.isfinite(self.rows[1].total.mean):
            second = self.rows[1]
            said += f". Next comes {_called(second)}, with others {_percent(second.total)}"
        return f"{said}."


def _cut(row: tuple[str, ...]) -> tuple[str, ...]:
    return (shortened(row[0]), *row[1:])


def _called(crux: Crux) -> str:
    return f"the {crux.name}" if crux.name == FAMILY else crux.name


def _percent(share: VarianceShare) -> str:
    return f"{100 * share.mean:.0f} % ({100 * share.lower:.0f}–{100 * share.upper:.0f})"
