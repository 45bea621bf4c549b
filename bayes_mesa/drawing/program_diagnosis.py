"""Whether chains over programs can be trusted: their mixing, and whether they met the same ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_mesa.results.diagnosis import MAX_R_HAT, MIN_DRAWS, MIN_ESS
from bayes_mesa.verdicts.estimand import finite

#: What is compared between the chains.
COMPARED = ("bits", "steps", "deceptive", "log_weight")
#: A structure that holds this share of one chain must not be missing from another.
_NOTABLE = 0.02


def diagnose_programs(drawn: Mapping[str, np.ndarray], names: list[str]) -> dict[str, Any]:
    """R-hat and ESS of bits, steps, deceptive and log weight, and warnings.

    Parameters
    ----------
    drawn
        Variables of the group ``programs``, (chain, draw).
    names
        Names behind the codes of ``structure``.

    Returns
    -------
    dict
        ``r_hat`` and ``ess_bulk`` by variable (None where it does not vary), and ``warnings``.
    """
    found = {name: _mixing(drawn[name].astype(float)) for name in COMPARED if name in drawn}
    return {
        "r_hat": {name: r_hat for name, (r_hat, _) in found.items()},
        "ess_bulk": {name: ess for name, (_, ess) in found.items()},
        "warnings": [*_about_mixing(found), *_about_structures(drawn["structure"], names)],
    }


def _mixing(draws: np.ndarray) -> tuple[float | None, float | None]:
    known = np.isfinite(draws).all(axis=0)
    draws = draws[:, known]
    if draws.shape[1] < MIN_DRAWS or np.all(draws == draws[0, 0]):
        return None, None
    from arviz_stats.base import array_stats

    halves = draws
    if len(draws) == 1:
        half = draws.shape[1] // 2
        halves = draws[0, : 2 * half].reshape(2, half)
    # A chain that does not move has no variance of its own: R-hat is then infinite, or undefined.
    with np.errstate(invalid="ignore", divide="ignore"):
        r_hat = float(array_stats.rhat(halves, chain_axis=0, draw_axis=1))
        ess = float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk"))
    return (r_hat if np.isfinite(r_hat) else np.inf), finite(ess)


def _about_mixing(found: Mapping[str, tuple[float | None, float | None]]) -> list[str]:
    said = []
    for name, (r_hat, ess) in found.items():
        if r_hat is not None and r_hat > MAX_R_HAT:
            said.append(
                f"programs: R-hat of {name} is {r_hat:.3f} (at most {MAX_R_HAT} is wanted): the "
                "chains over programs do not agree yet; draw more"
            )
        elif ess is not None and ess < MIN_ESS:
            said.append(
                f"programs: the draws of {name} are worth {ess:.0f} independent ones (at least "
                f"{MIN_ESS:g} are wanted); draw more"
            )
    return said


def _about_structures(structure: np.ndarray, names: list[str]) -> list[str]:
    """Structures that one chain visits and another, though it should have, never meets."""
    said = []
    for code, name in enumerate(names):
        share = (structure == code).mean(axis=1)
        size = structure.shape[1]
        expected = share.max() * size
        if share.max() >= _NOTABLE and share.min() == 0.0 and expected >= 20.0:
            said.append(
                f"programs: chains disagree on whether {name} exists: it is {share.max():.3g} of "
                f"the draws of chain {int(share.argmax())} and none of chain "
                f"{int(share.argmin())}; draw more, or do not trust the shares"
            )
    return said
