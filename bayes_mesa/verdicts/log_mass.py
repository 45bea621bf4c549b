"""Log masses of structures and classes in JAX: differentiable, for evidence that needs Z."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_mesa.costing.costs import Counts, totals
from bayes_mesa.costing.exchange import LN2, added_penalty, relative_penalty
from bayes_mesa.costing.fact_sums_jax import log_fact_factor
from bayes_mesa.domain.model import CLASSES, Family, Model
from bayes_mesa.domain.slots import parameters
from bayes_mesa.grammars.program_sums_jax import base_steps, grounds, log_class_weights
from bayes_mesa.verdicts.contest import eligible_structures, loss_nats
from bayes_mesa.verdicts.verdict import refuse_what_has_no_exact_route

#: Share of a class below which what is left of it is rounding, and counts as nothing.
_LEAST_LEFT = 1e-10


def log_mass(model: Model, family: Family, theta: Mapping[str, Any]) -> Any:
    """Normalised log mass of every place of `Model.columns`, one theta at a time.

    Parameters
    ----------
    theta
        As `slots.assemble` gives it with ``xp = jax.numpy`` and no leading dimension.

    Returns
    -------
    JAX array (S,)
        log w_s − log Z, natural log; −inf for what is not eligible, or does not fit. With a
        grammar, Z is the sum over all its programs, and what the listed programs leave of each
        class comes last: −inf where that is less than 1e-10 of the class.

    Raises
    ------
    RefusedError
        If the sums have no closed form, or too many terms to be differentiated.
    """
    if model.grammar is not None:
        return _log_mass_of_programs(model, family, theta)
    log_weight = _log_weights(model, family, theta)
    return log_weight - _log_sum(log_weight, fallback=0.0)


def log_class_mass(model: Model, family: Family, theta: Mapping[str, Any]) -> Any:
    """Normalised log mass of every class in the order of `model.CLASSES`, (3,); else as above."""
    import jax.numpy as jnp

    if model.grammar is not None:
        classes = log_class_weights(model, family, theta)
        return classes - _log_sum(classes, fallback=0.0)
    members = np.array(model.classes)[None, :] == np.array(CLASSES)[:, None]
    masses = log_mass(model, family, theta)
    return _log_sum(jnp.where(members, masses, -jnp.inf), fallback=-jnp.inf)


def _log_sum(x: Any, *, fallback: float) -> Any:
    """Log of the sum over the last axis of e^x; ``fallback``, of no slope, where all is −inf."""
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    # Kept away from the sum itself: its slope there is NaN, also where nothing asks for it.
    some = (x > -jnp.inf).any(axis=-1)
    found = logsumexp(jnp.where(some[..., None], x, 0.0), axis=-1)
    return jnp.where(some, found, fallback)


def _log_mass_of_programs(model: Model, family: Family, theta: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp

    classes = log_class_weights(model, family, theta)
    total = _log_sum(classes, fallback=0.0)
    if not model.structures:
        return classes - total
    listed = _log_weights(model, family, theta) - total
    masses = zip(CLASSES, classes - total, strict=True)
    left = [_log_left(model, name, mass, listed) for name, mass in masses]
    return jnp.concatenate([listed, jnp.stack(left)])


def _log_left(model: Model, class_name: str, mass: Any, listed: Any) -> Any:
    """Log of what is left of a class once the listed programs are taken out of it."""
    import jax.numpy as jnp

    # Two names may be of one program, which is taken out once.
    once = {s.code: k for k, s in reversed(list(enumerate(model.structures)))}
    members = [k for k in sorted(once.values()) if model.classes[k] == class_name]
    members = [k for k in members if model.eligible[k]]
    if not members:
        return mass
    share = jnp.exp(listed[np.array(members)] - mass).sum()
    some = share < 1.0 - _LEAST_LEFT
    return jnp.where(some, mass + jnp.log1p(-jnp.where(some, share, 0.0)), -jnp.inf)


def _log_weights(model: Model, family: Family, theta: Mapping[str, Any]) -> Any:
    """Log weights of the structures, on the base of `program_sums_jax` if there is a grammar."""
    import jax.numpy as jnp

    refuse_what_has_no_exact_route(model)
    counts, chosen = Counts.of(model), parameters(family, theta)
    shared = None
    if model.grammar is not None:
        system = grounds(model).system
        shared = (system.mandatory_stores, system.mandatory_runs)
    whole = totals(counts, theta, jnp, shared=shared)
    eligible = eligible_structures(model, whole, jnp)
    if model.grammar is None:
        penalty = relative_penalty(
            family.name, chosen, whole.bits, whole.steps, whole.shared_steps, eligible, jnp
        )
    else:
        shared_steps, least = base_steps(model, theta)
        added = jnp.maximum(whole.steps - least, 0.0)
        growth = added_penalty(family.name, chosen, shared_steps + least, added, jnp)
        penalty = whole.bits + growth
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
    return jnp.where(eligible, log_weight, -jnp.inf)
