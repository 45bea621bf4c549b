"""The NumPyro distribution of a slot's site: below `evidence`, which samples one too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bayes_mesa.domain.beliefs import Known, Uncertain
from bayes_mesa.domain.slots import Slot
from bayes_mesa.errors import InputError

if TYPE_CHECKING:
    import numpyro.distributions as dist


def site_distribution(slot: Slot, low: Any = None) -> dist.Distribution:
    """The NumPyro distribution of a slot's site, restricted to [low, ∞) where it must be."""
    from bayes_mesa.domain.restricted import Restricted

    belief = prior_of(slot)
    base = belief.numpyro()
    if belief.share_cut > 0.0:
        base = Restricted(base, belief.low, renormalised=True)
    if low is not None:
        base = Restricted(base, low, renormalised=False)
    return base.expand([slot.size]).to_event(1) if slot.size else base


def prior_of(slot: Slot) -> Uncertain:
    """The slot's belief, which must be uncertain to be sampled."""
    if isinstance(slot.belief, Known):
        raise InputError(f"{slot.name} must be uncertain to be sampled, but is {slot.belief}")
    return slot.belief
