"""Log masses of structures in JAX: differentiable, for evidence that depends on Z."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_mesa.costs import Counts, totals
from bayes_mesa.exchange import LN2, relative_penalty
from bayes_mesa.fact_sums_jax import log_fact_factor
from bayes_mesa.model import Family, Model
from bayes_mesa.slots import parameters
from bayes_mesa.verdict import eligible_structures, loss_nats, refuse_what_has_no_exact_route


def log_mass(model: Model, family: Family, theta: Mapping[str, Any]) -> Any:
    """Normalised log mass of every structure, one theta at a time.

    Parameters
    ----------
    theta
        As `slots.assemble` gives it with ``xp = jax.numpy`` and no leading dimension.

    Returns
    -------
    JAX array (S,)
        log w_s − log Z, natural log; −inf for what is not eligible.
    """
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    refuse_what_has_no_exact_route(model)
    counts = Counts.of(model)
    whole = totals(counts, theta, jnp)
    chosen = parameters(family, theta)
    eligible = eligible_structures(model, whole, jnp)
    penalty = relative_penalty(
        family.name, chosen, whole.bits, whole.steps, whole.shared_steps, eligible, jnp
    )
    multiplicity = np.array([s.multiplicity for s in model.structures])
    log_weight = (
        np.log(multiplicity) - theta["pressure"] * LN2 * penalty - loss_nats(model, theta, jnp)
    )
    if len(model.facts):
        log_weight = log_weight + log_fact_factor(
            family.name,
            pressure=theta["pressure"],
            parameters=chosen,
            steps=whole.full_steps,
            uses=counts.uses,  # NumPy's: what is alike must be known while tracing
            fact_bits=theta["fact_bits"],
            fact_steps=theta["fact_steps"],
        )
    log_weight = jnp.where(eligible, log_weight, -jnp.inf)
    return log_weight - logsumexp(log_weight)
