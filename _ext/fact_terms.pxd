# What the sums over fact choices share, whatever the family: costs, scaled times, sums of rows.
#
# A row is a linear rate with two logs: `weight`, its share of e^(-penalty of the structure), and
# `total`, the product over facts at that rate. `cost` is beta ln2 bits, in nats.

from libc.math cimport INFINITY, exp, fabs, fmax, fmin, frexp, ldexp, log, log1p

cdef extern from *:
    """
    static const double bm_ln2 = 0.693147180559945309417232121458176568;
    static const double bm_pi = 3.141592653589793238462643383279502884;
    static const double bm_two_pi = 6.283185307179586476925286766559005768;
    """
    const double LN2 "bm_ln2"
    const double PI "bm_pi"
    const double TWO_PI "bm_two_pi"


cdef inline void fact_costs(double pressure, const double* bits, Py_ssize_t n,
                            double* cost) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        cost[j] = pressure * LN2 * bits[j]


cdef inline void add(double term, double* value, double* carry) noexcept nogil:
    # Neumaier's compensated sum: a thousand equal terms would all round the same way.
    cdef double new = value[0] + term
    if fabs(value[0]) >= fabs(term):
        carry[0] += (value[0] - new) + term
    else:
        carry[0] += (term - new) + value[0]
    value[0] = new


cdef inline double log_all_free(const double* cost, Py_ssize_t n) noexcept nogil:
    # log prod_j (1 + e^-cost_j): the sum when no fact takes any time.
    cdef Py_ssize_t j
    cdef double value = 0.0, carry = 0.0
    for j in range(n):
        add(log1p(exp(-cost[j])), &value, &carry)
    return value + carry


cdef inline int time_exponent(double t, const double* steps, Py_ssize_t n) noexcept nogil:
    # Times are divided by a power of two, so that steps of 1e308 neither overflow nor underflow.
    cdef Py_ssize_t j
    cdef int exponent = 0
    for j in range(n):
        t = fmax(t, steps[j])
    frexp(t, &exponent)
    return exponent


cdef inline double scale_steps(double uses, const double* steps, Py_ssize_t n, int exponent,
                               double* step) noexcept nogil:
    # step_j = v tau_j / 2^exponent; returns their sum.
    cdef Py_ssize_t j
    cdef double value = 0.0
    for j in range(n):
        step[j] = uses * ldexp(steps[j], -exponent)
        value += step[j]
    return value


cdef inline void flush(double* product, double* total, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t k
    for k in range(count):
        total[k] += log(product[k])
        product[k] = 1.0


cdef inline double joint_peak(const double* weight, const double* total,
                              Py_ssize_t count) noexcept nogil:
    cdef double peak = -INFINITY
    cdef Py_ssize_t k
    for k in range(count):
        peak = fmax(peak, weight[k] + total[k])
    return peak


cdef inline double joint_sum(const double* weight, const double* total, Py_ssize_t count,
                             double peak) noexcept nogil:
    # sum of exp(weight + total - peak); what is below 50 nats cannot be seen in the sum.
    cdef double value = 0.0, term
    cdef Py_ssize_t k
    for k in range(count):
        term = weight[k] + total[k] - peak
        if term > -50.0:
            value += exp(term)
    return value


cdef inline double weight_sum(const double* weight, Py_ssize_t count, double peak) noexcept nogil:
    cdef double value = 0.0, term
    cdef Py_ssize_t k
    for k in range(count):
        term = weight[k] - peak
        if term > -50.0:
            value += exp(term)
    return value
