"""Simulation-based calibration on a small scale: ranks of the truth, and whether they are uniform.

Talts, Betancourt, Simpson, Vehtari and Gelman 2018, *Validating Bayesian inference algorithms with
simulation-based calibration*; with the joint log likelihood among the quantities (Modrák et al.
2023), and ties broken at random. ``bayes-mesa calibrate`` does this for a user's model; here the
truth is weighed by arithmetic of the tests' own, so that a fault which the package shares with
itself is not in both.
"""

import itertools
import math

import numpy as np
from every_program import derivation
from exact_space import FALSE_ALARM, LN2
from scipy.stats import chi2, norm
from small_models import component, family, known_facts, lognormal, model, structure

from bayes_mesa import fit, sample_programs
from bayes_mesa.domain.model import Selection

#: Draws for each truth: ranks 0 .. 7.
DRAWS = 7


def randomised_ranks(truth, draws, rng):
    """Rank of the truth (N,) among draws (N, L): how many lie below, ties at random."""
    below = (draws < truth[:, None]).sum(axis=1)
    ties = (draws == truth[:, None]).sum(axis=1)
    return below + rng.integers(0, ties + 1)


def unlike_uniform(ranks, draws=DRAWS):
    """None, or what is wrong with the ranks 0 .. ``draws`` of a quantity, by name.

    Three checks of each: the counts of every rank (or of neighbours together, where few are
    expected), the mean, and the mean distance from the middle. Each has the false-alarm rate of
    five standard errors.
    """
    for name, rank in ranks.items():
        size, values = len(rank), np.arange(draws + 1)
        bins = next(b for b in (16, 8, 4, 2) if size >= 5 * b and (draws + 1) % b == 0)
        seen = np.bincount(rank * bins // (draws + 1), minlength=bins)
        p = {"chi²": chi2.sf(np.sum((seen - size / bins) ** 2) / (size / bins), bins - 1)}
        for what, of in (("mean", values), ("spread", (values - draws / 2.0) ** 2)):
            away = abs(of[rank].mean() - of.mean()) / (of.std() / math.sqrt(size))
            p[what] = 2.0 * norm.sf(away)
        worst = min(p, key=lambda n: p[n])
        if p[worst] < FALSE_ALARM:
            return f"{worst} of the ranks of {name}: p = {p[worst]:.1g}"
    return None


def uncertain_structures(needs):
    """Structures of several multiplicities and facts, with a belief about every cost.

    None runs just what it stores, so that the one taken for the other shows.
    """
    parts = [
        component(n, lognormal(np.log(b), 0.4), lognormal(np.log(t), 0.6))
        for n, b, t in (("a", 2, 20), ("b", 1.2, 45), ("c", 3, 5))
    ]
    shapes = (
        structure("one", ["a"], ["a", "b"], multiplicity=3.0),
        structure("two", ["b", "c"], ["b"], deploy="other"),
        structure("three", ["c"], ["c", "a"], deploy="other", multiplicity=0.5),
    )
    bits = [lognormal(np.log(x), 0.5) for x in (2.0, 1.0, 3.0)]
    steps = [lognormal(np.log(x), 0.7) for x in (20.0, 12.0, 40.0)]
    facts = known_facts(bits, steps, uses={"two": 2.0}, needs=needs)
    families = (family("linear", rate=lognormal(np.log(25.0), 0.5)),)
    return model(
        parts, shapes, families, facts=facts, selection=Selection(lognormal(0.0, 0.3), 1.0)
    )


class Weights:
    """Bits, steps, log weight of all structures and choices at each of N thetas, (N, S · 2^n)."""

    def __init__(self, model, theta):
        names = [c.name for c in model.components]
        choices = list(itertools.product((True, False), repeat=len(model.facts)))
        self.place = {z: k for k, z in enumerate(choices)}
        self.choices = np.array(choices, dtype=bool)
        derived = np.array(
            [[derivation(model.facts, row, z) for z in choices] for row in theta["fact_steps"]]
        )
        bits, steps, logs = [], [], []
        for shape in model.structures:
            counts = [[of.get(n, 0) for n in names] for of in (shape.stores, shape.runs)]
            own = theta["bits"] @ counts[0], theta["steps"] @ counts[1]
            uses = model.facts.uses.get(shape.name, 1.0)
            bits.append(own[0][:, None] + theta["fact_bits"] @ self.choices.T)
            steps.append(own[1][:, None] + uses * derived)
            logs.append(np.full_like(derived, math.log(shape.multiplicity)))
        self.bits, self.steps = np.concatenate(bits, axis=1), np.concatenate(steps, axis=1)
        price = (theta["pressure"] * LN2)[:, None]
        cost = self.bits + self.steps / theta["linear_rate"][:, None]
        self.log_weight = np.concatenate(logs, axis=1) - price * cost

    def draw(self, rng):
        """One program for each theta, (N,), by its exact probability."""
        weight = np.exp(self.log_weight - self.log_weight.max(axis=1, keepdims=True))
        reached = np.cumsum(weight, axis=1)
        u = rng.random(len(reached)) * reached[:, -1]
        return (u[:, None] >= reached).sum(axis=1)

    def of(self, program, model):
        """Quantities of one program for each theta, (N,) or (N, L), by name."""
        rows = np.arange(len(self.bits)).reshape(-1, *(1,) * (program.ndim - 1))
        shape = program // len(self.choices)
        stored = self.choices[program % len(self.choices)]
        deceptive = np.array([s.deploy != model.base_objective for s in model.structures])
        found = {
            "bits": self.bits[rows, program],
            "steps": self.steps[rows, program],
            "log weight": self.log_weight[rows, program],
            "deceptive": deceptive[shape],
        }
        return found | {f"fact {j}": stored[..., j] for j in range(stored.shape[-1])}


def ranks_of_programs(method, simulations, seed):
    """Ranks of an exact program among `DRAWS` chains' programs at the same theta, by quantity.

    The draws are those of `sample_programs` on a result of `fit` without evidence: theta is a draw
    from the prior, and every chain draws one program at each.
    """
    rng = np.random.default_rng([seed, simulations])
    needs = ((),) * 3 if method == "exact" else ((), (0,), ())
    chosen = uncertain_structures(needs)
    post = fit(chosen, {}, num_samples=simulations, num_chains=1, seed=seed)
    groups = (post["posterior"], post["posterior_linear"])
    theta = {n: np.asarray(g[n])[0] for g in groups for n in g.data_vars if n in _NAMES}
    drawn = sample_programs(
        chosen, post, method=method, seed=seed, num_chains=DRAWS, num_draws=simulations
    )["programs"]
    weights = Weights(chosen, theta)
    stored = np.asarray(drawn["stored"]).reshape(-1, len(chosen.facts))
    choice = np.array([weights.place[tuple(z)] for z in stored.tolist()])
    structures = np.asarray(drawn["structure"])
    program = structures * len(weights.choices) + choice.reshape(structures.shape)
    found = weights.of(program.T, chosen)
    truth = weights.of(weights.draw(rng), chosen)
    return {n: randomised_ranks(truth[n], found[n], rng) for n in truth}


_NAMES = ("bits", "steps", "fact_bits", "fact_steps", "pressure", "linear_rate")
