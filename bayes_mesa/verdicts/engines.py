"""Which engine finds the masses, which draws programs, and why."""

from __future__ import annotations

from dataclasses import dataclass
from weakref import WeakKeyDictionary

from bayes_mesa.costing.fact_choices import MAX_FACTS, ties_between_facts
from bayes_mesa.domain.model import Model
from bayes_mesa.domain.slots import all_known
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.inside import System
from bayes_mesa.verdicts.enumerated_verdict import TIGHT, width_at_medians
from bayes_mesa.verdicts.tempered_verdict import INNER_DRAWS

EXACT, LISTED, ENUMERATED, TEMPERED = "exact", "listed", "enumerated", "tempered"


@dataclass(frozen=True)
class Engines:
    """How a model is answered.

    Attributes
    ----------
    masses
        ``exact``: closed sums; ``listed``: every store-or-derive choice one by one, exact too;
        ``enumerated``: programs in order of rule bits, with a certain bound on the rest;
        ``tempered``: Markov chains over programs at every draw, with Monte Carlo error.
    programs
        ``exact``: independent draws; ``tempered``: dependent ones.
    reason
        Why, in a sentence that results repeat.
    inner_draws
        Programs drawn at every draw of theta, where masses are ``tempered``; else 0.
    """

    masses: str
    programs: str
    reason: str
    inner_draws: int = 0

    @classmethod
    def of(cls, model: Model) -> Engines:
        """The engines that ``auto`` takes for a model."""
        if model not in _CHOSEN:
            _CHOSEN[model] = _chosen(model)
        return _CHOSEN[model]

    def refuse_what_is_not_exact(self) -> None:
        """Raise `RefusedError` where Z does not factorise."""
        if self.masses != EXACT:
            raise RefusedError(
                f"the sum over all programs does not factorise ({self.reason}): selection evidence "
                "and exact draws need it and are refused; programs can be drawn with method "
                "'tempered'"
            )


_CHOSEN: WeakKeyDictionary[Model, Engines] = WeakKeyDictionary()


def _chosen(model: Model) -> Engines:
    return _for_structures(model) if model.grammar is None else _for_grammar(model)


def _for_structures(model: Model) -> Engines:
    ties = " and ".join(ties_between_facts(model))
    if not ties:
        every = (
            "the model factorises over facts" if len(model.facts) else "every structure is weighed"
        )
        return Engines(EXACT, EXACT, every)
    number = len(model.facts)
    if number <= MAX_FACTS:
        listed = f"{ties}: all 2^{number} store-or-derive choices are summed one by one"
        return Engines(LISTED, TEMPERED, listed)
    listed = f"{ties}, and there are more than {MAX_FACTS} facts to list choices of"
    return Engines(TEMPERED, TEMPERED, listed, INNER_DRAWS)


def _for_grammar(model: Model) -> Engines:
    ties = [*ties_between_facts(model)]
    limits = {"a cap": model.selection.cap, "a capacity": model.selection.max_bits}
    cut = [f"{name} cuts the grammar off" for name, x in limits.items() if x is not None]
    if model.overlaps:
        ties.append("overlaps tie the rules of a program to one another")
    if not ties:
        try:
            System.of(model)
        except RefusedError as refusal:
            ties.append(str(refusal))
    if not ties and not cut:
        return Engines(EXACT, EXACT, "the model factorises over rules and facts")
    reason = "; ".join([*cut, *ties])
    # With facts or overlaps each listing is dear: worth it where one serves all draws.
    if (ties and not all_known(model)) or len(model.facts) > MAX_FACTS:
        return Engines(TEMPERED, TEMPERED, reason, INNER_DRAWS)
    width, listed = width_at_medians(model)
    if width > TIGHT:
        found = f"{reason}, and listing {listed:,} programs leaves the deceptive mass open"
        found = f"{found} by {width:.2g} at the prior medians"
        return Engines(TEMPERED, TEMPERED, found, INNER_DRAWS)
    found = f"{reason}: {listed:,} programs are listed, with a certain bound on the rest"
    return Engines(ENUMERATED, TEMPERED, found)
