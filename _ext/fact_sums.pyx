# Exact sums over all 2^n store-or-derive choices, for every draw and structure.
#
# Each family's e^(-penalty of t steps) is a mixture of linear rates; given the rate the facts are
# independent, so the sum is a one-dimensional sum of products (levin_rows.pxd and power_rows.pxd
# choose the rates). In Levin's family all structures that use their facts equally often share the
# products: only e^(-rate t) tells them apart.
#
# The caller owns every array; nothing is allocated inside the loops and the GIL is released.
# The slow twin is tests/reference/fact_sums.py: the same operations in the same order.

from libc.math cimport INFINITY, fabs, fmax, fmin, exp, ldexp, log, log1p

from fact_terms cimport (
    LN2, add, fact_costs, joint_peak, joint_sum, log_all_free, scale_steps, time_exponent,
    weight_sum,
)
from levin_rows cimport (
    LEAST_POWER, Grid, grid_rows, levin_grid, levin_log_weights, levin_products,
)

from power_rows cimport (
    TAIL_ROWS, Window, log_product, nearly_linear, power_nodes, power_rows, power_steps,
    power_window,
)

RULE_ROWS = 3 * TAIL_ROWS
cdef double EPS = 2.220446049250313e-16


cdef inline double linear_sum(double slope, const double* cost, const double* steps, double uses,
                              Py_ssize_t n, double* size) noexcept nogil:
    # sum_j log(e^-cost_j + e^-x_j); `size` gathers the terms for the estimate of rounding.
    cdef Py_ssize_t j
    cdef double value = 0.0, carry = 0.0, x, low
    size[0] = 1.0
    for j in range(n):
        x = slope * (uses * steps[j])
        low = fmin(x, cost[j])
        add(log1p(exp(low - fmax(x, cost[j]))) - low, &value, &carry)
        size[0] += 1.0 + low
    return value + carry


cdef inline Grid group_grid(
    double a, const double* t, const long long* group, Py_ssize_t num_structures, long long g,
    double uses, const double* steps, Py_ssize_t n, double* step, int* exponent, double* spread
) noexcept nogil:
    # One grid for all structures of a group; `step` receives the scaled times of the facts.
    cdef double low = 0.0, high = 0.0
    cdef Py_ssize_t s
    for s in range(num_structures):
        if group[s] == g:
            low = t[s] if low == 0.0 else fmin(low, t[s])
            high = fmax(high, t[s])
    exponent[0] = time_exponent(high, steps, n)
    spread[0] = scale_steps(uses, steps, n, exponent[0], step)
    return levin_grid(a, ldexp(low, -exponent[0]), ldexp(high, -exponent[0]) + spread[0])


def linear_factors(
    const double[::1] pressure, const double[::1] rate, const double[::1] uses,
    const double[:, ::1] bits, const double[:, ::1] steps, double[::1] cost,
    double[:, ::1] out, double[:, ::1] error
):
    """Fill `out` (N, S) with the log of the sum over fact choices, linear family."""
    cdef Py_ssize_t i, s, n = bits.shape[1]
    cdef double size = 0.0
    with nogil:
        for i in range(out.shape[0]):
            fact_costs(pressure[i], &bits[i, 0], n, &cost[0])
            for s in range(out.shape[1]):
                out[i, s] = linear_sum(
                    pressure[i] * LN2 / rate[i], &cost[0], &steps[i, 0], uses[s], n, &size
                )
                error[i, s] = 4.0 * EPS * size


def levin_rows_needed(
    const double[::1] pressure, const double[::1] kappa, const double[:, ::1] t,
    const long long[::1] group, const double[::1] group_uses, const double[:, ::1] steps,
    double[::1] step
):
    """Return the most rows that any draw needs: the size of the work arrays."""
    cdef Py_ssize_t i, g, n = steps.shape[1], most = 1
    cdef Grid grid
    cdef int exponent = 0
    cdef double spread = 0.0
    with nogil:
        for i in range(t.shape[0]):
            if pressure[i] * kappa[i] < LEAST_POWER:
                continue
            for g in range(group_uses.shape[0]):
                grid = group_grid(
                    pressure[i] * kappa[i], &t[i, 0], &group[0], t.shape[1], g, group_uses[g],
                    &steps[i, 0], n, &step[0], &exponent, &spread,
                )
                most = max(most, grid_rows(&grid))
    return most


