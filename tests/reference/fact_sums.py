"""Slow twin of the fact sum kernels: the same operations in the same order, one float at a time.

Read with ``_ext/fact_terms.pxd``, ``_ext/levin_rows.pxd``, ``_ext/power_rows.pxd`` and
``_ext/fact_sums.pyx``. Only ``math`` is used: NumPy's ``exp`` rounds differently in some places.
"""

import math
from dataclasses import dataclass
from math import cos, cosh, expm1, inf, ldexp, log1p, sin, sinh, sqrt

LN2 = 0.693147180559945309417232121458176568
PI = 3.141592653589793238462643383279502884
TWO_PI = 6.283185307179586476925286766559005768
EPS = 2.220446049250313e-16


def exp(x):
    """C's exp: inf where Python's raises."""
    try:
        return math.exp(x)
    except OverflowError:
        return inf


def log(x):
    """C's log: -inf at 0."""
    return math.log(x) if x > 0.0 else -inf


# --- fact_terms.pxd ---


def fact_costs(pressure, bits):
    return [pressure * LN2 * b for b in bits]


def compensated(terms):
    value = carry = 0.0
    for term in terms:
        new = value + term
        if abs(value) >= abs(term):
            carry += (value - new) + term
        else:
            carry += (term - new) + value
        value = new
    return value + carry


def log_all_free(cost):
    return compensated(log1p(exp(-c)) for c in cost)


def time_exponent(t, steps):
    return math.frexp(max([t, *steps]))[1]


def scale_steps(uses, steps, exponent):
    step = [uses * ldexp(s, -exponent) for s in steps]
    spread = 0.0
    for s in step:
        spread += s
    return step, spread


def flush(product, total, first):
    for k in range(first, len(product)):
        total[k] += log(product[k])
        product[k] = 1.0


def joint_peak(weight, total):
    return max(w + t for w, t in zip(weight, total, strict=True))


def joint_sum(weight, total, peak):
    value = 0.0
    for w, t in zip(weight, total, strict=True):
        term = w + t - peak
        if term > -50.0:
            value += exp(term)
    return value


def weight_sum(weight, peak):
    return joint_sum(weight, [0.0] * len(weight), peak)


def left_reach(x):
    return sqrt(2.0 * x) if x < 1.0 else log(1.0 + x + 2.0 * log1p(x))


def right_reach(x):
    return sqrt(2.0 * x) + x if x < 0.5 else 1.0 + x


# --- levin_rows.pxd ---

LEAST_POWER = 1e-300
SHORTEST = 1e-290


@dataclass
class Grid:
    a: float
    h: float
    base: float
    bound: float
    per_octave: int
    octaves: int
    taylor_octaves: int
    lump: bool

    @property
    def rows(self):
        return 1 + self.per_octave * self.octaves


def log_error_bound(a, h):
    slope = TWO_PI / (h * a)
    return LN2 + 0.5 * a * log1p(slope * slope) - TWO_PI * math.atan(slope) / h


def levin_grid(a, t_low, t_high):
    x = 45.0 / a
    left = log(a / t_high) - right_reach(x)
    right = log(a / max(t_low, SHORTEST)) + left_reach(x)
    lowest = -57.0 * LN2 - log(t_high)
    lump = lowest >= left
    if lump:
        left = lowest
    per_octave = int(max(3.0, math.floor(0.8 * sqrt(a))))
    log_bound = log_error_bound(a, LN2 / per_octave)
    while log_bound > -37.0:
        per_octave += 1
        log_bound = log_error_bound(a, LN2 / per_octave)
    octaves = math.floor((right - left) / LN2) + 2
    taylor_octaves = int(max(0.0, math.floor((-13.0 * LN2 - log(t_high) - left) / LN2)))
    return Grid(
        a, LN2 / per_octave, exp(left), exp(log_bound), per_octave, octaves, taylor_octaves, lump
    )


def rates(grid):
    m = grid.per_octave
    rate = [0.0] * grid.rows
    for r in range(m):
        value = grid.base * exp(r * grid.h)
        for q in range(grid.octaves):
            rate[1 + q * m + r] = value
            value *= 2.0
    return rate


