"""The grammar's polynomial equations in JAX: log sums of every root, differentiable.

States are solved stage by stage, arguments before what is made of them. Only a stage whose states
need one another is a fixed point: in units of its best tree the sums lie between 1 and the number
of trees that matter, so that nothing over- or underflows; Newton's method climbs to the least
solution from 1 (Etessami and Yannakakis 2009), outside of the derivative, and one more step, with
the Jacobian held constant, has the exact derivative of the solution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.grammars.inside import System

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Log of what does not exist: finite, so that no derivative is NaN; further down than any cost.
NEVER = -1e30
#: Relative step at which Newton's method has arrived, and its most steps: at the critical pressure
#: itself a step only halves the distance.
_TOLERANCE, _MOST_STEPS = 1e-13, 60


@dataclass(frozen=True, eq=False)
class Stage:
    """States that are solved at once, and their terms.

    Attributes
    ----------
    terms
        int (m,): the terms that add to the stage's states.
    rows
        int (n, width): positions among ``terms`` by state, m where a state has fewer.
    before
        int (m, A): places of arguments solved before, 0 where there are fewer.
    own
        int (m, A): positions of arguments in the stage itself, n where there are fewer.
    alive
        bool (m, J): terms that are alive in each of the J ways in which cases differ here.
    cases, ways
        int (J,): a case of each way; and int (K,): the way of each case.
    timed
        Whether anything here depends on what steps cost.
    """

    terms: Ints
    rows: Ints
    before: Ints
    own: Ints
    alive: Flags
    cases: Ints
    ways: Ints
    timed: bool

    @property
    def size(self) -> int:
        """Number of states."""
        return len(self.rows)

    @property
    def recursive(self) -> bool:
        """Whether a state needs one of the stage."""
        return bool((self.own < self.size).any())

    @property
    def linear(self) -> bool:
        """Whether no term needs two states of the stage."""
        return bool(((self.own < self.size).sum(axis=1) <= 1).all())


def stages(system: System) -> tuple[Stage, ...]:
    """The system's states in stages; states that need nothing of one another share a stage."""
    blocks = [np.flatnonzero(system.block == b) for b in range(int(system.block.max()) + 1)]
    groups: list[list[int]] = []
    closed = True
    for block in blocks:
        terms = np.isin(system.target, block)
        recursive = bool(np.isin(system.args[terms], block).any())
        needs_open = not closed and bool(np.isin(system.args[terms], groups[-1]).any())
        if closed or recursive or needs_open:
            groups.append([])
        groups[-1].extend(block.tolist())
        closed = recursive
    found: list[Stage] = []
    below = np.zeros((len(system.states), 1 + len(system.cases)), np.int64)
    for group in groups:
        stage = _stage(system, np.array(group), below)
        below[group] = [int(stage.timed), *stage.ways]
        found.append(stage)
    return tuple(found)


def _stage(system: System, states: Ints, below: Ints) -> Stage:
    """The stage of these states; ``below``: of each earlier one, if it is timed, and its ways."""
    terms = np.flatnonzero(np.isin(system.target, states))
    args = system.args[terms]
    place = {int(s): k for k, s in enumerate(states)}
    inside = np.isin(args, states)
    own = np.array([[place.get(int(a), len(states)) for a in row] for row in args], np.int64)
    before = np.where(inside | (args < 0), 0, args + 1)
    by_state = [np.flatnonzero(system.target[terms] == s) for s in states]
    rows = np.full((len(states), max(map(len, by_state))), len(terms), np.int64)
    for row, members in zip(rows, by_state, strict=True):
        row[: len(members)] = members
    needed = below[np.unique(before[before > 0]) - 1]
    alive = np.array([case.alive[terms] for case in system.cases]).T
    what = np.vstack([alive.astype(np.int64), needed[:, 1:]])
    _, cases, ways = np.unique(what, axis=1, return_index=True, return_inverse=True)
    timed = bool(system.runs[terms].any() or needed[:, 0].any())
    return Stage(terms, rows, before, own.reshape(args.shape), alive[:, cases], cases, ways, timed)


def log_sums(system: System, order: tuple[Stage, ...], log_terms: Any) -> Any:
    """Log of the sum over the trees of every root, case and node.

    Parameters
    ----------
    order
        `stages` of the system.
    log_terms
        log w_t, natural log, (T, L): every term's own weight at each of L nodes.

    Returns
    -------
    JAX array (Q, K, L)
        About `NEVER` where a case leaves the root without a tree, NaN where the sum diverges.
    """
    import jax.numpy as jnp

    shape = (len(system.cases), log_terms.shape[1])
    known = jnp.zeros((1, *shape))
    for stage in order:
        nodes = slice(None if stage.timed else 1)
        log_weight = log_terms[stage.terms, None, nodes]
        for before in stage.before.T:
            if before.any():
                log_weight = log_weight + known[:, stage.cases, nodes][before]
        log_weight = jnp.where(stage.alive[:, :, None], log_weight, NEVER)
        solve = _fixed_point if stage.recursive else _log_totals
        found = solve(stage, log_weight)[:, stage.ways]
        known = jnp.concatenate([known, jnp.broadcast_to(found, (stage.size, *shape))])
    return known[system.roots + 1]


def log_sum(x: Any, axis: int) -> Any:
    """Log of the sum of e^x along an axis, for finite x."""
    import jax.numpy as jnp
    from jax import lax

    most = lax.stop_gradient(x.max(axis=axis, keepdims=True))
    return jnp.log(jnp.exp(x - most).sum(axis=axis)) + jnp.squeeze(most, axis)


