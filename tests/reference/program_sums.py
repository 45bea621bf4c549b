"""Slow twin of the sums and draws over a grammar's programs: one float at a time.

Read with ``_ext/inside_terms.pxd``, ``_ext/program_rows.pxd``, ``_ext/case_sums.pxd`` and
``_ext/tree_draws.pyx``. Costs of terms, roots and cases come from `Inputs`, as for the kernels.
"""

import ctypes
import ctypes.util
from bisect import bisect_left
from dataclasses import dataclass, field
from math import expm1, inf, log1p, sqrt

import numpy as np
from reference.fact_sums import (
    BEND,
    EPS,
    LEAST_POWER,
    PI,
    STEP,
    Window,
    bent_node,
    exp,
    far_node,
    fill_power_rows,
    log,
    log_all_free,
    log_error_bound,
    log_product,
    nearly_linear,
    tilt,
)
from reference.program_draws import WORD, draw_facts, running, threshold

from bayes_mesa.grammars.program_inputs import Inputs, Plan

# C's own: Python's lgamma rounds differently.
lgamma = ctypes.CDLL(ctypes.util.find_library("m")).lgamma
lgamma.restype, lgamma.argtypes = ctypes.c_double, [ctypes.c_double]

CUT, CONVERGED, MAX_STEPS = 42.0, 1e-9, 100
CLASS_FAR, ALL_FAR, LAST_NODE = 1e12, 1e15, 1 << 50
CLASSES = range(3)


@dataclass
class Equations:
    target: list
    args: list
    block: list
    kind: list
    cases: list
    roots: list
    root_class: list
    full: int
    num_states: int


@dataclass
class Theta:
    family: int
    cost: list
    step: list
    root_cost: list
    root_step: list
    log_case: list
    order: list
    first: float
    second: float
    shared: float
    added: float
    fact_cost: list
    fact_step: list


@dataclass
class Solution:
    best: list
    steps: list
    scaled: list
    error: list


# --- inside_terms.pxd ---


def blocks_of(eq, which):
    """Terms that are alive, block by block."""
    terms = eq.cases[which]
    i = 0
    while i < len(terms):
        j = i
        while j < len(terms) and eq.block[eq.target[terms[j]]] == eq.block[eq.target[terms[i]]]:
            j += 1
        yield eq.kind[eq.block[eq.target[terms[i]]]], terms[i:j]
        i = j


def best_trees(eq, th, which, weight, rate, s):
    s.best[:] = [-inf] * eq.num_states
    for kind, terms in blocks_of(eq, which):
        grown = True
        while grown:
            grown = False
            for t in terms:
                value = -(weight * th.cost[t] + rate * th.step[t])
                for a in eq.args[t]:
                    value += s.best[a]
                if value > s.best[eq.target[t]]:
                    steps = th.step[t]
                    for a in eq.args[t]:
                        steps += s.steps[a]
                    s.best[eq.target[t]], s.steps[eq.target[t]] = value, steps
                    grown = True
            if kind == 0:
                break


def factorise(m):
    n = len(m)
    for k in range(n):
        if not m[k][k] > 0.0:
            return False
        for i in range(k + 1, n):
            if m[i][k] != 0.0:
                factor = m[i][k] / m[k][k]
                m[i][k] = factor
                for j in range(k + 1, n):
                    m[i][j] -= factor * m[k][j]
    return True


def substitute(m, right):
    n = len(m)
    for i in range(n):
        for j in range(i):
            right[i] -= m[i][j] * right[j]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            right[i] -= m[i][j] * right[j]
        right[i] /= m[i][i]


@dataclass
class Open:
    """A block's terms: row, coefficient, arguments inside, relative doubt."""

    terms: list = field(default_factory=list)
    states: list = field(default_factory=list)


def open_block(eq, th, rate, terms, s):
    found = Open(states=list(dict.fromkeys(eq.target[t] for t in terms)))
    place = {state: k for k, state in enumerate(found.states)}
    for t in terms:
        weight = -(th.cost[t] + rate * th.step[t])
        size = s.best[eq.target[t]] - weight
        weight -= s.best[eq.target[t]]
        outside, doubt, inner = 1.0, 0.0, []
        for a in eq.args[t]:
            weight += s.best[a]
            size -= s.best[a]
            if eq.block[a] == eq.block[eq.target[t]]:
                inner.append(place[a])
            else:
                outside *= s.scaled[a]
                doubt += s.error[a]
        doubt += EPS * (8.0 + 4.0 * abs(size))
        found.terms.append((place[eq.target[t]], exp(weight) * outside, inner, doubt))
    return found


