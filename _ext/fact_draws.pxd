# What exact draws of programs share: a random number, a choice by shares, and every fact.

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport exp
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint64_t
from numpy.random cimport bitgen_t


cdef inline double uniform(bitgen_t* rng) noexcept nogil:
    return <double>(rng.next_uint64(rng.state) >> 11) * (1.0 / 9007199254740992.0)


cdef inline Py_ssize_t pick(double u, const double* share, Py_ssize_t count) noexcept nogil:
    # First k with u * sum < share_0 + ... + share_k; never a row without weight.
    cdef double whole = 0.0, reached = 0.0
    cdef Py_ssize_t k, last = 0
    for k in range(count):
        whole += share[k]
    for k in range(count):
        reached += share[k]
        if share[k] > 0.0:
            last = k
            if u * whole < reached:
                break
    return last


cdef inline uint64_t stored_threshold(double cost, double x) noexcept nogil:
    # P(stored) = e^-cost / (e^-cost + e^-x) in units of 2^-64.
    cdef double scaled = 18446744073709551616.0 / (1.0 + exp(cost - x))
    if scaled >= 18446744073709551616.0:
        return UINT64_MAX
    return <uint64_t>scaled


cdef inline void draw_facts(bitgen_t* rng, const uint16_t* top, const uint64_t* threshold,
                            Py_ssize_t n, uint16_t* lane, uint8_t* stored) noexcept nogil:
    cdef Py_ssize_t j
    cdef uint64_t word
    cdef uint16_t ties = 0
    for j in range(0, n, 4):
        word = rng.next_uint64(rng.state)
        lane[j] = <uint16_t>word
        lane[j + 1] = <uint16_t>(word >> 16)
        lane[j + 2] = <uint16_t>(word >> 32)
        lane[j + 3] = <uint16_t>(word >> 48)
    # Two plain loops: the compiler turns each into vector instructions, one joint loop it does not.
    for j in range(n):
        stored[j] = lane[j] < top[j]
    for j in range(n):
        ties |= <uint16_t>(-<int>(lane[j] == top[j]))
    if ties:
        for j in range(n):
            if lane[j] == top[j]:
                word = rng.next_uint64(rng.state)
                stored[j] = (word >> 16) < ((threshold[j] << 16) >> 16)


cdef inline bitgen_t* generator(bit_generator) except NULL:
    return <bitgen_t*>PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
