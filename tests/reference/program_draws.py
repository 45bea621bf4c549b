"""Slow twin of ``_ext/program_draws.pyx``: the same programs from the same generator state."""

from bisect import bisect_left
from math import ldexp

from reference.fact_sums import (
    LEAST_POWER,
    LN2,
    exp,
    fact_costs,
    joint_peak,
    levin_grid,
    levin_log_weights,
    levin_products,
    log_product,
    nearly_linear,
    power_rows,
    power_steps,
    power_window,
    scale_steps,
    time_exponent,
)

WORD = 2**64


def shares(weight, total):
    peak = joint_peak(weight, total)
    return [exp(w + t - peak) for w, t in zip(weight, total, strict=True)]


def structure_rows(family, pressure, p, t, uses, cost, steps):
    """Rates, shares and scaled steps of one structure's rows."""
    if family == "linear":
        return [pressure * LN2 / p["rate"]], [1.0], scale_steps(uses, steps, 0)[0]
    if family == "levin":
        a, exponent = pressure * p["kappa"], time_exponent(t, steps)
        step, spread = scale_steps(uses, steps, exponent)
        scaled = ldexp(t, -exponent)
        if a < LEAST_POWER or spread == 0.0:
            return [0.0], [1.0], step
        grid = levin_grid(a, scaled, scaled + spread)
        _, rate, total = levin_products(grid, cost, step)
        return rate, shares(levin_log_weights(grid, scaled, rate)[0], total), step
    penalty, step = power_steps(pressure, p["rate"], p["exponent"], t, uses, steps)
    if nearly_linear(p["exponent"], penalty):
        return [penalty / p["exponent"]], [1.0], step
    rate, weight = power_rows(power_window(p["exponent"], penalty, cost, step))
    return rate, shares(weight, [log_product(r, cost, step) for r in rate]), step


def uniform(rng):
    return float(int(rng.random_raw()) >> 11) * (1.0 / 9007199254740992.0)


def running(share):
    reached, sums = 0.0, []
    for x in share:
        reached += x
        sums.append(reached)
    return sums


def pick(u, share):
    sums = running(share)
    last = 0
    for k, x in enumerate(share):
        if x > 0.0:
            last = k
            if u * sums[-1] < sums[k]:
                break
    return last


def threshold(cost, x):
    return min(int(18446744073709551616.0 / (1.0 + exp(cost - x))), WORD - 1)


def draw_facts(rng, thresholds):
    lanes = []
    for _ in range(0, len(thresholds), 4):
        word = int(rng.random_raw())
        lanes += [word >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
    stored = []
    for lane, t in zip(lanes, thresholds, strict=False):
        top = t >> 48
        if lane == top:
            stored.append(int(rng.random_raw()) >> 16 < t % 2**48)
        else:
            stored.append(lane < top)
    return stored


def draw_programs(
    rng, *, family, mass, pressure, parameters, steps, uses, fact_bits, fact_steps, num_draws=None
):
    """(structure, stored) as lists; see `bayes_mesa.costing.fact_sums.draw_programs`."""

    def rows(i, s):
        p = {name: float(x[i]) for name, x in parameters.items()}
        cost = fact_costs(float(pressure[i]), [float(b) for b in fact_bits[i]])
        taus = [float(x) for x in fact_steps[i]]
        args = family, float(pressure[i]), p, float(steps[i][s]), float(uses[s]), cost, taus
        rate, share, step = structure_rows(*args)
        limits = [[threshold(c, r * x) for c, x in zip(cost, step, strict=True)] for r in rate]
        return share, limits

    if num_draws is not None:
        return draw_fixed(rng, mass[0], rows, len(fact_bits[0]), num_draws)
    structure, stored = [], []
    for i, shares_of in enumerate(mass):
        n = len(fact_bits[i])
        if shares_of[0] != shares_of[0]:
            structure.append(-1)
            stored.append([False] * n)
            continue
        s = pick(uniform(rng), [float(x) for x in shares_of])
        structure.append(s)
        if n == 0:
            stored.append([])
            continue
        share, limits = rows(i, s)
        k = pick(uniform(rng), share) if len(share) > 1 else 0
        stored.append(draw_facts(rng, limits[k]))
    return structure, stored


def draw_fixed(rng, mass, rows, n, num_draws):
    structures, table, weights = [], [], []
    for s, m in enumerate(mass):
        if not m > 0.0:
            continue
        share, limits = rows(0, s) if n else ([1.0], [[]])
        factor = float(m) / running(share)[-1]
        for x, row in zip(share, limits, strict=True):
            if x * factor > 2.0**-64:
                structures.append(s)
                table.append(row)
                weights.append(x * factor)
    sums = running(weights)
    cumulative = [min(int(x / sums[-1] * 18446744073709551616.0), WORD - 1) for x in sums]
    cumulative[-1] = WORD - 1
    structure, stored = [], []
    for _ in range(num_draws):
        row = bisect_left(cumulative, int(rng.random_raw()))
        structure.append(structures[row])
        stored.append(draw_facts(rng, table[row]))
    return structure, stored
