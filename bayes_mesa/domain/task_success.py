"""How probably training succeeds at its task when an episode holds k rollouts.

More rollouts plan better but leave fewer episodes to learn from: E = T/(k s) of them, out of a
budget of T sequential steps at s steps for each rollout.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from bayes_mesa.domain.model import Regime

Array = NDArray[np.float64]
#: Beyond this a double no longer holds every whole number.
MOST = 2**53


def success(
    rollouts: ArrayLike,
    episodes: ArrayLike,
    *,
    task_rollouts: ArrayLike,
    task_episodes: ArrayLike,
    planning_exponent: ArrayLike = 1.0,
    learning_exponent: ArrayLike = 1.0,
) -> Array:
    """Probability that training succeeds at its task, for arrays that broadcast together.

    P(success) = k^η/(k^η + k_task^η) · E^ψ/(E^ψ + E_task^ψ): strength in planning against a task
    of fixed strength, as in the scaling of board games with compute (Jones 2021), times the same
    form in the number of episodes.

    Parameters
    ----------
    rollouts, task_rollouts
        k and k_task > 0, rollouts per episode: at k_task planning succeeds half of the time.
    episodes, task_episodes
        E and E_task > 0, episodes: at E_task learning succeeds half of the time.
    planning_exponent, learning_exponent
        η and ψ ≥ 0, dimensionless. At η = 1 twice the rollouts win 2/3 against half of them.

    Returns
    -------
    ndarray
        Probabilities in [0, 1], exact to rounding also where the powers would overflow.
    """
    planned = _rises(rollouts, task_rollouts, planning_exponent)
    return planned * _rises(episodes, task_episodes, learning_exponent)


def _rises(amount: ArrayLike, half: ArrayLike, exponent: ArrayLike) -> Array:
    """a^η/(a^η + h^η), as the logistic function of η ln(a/h): a power would overflow."""
    from scipy.special import expit

    ratio = np.log(np.asarray(amount, float)) - np.log(np.asarray(half, float))
    return expit(np.asarray(exponent, float) * ratio)


def episodes_lost(regime: Regime, rollouts: Any) -> Any:
    """Episodes that one more rollout in each of them costs: E(k) − E(k + 1) = T/(s k (k + 1)).

    Parameters
    ----------
    regime
        Has the budget T and the steps per rollout s, both in sequential steps.
    rollouts
        k ≥ 1, rollouts per episode; a number or an array.

    Notes
    -----
    The post's "Tk(k+1)" is T/(k(k+1)), a fraction that lost its bar.
    """
    return regime.episodes(rollouts) / (np.asarray(rollouts, float) + 1.0)


def most_rollouts(regime: Regime) -> int:
    """The largest k at which the budget still pays for one whole episode, 2^53 at most."""
    # A quotient that is rounded down by a hair must not lose the k that divides the budget.
    k = min(int(regime.budget / regime.steps_per_rollout) + 1, MOST)
    while k > 1 and not regime.affords(k):
        k -= 1
    return k
