"""Slow twin of `bayes_mesa.costing.least`: all 2^n store-or-derive choices, at 40 digits."""

from itertools import product

import mpmath


def penalty(family, parameters, steps):
    """Phi(0, t) in bits; levin needs t > 0."""
    if family == "linear":
        return steps / parameters["rate"]
    if family == "levin":
        return parameters["kappa"] * mpmath.log(steps, 2)
    return (steps / parameters["rate"]) ** (1 / parameters["exponent"])


def least_added(family, parameters, steps, uses, fact_bits, fact_steps):
    """Least of sum z b + Phi(0, t + v sum (1 - z) tau) - Phi(0, t) over z, as an mpf."""
    with mpmath.workdps(40):
        exact = {name: mpmath.mpf(float(value)) for name, value in parameters.items()}
        base = penalty(family, exact, mpmath.mpf(float(steps)))
        totals = []
        for stored in product((True, False), repeat=len(fact_bits)):
            bits = mpmath.fsum(float(b) for b, z in zip(fact_bits, stored, strict=True) if z)
            derived = mpmath.fsum(
                float(t) for t, z in zip(fact_steps, stored, strict=True) if not z
            )
            running = mpmath.mpf(float(steps)) + mpmath.mpf(float(uses)) * derived
            totals.append(bits + penalty(family, exact, running) - base)
        return min(totals)
