"""Small models made in Python, for tests that need other numbers than the shipped files hold."""

from __future__ import annotations

from itertools import product

import numpy as np

from bayes_mesa.costing.costs import Counts, totals
from bayes_mesa.domain.beliefs import FORMS, Known, Prior
from bayes_mesa.domain.model import (
    Component,
    Constraint,
    Correlation,
    Facts,
    Family,
    Model,
    Quantity,
    Structure,
)
from bayes_mesa.domain.slots import assemble, slots

LN2 = float(np.log(2.0))


def prior(name, *arguments, low=-np.inf):
    return Prior(name, tuple(zip(FORMS[name].arguments, arguments, strict=True)), low)


def lognormal(loc, scale):
    return prior("LogNormal", loc, scale)


def belief(x):
    return x if isinstance(x, Known | Prior) else Known(float(x))


def component(name, bits=0.0, steps=0.0):
    return Component(name, belief(bits), belief(steps))


def structure(name, stores=(), runs=(), deploy="base", train="base", multiplicity=1.0):
    def counted(names):
        return dict(names) if isinstance(names, dict) else {n: names.count(n) for n in names}

    return Structure(name, counted(stores), counted(runs), train, deploy, multiplicity=multiplicity)


def family(name, weight=1.0, **parameters):
    return Family(name, weight, {k: belief(x) for k, x in parameters.items()})


def quantity(text):
    return Quantity(*text.split(".", 1))


def at_least(larger, smaller):
    return Constraint(
        tuple(map(quantity, larger.split(" + "))), tuple(map(quantity, smaller.split(" + ")))
    )


def correlation(left, right, rho):
    return Correlation((quantity(left), quantity(right)), rho)


def known_facts(bits, steps, uses=None, needs=None):
    count = len(bits)
    return Facts(
        tuple(f"fact_{j}" for j in range(count)),
        tuple(map(belief, bits)),
        tuple(map(belief, steps)),
        needs or ((),) * count,
        uses or {},
    )


def model(components, structures, families, **parts):
    return Model("small", tuple(components), tuple(structures), tuple(families), **parts)


#: Every structure of `two_sided` with one component of its own.
HONEST = structure("honest", ["a"], ["a"])
DECEPTIVE = structure("deceptive", ["b"], ["b"], deploy="other")


def two_sided(a=(0.0, 1.0), b=(0.0, 1.0), families=None, **parts):
    """An honest and a deceptive structure, each of one component with costs (bits, steps)."""
    families = families or (family("linear", rate=1.0),)
    components = (component("a", *a), component("b", *b))
    return model(components, (HONEST, DECEPTIVE), families, **parts)


def theta_at(model, family, values=None, xp=np, shape=(1,)):
    """Theta with the given slot values; the rest are known, or stand at the median."""
    found = {}
    for slot in slots(model, family):
        value = (values or {}).get(slot.name, slot.belief.median)
        whole = shape + ((slot.size,) if slot.size else ())
        found[slot.name] = xp.broadcast_to(xp.asarray(value, dtype=float), whole)
    return assemble(model, found, family, xp)


def phi(family, parameters, bits, steps):
    """Penalty in bits, written out once more."""
    if family == "linear":
        return bits + steps / parameters["rate"]
    if family == "levin":
        return bits + parameters["kappa"] * np.log2(steps)
    return bits + (steps / parameters["rate"]) ** (1.0 / parameters["exponent"])


def every_program(model, chosen):
    """All programs of a model whose numbers are known, one by one.

    Returns
    -------
    log_weight, cost, bits, steps
        (S, 2^n): log weights, costs in bits, totals.
    stored
        (2^n, n) bool.
    """
    theta = {name: x[0] for name, x in theta_at(model, chosen).items()}
    parameters = {k: b.value for k, b in chosen.parameters.items()}
    whole = totals(Counts.of(model), theta)
    stored = np.array(list(product([True, False], repeat=len(model.facts))), dtype=bool)
    uses = np.array([model.facts.uses.get(s.name, 1.0) for s in model.structures])
    bits = whole.full_bits[:, None] + stored @ theta["fact_bits"]
    steps = whole.full_steps[:, None] + uses[:, None] * (~stored @ theta["fact_steps"])
    cost = phi(chosen.name, parameters, bits, steps)
    multiplicity = np.array([s.multiplicity for s in model.structures])[:, None]
    log_weight = np.log(multiplicity) - float(theta["pressure"]) * LN2 * cost
    return log_weight, cost, bits, steps, stored


def shares(log_weight):
    """Weights normalised to 1."""
    weight = np.exp(log_weight - log_weight.max())
    return weight / weight.sum()