def multiply_fact(m, stored, derived, step, rate, product, first):
    for r in range(m):
        # The kernel runs three chains at a time and asks the first of them when to change over.
        q, lead = first + r, r % 3
        if q < len(rate) and rate[q - lead] * step < 0.25:
            value = expm1(-rate[q] * step)
        while q < len(rate) and rate[q - lead] * step < 0.25:
            product[q] *= 1.0 + derived * value
            value *= value + 2.0
            q += m
        if q < len(rate):
            value = exp(-rate[q] * step)
        while q < len(rate):
            product[q] *= stored + derived * value
            value *= value
            q += m


def add_dear_fact(cost, step, rate, total, first):
    for k in range(first, len(rate)):
        x = rate[k] * step
        if x < cost:
            total[k] += -x + log1p(exp(x - cost))
        else:
            total[k] += -cost + log1p(exp(cost - x))


def taylor_products(cost, step, rate, total, first):
    mean = var = skew = 0.0
    for c, s in zip(cost, step, strict=True):
        p = 1.0 / (1.0 + exp(-c))
        mean += p * s
        var += p * (1.0 - p) * s * s
        skew += p * (1.0 - p) * (1.0 - 2.0 * p) * s * s * s
    second = var + mean * mean
    third = skew + 3.0 * mean * var + mean * mean * mean
    for k in range(first):
        x = rate[k]
        total[k] = log1p(-x * (mean - 0.5 * x * (second - x * third / 3.0)))


def levin_products(grid, cost, step):
    rate = rates(grid)
    first = 1 + grid.per_octave * grid.taylor_octaves
    total, product = [0.0] * len(rate), [1.0] * len(rate)
    room = 0.0
    taylor_products(cost, step, rate, total, first)
    for c, tau in zip(cost, step, strict=True):
        s = exp(-c)
        if c > 450.0:
            add_dear_fact(c, tau, rate, total, first)
            continue
        room += c + LN2
        if room > 600.0:
            flush(product, total, first)
            room = c + LN2
        multiply_fact(grid.per_octave, s / (1.0 + s), 1.0 / (1.0 + s), tau, rate, product, first)
    flush(product, total, first)
    return log_all_free(cost), rate, total


def levin_log_weights(grid, t, rate):
    origin, scale = log(grid.base * t / grid.a), t / grid.a
    weight = [-inf] * len(rate)
    if grid.lump:
        weight[0] = grid.a * (origin + 1.0) - log(expm1(grid.a * grid.h))
    for k in range(1, len(rate)):
        weight[k] = grid.a * ((origin + (k - 1) * grid.h) - (rate[k] * scale - 1.0))
    return weight, max(weight)


# --- power_rows.pxd ---

SINE_SERIES = (
    0.16666666666666669,
    0.005555555555555557,
    0.00035273368606701953,
    2.6455026455026466e-05,
    2.137779915557694e-06,
    1.803670234005332e-07,
    1.5661391322766993e-08,
    1.3884130493737307e-09,
    1.2504359176005007e-10,
    1.1402575602296098e-11,
    1.0502923908637565e-12,
    9.754877841593711e-14,
    9.123468230859108e-15,
    8.583719761895619e-16,
    8.117318009727799e-17,
    7.710527514116281e-18,
    7.352844932712011e-19,
    7.036101210390663e-20,
    6.753847290217454e-21,
    6.50092411503433e-22,
    6.273155486703296e-23,
    6.067124691266818e-24,
    5.880009395889208e-25,
    5.709457821604077e-26,
    5.5534946346328976e-27,
    5.4104485551190105e-28,
    5.278896052835737e-29,
    5.1576171081253234e-30,
    5.045560125771867e-31,
    4.941813866123952e-32,
)
LEAST_PENALTY = 8.673617379884035e-19
STEP, BEND, GROWTH, ONSET = 0.3, 1.0 / 3.0, 2.0, 2.0
BODY_STEP, TAIL_STEP = 0.15, 0.1
BODY_ROWS, TAIL_ROWS = 512, 8192


