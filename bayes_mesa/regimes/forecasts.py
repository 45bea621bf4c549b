"""Published forecasts of a related question, to be read beside a result: opinions, not evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bayes_mesa.regimes.updating import updated_probability


@dataclass(frozen=True)
class Forecast:
    """A probability somebody has published.

    Attributes
    ----------
    source
        Who and when.
    question
        What the probability is of, which is not what this package computes.
    probability
        In [0, 1].
    read
        ``secondary``: through sources that agree; ``source``: checked there; ``derived``: computed
        from what is there.
    note
        How the number came about.
    """

    source: str
    question: str
    probability: float
    read: Literal["secondary", "source", "derived"]
    note: str


_GREENBLATT, _RATIO = 0.25, 8.0
_OBSOLETING = "scheming in the first AIs able to replace top human experts"

#: In order of publication.
FORECASTS = (
    Forecast(
        "Carlsmith 2023, Scheming AIs",
        "scheming in goal-directed, situationally aware models trained by baseline methods",
        0.25,
        "secondary",
        "about 0.25",
    ),
    Forecast(
        "Greenblatt 2025",
        _OBSOLETING,
        _GREENBLATT,
        "source",
        "before any of the observations whose likelihood ratios he gives",
    ),
    Forecast(
        "Greenblatt 2025, updated",
        _OBSOLETING,
        updated_probability(_GREENBLATT, _RATIO),
        "derived",
        f"0.25 after a likelihood ratio of {_RATIO:g}: 8 × 0.25 / (8 × 0.25 + 0.75)",
    ),
)

#: How a reader is told where a number was read.
READ = {
    "secondary": "through secondary sources",
    "source": "checked at the source",
    "derived": "derived here",
}
