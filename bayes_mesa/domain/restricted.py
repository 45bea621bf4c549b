"""A NumPyro distribution restricted to a half-line whose end may depend on other sites."""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import random
from numpyro.distributions import constraints

from bayes_mesa.domain.two_piece import ByScore, TwoPieceLogNormals


class Restricted(dist.Distribution):
    """``base`` on [low, ∞).

    Parameters
    ----------
    base
        A scalar continuous distribution with `cdf`, of support unbounded above.
    low
        Left end; a number, or a value of other sites.
    renormalised
        True: the density is divided by P(base ≥ low), a truncated prior. False: it is not, so that
        a joint of such sites is ∝ Π p · 1[constraints hold], a conditioned prior. The log density
        then drops the log of the acceptance of all constraints together.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("base", "low")
    pytree_aux_fields = ("renormalised",)

    def __init__(self, base: Any, low: Any, *, renormalised: bool):
        self.base, self.low, self.renormalised = base, low, renormalised
        super().__init__(batch_shape=(), event_shape=(), validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """[low, ∞)."""
        if isinstance(self.base, TwoPieceLogNormals):
            return ByScore(self.low, self.base)
        return constraints.greater_than(self.low)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draws by inversion where the base can be inverted, else by choosing among many."""
        try:
            cut = self.base.cdf(self.low)
            u = random.uniform(key, sample_shape)
            return jnp.maximum(self.base.icdf(cut + u * (1.0 - cut)), self.low)
        except (NotImplementedError, ImportError):
            tries = self.base.sample(key, (256, *sample_shape))
            first = jnp.argmax(tries >= self.low, axis=0)
            found = jnp.take_along_axis(tries, first[None], axis=0)[0]
            return jnp.where(found >= self.low, found, 2.0 * self.low)

    def log_prob(self, value: Any) -> Any:
        """Log density at ``value``, natural log, by the base's units."""
        log_density = self.base.log_prob(value)
        if self.renormalised:
            log_density = log_density - jnp.log1p(-self.base.cdf(self.low))
        return jnp.where(value >= self.low, log_density, -jnp.inf)