def value_of(c, inner, x):
    for k in inner:
        c *= x[k]
    return c


def evaluate(opened, x):
    n = len(x)
    value = [0.0] * n
    matrix = [[float(i == j) for j in range(n)] for i in range(n)]
    for row, c, inner, _ in opened.terms:
        value[row] += value_of(c, inner, x)
        for m in reversed(range(len(inner))) if len(inner) == 2 else range(len(inner)):
            others = inner[:m] + inner[m + 1 :]
            matrix[row][inner[m]] -= value_of(c, others, x)
    return value, matrix


def newton(opened, linear, x):
    for _ in range(MAX_STEPS):
        value, matrix = evaluate(opened, x)
        if not factorise(matrix):
            return None
        right = [v - a for v, a in zip(value, x, strict=True)]
        substitute(matrix, right)
        worst = 0.0
        for i, step in enumerate(right):
            x[i] += step
            if not (x[i] > 0.0 and x[i] < 1e290):
                return None
            worst = max(worst, abs(step) / x[i])
        if linear or worst <= CONVERGED:
            return matrix
    return None


def add_doubts(opened, x, out):
    for row, c, inner, doubt in opened.terms:
        out[row] += value_of(c * doubt, inner, x)


def certify(opened, x, matrix):
    right, f, holds = [0.0] * len(x), 2.0, False
    add_doubts(opened, x, right)
    substitute(matrix, right)
    for _ in range(12):
        y = [a + f * d for a, d in zip(x, right, strict=True)]
        value, _ = evaluate(opened, y)
        add_doubts(opened, y, value)
        holds = all(v <= b for v, b in zip(value, y, strict=True))
        if holds:
            break
        f *= 8.0
    return [f * d / a if holds else inf for a, d in zip(x, right, strict=True)]


def solve_case(eq, th, which, rate, warm, s):
    best_trees(eq, th, which, 1.0, rate, s)
    for kind, terms in blocks_of(eq, which):
        opened = open_block(eq, th, rate, terms, s)
        if kind == 0:
            value = doubt = 0.0
            for _, c, _, d in opened.terms:
                value += c
                doubt += c * d
            x, error = [value], [doubt / value]
        else:
            x = [s.scaled[k] if warm else 1.0 for k in opened.states]
            matrix = newton(opened, kind == 1, x)
            if matrix is None and warm:
                x = [1.0] * len(x)
                matrix = newton(opened, kind == 1, x)
            if matrix is None:
                return False
            error = certify(opened, x, matrix)
        for k, state in enumerate(opened.states):
            s.scaled[state], s.error[state] = x[k], error[k]
    return True


# --- program_rows.pxd ---


@dataclass
class Bounds:
    shared: float
    upper: list = field(default_factory=lambda: [-inf] * 3)
    lower: list = field(default_factory=lambda: [-inf] * 3)
    shortest: list = field(default_factory=lambda: [inf] * 3)
    slack: list = field(default_factory=lambda: [3.0] * 3)
    beyond: list = field(default_factory=lambda: [0.0] * 3)
    least: float = -inf
    slow: float = 0.0

    def classes(self):
        return [c for c in CLASSES if self.upper[c] != -inf]


def log_gamma_scale(a):
    if a < 16.0:
        return lgamma(a) + a - a * log(a)
    x = 1.0 / (a * a)
    series = x * (1.0 / 1260.0 - x * (1.0 / 1680.0 - x / 1188.0))
    return 0.5 * log(2.0 * PI / a) + (1.0 / 12.0 - x * (1.0 / 360.0 - series)) / a


