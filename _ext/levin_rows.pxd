# Levin's family as a table of rows (rate, log weight): t^-a = (1/Gamma(a)) int l^(a-1) e^(-l t) dl.
#
# Trapezoid in y = log(rate) with a whole number of nodes per octave. Three facts make it short:
#  * in the strip |Im y| < d < pi/2 the integrand is bounded by itself with all times scaled by
#    cos d, so the discretisation error is at most 2 cos(d)^-a / (e^(2 pi d / h) - 1), relative;
#  * below rate * t_max = 2^-57 the facts no longer see the rate: the rest of the infinite sum is
#    geometric and becomes one row of rate 0, so no a, however small, needs a clamp;
#  * nodes one octave apart have e^(-rate tau) squared: expm1 goes up by E (E + 2), which is stable
#    while E is small, and e^(-rate tau) itself by squaring afterwards. No exp per node and fact.
# Between 2^-57 and 2^-13 the product over facts is its own cubic Taylor series.

from libc.math cimport INFINITY, atan, exp, expm1, floor, fmax, ldexp, log, log1p, sqrt

from fact_terms cimport LN2, TWO_PI, flush, log_all_free

cdef extern from *:
    """
    static const double bm_least_power = 1e-300;
    static const double bm_shortest = 1e-290;
    """
    const double LEAST_POWER "bm_least_power"   # below, time costs nothing: no rate but 0
    const double SHORTEST "bm_shortest"         # rates above 1/SHORTEST would overflow

cdef struct Grid:
    double a             # pressure times kappa
    double h             # step in log rate
    double base          # rate of the first node, for scaled times
    double bound         # bound of the relative discretisation error
    int per_octave
    int octaves
    int taylor_octaves   # leading octaves whose product over facts is a Taylor series
    bint lump            # whether a row of rate 0 stands for the infinite left tail


cdef inline double log_error_bound(double a, double h) noexcept nogil:
    # The best d of the strip is atan(2 pi / (h a)).
    cdef double slope = TWO_PI / (h * a)
    return LN2 + 0.5 * a * log1p(slope * slope) - TWO_PI * atan(slope) / h


cdef inline Grid levin_grid(double a, double t_low, double t_high) noexcept nogil:
    # Left of log(a/t_high) the log integrand falls by a (u - 1 + e^-u) or more at distance u,
    # right of log(a/t_low) by a (e^u - 1 - u) or more: both are cut at 45 nats.
    cdef Grid grid
    cdef double x = 45.0 / a
    cdef double left = log(a / t_high) - (sqrt(2.0 * x) + x if x < 0.5 else 1.0 + x)
    cdef double right = log(a / fmax(t_low, SHORTEST)) + (
        sqrt(2.0 * x) if x < 1.0 else log(1.0 + x + 2.0 * log1p(x))
    )
    cdef double lowest = -57.0 * LN2 - log(t_high)
    cdef double log_bound
    grid.a = a
    grid.lump = lowest >= left
    if grid.lump:
        left = lowest
    grid.per_octave = <int>fmax(3.0, floor(0.8 * sqrt(a)))
    log_bound = log_error_bound(a, LN2 / grid.per_octave)
    while log_bound > -37.0:
        grid.per_octave += 1
        log_bound = log_error_bound(a, LN2 / grid.per_octave)
    grid.bound = exp(log_bound)
    grid.h = LN2 / grid.per_octave
    grid.base = exp(left)
    grid.octaves = <int>floor((right - left) / LN2) + 2
    grid.taylor_octaves = <int>fmax(0.0, floor((-13.0 * LN2 - log(t_high) - left) / LN2))
    return grid


cdef inline void three_chains(
    Py_ssize_t m, Py_ssize_t count, double stored, double derived, double step,
    const double* rate, Py_ssize_t second, Py_ssize_t third,
    double* product, double* product_2, double* product_3
) noexcept nogil:
    # Three of the m chains of squares, in registers: 4 cycles a node where arrays of values that
    # are read back one octave later take 11, and an exp for every node 17.
    cdef Py_ssize_t k = 0
    cdef double v, v_2, v_3
    if rate[0] * step < 0.25:
        v = expm1(-rate[0] * step)
        v_2 = expm1(-rate[second] * step)
        v_3 = expm1(-rate[third] * step)
        while k < count and rate[k] * step < 0.25:
            product[k] *= 1.0 + derived * v
            product_2[k] *= 1.0 + derived * v_2
            product_3[k] *= 1.0 + derived * v_3
            v *= v + 2.0
            v_2 *= v_2 + 2.0
            v_3 *= v_3 + 2.0
            k += m
    if k < count:
        v = exp(-rate[k] * step)
        v_2 = exp(-rate[k + second] * step)
        v_3 = exp(-rate[k + third] * step)
    while k < count:
        product[k] *= stored + derived * v
        product_2[k] *= stored + derived * v_2
        product_3[k] *= stored + derived * v_3
        v *= v
        v_2 *= v_2
        v_3 *= v_3
        k += m


