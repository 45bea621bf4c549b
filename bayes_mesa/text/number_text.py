"""Numbers as people read them, the same in the terminal and on the report's page."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Figure = Mapping[str, float | None]

#: Shown where there is no number.
NONE = "–"


def probability_text(x: float | None) -> str:
    """A probability with three decimals; near 0 with two digits, near 1 by its distance to 1."""
    if x is None or math.isnan(x):
        return NONE
    if x in (0.0, 1.0):
        return f"{x:.0f}"
    if x < 0.0005:
        return _brief(f"{x:.1e}")
    if x > 0.9995:
        return f"1 − {_brief(f'{1 - x:.1e}')}"
    return f"{x:.3f}"


def number_text(x: float | None) -> str:
    """A quantity of any size, three digits, as the page's script writes it: 3160, 1e7, 2.5e-5."""
    if x is None or math.isnan(x):
        return NONE
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    text = f"{x:.3g}"
    if x == 0.0:
        return "0"
    if 1e-3 <= abs(x) < 1e6:
        return f"{float(text):.0f}" if "e" in text else text
    mantissa, _, exponent = (text if "e" in text else f"{float(text):e}").partition("e")
    return _brief(f"{float(mantissa):g}e{exponent}")


def digit_text(x: float | None) -> str:
    """An error: one digit."""
    return NONE if x is None or math.isnan(x) else _brief(f"{x:.1g}")


def _brief(text: str) -> str:
    """The exponent as people write it, and the page's script: e7 and e-5, not e+07 and e-05."""
    return re.sub(r"e([+-])0*(\d)", lambda e: f"e{e[1].strip('+')}{e[2]}", text)


def nats_text(x: float | None) -> str:
    """A log density, of which differences count: two decimals."""
    return NONE if x is None else f"{x:.2f}".replace("-", "−")


def percent_text(x: float | None) -> str:
    """A share of draws in per cent."""
    if x is None:
        return NONE
    if 0.0 < x < 0.001:
        return "< 0.1 %"
    if 0.999 < x < 1.0:
        return "> 99.9 %"
    return f"{100 * x:.3g} %"


def error_text(figure: Figure) -> str:
    """Mean ± Monte Carlo standard error."""
    mean = probability_text(figure["mean"])
    mcse = figure["mcse"]
    return f"{mean} ± {digit_text(mcse)}" if mcse else mean


def interval_text(figure: Figure, point: str = "exactly") -> str:
    """The 90 % interval; ``point`` where it has no width."""
    lower, upper = figure["lower"], figure["upper"]
    if lower == upper == figure["mean"]:
        return point if lower is not None else NONE
    return f"{probability_text(lower)} to {probability_text(upper)}"


def signed_text(mean: float, error: float | None = None) -> str:
    """A change of a probability, always with its sign, ± its standard error."""
    if math.isnan(mean):
        return NONE
    decimals = min(max(3, -math.floor(math.log10(error))), 9) if error else 3
    text = f"{mean:+.{decimals}f}".replace("-", "−") if mean else "0"
    return f"{text} ± {digit_text(error)}" if error else text