def levin_factors(
    const double[::1] pressure, const double[::1] kappa, const double[:, ::1] t,
    const long long[::1] group, const double[::1] group_uses,
    const double[:, ::1] bits, const double[:, ::1] steps,
    double[::1] cost, double[::1] step, double[:, ::1] work,
    double[:, ::1] out, double[:, ::1] error
):
    """Fill `out` (N, S) with the log of the sum over fact choices, Levin's family.

    `work` is (4, rows) with as many rows as `levin_rows_needed` says.
    """
    cdef Py_ssize_t i, g, s, count, n = bits.shape[1]
    cdef Grid grid
    cdef int exponent = 0
    cdef double a, spread = 0.0, free, peak, top, scaled
    cdef double *rate = &work[0, 0]
    cdef double *total = &work[1, 0]
    cdef double *product = &work[2, 0]
    cdef double *weight = &work[3, 0]
    with nogil:
        for i in range(out.shape[0]):
            a = pressure[i] * kappa[i]
            fact_costs(pressure[i], &bits[i, 0], n, &cost[0])
            for g in range(group_uses.shape[0]):
                if a >= LEAST_POWER:
                    grid = group_grid(
                        a, &t[i, 0], &group[0], out.shape[1], g, group_uses[g], &steps[i, 0], n,
                        &step[0], &exponent, &spread,
                    )
                if a < LEAST_POWER or spread == 0.0:
                    free = log_all_free(&cost[0], n)
                    for s in range(out.shape[1]):
                        if group[s] == g:
                            out[i, s] = free
                            error[i, s] = 4.0 * EPS * (n + fabs(free))
                    continue
                count = grid_rows(&grid)
                free = levin_products(&grid, &cost[0], &step[0], n, rate, total, product, weight)
                for s in range(out.shape[1]):
                    if group[s] != g:
                        continue
                    scaled = ldexp(t[i, s], -exponent)
                    top = levin_log_weights(&grid, scaled, rate, weight)
                    peak = joint_peak(weight, total, count)
                    out[i, s] = free + (
                        (peak - top)
                        + log(joint_sum(weight, total, count, peak))
                        - log(weight_sum(weight, count, top))
                    )
                    error[i, s] = 2.0 * grid.bound + EPS * (
                        16.0 + 2.0 * n + 4.0 * a * (1.0 + log1p(spread / scaled))
                        + 4.0 * fabs(out[i, s])
                    )


def power_rows_needed(
    const double[::1] pressure, const double[::1] rate, const double[::1] exponent,
    const double[:, ::1] t, const double[::1] uses, const double[:, ::1] bits,
    const double[:, ::1] steps, double[::1] cost, double[::1] step
):
    """Return the most rows that any draw and structure needs: the size of the work arrays."""
    cdef Py_ssize_t i, s, n = bits.shape[1], most = 1
    cdef Window window
    cdef double penalty
    with nogil:
        for i in range(t.shape[0]):
            fact_costs(pressure[i], &bits[i, 0], n, &cost[0])
            for s in range(t.shape[1]):
                penalty = power_steps(
                    pressure[i], rate[i], exponent[i], t[i, s], uses[s], &steps[i, 0], n, &step[0]
                )
                if not nearly_linear(exponent[i], penalty):
                    window = power_window(exponent[i], penalty, &cost[0], &step[0], n)
                    most = max(most, power_nodes(&window, NULL, NULL))
    return most


cdef inline double power_sum(
    const Window* window, const double* cost, const double* step, Py_ssize_t n, double* rule,
    double* work, Py_ssize_t stride, double* error
) noexcept nogil:
    # log sum over choices; `error` receives how far the weights without facts are from 1.
    cdef double *rate = work
    cdef double *weight = work + stride
    cdef double *total = work + 2 * stride
    cdef Py_ssize_t count = power_rows(window, rule, total, work + 3 * stride, rate, weight), k
    cdef double top = -INFINITY, peak, norm
    for k in range(count):
        top = fmax(top, weight[k])
        total[k] = log_product(rate[k], cost, step, n)
    peak = joint_peak(weight, total, count)
    norm = top + log(weight_sum(weight, count, top))
    error[0] = fabs(norm)
    return peak + log(joint_sum(weight, total, count, peak)) - norm


def power_factors(
    const double[::1] pressure, const double[::1] rate, const double[::1] exponent,
    const double[:, ::1] t, const double[::1] uses, const double[:, ::1] bits,
    const double[:, ::1] steps, double[::1] cost, double[::1] step, double[::1] rule,
    double[:, ::1] work, double[:, ::1] out, double[:, ::1] error
):
    """Fill `out` (N, S) with the log of the sum over fact choices, power family.

    `rule` has RULE_ROWS numbers, `work` is (4, rows) with as many as `power_rows_needed` says.
    """
    cdef Py_ssize_t i, s, n = bits.shape[1]
    cdef Window window
    cdef double penalty, norm = 0.0, size
    with nogil:
        for i in range(out.shape[0]):
            fact_costs(pressure[i], &bits[i, 0], n, &cost[0])
            for s in range(out.shape[1]):
                penalty = power_steps(
                    pressure[i], rate[i], exponent[i], t[i, s], uses[s], &steps[i, 0], n, &step[0]
                )
                if nearly_linear(exponent[i], penalty):
                    out[i, s] = linear_sum(
                        penalty / exponent[i], &cost[0], &step[0], 1.0, n, &size
                    )
                    error[i, s] = 4.0 * EPS * size
                    continue
                window = power_window(exponent[i], penalty, &cost[0], &step[0], n)
                out[i, s] = power_sum(
                    &window, &cost[0], &step[0], n, &rule[0], &work[0, 0], work.shape[1], &norm
                )
                error[i, s] = 4.0 * norm + EPS * (
                    32.0 + 2.0 * n + 8.0 * (window.size + fabs(out[i, s]))
                )