@dataclass
class Window:
    alpha: float
    excess: float
    omega: float
    peak: float
    log_peak: float
    slope: float
    h: float
    root: float
    far: bool
    start: float = 0.0
    left: float = 0.0
    right: float = 0.0
    size: float = 0.0


def power_steps(pressure, gamma, alpha, t, uses, steps):
    penalty = pressure * LN2 * math.pow(t / gamma, 1.0 / alpha)
    if penalty < LEAST_PENALTY:
        penalty = LEAST_PENALTY
        t = gamma * math.pow(penalty / (pressure * LN2), alpha)
    return min(penalty, 1e300), [min(uses * s / t, 1e300) for s in steps]


def nearly_linear(alpha, penalty):
    return alpha == 1.0 or penalty > 1e24


def exp_excess(x):
    if abs(x) > 0.25:
        return expm1(x) - x
    value = 1.0
    for k in range(13, 2, -1):
        value = 1.0 + value * x / k
    return 0.5 * x * x * value


def tilt(window, delta):
    return -window.peak * (exp_excess(-delta) + exp_excess(window.excess * delta) / window.excess)


def log_product(rate, cost, step):
    value, product = 0.0, 1.0
    for c, s in zip(cost, step, strict=True):
        x = rate * s
        low = min(x, c)
        if low > 500.0:
            value += log1p(exp(low - max(x, c))) - low
            continue
        product *= exp(-c) + exp(-x)
        if product < 1e-80 or product > 1e80:
            value += log(product)
            product = 1.0
    return value + log(product)


def power_window(alpha, penalty, cost, step):
    excess = alpha - 1.0
    omega = excess / alpha
    peak = penalty * omega
    scale = max(1.0, excess)
    root = sqrt(alpha * peak) / scale
    window = Window(
        alpha, excess, omega, peak, log(peak), penalty / alpha, STEP / scale, root,
        root > 40.0 / BEND,
    )  # fmt: skip
    window.start = -root if window.far else min(0.0, -log(expm1(BEND * root)) / BEND)
    free = log_product(0.0, cost, step)
    best = log_product(window.slope, cost, step)
    k = 1
    while free - best > 100.0:
        delta = -1.4 * k
        if tilt(window, delta) + free < best:
            break
        rate = window.slope * exp(excess * delta)
        best = max(best, tilt(window, delta) + log_product(rate, cost, step))
        k += 1
    window.size = free - best
    window.left = -left_reach((45.0 + free - best) / peak)
    window.right = min(right_reach(45.0 / peak), left_reach(45.0 * excess / peak) / excess)
    return window


def far_node(window, k):
    return 2.0 * window.h / (window.root - k * window.h), -2.0 * log1p(-k * window.h / window.root)


def bent_node(window, eta):
    growth, slope = GROWTH * window.excess, 1.0
    xi = eta
    if growth < 1.0:
        gain = growth * exp(eta - ONSET)
        xi += log1p(gain) / growth
        slope += gain / (1.0 + gain) / growth
    if BEND * xi > 30.0:
        delta = 2.0 * (BEND * xi + log(BEND) + log(window.root))
        ratio = BEND
    else:
        root = -xi if BEND * xi < -40.0 else log1p(exp(-BEND * xi)) / BEND
        delta = -2.0 * (log(root) - log(window.root))
        ratio = 1.0 / ((1.0 + exp(BEND * xi)) * root)
    return 2.0 * window.h * ratio * slope, delta


def power_node(window, k):
    if not window.far:
        return bent_node(window, window.start + k * window.h)
    if window.root - k * window.h < 20.0 / BEND:
        return 0.0, 0.0
    return far_node(window, k)


def power_nodes(window):
    first = 0
    while True:
        width, d = power_node(window, first)
        if not (width > 0.0 and d > window.left):
            break
        first -= 1
    deltas, spacing, k = [], [], first
    while True:
        width, d = power_node(window, k)
        if width == 0.0:
            return deltas, spacing
        deltas.append(d)
        spacing.append(width)
        k += 1
        if d > window.right:
            return deltas, spacing


def zolotarev_series(omega):
    rho, series = 1.0 - omega, []
    geometric = power = other = 1.0
    for s in SINE_SERIES:
        power *= rho
        geometric += power
        power *= rho
        geometric += power
        other *= omega * omega
        series.append(s * (geometric - other))
    return series


