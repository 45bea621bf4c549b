"""The linear pool of two-piece lognormals as a NumPyro distribution; see `pool`.

NUTS moves the *score* z, with P(at most x) = Φ(z), instead of ln x: the prior of z is the standard
normal, however many modes and jumps the pool has. In ln x, experts who disagree leave a valley
that chains hardly cross (R-hat 1.3 where two medians lay 5 decades apart), and every jump costs
acceptance.
"""

from __future__ import annotations

from typing import Any, ClassVar

import jax.numpy as jnp
import numpyro.distributions as dist
from jax import lax, random
from jax.scipy.special import logsumexp, ndtr, ndtri
from numpyro.distributions import constraints
from numpyro.distributions.transforms import Transform, biject_to

#: Smallest tail that a score is taken of, and that score: gradients stay finite.
_TINY, _FARTHEST = 1e-300, 37.0
_LOG_SQRT_2PI = 0.9189385332046727
_ITERATIONS = 200


class TwoPieceLogNormals(dist.Distribution):
    """Mixture of exp(μ + s₁z) for z < 0, exp(μ + s₂z) for z ≥ 0, z ~ Normal(0, 1).

    Parameters
    ----------
    middle, left, right
        (K,): μ, s₁ and s₂ of each judgement, in natural logs of the cost.
    weights
        (K,): they sum to 1.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    pytree_data_fields = ("middle", "left", "right", "weights")

    def __init__(self, middle: Any, left: Any, right: Any, weights: Any):
        # As given: made into JAX arrays they would belong to the trace that saw them first.
        self.middle, self.left, self.right, self.weights = middle, left, right, weights
        super().__init__(batch_shape=(), event_shape=(), validate_args=False)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """(0, ∞), which NUTS moves in by the score."""
        return ByScore(0.0, self)

    def sample(self, key: Any, sample_shape: tuple[int, ...] = ()) -> Any:
        """Draws: a judgement by its weight, then a normal score."""
        which_key, score_key = random.split(key)
        which = random.choice(which_key, len(self.weights), sample_shape, p=self.weights)
        z = random.normal(score_key, sample_shape, dtype=self.middle.dtype)
        middle, left, right = map(jnp.asarray, (self.middle, self.left, self.right))
        return jnp.exp(middle[which] + jnp.where(z < 0.0, left[which], right[which]) * z)

    def log_prob(self, value: Any) -> Any:
        """Natural log of the density at ``value``, per unit of the cost."""
        log_value = jnp.log(value)
        z, sd = self._scores(log_value)
        terms = jnp.log(self.weights) - 0.5 * z**2 - jnp.log(sd)
        return logsumexp(terms, axis=-1) - _LOG_SQRT_2PI - log_value

    def cdf(self, value: Any) -> Any:
        """Probability of at most ``value``."""
        return ndtr(self._scores(jnp.log(value))[0]) @ self.weights

    def icdf(self, q: Any) -> Any:
        """The quantile at ``q``."""
        return self.at_score(ndtri(q))

    def score(self, value: Any) -> Any:
        """The z with cdf(value) = Φ(z), from the smaller tail; at most 37 away from 0."""
        z, _ = self._scores(jnp.log(value))
        if len(self.weights) == 1:
            return jnp.clip(z[..., 0], -_FARTHEST, _FARTHEST)
        below, above = ndtr(z) @ self.weights, ndtr(-z) @ self.weights
        from_below = ndtri(jnp.clip(below, _TINY, 0.75))
        return jnp.where(below < above, from_below, -ndtri(jnp.clip(above, _TINY, 0.75)))

    def at_score(self, z: Any) -> Any:
        """The quantile at Φ(z); dx/dz = φ(z)/density(x)."""
        z = jnp.asarray(z)
        ends = self.middle + jnp.where(z[..., None] < 0.0, self.left, self.right) * z[..., None]
        if len(self.weights) == 1:
            return jnp.exp(ends[..., 0])
        fixed = lax.stop_gradient(z)
        ends = lax.stop_gradient(ends)
        log_x = self._solved(fixed, ends.min(axis=-1), ends.max(axis=-1))
        _, slope = self._newton(log_x, fixed)
        # The solution is a constant to JAX; to first order it moves with z by 1/slope.
        moved = (z - fixed) / jnp.maximum(lax.stop_gradient(slope), _TINY)
        return jnp.exp(log_x + moved)

    def _scores(self, log_value: Any) -> tuple[Any, Any]:
        away = log_value[..., None] - self.middle
        sd = jnp.where(away < 0.0, self.left, self.right)
        return away / sd, sd

    def _solved(self, z: Any, low: Any, high: Any) -> Any:
        """Log of the quantile at Φ(z), as `Pool` solves for it."""

        def unfinished(state: Any) -> Any:
            iteration, step, at, _, _ = state
            return (iteration < _ITERATIONS) & (step > 1e-13 * jnp.maximum(1.0, abs(at))).any()

        def better(state: Any) -> Any:
            iteration, _, at, low, high = state
            away, slope = self._newton(at, z)
            low, high = jnp.where(away < 0.0, at, low), jnp.where(away < 0.0, high, at)
            new = at - away / slope
            halved = ~((new >= low) & (new <= high)) | (iteration % 4 == 3)
            new = jnp.where(halved, 0.5 * (low + high), new)
            return iteration + 1, abs(new - at), new, low, high

        middle = 0.5 * (low + high)
        state = (0, jnp.full_like(middle, jnp.inf), middle, low, high)
        return lax.while_loop(unfinished, better, state)[2]

    def _newton(self, log_x: Any, z: Any) -> tuple[Any, Any]:
        """How far the score at ``log_x`` is above ``z``, and its slope; from the tail of ``z``."""
        scores, sd = self._scores(log_x)
        side = jnp.where(z < 0.0, 1.0, -1.0)
        tail = jnp.clip(ndtr(side[..., None] * scores) @ self.weights, _TINY, 1.0)
        score = side * ndtri(tail)
        return score - z, jnp.exp(0.5 * (score[..., None] ** 2 - scores**2)) / sd @ self.weights


class ByScore(constraints._GreaterThan):
    """Values of a pool above ``lower_bound``, which NUTS reaches by their scores.

    A subclass of NumPyro's half-line, by whose ``lower_bound`` NumPyro sees that a support hangs on
    other sites.
    """

    def __init__(self, lower_bound: Any, pool: TwoPieceLogNormals):
        super().__init__(lower_bound)
        self.pool = pool

    def tree_flatten(self) -> Any:
        """Bound and pool are data."""
        return (self.lower_bound, self.pool), (("lower_bound", "pool"), {})

    def eq(self, other: object, static: bool = False) -> Any:
        """Only itself."""
        return self is other


class ScoreTransform(Transform):
    """From a real u to a value whose score is u, or score(low) + exp(u) above a bound ``low``."""

    sign = 1

    def __init__(self, support: ByScore):
        self.support = support

    @property
    def codomain(self) -> Any:
        """The values that are reached."""
        return self.support

    def __call__(self, x: Any) -> Any:
        """Value at the real number ``x``."""
        value = self.support.pool.at_score(self._score(x))
        # Rounding must not take it below the bound.
        return jnp.maximum(value, self.support.lower_bound) if self._bounded else value

    def _inverse(self, y: Any) -> Any:
        z = self.support.pool.score(y)
        return jnp.log(jnp.maximum(z - self._lowest, _TINY)) if self._bounded else z

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        """Log of the normal density of the score over the pool's density of the value."""
        z = self._score(x)
        log_slope = -0.5 * z**2 - _LOG_SQRT_2PI - self.support.pool.log_prob(y)
        return log_slope + x if self._bounded else log_slope

    def tree_flatten(self) -> Any:
        """The support is data."""
        return (self.support,), (("support",), {})

    def eq(self, other: object, static: bool = False) -> Any:
        """Only itself."""
        return self is other

    @property
    def _bounded(self) -> bool:
        low = self.support.lower_bound
        return not (isinstance(low, float) and low == 0.0)

    @property
    def _lowest(self) -> Any:
        return self.support.pool.score(jnp.maximum(self.support.lower_bound, _TINY))

    def _score(self, x: Any) -> Any:
        return self._lowest + jnp.exp(x) if self._bounded else x


biject_to.register(ByScore, ScoreTransform)
