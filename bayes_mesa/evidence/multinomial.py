"""A multinomial whose log density is told row by row."""

from __future__ import annotations

from typing import Any, ClassVar

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
        left = self.total - jnp.cumsum(value) + value
        choose = gammaln(left + 1.0) - gammaln(value + 1.0) - gammaln(left - value + 1.0)
        # 0 · log 0 = 0: an outcome without mass may go uncounted.
        seen = value > 0
        return choose + jnp.where(seen, value * jnp.where(seen, self.log_mass, 0.0), 0.0)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Counts of all rows from one draw of ``total`` trials."""
        mass = jnp.exp(self.log_mass)
        rest = jnp.maximum(0.0, 1.0 - mass.sum(axis=-1, keepdims=True))
        whole = jnp.concatenate([mass, rest], axis=-1)
        counts = random.multinomial(key, self.total, whole, shape=(*sample_shape, *whole.shape))
        return counts[..., :-1].astype(jnp.int64)