def levin_nodes(a, bounds):
    """Rates, log weights, (rest, linear, h) of the lump or None, and the rule's bound."""
    low, high = 0.0, 0.6
    for _ in range(24):
        h = 0.5 * (low + high)
        if log_error_bound(a, h) > -32.0:
            high = h
        else:
            low = h
    h, norm, log_a = low, log_gamma_scale(a), log(a)
    left, right = inf, -inf
    for c in bounds.classes():
        y = bounds.upper[c] - norm - bounds.lower[c] + CUT
        left = min(left, log_a - 1.0 - y / a)
        y = log_a - log(bounds.shortest[c])
        while (
            a * (y - log_a + 1.0) - exp(y) * bounds.shortest[c] + bounds.upper[c] - norm
            > bounds.lower[c] - CUT
        ):
            y += 0.25
        right = max(right, y)
    lump = log(bounds.slow) > left
    if lump:
        left = log(bounds.slow)
    count = int(max(3.0, (right - left) / h + 1.0))
    y = [left + k * h for k in range(count)]
    rate = [exp(v) for v in y]
    weight = [
        a * (v - log_a + 1.0) - r * bounds.shared + log(h) - norm
        for v, r in zip(y, rate, strict=True)
    ]
    rest, linear = 1.0 / expm1(a * h), 1.0 / expm1((a + 1.0) * h)
    if lump:
        first = weight[0] + rate[0] * bounds.shared + log(rest - linear)
        weight[0] += log1p(linear)
        rate, weight = [0.0, *rate], [first, *weight]
    return rate, weight, (a, rest, linear, h) if lump else None, exp(log_error_bound(a, h))


def lump_error(lump, rows):
    a, rest, linear, h = lump
    free, first, second = rows[0] / (rest - linear), rows[1] / (1.0 + linear), rows[2] * exp(-a * h)
    return linear * abs((free - first) - (first - second) / expm1(h))


def program_window(alpha, penalty):
    excess = alpha - 1.0
    omega = excess / alpha
    peak, scale = penalty * omega, max(1.0, excess)
    root = sqrt(alpha * peak) / scale
    window = Window(
        alpha, excess, omega, peak, log(peak), penalty / alpha, STEP / scale, root,
        root > 40.0 / BEND,
    )  # fmt: skip
    window.start = -root if window.far else min(0.0, -log(expm1(BEND * root)) / BEND)
    return window


def program_node(window, k):
    if not window.far:
        return bent_node(window, window.start + k * window.h)
    root = window.root - k * window.h
    return far_node(window, k) if BEND * root > 36.0 else bent_node(window, -root)


def power_span(window, bounds):
    def free_bound(c, d):
        return (
            bounds.upper[c]
            - window.peak * expm1(-d)
            + window.slope * (1.0 - bounds.shortest[c] * exp(window.excess * d))
        )

    def reach_of(c, origin, low, reach):
        for _ in range(64):
            if not free_bound(c, origin + reach) > low:
                break
            reach *= 2.0
        return reach

    left, right = inf, -inf
    for c in bounds.classes():
        origin = -log(bounds.shortest[c]) / window.alpha
        low = max(bounds.lower[c], bounds.least) - CUT
        if not free_bound(c, origin) > low:
            continue
        left = min(left, origin + reach_of(c, origin, low, -1e-6))
        right = max(right, origin + reach_of(c, origin, low, 1e-6))
    return left, right


def chord_bound(window, left, right, low, high):
    first = window.slope * exp(window.excess * left)
    second = window.slope * exp(window.excess * right)
    d = right
    if second <= first:
        return tilt(window, min(max(0.0, left), right)) + max(low, high)
    b = (high - low) / (second - first)
    if b < 1.0:
        d = min(max(-log(1.0 - b) / window.alpha, left), right)
    return tilt(window, d) + low + b * (window.slope * exp(window.excess * d) - first)


# --- case_sums.pxd ---


def best_programs(eq, th, rate, s):
    value, steps, free = [-inf] * 3, [0.0] * 3, [inf] * 3
    for j, which in enumerate([eq.full, *th.order]):
        if j and which == eq.full:
            continue
        if j and not any(th.log_case[which] + free[c] > value[c] for c in CLASSES):
            break
        best_trees(eq, th, which, 1.0, rate, s)
        if j == 0:
            free = [-inf] * 3
        for q, state in enumerate(eq.roots):
            if s.best[state] == -inf:
                continue
            c = eq.root_class[q]
            found = s.best[state] - (th.root_cost[q] + rate * th.root_step[q])
            if j == 0:
                free[c] = max(free[c], found)
            found += th.log_case[which]
            if found > value[c]:
                value[c], steps[c] = found, s.steps[state] + th.root_step[q]
    return value, steps


def lost(th, beyond):
    more = beyond - th.added
    ratio = log1p(more) if more > -0.5 else log(th.shared + beyond)
    if th.family == 1:
        return th.first * ratio
    return th.first * expm1(ratio / th.second)


