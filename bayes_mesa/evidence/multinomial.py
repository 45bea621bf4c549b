"""Multinomials whose log density is told row by row."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from jax.scipy.special import gammaln
from numpyro.distributions import constraints


class RowMultinomial(dist.Distribution):
    """Counts of the rows' outcomes in ``total`` independent trials.

    Parameters
    ----------
    log_mass
        (rows,) log probabilities; what they leave of 1 belongs to outcomes without a row.
    total
        Number of trials.

    Notes
    -----
    ``log_prob`` is n_i log p_i + log C(N_i, n_i) with N_i = total − n_1 − … − n_{i−1}: the sum over
    rows is the multinomial's log probability, its coefficient included (a product of binomials). So
    one value per row reaches ``log_likelihood``, while a draw is of all rows together.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.nonnegative_integer
    pytree_data_fields = ("log_mass", "total")

    def __init__(self, log_mass: Any, total: Any):
        self.log_mass, self.total = log_mass, total
        super().__init__(batch_shape=jnp.shape(log_mass), event_shape=(), validate_args=False)

    def log_prob(self, value: Any) -> Any:
        """Log probability of each row's count, (rows,)."""
        return _row_log_prob(value, self.total - jnp.cumsum(value) + value, self.log_mass)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Counts of all rows from one draw of ``total`` trials."""
        mass = jnp.exp(self.log_mass)
        rest = jnp.maximum(0.0, 1.0 - mass.sum(axis=-1, keepdims=True))
        whole = jnp.concatenate([mass, rest], axis=-1)
        counts = random.multinomial(key, self.total, whole, shape=(*sample_shape, *whole.shape))
        return counts[..., :-1].astype(jnp.int64)


class GroupedMultinomial(dist.Distribution):
    """Counts of the rows' outcomes, one multinomial for each group of rows.

    Parameters
    ----------
    log_mass
        (rows,) log probabilities; what a group's leave of 1 belongs to outcomes without a row.
    total
        (rows,) number of trials of each row's group.
    group
        (rows,) a number that the rows of a group share.

    Notes
    -----
    ``log_prob`` is that of `RowMultinomial` within each group, in the order of the rows.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.nonnegative_integer
    pytree_data_fields = ("log_mass", "total", "group")

    def __init__(self, log_mass: Any, total: Any, group: Any):
        self.log_mass, self.total, self.group = log_mass, total, group
        super().__init__(batch_shape=jnp.shape(log_mass), event_shape=(), validate_args=False)

    def log_prob(self, value: Any) -> Any:
        """Log probability of each row's count, (rows,)."""
        left = self.total - self._earlier(jnp.asarray(value, dtype=float))
        return _row_log_prob(value, left, self.log_mass)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Counts of all rows: of each what is left in its group, a binomial."""
        mass, total = jnp.exp(self.log_mass), jnp.asarray(self.total)
        left = 1.0 - self._earlier(mass)
        chance = jnp.where(left > 0.0, jnp.clip(mass / jnp.where(left > 0.0, left, 1.0), 0, 1), 0.0)

        def add(row: Any, counts: Any) -> Any:
            trials = total[row] - self._earlier(counts)[..., row]
            drawn = random.binomial(
                random.fold_in(key, row), trials, chance[row], shape=sample_shape, dtype=float
            )
            return counts.at[..., row].set(drawn)

        (rows,) = self.batch_shape
        empty = jnp.zeros((*sample_shape, rows), dtype=float)
        return jax.lax.fori_loop(0, rows, add, empty).astype(jnp.int64)

    def _earlier(self, x: Any) -> Any:
        """Sum over the rows of the same group that come before, (..., rows)."""
        group = jnp.asarray(self.group)
        place = jnp.arange(len(group))
        before = (group[:, None] == group) & (place[:, None] < place)
        return x @ before.astype(float)


def _row_log_prob(value: Any, left: Any, log_mass: Any) -> Any:
    choose = gammaln(left + 1.0) - gammaln(value + 1.0) - gammaln(left - value + 1.0)
    # 0 · log 0 = 0: an outcome without mass may go uncounted.
    seen = value > 0
    return choose + jnp.where(seen, value * jnp.where(seen, log_mass, 0.0), 0.0)
