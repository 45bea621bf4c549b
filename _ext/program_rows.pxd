# Rows (rate, log weight) for a whole grammar: which linear rates a sum over all programs needs.
#
# Given a rate r a program of x steps weighs e^(-rx), so log of any sum is convex in r: it lies
# below its chords. With what a row's own weight adds, that bounds the integrand between two rates
# that were looked at, and the rows can be chosen where a class has its mass and nowhere else.
# Times are in units of the reference steps, rates in units of 1/that.
#  * linear: one row.
#  * levin: a trapezoid in log(rate), as in levin_rows.pxd, with its proved bound. Left of the first
#    node r0 the integrand's slow factor H is replaced by its chord between 0 and r0, and the rest
#    of the infinite sum is geometric: it becomes a row of rate 0 and some more weight on the first.
#    H being convex its error is at most what two chords differ by, and is returned.
#  * power: nodes of the map of power_rows.pxd, found by bisection in their number, because the mass
#    of two classes may be thousands of nodes apart.

from libc.math cimport INFINITY, exp, expm1, fabs, fmax, fmin, lgamma, log, log1p, sqrt

from fact_terms cimport PI
from levin_rows cimport log_error_bound
from power_rows cimport BEND, STEP, Window, bent_node, far_node, tilt

cdef extern from *:
    """
    static const double bm_cut = 42.0;
    """
    const double CUT "bm_cut"    # nats below which a part of a sum is left out

# Where doubles end: a class so many nats below the best one needs no rows, a grammar so many nats
# below the reference has none that mean anything, and no node is so many steps from the peak.
cdef extern from *:
    """
    static const double bm_class_far = 1e12, bm_all_far = 1e15;
    static const Py_ssize_t bm_last_node = 1125899906842624;
    """
    const double CLASS_FAR "bm_class_far"
    const double ALL_FAR "bm_all_far"
    const Py_ssize_t LAST_NODE "bm_last_node"

cdef enum:
    CLASSES = 3
    MOST_TRIES = 8192

cdef struct Bounds:
    # By class; -inf in `upper` where there is no program.
    double upper[3]      # log of the sum over programs when time is free
    double lower[3]      # log weight of some program, relative to the reference
    double shortest[3]   # least steps, with the mandatory ones
    double slack[3]      # how far a sum may be above its largest program, nats
    double beyond[3]     # steps of the program of `lower` beyond the mandatory ones
    double least         # log weight below which no class has rows
    double slow          # a rate at which time is all but free
    double shared        # mandatory steps

cdef struct Lump:
    bint used
    double rest          # 1/expm1(a h)
    double linear        # 1/expm1((a + 1) h)
    double a
    double h


cdef inline double log_gamma_scale(double a) noexcept nogil:
    # log(Gamma(a) e^a a^-a).
    cdef double x
    if a < 16.0:
        return lgamma(a) + a - a * log(a)
    x = 1.0 / (a * a)
    return 0.5 * log(2.0 * PI / a) + (
        1.0 / 12.0 - x * (1.0 / 360.0 - x * (1.0 / 1260.0 - x * (1.0 / 1680.0 - x / 1188.0)))
    ) / a


cdef inline double levin_step(double a, double* bound) noexcept nogil:
    # The largest step whose discretisation error is below e^-32.
    cdef double low = 0.0, high = 0.6, h
    cdef int _again
    for _again in range(24):
        h = 0.5 * (low + high)
        if log_error_bound(a, h) > -32.0:
            high = h
        else:
            low = h
    bound[0] = exp(log_error_bound(a, low))
    return low


cdef inline Py_ssize_t levin_nodes(double a, const Bounds* bounds, Py_ssize_t room, double* rate,
                                   double* weight, Lump* lump, double* error) noexcept nogil:
    # Returns how many rows there are, -1 if more than `room`.
    cdef double h = levin_step(a, error), norm = log_gamma_scale(a)
    cdef double left = INFINITY, right = -INFINITY, y, log_a = log(a)
    cdef Py_ssize_t count, k, first
    cdef int c, _again
    for c in range(CLASSES):
        if bounds.upper[c] == -INFINITY:
            continue
        y = bounds.upper[c] - norm - bounds.lower[c] + CUT
        left = fmin(left, log_a - 1.0 - y / a)
        y = log_a - log(bounds.shortest[c])
        for _again in range(MOST_TRIES):
            if not (
                a * (y - log_a + 1.0) - exp(y) * bounds.shortest[c] + bounds.upper[c] - norm
                > bounds.lower[c] - CUT
            ):
                break
            y += 0.25
        right = fmax(right, y)
    lump.used = log(bounds.slow) > left
    if lump.used:
        left = log(bounds.slow)
    first = 1 if lump.used else 0
    if not (right - left) / h <= room - 4.0:
        return -1
    count = <Py_ssize_t>fmax(3.0, (right - left) / h + 1.0)
    for k in range(count):
        y = left + k * h
        rate[first + k] = exp(y)
        weight[first + k] = (
            a * (y - log_a + 1.0) - rate[first + k] * bounds.shared + log(h) - norm
        )
    lump.a = a
    lump.h = h
    lump.rest = 1.0 / expm1(a * h)
    lump.linear = 1.0 / expm1((a + 1.0) * h)
    if lump.used:
        rate[0] = 0.0
        weight[0] = weight[1] + rate[1] * bounds.shared + log(lump.rest - lump.linear)
        weight[1] += log1p(lump.linear)
    return first + count