def zolotarev(u, omega, series):
    rho = 1.0 - omega
    if u < 1.6:
        x, value, slope = u * u, 0.0, 0.0
        for k in range(29, -1, -1):
            value = value * x + series[k]
            slope = slope * x + (2 * k + 2) * series[k]
        return value * x, slope * u
    shift = omega * u
    sin_u, sin_shift = sin(u), sin(shift)
    rest = -2.0 * sin(0.5 * shift) * sin(0.5 * shift) - sin_shift * cos(u) / sin_u
    slope = (
        rho * (sin_shift / omega - sin_u * cos(rho * u)) / (sin_u * (1.0 + rest) * sin_u)
        + omega * cos(shift) / sin_shift
        - cos(u) / sin_u
    )
    value = (rho / omega) * (log1p(rest) - log1p(-omega)) + log(sin_shift / shift) + log(u / sin_u)
    return value, slope


def body_rule(omega, least, most):
    zero, u = 1.0 / sqrt(most), 0.0
    count = int(min(BODY_ROWS - 1, math.asinh(6.3 / (sqrt(least) * zero)) / BODY_STEP + 1.0))
    series = zolotarev_series(omega)
    step = zero * sqrt(2.0 / (1.0 - omega)) * BODY_STEP
    square, weight = [0.0], [0.5 * step / PI]
    for i in range(1, count + 1):
        zeta = zero * sinh(i * BODY_STEP)
        target = log1p(zeta * zeta)
        u = u + step if u + step < PI else 0.5 * (u + PI)
        for _ in range(40):
            value, slope = zolotarev(u, omega, series)
            new = u - (value - target) / slope
            if new >= PI:
                new = 0.5 * (u + PI)
            moved = abs(new - u)
            u = new
            if moved <= 1e-9 * u:
                break
        _, slope = zolotarev(u, omega, series)
        step = BODY_STEP * 2.0 * zeta * zero * cosh(i * BODY_STEP) / ((1.0 + zeta * zeta) * slope)
        square.append(zeta * zeta)
        weight.append((1.0 + zeta * zeta) * step / PI)
    return square, weight


def log_body(e, square, weight):
    value = 0.0
    for s, w in zip(square, weight, strict=True):
        if e * s > 40.0:
            break
        value += w * exp(-e * s)
    return log(value)


def tail_rule(alpha, omega, farthest):
    step, sin_pi = TAIL_STEP * min(1.0, 2.0 / alpha), sin(PI * omega)
    low = -44.0 / (alpha + 1.0) - farthest
    cosine, half = cos(PI * omega), sin(0.5 * PI * omega)
    rule = []
    for i in range(int(min(TAIL_ROWS, (3.4 - low) / step))):
        s = 3.4 - i * step
        log_x = alpha * (s + log(PI / sin_pi))
        drop = expm1(-omega * log_x) * cosine - 2.0 * half * half
        rule.append((exp(log_x), sin(PI * exp(s)), drop))
    return rule


def log_tail(log_rate, alpha, rule):
    value, gain, step = 0.0, expm1(log_rate), TAIL_STEP * min(1.0, 2.0 / alpha)
    for x, sine, drop in rule:
        exponent = x * (gain - drop)
        if exponent > 50.0:
            continue
        term = x * sine * exp(-exponent)
        value += term
        if exponent < 0.5 and abs(term) < 1e-17 * value:
            break
    return log((alpha - 1.0) * alpha * step / PI * value) + log_rate


def power_rows(window):
    return fill_power_rows(window, *power_nodes(window))


def fill_power_rows(window, deltas, spacing):
    excess, omega, alpha = window.excess, window.omega, window.alpha
    log_origin = log(omega) + log1p(-omega) / excess
    most = max(0.5, exp(window.log_peak - deltas[0]))
    least = max(0.5, exp(window.log_peak - deltas[-1]))
    square, body = body_rule(omega, least, most)
    w = log_origin - window.log_peak + deltas[-1]
    farthest = max(log(max(1.0, w - log(omega))), excess * w / alpha - log(sin(PI * omega) / PI))
    tail = tail_rule(alpha, omega, farthest)
    rate, weight = [], []
    for delta, width in zip(deltas, spacing, strict=True):
        log_e = window.log_peak - delta
        e = exp(log_e)
        if e >= 0.5:
            value = log_e + log_body(e, square, body)
        else:
            value = e + log_tail(excess * (log_origin - log_e), alpha, tail)
        weight.append(value + (tilt(window, delta) + log(width)))
        rate.append(window.slope * exp(excess * delta))
    return rate, weight


