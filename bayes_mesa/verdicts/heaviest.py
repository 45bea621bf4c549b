"""Which of very many structures results name: the heaviest at the prior medians."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bayes_mesa.costing.costs import Counts
from bayes_mesa.costing.fact_choices import ties_between_facts
from bayes_mesa.domain.model import MAX_NAMED, Facts, Family, Model
from bayes_mesa.domain.slots import Theta
from bayes_mesa.verdicts.contest import Contest
from bayes_mesa.verdicts.theta_at import theta_at

#: As many structures are all named; of more, so many of the largest mass.
MOST, KEPT = MAX_NAMED, 100


def with_heaviest(model: Model) -> Model:
    """The model with the structures that results name, where there are too many to name all.

    Of more than `MOST` structures the `KEPT` of the largest mass at the prior medians: the mean of
    their shares under the families, by the families' prior weights. Equals stand in file order,
    and so do those that are named. The choice is the same in every draw, and needs no seed; masses,
    favored and critical values stay sums and minima over all structures. A model with fewer, with a
    grammar, or that has been through here is returned as it is.
    """
    if model.grammar is not None or model.named is not None or len(model.structures) <= MOST:
        return model
    heaviest = np.argsort(-_mean_shares(model), kind="stable")[:KEPT]
    return replace(model, named=tuple(np.sort(heaviest).tolist()))


def _mean_shares(model: Model) -> np.ndarray:
    """Log of every structure's mean share at the prior medians, (S,); -inf where it is out."""
    # Sums over facts that are tied to one another are dear, and this only ranks.
    ranked = replace(model, facts=Facts()) if ties_between_facts(model) else model
    theta = theta_at(ranked, {}).theta
    shares = [np.log(f.weight) + log_shares(ranked, f, theta[f.name]) for f in model.families]
    with np.errstate(invalid="ignore"):  # -inf twice
        return np.logaddexp.reduce(shares)


def log_shares(model: Model, family: Family, theta: Theta) -> np.ndarray:
    """Log shares of the structures in their common weight at one theta, (S,); no underflow."""
    contest = Contest.of(model, family, Counts.of(model), theta)
    log_weight, _ = contest.log_weights(len(model.structures))
    top = log_weight[0].max()
    if top == -np.inf:  # nothing fits
        return log_weight[0]
    return np.asarray(log_weight[0] - top - np.log(np.exp(log_weight[0] - top).sum()))
