"""A gate on the whole path of a fit: ranks of the truth among the draws of NUTS."""

from functools import cache

import numpy as np

from bayes_mesa.inference.nuts import run_nuts
from bayes_mesa.inference.simulation import simulate_evidence

from .density_gates import DESIGN, PRIORS, log_likelihood, program_of, small_fit
from .ranks import randomised_ranks, unlike_uniform

WARMUP, APART, KEPT = 150, 10, 15


def fit_ranks(simulations):
    """Evidence from `simulate_evidence`, one short thinned chain for each; quantities by name.

    With the joint log likelihood, by hand, among the quantities.
    """
    pairs = [_simulation(k) for k in range(simulations)]
    rng = np.random.default_rng([42, simulations])
    ranks = {
        name: randomised_ranks(
            np.array([truth[name] for truth, _ in pairs]),
            np.stack([draws[name] for _, draws in pairs]),
            rng,
        )
        for name in pairs[0][0]
    }
    return unlike_uniform(ranks, KEPT)


@cache
def _model():
    # One object: what is compiled for it is found again. Without the order, under which values are
    # drawn in blocks: a stream that is shared with the noise would then pass unseen.
    return small_fit(ordered=False)


@cache
def _simulation(k):
    """Truth and draws of simulation ``k``; a larger size goes on from the smaller one."""
    made = simulate_evidence(_model(), DESIGN, seed=k)
    draws = _thinned(_model(), made.evidence, k)
    return _quantities(made.truth, made.evidence), _quantities(draws, made.evidence)


def _thinned(model, evidence, seed):
    program, data, sampled = program_of(model, evidence)
    start = {s.name: s.belief.median for s in sampled}
    found = run_nuts(program, data, [start], num_warmup=WARMUP, num_samples=APART * KEPT, seed=seed)
    return {n: x[0, APART - 1 :: APART] for n, x in found.values.items()}


def _quantities(values, evidence):
    return {n: values[n] for n in PRIORS} | {"log likelihood": log_likelihood(values, evidence)}