def look(eq, th, rate, bounds, s):
    facts = log_product(rate, th.fact_cost, th.fact_step)
    value, steps = best_programs(eq, th, rate, s)
    cost = derived = 0.0
    for c, x in zip(th.fact_cost, th.fact_step, strict=True):
        if c < rate * x:
            cost += c
        else:
            derived += x
    for c in CLASSES:
        if value[c] == -inf:
            continue
        beyond = steps[c] + derived
        found = value[c] + rate * steps[c] * (1.0 - 64.0 * EPS) - cost - lost(th, beyond)
        if found > bounds.lower[c]:
            bounds.lower[c], bounds.beyond[c] = found, beyond
        value[c] += rate * th.added + facts
    return value


def root_log(eq, th, rate, q, s):
    return s.best[eq.roots[q]] - (th.root_cost[q] + rate * th.root_step[q])


def free_sums(eq, th, rate, warm, s):
    if not solve_case(eq, th, eq.full, rate, warm, s):
        return None
    top, out = [-inf] * 3, [0.0] * 3
    for q, c in enumerate(eq.root_class):
        top[c] = max(top[c], root_log(eq, th, rate, q, s))
    for q, c in enumerate(eq.root_class):
        out[c] += exp(root_log(eq, th, rate, q, s) - top[c]) * s.scaled[eq.roots[q]]
    return [log(x) + t if x > 0.0 else -inf for x, t in zip(out, top, strict=True)]


def falls(eq, th, rate, bounds, s):
    facts = log_all_free(th.fact_cost) - log_product(rate, th.fact_cost, th.fact_step)
    found = free_sums(eq, th, rate, True, s)
    return [
        0.0 if v == -inf else u - v + facts + rate * th.shared
        for u, v in zip(bounds.upper, found, strict=True)
    ]


def find_bounds(eq, th, s):
    bounds = Bounds(th.shared)
    free = log_all_free(th.fact_cost)
    best_trees(eq, th, eq.full, 0.0, 1.0, s)
    for q, c in enumerate(eq.root_class):
        least = th.shared + th.root_step[q] - s.best[eq.roots[q]]
        bounds.shortest[c] = min(bounds.shortest[c], least)
    value = look(eq, th, 0.0, bounds, s)
    scale = max(
        [0.0, *(th.shared + x for x, v in zip(bounds.beyond, value, strict=True) if v > -inf)]
    )
    bounds.upper = free_sums(eq, th, 0.0, False, s)
    for q, c in enumerate(eq.root_class):
        bounds.slack[c] = max(bounds.slack[c], 3.0 + log(s.scaled[eq.roots[q]]))
    if th.family == 1 and scale > 0.0:
        limit = 0.3 * exp(-30.0 / (2.0 + th.first))
        bounds.slow = limit / scale
        for _ in range(60):
            half = falls(eq, th, 0.5 * bounds.slow, bounds, s)
            whole = falls(eq, th, bounds.slow, bounds, s)
            drop = max(0.0, *whole)
            bend = max(
                0.0, *(expm1(-w) - 2.0 * expm1(-v) for w, v in zip(whole, half, strict=True))
            )
            if drop <= limit and bend <= limit * limit + 1e-14:
                break
            bounds.slow *= max(0.5 * limit / drop, 1e-3) if drop > limit else 0.25
    bounds.upper = [u + free for u in bounds.upper]
    return bounds


def last_before(window, distance):
    low, high = -1, 1
    while low > -LAST_NODE and program_node(window, low)[1] >= distance:
        low *= 2
    while high < LAST_NODE and program_node(window, high)[1] < distance:
        high *= 2
    while high - low > 1:
        k = low + (high - low) // 2
        if program_node(window, k)[1] < distance:
            low = k
        else:
            high = k
    return low


def power_places(eq, th, window, bounds, s):
    def seen(k):
        d = program_node(window, k)[1]
        return look(eq, th, window.slope * exp(window.excess * d), bounds, s)

    look(eq, th, window.slope, bounds, s)
    top = max(bounds.lower)
    bounds.least = top - CLASS_FAR
    if not top > -ALL_FAR:
        return [], []
    left, right = power_span(window, bounds)
    begin, end = last_before(window, left), last_before(window, right) + 1
    last = begin - 1
    stack = [(begin, end, seen(begin), seen(end))]
    deltas, spacing = [], []
    while stack:
        begin, end, low, high = stack.pop()
        d, other = program_node(window, begin)[1], program_node(window, end)[1]
        if not any(
            low[c] > -inf
            and chord_bound(window, d, other, low[c], high[c])
            > max(bounds.lower[c], bounds.least) - CUT - bounds.slack[c]
            for c in CLASSES
        ):
            continue
        if end - begin <= 8:
            for k in range(max(begin, last + 1), end + 1):
                width, d = program_node(window, k)
                deltas.append(d)
                spacing.append(width)
                last = k
            continue
        k = begin + (end - begin) // 2
        middle = seen(k)
        stack += [(k, end, middle, high), (begin, k, low, middle)]
    return deltas, spacing