cdef inline void multiply_fact(
    Py_ssize_t m, Py_ssize_t count, double stored, double derived, double step,
    const double* rate, double* idle, double* product
) noexcept nogil:
    # product[k] *= stored + derived e^(-rate[k] step), where stored + derived = 1; m nodes make an
    # octave. Chains that would be beyond the m-th write to `idle`.
    cdef Py_ssize_t r
    cdef bint two, three
    for r in range(0, m if count > 0 else 0, 3):
        two = r + 1 < m
        three = r + 2 < m
        three_chains(
            m, count, stored, derived, step, rate + r, 1 if two else 0, 2 if three else 0,
            product + r, product + r + 1 if two else idle, product + r + 2 if three else idle,
        )


cdef inline void add_dear_fact(double cost, double step, const double* rate, Py_ssize_t count,
                               double* total) noexcept nogil:
    # The same in logs, for a fact whose 2^(-beta b) would underflow a product.
    cdef Py_ssize_t k
    cdef double x
    for k in range(count):
        x = rate[k] * step
        total[k] += -x + log1p(exp(x - cost)) if x < cost else -cost + log1p(exp(cost - x))


cdef inline void fill_rates(Grid* grid, double* rate) noexcept nogil:
    # rate[0] = 0 is the lump; node q m + r stands at 1 + q m + r.
    cdef int m = grid.per_octave, r, q
    cdef double value
    rate[0] = 0.0
    for r in range(m):
        value = grid.base * exp(r * grid.h)
        for q in range(grid.octaves):
            rate[1 + q * m + r] = value
            value *= 2.0


cdef inline void taylor_products(
    const double* cost, const double* step, Py_ssize_t n, const double* rate, double* total,
    Py_ssize_t count
) noexcept nogil:
    # log E exp(-rate X), X the steps derived when every fact is chosen at rate 0: raw moments.
    cdef Py_ssize_t j, k
    cdef double mean = 0.0, var = 0.0, skew = 0.0, p, second, third, x
    for j in range(n):
        p = 1.0 / (1.0 + exp(-cost[j]))
        mean += p * step[j]
        var += p * (1.0 - p) * step[j] * step[j]
        skew += p * (1.0 - p) * (1.0 - 2.0 * p) * step[j] * step[j] * step[j]
    second = var + mean * mean
    third = skew + 3.0 * mean * var + mean * mean * mean
    for k in range(count):
        x = rate[k]
        total[k] = log1p(-x * (mean - 0.5 * x * (second - x * third / 3.0)))


cdef inline double levin_products(
    Grid* grid, const double* cost, const double* step, Py_ssize_t n,
    double* rate, double* total, double* product, double* idle
) noexcept nogil:
    # total[k] = log prod_j (s_j + e^(-rate_k step_j)) / (1 + s_j), with s_j = e^-cost_j;
    # returns log prod_j (1 + s_j). The arrays hold grid_rows numbers; `idle` is scratch.
    cdef Py_ssize_t count = 1 + grid.per_octave * grid.octaves, j, k
    cdef Py_ssize_t first = 1 + grid.per_octave * grid.taylor_octaves
    cdef double room = 0.0, s
    fill_rates(grid, rate)
    taylor_products(cost, step, n, rate, total, first)
    for k in range(first, count):
        total[k] = 0.0
        product[k] = 1.0
    for j in range(n):
        s = exp(-cost[j])
        if cost[j] > 450.0:
            add_dear_fact(cost[j], step[j], rate + first, count - first, total + first)
            continue
        room += cost[j] + LN2
        if room > 600.0:
            flush(product + first, total + first, count - first)
            room = cost[j] + LN2
        multiply_fact(
            grid.per_octave, count - first, s / (1.0 + s), 1.0 / (1.0 + s), step[j],
            rate + first, idle, product + first,
        )
    flush(product + first, total + first, count - first)
    return log_all_free(cost, n)


cdef inline double levin_log_weights(
    Grid* grid, double t, const double* rate, double* log_weight
) noexcept nogil:
    # log of rate^a e^(-rate t), centred at its peak a/t so that nothing large cancels.
    # Returns the largest.
    cdef Py_ssize_t count = 1 + grid.per_octave * grid.octaves, k
    cdef double origin = log(grid.base * t / grid.a), scale = t / grid.a, top = -INFINITY
    log_weight[0] = -INFINITY
    if grid.lump:
        log_weight[0] = grid.a * (origin + 1.0) - log(expm1(grid.a * grid.h))
    for k in range(1, count):
        log_weight[k] = grid.a * ((origin + (k - 1) * grid.h) - (rate[k] * scale - 1.0))
    for k in range(count):
        top = fmax(top, log_weight[k])
    return top


cdef inline Py_ssize_t grid_rows(Grid* grid) noexcept nogil:
    return 1 + <Py_ssize_t>grid.per_octave * grid.octaves