def _by_state(stage: Stage, values: Any, missing: float) -> Any:
    """Values of the terms (m, K, L) sorted by state, (n, width, K, L)."""
    import jax.numpy as jnp

    rest = jnp.full((1, *values.shape[1:]), missing, values.dtype)
    return jnp.concatenate([values, rest])[stage.rows]


def _log_totals(stage: Stage, log_weight: Any) -> Any:
    return log_sum(_by_state(stage, log_weight, NEVER), axis=1)


def _fixed_point(stage: Stage, log_weight: Any) -> Any:
    """Log of the least solution, (n, K, L)."""
    import jax.numpy as jnp
    from jax import lax

    frozen = lax.stop_gradient(log_weight)
    best = _best_trees(stage, frozen)
    exists = _exists(stage)[:, :, None]
    unit = jnp.where(exists, best, 0.0)
    target = _targets(stage)
    shift = _with_rest(unit, 0.0)[stage.own].sum(axis=1) - unit[target]
    weight = jnp.where(stage.alive[:, :, None], jnp.exp(log_weight + shift), 0.0)
    start = jnp.where(exists, jnp.ones_like(best), 0.0)
    found = _climb(stage, lax.stop_gradient(weight), start)
    found = found + _step(stage, lax.stop_gradient(weight), found, weight)
    log_found = jnp.log(jnp.where(exists, found, 1.0))
    return jnp.where(exists, unit + log_found, NEVER)


def _exists(stage: Stage) -> Flags:
    """Which states have a tree in each case, (n, K)."""
    padded = np.vstack([stage.alive, np.zeros_like(stage.alive[:1])])
    return padded[stage.rows].any(axis=1)


def _targets(stage: Stage) -> Ints:
    target = np.zeros(len(stage.terms), np.int64)
    for state, row in enumerate(stage.rows):
        target[row[row < len(target)]] = state
    return target


def _with_rest(values: Any, rest: float) -> Any:
    """Values by state with one more, which stands for arguments that are not the stage's."""
    import jax.numpy as jnp

    return jnp.concatenate([values, jnp.full((1, *values.shape[1:]), rest, values.dtype)])


def _best_trees(stage: Stage, log_weight: Any) -> Any:
    """Log weight of the best tree of every state: no state stands twice on one of its paths."""
    import jax.numpy as jnp
    from jax import lax

    def deeper(_: int, best: Any) -> Any:
        whole = log_weight + _with_rest(best, 0.0)[stage.own].sum(axis=1)
        return _by_state(stage, jnp.maximum(whole, NEVER), NEVER).max(axis=1)

    start = jnp.full((stage.size, *log_weight.shape[1:]), NEVER, log_weight.dtype)
    return lax.fori_loop(0, stage.size, deeper, start)


def _climb(stage: Stage, weight: Any, start: Any) -> Any:
    """The least solution from below; NaN where there is none."""
    import jax.numpy as jnp
    from jax import lax

    if stage.linear:
        return start + _step(stage, weight, start, weight)

    def going(state: Any) -> Any:
        count, found, added = state
        return (count < _MOST_STEPS) & jnp.any(jnp.abs(added) > _TOLERANCE * found)

    def climb(state: Any) -> Any:
        count, found, _ = state
        added = _step(stage, weight, found, weight)
        return count + 1, found + added, added

    _, found, added = lax.while_loop(going, climb, (0, start, jnp.ones_like(start)))
    # Near the critical pressure rounding alone keeps the steps going.
    return jnp.where(jnp.abs(added) <= 1e-6 * found, found, jnp.nan)


def _step(stage: Stage, frozen: Any, found: Any, weight: Any) -> Any:
    """Newton's step (1 − J)^−1 (G(x) − x), with J of ``frozen`` and G of ``weight``."""
    import jax.numpy as jnp

    factors = _with_rest(found, 1.0)[stage.own]
    num_args = stage.own.shape[1]
    product = factors.prod(axis=1) if num_args else jnp.ones_like(weight)
    total = _by_state(stage, weight * product, 0.0).sum(axis=1)
    slopes = []
    for k in range(num_args):
        others = [factors[:, j] for j in range(num_args) if j != k]
        slopes.append(_product(others, frozen))
    matrix = -jnp.einsum("ijkm,kmcl->ijcl", _places(stage), jnp.stack(slopes))
    matrix = matrix + jnp.eye(stage.size)[:, :, None, None]
    return _solve(matrix, total - found)


def _product(factors: list[Any], start: Any) -> Any:
    for factor in factors:
        start = start * factor
    return start


def _places(stage: Stage) -> NDArray[np.float64]:
    """1 where the slope of term m by its argument k belongs in row i and column j, (n, n, A, m)."""
    found = np.zeros((stage.size, stage.size + 1, stage.own.shape[1], len(stage.terms)))
    for m, i in enumerate(_targets(stage)):
        for k, j in enumerate(stage.own[m]):
            found[i, j, k, m] = 1.0
    return found[:, :-1]


def _solve(matrix: Any, right: Any) -> Any:
    """Solve for every case and node at once; matrix (n, n, K, L), right side (n, K, L).

    Elimination without pivoting: 1 − J is an M-matrix where the sums are finite, and a pivot that
    is not positive says that they are not.
    """
    import jax.numpy as jnp

    size = matrix.shape[0]
    for k in range(size):
        pivot = jnp.where(matrix[k, 0] > 0.0, matrix[k, 0], jnp.nan)
        unit = np.zeros((size, 1, 1))
        unit[k] = 1.0
        factor = (matrix[:, 0] - unit) / pivot
        right = right - factor * right[k]
        matrix = matrix[:, 1:] - factor[:, None] * matrix[k, 1:]
    return right
