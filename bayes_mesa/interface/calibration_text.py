"""What the command `calibrate` prints: the verdict, its power, and a table of quantities."""

from __future__ import annotations

import numpy as np

from bayes_mesa.calibration.calibration_result import Calibration, found_wrong
from bayes_mesa.interface.console import columns
from bayes_mesa.interface.page_text import Page
from bayes_mesa.text.number_text import digit_text, number_text

#: Rows of the table, those of smallest p-value.
_MOST_ROWS = 25
_HEADER = ("quantity", "simulations", "shift", "width", "p, any shape", "p", "")
#: What was calibrated, in words.
SAID = {
    "fit": "The whole path, prior to evidence to fit",
    "average": "The average over families that a fit gives",
    "exact": "The sampler of independent exact draws",
    "tempered": "The tempered chains over programs",
    "transitions": "Transitions of NUTS, data drawn anew after each (Geweke's test)",
}


def calibration_text(found: Calibration) -> Page:
    """What `calibrate` returned, for people."""
    order = sorted(found.tests, key=lambda name: found.p_values[name])
    left_out = len(order) - _MOST_ROWS
    more = [f"... and {left_out} more quantities (--json)"] if left_out > 0 else []
    rows = [_row(found, name) for name in order[:_MOST_ROWS]]
    return Page.of(
        found.text,
        [columns(_HEADER, rows), *more],
        "shift and width are standard normal where all is well. shift > 0: truths lie above the "
        "draws; width > 0: the draws are too narrow. p is Holm's, over all quantities.",
        f"{SAID[found.of]}: {found.data.attrs['truth']}. {_draws(found)}",
    )


def _row(found: Calibration, name: str) -> tuple[str, ...]:
    test, p = found.tests[name], found.p_values[name]
    return (
        name,
        f"{test.size}",
        f"{test.shift:+.2f}".replace("-", "−"),
        f"{test.width:+.2f}".replace("-", "−"),
        digit_text(test.shape),
        digit_text(p),
        found_wrong(test) if p < found.level else "",
    )


def _draws(found: Calibration) -> str:
    draws = found.data["draws"].to_numpy()
    draws = draws[draws > 0]
    each = f"{int(np.median(draws))} draws each (least {int(draws.min())})." if len(draws) else ""
    ess, wrong = found.data["ess"].to_numpy(), found.data["divergences"].to_numpy()
    if np.isfinite(ess).any():
        each += f" Effective draws of a chain: {number_text(float(np.nanmedian(ess)))}"
        each += f" (least {number_text(float(np.nanmin(ess)))})."
    if np.isfinite(wrong).any() and np.nansum(wrong):
        total = np.nansum(found.data["iterations"].to_numpy())
        each += f" {int(np.nansum(wrong))} of {number_text(float(total))} transitions diverged."
    return each
