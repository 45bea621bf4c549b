# Every random choice of the tree kernels is made here, from one of two sources: a bit generator, or
# a script of choices to replay. A script turns the kernel into its own transition matrix: replayed
# with every possible script, it shows all outcomes of a step with their exact probabilities.
#
# Only next_uint64 is used. Where there is one option nothing is drawn, nor for a sure acceptance.

from libc.math cimport INFINITY, exp, expm1
from libc.stdint cimport uint32_t, uint64_t
from numpy.random cimport bitgen_t

cdef struct Source:
    bitgen_t *rng         # NULL: replay the script
    int *script           # what was chosen; choices beyond the first `given` are 0
    int *options          # among how many
    int room              # choices that fit in both
    int given
    int taken
    double probability    # of everything chosen


cdef inline double uniform(Source* source) noexcept nogil:
    return <double>(source.rng.next_uint64(source.rng.state) >> 11) * (1.0 / 9007199254740992.0)


cdef inline int replay(Source* source, int count) noexcept nogil:
    cdef int at = source.taken
    source.taken += 1
    if at >= source.room:
        return 0
    if at >= source.given:
        source.script[at] = 0
    source.options[at] = count
    return source.script[at]


cdef inline int pick(Source* source, int count) noexcept nogil:
    # Uniform in 0 .. count - 1 without bias: Lemire (2019), on the upper half of a word.
    cdef uint64_t product
    cdef uint32_t low, least
    if count == 1:
        return 0
    if source.rng == NULL:
        source.probability /= count
        return replay(source, count)
    product = (source.rng.next_uint64(source.rng.state) >> 32) * <uint64_t>count
    low = <uint32_t>product
    if low < <uint32_t>count:
        least = (<uint32_t>-count) % <uint32_t>count
        while low < least:
            product = (source.rng.next_uint64(source.rng.state) >> 32) * <uint64_t>count
            low = <uint32_t>product
    return <int>(product >> 32)


cdef inline int choose(Source* source, const double* cumulative, int count) noexcept nogil:
    # By cumulative probabilities, of which the last is 1.
    cdef double u
    cdef int k = 0
    if count == 1:
        return 0
    if source.rng == NULL:
        k = replay(source, count)
        source.probability *= cumulative[k] - (cumulative[k - 1] if k > 0 else 0.0)
        return k
    u = uniform(source)
    while k < count - 1 and u >= cumulative[k]:
        k += 1
    return k


cdef inline bint accept(Source* source, double log_ratio) noexcept nogil:
    # Metropolis; NaN and -inf never.
    if log_ratio >= 0.0:
        return True
    if not log_ratio > -INFINITY:
        return False
    if source.rng == NULL:
        if replay(source, 2) == 1:
            source.probability *= exp(log_ratio)
            return True
        source.probability *= -expm1(log_ratio)
        return False
    return uniform(source) < exp(log_ratio)
