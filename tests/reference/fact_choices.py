"""All 2^n store-or-derive choices one by one, at 30 digits: what the fact sums must equal."""

import mpmath
import numpy as np

DIGITS = 30


def exact(value):
    return mpmath.mpf(float(value))


def added_penalty(family, pressure, parameters, t):
    """Function of added steps x: pressure ln2 (Phi(0, t + x) - Phi(0, t)), in nats."""
    nats, t = exact(pressure) * mpmath.log(2), exact(t)
    if family == "linear":
        return lambda x: nats * x / exact(parameters["rate"])
    if family == "levin":
        power = exact(pressure) * exact(parameters["kappa"])
        return lambda x: power * mpmath.log1p(x / t)
    rate, root = exact(parameters["rate"]), 1 / exact(parameters["exponent"])
    return lambda x: nats * (((t + x) / rate) ** root - (t / rate) ** root)


def choices(pressure, uses, bits, steps):
    """(cost in nats, added steps) of all choices; choice k stores fact j where bit j of k is 0."""
    nats, uses = exact(pressure) * mpmath.log(2), exact(uses)
    found = [(mpmath.mpf(0), mpmath.mpf(0))]
    for b, tau in zip(bits, steps, strict=True):
        store, derive = nats * exact(b), uses * exact(tau)
        found = [(c + store, x) for c, x in found] + [(c, x + derive) for c, x in found]
    return found


def log_terms(family, pressure, parameters, t, uses, bits, steps):
    """Log weight of every choice relative to one that stores and derives nothing."""
    added = added_penalty(family, pressure, parameters, t)
    return [-c - added(x) for c, x in choices(pressure, uses, bits, steps)]


def log_sum(terms):
    top = max(terms)
    return top + mpmath.log(mpmath.fsum(mpmath.exp(x - top) for x in terms))


def log_fact_factor(family, pressure, parameters, t, uses, bits, steps):
    with mpmath.workdps(DIGITS):
        return float(log_sum(log_terms(family, pressure, parameters, t, uses, bits, steps)))


def equal_facts(family, pressure, parameters, t, bits, steps, count):
    """The same for `count` equal facts, by the binomial theorem: exact for any number of them."""
    # The derived steps are few beside t at times; the digits must see them in the difference.
    with mpmath.workdps(60):
        added = added_penalty(family, pressure, parameters, t)
        store = exact(pressure) * mpmath.log(2) * exact(bits)
        terms = [
            mpmath.log(mpmath.binomial(count, k)) - k * store - added((count - k) * exact(steps))
            for k in range(count + 1)
        ]
        return float(log_sum(terms))


def log_terms_at_once(family, pressure, parameters, t, uses, bits, steps):
    """(stored (2^n, n), log weight (2^n,)) in long doubles: quick enough for 14 facts.

    log1p and expm1 stand for the differences of penalties, so nothing cancels.
    """
    wide = np.longdouble
    n = len(bits)
    stored = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(bool)
    cost = np.where(stored, np.array(bits, wide), 0).sum(axis=1)
    derived = wide(uses) * np.where(stored, 0, np.array(steps, wide)).sum(axis=1)
    nats = wide(pressure) * np.log(wide(2))
    if family == "linear":
        added = derived / wide(parameters["rate"])
    elif family == "levin":
        added = wide(parameters["kappa"]) * np.log1p(derived / wide(t)) / np.log(wide(2))
    else:
        root = 1 / wide(parameters["exponent"])
        whole = (wide(t) / wide(parameters["rate"])) ** root
        added = whole * np.expm1(root * np.log1p(derived / wide(t)))
    return stored, -nats * (cost + added)


def log_sum_at_once(*arguments):
    _, terms = log_terms_at_once(*arguments)
    top = terms.max()
    return float(top + np.log(np.exp(terms - top).sum()))
