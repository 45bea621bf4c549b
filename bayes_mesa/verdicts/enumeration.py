"""Every program in order of rule bits, until enough of the weight is listed; what is left, bounded.

At one theta the weight of every listed program is exact. What is not listed is known exactly where
the exact sums over the whole grammar are (`coverage.exact_totals`), else bounded (`certificate`):
the deceptive mass is then certain to lie in an interval, which shrinks as more is listed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from bayes_mesa.domain.model import Model
from bayes_mesa.errors import InputError
from bayes_mesa.grammars.certificate import At
from bayes_mesa.grammars.coverage import Evaluation, averaged, evaluate, exact_totals
from bayes_mesa.grammars.listing import (
    Listing,
    cheapest_programs,
    listed_programs,
    listed_structures,
)
from bayes_mesa.grammars.program_search import UNIT, Search
from bayes_mesa.verdicts.estimand import finite
from bayes_mesa.verdicts.program_table import program_table
from bayes_mesa.verdicts.theta_at import theta_at

Progress = Callable[[int, float], None]

#: Programs in one band to those before it: what is looked at again is then a quarter.
_GROWTH = 4.0


def programs_of(
    model: Model,
    max_programs: int,
    enough: Callable[[Listing], bool] = lambda _: False,
    step: Callable[[int], None] = lambda _: None,
) -> Listing:
    """Every program by rule bits, band by band, until ``enough`` of the listing or the limit.

    Parameters
    ----------
    max_programs
        Programs to list at most; a structure of a model without a grammar always is.
    enough
        Asked after every band.
    step
        Called with the number of programs every few milliseconds.
    """
    if model.grammar is None:
        return listed_structures(model)
    search = Search(model.grammar)
    for high in _bands(search):
        whole_band = search.band(high, max_programs, step)
        listing = listed_programs(model, model.grammar, search)
        if listing.complete or not whole_band or enough(listing):
            return listing
    raise AssertionError("bands never end")  # pragma: no cover


def _bands(search: Search) -> Iterator[int]:
    """Upper ends of bands, each to hold `_GROWTH` times the programs found before it."""
    width = UNIT
    while True:
        before, low = search.programs, search.reached
        yield max(low + int(width), search.least_left_out + 1)
        grown = np.log2(max(search.programs, 1) / max(before, 1))
        spent = (search.reached - low) / UNIT
        wished = spent * np.log2(1.0 + _GROWTH) / max(grown, 1e-3)
        width = UNIT * float(np.clip(wished, 0.5 * width / UNIT, 2.0 * width / UNIT))


def enumerate_programs(
    model: Model,
    mass: float = 0.999,
    *,
    width: float | None = None,
    max_programs: int = 10_000_000,
    at: Mapping[str, float] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """List programs until they hold ``mass`` of the weight, or the interval is ``width`` wide.

    Parameters
    ----------
    model
        With a grammar, or of structures alone: these are all listed.
    mass
        Share of the whole weight to list, in (0, 1]: the certain share where the whole is not
        known exactly, averaged over families.
    width
        Width that the interval of the deceptive mass is to have, in (0, 1]; it takes the place of
        ``mass``.
    max_programs
        Programs to look at, at most.
    at
        Values by name (``bits.NAME``, ``pressure``, ``linear_rate``, ...) that take the place of
        the medians.
    progress
        Called with the number of programs found and the mass last known to be listed.

    Returns
    -------
    dict
        The JSON of ``bayes-mesa enumerate``: ``at``, ``mass_listed``, ``deceptive_mass``,
        ``programs``, ``by_exchange`` with the same and the penalty; and ``reached`` (whether the
        mass or width was), ``complete``, ``programs_listed``, ``up_to_bits``, ``champions``.
        Numbers are finite or None. Entries are programs, or ``count`` of them with equal costs and
        behaviour, whose weights are added. ``lower`` and ``upper`` are certain.

    Raises
    ------
    InputError
        If an argument or a value of ``at`` is not as above, or the sum over all programs is
        infinite at the pressure.
    RefusedError
        If facts would have to be summed one by one and there are too many.
    """
    _check(mass, width, max_programs)
    place = theta_at(model, at or {})
    cheapest = cheapest_programs(model)
    ats = [At(model, family, place.theta[family.name], cheapest) for family in model.families]
    totals = [exact_totals(at) for at in ats]
    found: dict[str, Evaluation] = {}
    reached = False

    def enough(listing: Listing) -> bool:
        nonlocal found, reached
        found = {
            at.family.name: evaluate(listing, at, whole)
            for at, whole in zip(ats, totals, strict=True)
        }
        average = averaged(found)
        if width is None:
            # A mass of 1 can be listed, but for rounding, only where nothing is left.
            reached = average.mass_listed >= mass
        else:
            reached = average.upper - average.lower <= width
        return reached

    def step(programs: int) -> None:
        if progress is not None:
            progress(programs, averaged(found).mass_listed if found else 0.0)

    try:
        listing = programs_of(model, max_programs, enough, step)
    except KeyboardInterrupt as signal:
        raise KeyboardInterrupt(_interval_text(found)) from signal
    enough(listing)
    return {
        "at": place.as_dict(),
        "reached": reached,
        "complete": listing.complete,
        "programs_listed": listing.programs,
        "up_to_bits": finite(listing.up_to_bits),
        **program_table(listing, found),
    }


def _interval_text(found: Mapping[str, Evaluation]) -> str:
    if not found:
        return ""
    average = averaged(found)
    return (
        f"{average.mass_listed:.3g} of the weight was listed, and the deceptive mass lies between "
        f"{average.lower:.6g} and {average.upper:.6g}"
    )


def _check(mass: float, width: float | None, max_programs: int) -> None:
    for name, value in (("mass", mass), ("width", width)):
        if value is not None and not 0.0 < value <= 1.0:
            raise InputError(f"{name} must be > 0 and <= 1, found {value!r}")
    whole = isinstance(max_programs, int | np.integer) and not isinstance(max_programs, bool)
    if not whole or max_programs < 1:
        raise InputError(f"max_programs must be a whole number >= 1, found {max_programs!r}")
