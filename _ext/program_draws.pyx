# Exact independent draws of whole programs: a structure, a linear rate, then every fact.
#
# Given the rate of the mixture (levin_rows.pxd, power_rows.pxd) the facts are independent, so a
# draw is exact: no chain, no warmup. Two ways in:
#  * `draw_varying`: one program for every draw of theta; the rows of the chosen structure are made
#    anew each time, which is nearly all of the cost;
#  * `fill_table` once, then `draw_fixed`: many programs at one theta. A row's facts are compared
#    16 bits at a time, four facts to a random word; only a tie (1 in 65536) needs another word for
#    the other 48 bits, so the probabilities are exact to 2^-64.
#
# Only next_uint64 of the bit generator is used, in this order: structure (and row) words, then
# ceil(n/4) words for the facts, lowest 16 bits first, then one word per tie in the order of the
# facts. The slow twin is tests/reference/program_draws.py.

from libc.math cimport exp, ldexp
from libc.stdint cimport UINT64_MAX, int64_t, uint8_t, uint16_t, uint64_t
from numpy.random cimport bitgen_t

from fact_draws cimport draw_facts, generator, pick, stored_threshold, uniform
from fact_terms cimport LN2, fact_costs, joint_peak, scale_steps, time_exponent
from levin_rows cimport (
    LEAST_POWER, Grid, grid_rows, levin_grid, levin_log_weights, levin_products,
)

from power_rows cimport (
    Window, log_product, nearly_linear, power_rows, power_steps, power_window,
)

cdef enum:
    LINEAR = 0
    LEVIN = 1
    POWER = 2

cdef struct Work:
    double *cost       # n: beta ln2 bits
    double *step       # n: steps in the units of the rates
    double *rate       # rows
    double *total      # rows: log product over facts, later the joint share
    double *product    # rows
    double *weight     # rows
    double *rule       # 3 TAIL_ROWS, for the power family


cdef inline Py_ssize_t linear_rows(double slope, double uses, const double* steps, Py_ssize_t n,
                                   Work* work) noexcept nogil:
    scale_steps(uses, steps, n, 0, work.step)
    work.rate[0] = slope
    work.total[0] = 1.0
    return 1


cdef inline Py_ssize_t shares(Py_ssize_t count, Work* work) noexcept nogil:
    # From the logs of a row to its share of the structure's weight, up to a common factor.
    cdef double peak = joint_peak(work.weight, work.total, count)
    cdef Py_ssize_t k
    for k in range(count):
        work.total[k] = exp(work.weight[k] + work.total[k] - peak)
    return count


cdef inline Py_ssize_t levin_rows(double a, double t, double uses, const double* steps,
                                  Py_ssize_t n, Work* work) noexcept nogil:
    cdef int exponent = time_exponent(t, steps, n)
    cdef double spread = scale_steps(uses, steps, n, exponent, work.step)
    cdef double scaled = ldexp(t, -exponent)
    cdef Grid grid
    if a < LEAST_POWER or spread == 0.0:
        work.rate[0] = 0.0
        work.total[0] = 1.0
        return 1
    grid = levin_grid(a, scaled, scaled + spread)
    levin_products(
        &grid, work.cost, work.step, n, work.rate, work.total, work.product, work.weight
    )
    levin_log_weights(&grid, scaled, work.rate, work.weight)
    return shares(grid_rows(&grid), work)


cdef inline Py_ssize_t mixed_rows(double pressure, double gamma, double alpha, double t,
                                  double uses, const double* steps, Py_ssize_t n,
                                  Work* work) noexcept nogil:
    cdef double penalty = power_steps(pressure, gamma, alpha, t, uses, steps, n, work.step)
    cdef Window window
    cdef Py_ssize_t count, k
    if nearly_linear(alpha, penalty):
        work.rate[0] = penalty / alpha
        work.total[0] = 1.0
        return 1
    window = power_window(alpha, penalty, work.cost, work.step, n)
    count = power_rows(&window, work.rule, work.total, work.product, work.rate, work.weight)
    for k in range(count):
        work.total[k] = log_product(work.rate[k], work.cost, work.step, n)
    return shares(count, work)


cdef inline Py_ssize_t structure_rows(
    int family, double pressure, double first, double second, double t, double uses,
    const double* steps, Py_ssize_t n, Work* work
) noexcept nogil:
    # Rates and shares of one structure's rows; `first`, `second` are the family's parameters.
    if family == LINEAR:
        return linear_rows(pressure * LN2 / first, uses, steps, n, work)
    if family == POWER:
        return mixed_rows(pressure, first, second, t, uses, steps, n, work)
    return levin_rows(pressure * first, t, uses, steps, n, work)


cdef inline void row_thresholds(double rate, Work* work, Py_ssize_t n, uint16_t* top,
                                uint64_t* threshold) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        threshold[j] = stored_threshold(work.cost[j], rate * work.step[j])
        top[j] = <uint16_t>(threshold[j] >> 48)