def make_rows(eq, th, s):
    """Rates, log weights, lump, bound, norms, and what is known of classes that rows miss."""
    norm, known, lump, bound = [0.0] * 3, [-inf] * 3, None, 0.0
    if th.family == 0:
        rate, weight = [th.first], [th.first * th.added]
    elif th.family == 1 and th.first < LEAST_POWER:
        rate, weight = [0.0], [0.0]
    elif th.family == 2 and nearly_linear(th.second, th.first):
        rate = [th.first / th.second]
        weight = [rate[0] * th.added]
    else:
        bounds = find_bounds(eq, th, s)
        if th.family == 1:
            rate, weight, lump, bound = levin_nodes(th.first, bounds)
        else:
            window = program_window(th.second, th.first)
            rate, weight = fill_power_rows(window, *power_places(eq, th, window, bounds, s))
            weight = [w + r * th.added for w, r in zip(weight, rate, strict=True)]
            for c in bounds.classes():
                shift, total = -lost(th, bounds.beyond[c]), 0.0
                for r, w in zip(rate, weight, strict=True):
                    total += exp(w - r * bounds.beyond[c] - shift)
                if not abs(total - 1.0) < 0.5:
                    known[c] = bounds.lower[c]
                else:
                    norm[c] = log(total)
    weight = [
        w + log_product(r, th.fact_cost, th.fact_step) for r, w in zip(rate, weight, strict=True)
    ]
    return rate, weight, lump, bound, norm, known


def sum_programs(eq, th):
    """(log weights, errors, entries (case, row, root, log weight), rates)."""
    s = Solution(*([0.0] * eq.num_states for _ in range(4)))
    rate, weight, lump, bound, norm, known = make_rows(eq, th, s)
    if th.family == 1:
        sizes = [th.first * (2.0 + abs(log(r))) if r > 0.0 else 0.0 for r in rate]
    else:
        sizes = [r * th.added for r in rate]
    floor, total, doubt = [-inf] * 3, [0.0] * 3, [0.0] * 3
    rows, entries = [[0.0] * 3 for _ in range(3)], []
    for r, w in zip(rate, weight, strict=True):
        best, _ = best_programs(eq, th, r, s)
        floor = [max(f, w + b) for f, b in zip(floor, best, strict=True)]
    upper = [None] * len(rate)

    def is_alive(k, which):
        return any(upper[k][c] + weight[k] + th.log_case[which] > floor[c] - CUT for c in CLASSES)

    def add_roots(k, which):
        for q, state in enumerate(eq.roots):
            if s.best[state] == -inf:
                continue
            c = eq.root_class[q]
            log_weight = root_log(eq, th, rate[k], q, s) + (weight[k] + th.log_case[which])
            term = exp(log_weight - floor[c]) * s.scaled[state]
            size = (
                abs(th.log_case[which]) + abs(weight[k]) + abs(s.best[state])
                + th.root_cost[q] + rate[k] * th.root_step[q] + sizes[k]
            )  # fmt: skip
            if term == 0.0:
                continue
            total[c] += term
            doubt[c] += term * (s.error[state] + 4.0 * EPS * (2.0 + size))
            if k < 3:
                rows[k][c] += term
            entries.append((which, k, q, log_weight + log(s.scaled[state])))

    for k in reversed(range(len(rate))):
        upper[k] = free_sums(eq, th, rate[k], k < len(rate) - 1, s)
        if is_alive(k, eq.full):
            add_roots(k, eq.full)
    for which in th.order:
        if which == eq.full:
            continue
        warm = False
        for k in reversed(range(len(rate))):
            if is_alive(k, which):
                solve_case(eq, th, which, rate[k], warm, s)
                warm = True
                add_roots(k, which)
        if not warm:
            break
    log_weight, error = [-inf] * 3, [0.0] * 3
    for c in CLASSES:
        if known[c] > -inf or not 0.0 < total[c] < inf:
            log_weight[c] = known[c] if known[c] > -inf else floor[c]
            error[c] = inf if log_weight[c] > -inf else 0.0
            continue
        missed = (2.0 + len(rate)) * len(eq.cases) * exp(-CUT)
        if lump is not None:
            missed += lump_error(lump, [r[c] for r in rows])
        log_weight[c] = floor[c] + log(total[c]) - norm[c]
        error[c] = (
            (doubt[c] + missed) / total[c] + bound + 4.0 * abs(norm[c])
            + 4.0 * EPS * abs(log_weight[c])
        )  # fmt: skip
    return log_weight, error, entries, rate


