"""Gates on sums and on native code: every choice one by one, and the slow twins."""

import itertools
import math
from dataclasses import replace

import numpy as np
from every_program import derivation
from exact_space import LEVEL, LN2, Space
from reference import fact_choices
from reference import fact_sums as twin_sums
from reference import least as twin_least
from reference import program_draws as twin_draws
from reference import tempered as twin_chain
from small_models import known_facts
from test_program_draws import PARAMETERS, random_theta

from bayes_mesa.chains.tempered_starts import starting_programs
from bayes_mesa.costing.fact_sums import draw_programs, log_fact_factor
from bayes_mesa.costing.least import least_fact_penalty


def brute_force(facts):
    """Sums, least costs and masses against all choices one by one."""
    rng = np.random.default_rng(facts)
    bits, steps = rng.uniform(0.5, 6.0, facts), rng.uniform(5.0, 80.0, facts)
    for name, own in PARAMETERS.items():
        rows = {n: np.array([x]) for n, x in own.items()}
        shared = {"fact_bits": bits[None], "fact_steps": steps[None]}
        shared |= {"parameters": rows, "steps": np.array([[60.0]]), "uses": np.ones(1)}
        found = log_fact_factor(name, pressure=np.array([0.7]), **shared).log_factor[0, 0]
        wanted = fact_choices.log_fact_factor(name, 0.7, own, 60.0, 1.0, bits, steps)
        if not abs(found - wanted) <= 1e-9 * max(1.0, abs(wanted)):
            return f"sum over facts, {name}: {found} for {wanted}"
        least = least_fact_penalty(name, **shared)[0][0, 0]
        wanted = float(twin_least.least_added(name, own, 60.0, 1.0, bits, steps))
        if not abs(least - wanted) <= 1e-9 * max(1.0, abs(wanted)):
            return f"least penalty, {name}: {least} for {wanted}"
    return _masses(facts, bits, steps)


def _masses(count, bits, steps):
    """What `fit` says of a model whose numbers are known, and what all its programs add up to."""
    from bayes_mesa import fit

    model = LEVEL["structures"][0]
    facts = known_facts(bits, steps, uses={"two": 2.0})
    model = replace(model, facts=facts)
    parts = {c.name: (c.bits.value, c.steps.value) for c in model.components}
    wanted = []
    for shape in model.structures:
        own = [
            sum(n * parts[c][k] for c, n in of.items())
            for k, of in enumerate((shape.stores, shape.runs))
        ]
        uses = facts.uses.get(shape.name, 1.0)
        total = 0.0
        for stored in itertools.product((True, False), repeat=count):
            paid = own[0] + sum(b for b, z in zip(bits, stored, strict=True) if z)
            taken = own[1] + uses * derivation(facts, steps, stored)
            total += shape.multiplicity * math.exp(-LN2 * (paid + taken / 25.0))
        wanted.append(total)
    post = fit(model, {}, num_samples=1, num_chains=1)["posterior"]
    found = np.asarray(post["structure_mass"])[0, 0]
    away = np.abs(found - np.array(wanted) / sum(wanted)).max()
    return None if away < 1e-9 else f"mass of a structure: {away:.1g} off"


def twins(draws):
    """Native code against its slow twin in Python, to the last bit."""
    # Here, since it loads much that the other gate does not need.
    import test_tempering as chains

    for name in PARAMETERS:
        theta = random_theta(name, np.random.default_rng(7), min(draws, 12), 6)
        rest = {n: x for n, x in theta.items() if n not in ("mass", "family")}
        found = log_fact_factor(name, **rest).log_factor
        if not np.array_equal(found, twin_sums.log_fact_factor(name, **rest)[0]):
            return f"sum over facts, {name}"
        words = np.random.PCG64(7), np.random.PCG64(7)
        found = draw_programs(words[0], **theta)
        wanted = twin_draws.draw_programs(words[1], **theta)
        if not (
            np.array_equal(found[0], wanted[0])
            and np.array_equal(found[1], np.array(wanted[1], bool).reshape(found[1].shape))
        ):
            return f"drawn programs, {name}"
    for name, (model, nodes) in LEVEL.items():
        target = Space.of(model, nodes).target(1.3, 25.0)
        starts = [starting_programs(target)[0]] * 3
        ladder = [1.0, 0.4, 0.0]
        native = chains.advance(target, chains.begin(target, starts), ladder, draws, 6, 42, draws)
        if native != twin_chain.run(target, np.random.PCG64(42), ladder, starts, draws, 6, True):
            return f"tempered chain, {name}"
    return None