cdef inline double lump_error(const Lump* lump, const double* rows, int stride) noexcept nogil:
    # From the sums of the first three rows: the most that the left tail can be wrong by.
    cdef double free = rows[0] / (lump.rest - lump.linear)
    cdef double first = rows[stride] / (1.0 + lump.linear)
    cdef double second = rows[2 * stride] * exp(-lump.a * lump.h)
    return lump.linear * fabs((free - first) - (first - second) / expm1(lump.h))


cdef inline Window program_window(double alpha, double penalty) noexcept nogil:
    cdef Window window
    window.alpha = alpha
    window.excess = alpha - 1.0
    window.omega = window.excess / alpha
    window.peak = penalty * window.omega
    window.log_peak = log(window.peak)
    window.slope = penalty / alpha
    window.scale = fmax(1.0, window.excess)
    window.h = STEP / window.scale
    window.root = sqrt(alpha * window.peak) / window.scale
    window.far = window.root > 40.0 / BEND
    window.start = -window.root if window.far else fmin(0.0, -log(expm1(BEND * window.root)) / BEND)
    window.left = 0.0
    window.right = 0.0
    window.size = 0.0
    return window


cdef inline double program_node(const Window* window, Py_ssize_t k, double* delta) noexcept nogil:
    # power_node of power_rows.pxd, but the nodes of a far window go on to its right.
    cdef double root = window.root - k * window.h
    if not window.far:
        return bent_node(window, window.start + k * window.h, delta)
    return far_node(window, k, delta) if BEND * root > 36.0 else bent_node(window, -root, delta)


cdef inline double free_bound(const Window* window, const Bounds* bounds, int c,
                              double d) noexcept nogil:
    # The integrand at a distance d from the peak if every program had the least steps.
    return bounds.upper[c] - window.peak * expm1(-d) + window.slope * (
        1.0 - bounds.shortest[c] * exp(window.excess * d)
    )


cdef inline double reach_of(const Window* window, const Bounds* bounds, int c, double origin,
                            double low, double reach) noexcept nogil:
    cdef int _again
    for _again in range(64):
        if not free_bound(window, bounds, c, origin + reach) > low:
            break
        reach *= 2.0
    return reach


cdef inline void power_span(const Window* window, const Bounds* bounds, double* left,
                            double* right) noexcept nogil:
    cdef double origin, low
    cdef int c
    left[0] = INFINITY
    right[0] = -INFINITY
    for c in range(CLASSES):
        if bounds.upper[c] == -INFINITY:
            continue
        # Where the bound is largest.
        origin = -log(bounds.shortest[c]) / window.alpha
        low = fmax(bounds.lower[c], bounds.least) - CUT
        if not free_bound(window, bounds, c, origin) > low:
            continue
        left[0] = fmin(left[0], origin + reach_of(window, bounds, c, origin, low, -1e-6))
        right[0] = fmax(right[0], origin + reach_of(window, bounds, c, origin, low, 1e-6))


cdef inline double chord_bound(const Window* window, double left, double right, double low,
                               double high) noexcept nogil:
    # Largest integrand between the distances left and right; `low`, `high` are the logs of the sum
    # at the two rates, times e^rate.
    cdef double first = window.slope * exp(window.excess * left)
    cdef double second = window.slope * exp(window.excess * right)
    cdef double b, d = right
    if second <= first:
        return tilt(window, fmin(fmax(0.0, left), right)) + fmax(low, high)
    b = (high - low) / (second - first)
    if b < 1.0:
        d = fmin(fmax(-log(1.0 - b) / window.alpha, left), right)
    return tilt(window, d) + low + b * (window.slope * exp(window.excess * d) - first)