# --- the faces ---


def problem(model, family, theta, added):
    """The equations, and one Theta per draw."""
    plan = Plan.of(model)
    args, target, block, kind, start, term, roots, root_class, full = plan.arrays
    eq = Equations(
        target.tolist(), [[a for a in row if a >= 0] for row in args.tolist()], block.tolist(),
        kind.tolist(), [term[a:b].tolist() for a, b in zip(start[:-1], start[1:], strict=True)],
        roots.tolist(), root_class.tolist(), full, len(block),
    )  # fmt: skip
    number, *arrays, n = Inputs.of(model, plan, family, theta, added).arrays(slice(None))
    cost, step, root_cost, root_step, log_case, order, scalar, fact_cost, fact_step = arrays
    draws = [
        Theta(
            number, cost[i].tolist(), step[i].tolist(), root_cost[i].tolist(),
            root_step[i].tolist(), log_case[i].tolist(), order[i].tolist(), *scalar[i].tolist(),
            fact_cost[i, :n].tolist(), fact_step[i, :n].tolist(),
        )
        for i in range(len(cost))
    ]  # fmt: skip
    return eq, draws


def class_sums(model, family, theta, added=0.0):
    """(log_weight, error), each (N, 3)."""
    eq, draws = problem(model, family, theta, added)
    found = [sum_programs(eq, th)[:2] for th in draws]
    return [f[0] for f in found], [f[1] for f in found]


def term_shares(eq, th, which, rate, s):
    """Cumulative shares of every state's terms that are alive, and these terms."""
    value = {}
    for t in eq.cases[which]:
        log_term = -(th.cost[t] + rate * th.step[t]) - s.best[eq.target[t]]
        scaled = 1.0
        for a in eq.args[t]:
            log_term += s.best[a]
            scaled *= s.scaled[a]
        value[t] = exp(log_term) * scaled
    found = {}
    for state in {eq.target[t] for t in value}:
        terms = [t for t in value if eq.target[t] == state and value[t] > 0.0]
        sums = running([value[t] for t in terms])
        reached = [min(int(x / sums[-1] * 18446744073709551616.0), WORD - 1) for x in sums]
        found[state] = terms, [*reached[:-1], WORD - 1]
    return found


def draw_fixed(rng, model, family, theta, num_draws):
    """(codes, stored) at the one row of theta."""
    eq, (th,) = problem(model, family, theta, 0.0)
    _, _, entries, rate = sum_programs(eq, th)
    top = max(e[3] for e in entries)
    share = np.array([exp(e[3] - top) for e in entries])
    share /= share.sum()
    kept = [(e, float(x)) for e, x in zip(entries, share, strict=True) if x > 2.0**-64]
    sums = running([x for _, x in kept])
    cumulative = [min(int(x / sums[-1] * 18446744073709551616.0), WORD - 1) for x in sums]
    cumulative[-1] = WORD - 1
    rule = Plan.of(model).reduced.rule.tolist()
    codes, stored = [], []
    for _ in range(num_draws):
        which, k, q, _ = kept[bisect_left(cumulative, int(rng.random_raw()))][0]
        s = Solution(*([0.0] * eq.num_states for _ in range(4)))
        solve_case(eq, th, which, rate[k], False, s)
        shares = term_shares(eq, th, which, rate[k], s)
        code, pending = [], [eq.roots[q]]
        while pending:
            state = pending.pop()
            terms, reached = shares[state]
            t = terms[0]
            if eq.target.count(state) > 1:
                word = min(int(rng.random_raw()), WORD - 2)
                t = next(t for t, r in zip(terms, reached, strict=True) if word < r)
            if rule[t] >= 0:
                code.append(rule[t])
            pending += reversed(eq.args[t])
        codes.append(tuple(code))
        limits = [
            threshold(c, rate[k] * x) for c, x in zip(th.fact_cost, th.fact_step, strict=True)
        ]
        stored.append(draw_facts(rng, limits))
    return codes, stored
