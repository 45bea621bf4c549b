"""What a calibration found: places of the truth, their tests, a verdict, and what it could see."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.calibration.power import Power, power
from bayes_mesa.calibration.uniformity import Uniformity, places, tested
from bayes_mesa.text.number_text import digit_text

if TYPE_CHECKING:
    import xarray as xr

#: Simulations below which nothing is said of a quantity.
LEAST = 20


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ranks of true values, and what they say.

    Attributes
    ----------
    data
        Along ``simulation`` and ``quantity``: ``rank`` (−1 where the simulation has none) and
        ``uniform``, which breaks the rank's steps; along ``simulation``: ``family``, ``draws``
        (0 where it failed), ``error`` (why, else empty) and, where there was a chain,
        ``iterations``, ``ess`` and ``divergences``. Attributes: ``of``, ``model``,
        ``model_sha256``, ``seed``, ``num_draws``, ``truth``.
    level
        Probability that anything is called a fault where there is none.
    """

    data: xr.Dataset
    level: float = 0.01

    @property
    def of(self) -> str:
        """What was calibrated: ``fit``, ``average``, ``exact``, ``tempered`` or ``transitions``."""
        return str(self.data.attrs["of"])

    @cached_property
    def places(self) -> Mapping[str, NDArray[np.float64]]:
        """Place of the truth among the draws, uniform on (0, 1) if all is well, by quantity.

        Quantities of too few simulations are left out.
        """
        rank = self.data["rank"].transpose("simulation", "quantity").to_numpy()
        uniform = self.data["uniform"].transpose("simulation", "quantity").to_numpy()
        draws = self.data["draws"].to_numpy()
        found = {}
        for k, name in enumerate(self.data["quantity"].to_numpy().tolist()):
            has = rank[:, k] >= 0
            if has.sum() >= LEAST:
                found[str(name)] = places(rank[has, k], draws[has], uniform[has, k])
        return found

    @cached_property
    def _tested(self) -> tuple[dict[str, Uniformity], dict[str, float]]:
        return tested(self.places)

    @property
    def tests(self) -> Mapping[str, Uniformity]:
        """Tests by quantity."""
        return self._tested[0]

    @property
    def p_values(self) -> Mapping[str, float]:
        """p-values by quantity, adjusted for all of them by Holm's method."""
        return self._tested[1]

    @property
    def num_simulations(self) -> int:
        """Simulations that were finished without an error."""
        return int((self.data["draws"] > 0).sum())

    @property
    def faults(self) -> list[str]:
        """Quantities that are off, the surest first."""
        off = [name for name, p in self.p_values.items() if p < self.level]
        return sorted(off, key=lambda name: self.p_values[name])

    @property
    def failed(self) -> Mapping[str, int]:
        """Why simulations failed, and how many."""
        return Counter(x for x in self.data["error"].to_numpy().astype(str).tolist() if x)

    @property
    def passed(self) -> bool:
        """Whether nothing is off, nothing failed, and there is anything to judge by."""
        return bool(self.tests) and not self.faults and not self.failed

    @cached_property
    def power(self) -> Power:
        """What this would have caught, in a quantity that every simulation has."""
        draws = self.data["draws"].to_numpy()
        usual = int(np.median(draws[draws > 0])) if (draws > 0).any() else 1
        return power(max(self.num_simulations, 1), usual, max(len(self.tests), 1), self.level)

    def family(self, name: str) -> Calibration:
        """The simulations of one exchange family alone."""
        chosen = self.data["family"].to_numpy().astype(str) == name
        return Calibration(self.data.isel(simulation=np.flatnonzero(chosen)), self.level)

    @property
    def text(self) -> list[str]:
        """The verdict, what it rests on, and what would have been caught."""
        return [self.verdict, *self._failures(), self.power_text]

    @property
    def verdict(self) -> str:
        """One sentence for what is right or wrong, and one for each quantity that is off."""
        count = self.num_simulations
        if not self.tests:
            return (
                f"Nothing can be said: {count} simulations were finished, and a quantity needs "
                f"{LEAST}."
            )
        size = len(self.tests)
        if not self.faults:
            least = min(self.p_values.values())
            return (
                f"Calibrated: in {count:,} simulations none of {size} quantities is off (the "
                f"smallest p-value is {digit_text(least)} after Holm's correction; below "
                f"{self.level:g} it would be a fault)."
            )
        told = "; ".join(self._fault(name) for name in self.faults[:5])
        more = len(self.faults) - 5
        return (
            f"Not calibrated: in {count:,} simulations {len(self.faults)} of {size} quantities "
            f"{'is' if len(self.faults) == 1 else 'are'} off. {told}"
            + (f"; and {more} more." if more > 0 else ".")
        )

    def _fault(self, name: str) -> str:
        test, p = self.tests[name], self.p_values[name]
        return f"{name}: the draws {found_wrong(test)} (p = {digit_text(p)})"

    def _failures(self) -> list[str]:
        total = sum(self.failed.values())
        if not total:
            return []
        why, count = max(self.failed.items(), key=lambda each: each[1])
        return [f"{total:,} simulations failed, {count:,} of them because {why}"]

    @property
    def power_text(self) -> str:
        """What would have been caught nine times in ten, and one time in two."""
        p = self.power
        wide, narrow, moved = (
            f"{_percent(p.too_wide_90)} too wide or {_percent(p.too_narrow_90)} too narrow",
            f"({_percent(p.too_wide_50)} and {_percent(p.too_narrow_50)} are caught one time in "
            "two)",
            f"by {_number(p.shift_90)} of their sd ({_number(p.shift_50)} one time in two)",
        )
        return (
            "Nine times in ten this catches, in a quantity of all simulations, draws that are "
            f"{wide} {narrow}, or that lie off {moved}. Smaller errors may be there."
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON: verdict, power, and the tests of every quantity; numbers are finite or None."""
        attributes = self.data.attrs
        named = ("of", "model", "model_sha256", "seed", "num_draws", "truth")
        return {
            **{name: np.asarray(attributes[name]).item() for name in named},
            "num_simulations": self.num_simulations,
            "level": self.level,
            "passed": self.passed,
            "text": self.text,
            "faults": self.faults,
            "failed": dict(self.failed),
            "power": self.power.as_dict(),
            "quantities": {
                name: {
                    **asdict(test),
                    "p_value_adjusted": self.p_values[name],
                    "test": test.test,
                    "bias": test.bias,
                    "spread": test.spread,
                }
                for name, test in self.tests.items()
            },
        }


def found_wrong(test: Uniformity) -> str:
    """What the test that found the most says of the draws, in words."""
    if test.test == "shift":
        side = "high" if test.bias > 0.0 else "low"
        return f"lie too {side}, by about {abs(test.bias):.2g} sd"
    if test.test == "width":
        side = "narrow" if test.width > 0.0 else "wide"
        return f"are too {side}, about {test.spread:.2g} times as wide as they should be"
    return "have another shape than they should"


def _percent(share: float) -> str:
    if math.isinf(share):
        return "(no error)"
    return f"{100.0 * share:.2g} %" if share < 0.995 else f"{100.0 * share:.0f} %"


def _number(x: float) -> str:
    return "(no shift)" if math.isinf(x) else f"{x:.2g}"