cdef inline Work split(double[:, ::1] facts, double[:, ::1] rows, double[::1] rule) noexcept:
    cdef Work work
    work.cost = &facts[0, 0]
    work.step = &facts[1, 0]
    work.rate = &rows[0, 0]
    work.total = &rows[1, 0]
    work.product = &rows[2, 0]
    work.weight = &rows[3, 0]
    work.rule = &rule[0]
    return work


def draw_varying(
    bit_generator, int family, const double[:, ::1] mass, const double[::1] pressure,
    const double[::1] first, const double[::1] second, const double[:, ::1] t,
    const double[::1] uses, const double[:, ::1] bits, const double[:, ::1] steps,
    double[:, ::1] facts, double[:, ::1] rows, double[::1] rule,
    uint16_t[:, ::1] lanes, uint64_t[::1] threshold,
    int64_t[::1] structure, uint8_t[:, ::1] stored
):
    """Draw one program per draw of theta: `structure` (N,) and `stored` (N, n) are filled.

    Work arrays: `facts` (2, n), `rows` (4, rows needed), `lanes` (2, n + 3), `threshold` (n,).
    """
    cdef Py_ssize_t i, k, s, count, n = bits.shape[1]
    cdef Work work = split(facts, rows, rule)
    cdef uint16_t *top = &lanes[0, 0]
    cdef uint16_t *lane = &lanes[1, 0]
    cdef bitgen_t *rng = generator(bit_generator)
    with bit_generator.lock, nogil:
        for i in range(mass.shape[0]):
            if mass[i, 0] != mass[i, 0]:
                structure[i] = -1
                for k in range(n):
                    stored[i, k] = 0
                continue
            s = pick(uniform(rng), &mass[i, 0], mass.shape[1])
            structure[i] = s
            if n == 0:
                continue
            fact_costs(pressure[i], &bits[i, 0], n, work.cost)
            count = structure_rows(
                family, pressure[i], first[i], second[i], t[i, s], uses[s], &steps[i, 0], n, &work
            )
            k = pick(uniform(rng), work.total, count) if count > 1 else 0
            row_thresholds(work.rate[k], &work, n, top, &threshold[0])
            draw_facts(rng, top, &threshold[0], n, lane, &stored[i, 0])


def fill_shares(
    int family, double pressure, double first, double second, double t, double uses,
    const double[::1] bits, const double[::1] steps, double[:, ::1] facts, double[:, ::1] rows,
    double[::1] rule
):
    """Fill rates (rows[0]) and shares (rows[1]) of one structure; returns how many rows it has."""
    cdef Work work = split(facts, rows, rule)
    fact_costs(pressure, &bits[0], bits.shape[0], work.cost)
    return structure_rows(
        family, pressure, first, second, t, uses, &steps[0], bits.shape[0], &work
    )


def fill_thresholds(
    const double[::1] rate, double[:, ::1] facts, double[:, ::1] rows, double[::1] rule,
    uint16_t[:, ::1] top, uint64_t[:, ::1] threshold
):
    """Fill the thresholds (rows, n) of the structure that `fill_shares` has left in `facts`."""
    cdef Work work = split(facts, rows, rule)
    cdef Py_ssize_t k
    for k in range(rate.shape[0]):
        row_thresholds(rate[k], &work, facts.shape[1], &top[k, 0], &threshold[k, 0])


def fill_cumulative(
    const double[::1] share, uint64_t[::1] cumulative, int64_t[::1] guide, int bits
):
    """Cumulative shares in units of 2^-64, and for every top `bits` bits the row to begin at."""
    cdef Py_ssize_t k, b
    cdef double whole = 0.0, reached = 0.0, scaled
    for k in range(share.shape[0]):
        whole += share[k]
    for k in range(share.shape[0]):
        reached += share[k]
        scaled = reached / whole * 18446744073709551616.0
        cumulative[k] = <uint64_t>scaled if scaled < 18446744073709551616.0 else UINT64_MAX
    cumulative[share.shape[0] - 1] = UINT64_MAX
    k = 0
    for b in range(guide.shape[0]):
        while cumulative[k] < <uint64_t>b << (64 - bits):
            k += 1
        guide[b] = k


def draw_fixed(
    bit_generator, const uint64_t[::1] cumulative, const int64_t[::1] guide, int guide_bits,
    const int64_t[::1] row_structure, const uint16_t[:, ::1] top, const uint64_t[:, ::1] threshold,
    uint16_t[::1] lane, int64_t[::1] structure, uint8_t[:, ::1] stored
):
    """Draw as many programs at one theta as `structure` (D,) and `stored` (D, n) hold."""
    cdef Py_ssize_t d, n = top.shape[1], row
    cdef uint64_t word
    cdef bitgen_t *rng = generator(bit_generator)
    with bit_generator.lock, nogil:
        for d in range(structure.shape[0]):
            word = rng.next_uint64(rng.state)
            row = guide[word >> (64 - guide_bits)]
            while cumulative[row] < word:
                row += 1
            structure[d] = row_structure[row]
            if n > 0:
                draw_facts(rng, &top[row, 0], &threshold[row, 0], n, &lane[0], &stored[d, 0])