# --- fact_sums.pyx: (log factor, error) of one draw and structure ---


def linear_sum(slope, cost, steps, uses):
    terms, size = [], 1.0
    for c, s in zip(cost, steps, strict=True):
        x = slope * (uses * s)
        low = min(x, c)
        terms.append(log1p(exp(low - max(x, c))) - low)
        size += 1.0 + low
    return compensated(terms), 4.0 * EPS * size


def levin_sums(pressure, kappa, times, uses, bits, steps):
    """All structures of one group: `times` are theirs, `uses` is common to them."""
    a, n = pressure * kappa, len(bits)
    cost = fact_costs(pressure, bits)
    exponent = time_exponent(max(times), steps)
    step, spread = scale_steps(uses, steps, exponent)
    if a < LEAST_POWER or spread == 0.0:
        free = log_all_free(cost)
        return [(free, 4.0 * EPS * (n + abs(free)))] * len(times)
    grid = levin_grid(a, ldexp(min(times), -exponent), ldexp(max(times), -exponent) + spread)
    free, rate, total = levin_products(grid, cost, step)
    out = []
    for t in times:
        scaled = ldexp(t, -exponent)
        weight, top = levin_log_weights(grid, scaled, rate)
        peak = joint_peak(weight, total)
        value = free + (
            (peak - top) + log(joint_sum(weight, total, peak)) - log(weight_sum(weight, top))
        )
        error = 2.0 * grid.bound + EPS * (
            16.0 + 2.0 * n + 4.0 * a * (1.0 + log1p(spread / scaled)) + 4.0 * abs(value)
        )
        out.append((value, error))
    return out


def power_sum(pressure, gamma, alpha, t, uses, bits, steps):
    cost = fact_costs(pressure, bits)
    penalty, step = power_steps(pressure, gamma, alpha, t, uses, steps)
    if nearly_linear(alpha, penalty):
        return linear_sum(penalty / alpha, cost, step, 1.0)
    window = power_window(alpha, penalty, cost, step)
    rate, weight = power_rows(window)
    total = [log_product(r, cost, step) for r in rate]
    top, peak = max(weight), joint_peak(weight, total)
    norm = top + log(weight_sum(weight, top))
    value = peak + log(joint_sum(weight, total, peak)) - norm
    return value, 4.0 * abs(norm) + EPS * (
        32.0 + 2.0 * len(bits) + 8.0 * (window.size + abs(value))
    )


def log_fact_factor(family, *, pressure, parameters, steps, uses, fact_bits, fact_steps):
    """(log_factor, error), nested lists (N, S), from nested lists or arrays of floats."""
    values = []
    for i, beta in enumerate(pressure):
        p = {name: float(x[i]) for name, x in parameters.items()}
        bits, taus = [float(b) for b in fact_bits[i]], [float(s) for s in fact_steps[i]]
        times, v = [float(t) for t in steps[i]], [float(u) for u in uses]
        row = [None] * len(times)
        if family == "levin":
            for u in sorted(set(v)):
                group = [s for s in range(len(times)) if v[s] == u]
                sums = levin_sums(beta, p["kappa"], [times[s] for s in group], u, bits, taus)
                for s, value in zip(group, sums, strict=True):
                    row[s] = value
        for s in range(len(times)):
            if family == "linear":
                row[s] = linear_sum(beta * LN2 / p["rate"], fact_costs(beta, bits), taus, v[s])
            elif family == "power":
                row[s] = power_sum(beta, p["rate"], p["exponent"], times[s], v[s], bits, taus)
        values.append(row)
    return [[x for x, _ in row] for row in values], [[e for _, e in row] for row in values]
