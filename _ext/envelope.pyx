"""Where the verdict "a deceptive line is least" changes as the exchange x goes from 0 to infinity.

Every program is a line ``intercept + slope * x`` for x > 0 (x is 1 / rate under linear, kappa under
levin). Per draw: sort both sides as they lie at x -> 0+, keep the lower envelope of each, and walk
the two envelopes together. Their difference is continuous and linear between breakpoints, so the
verdict is decided by its sign at the breakpoints alone; an exact tie is not favored.

Signs are taken of cross products, never of a rounded breakpoint: on integers that fit they are
exact, so lines that only touch, or coincide, add no false change of sign. O(L log L) per draw, in
place in the caller's scratch. Slow twin, in exact fractions: tests/reference/envelope.py.
"""

from libc.math cimport INFINITY, NAN, isfinite
from libc.stdint cimport int8_t, int64_t, uint8_t

cdef struct Lines:
    const double* intercept
    const double* slope

cdef struct Breakpoint:  # at x = rise / fall; fall = 0 stands for x = infinity
    double rise
    double fall

cdef struct Verdict:
    int8_t start  # as x -> 0+: 1 favored, 0 not, -1 there is no line at all
    double first  # x of the first change, NaN without one
    int64_t crossings


cdef inline bint before(Lines lines, Py_ssize_t i, Py_ssize_t j) noexcept nogil:
    """Whether line i lies strictly below line j as x -> 0+."""
    if lines.intercept[i] != lines.intercept[j]:
        return lines.intercept[i] < lines.intercept[j]
    return lines.slope[i] < lines.slope[j]


cdef inline void sift(
    Lines lines, Py_ssize_t* order, Py_ssize_t root, Py_ssize_t size
) noexcept nogil:
    cdef Py_ssize_t child, moved = order[root]
    while 2 * root + 1 < size:
        child = 2 * root + 1
        if child + 1 < size and before(lines, order[child], order[child + 1]):
            child += 1
        if not before(lines, moved, order[child]):
            break
        order[root] = order[child]
        root = child
    order[root] = moved


cdef void heapsort(Lines lines, Py_ssize_t* order, Py_ssize_t size) noexcept nogil:
    # Not libc's qsort: it may allocate, and calls the comparison through a pointer.
    cdef Py_ssize_t root, last, held
    for root in range(size // 2 - 1, -1, -1):
        sift(lines, order, root, size)
    for last in range(size - 1, 0, -1):
        held = order[0]
        order[0] = order[last]
        order[last] = held
        sift(lines, order, 0, last)


cdef inline bint hidden(Lines lines, Py_ssize_t i, Py_ssize_t j, Py_ssize_t k) noexcept nogil:
    """Whether j is nowhere alone below both i and k (intercepts rise, slopes fall: i, j, k)."""
    cdef double rise_j = lines.intercept[j] - lines.intercept[i]
    cdef double rise_k = lines.intercept[k] - lines.intercept[i]
    cdef double fall_j = lines.slope[i] - lines.slope[j]
    cdef double fall_k = lines.slope[i] - lines.slope[k]
    return rise_k * fall_j <= rise_j * fall_k


cdef Py_ssize_t lower_envelope(Lines lines, Py_ssize_t* order, Py_ssize_t size) noexcept nogil:
    """Keep, at the front of ``order``, the lines that are least somewhere on x > 0; their number.

    The kept lines have strictly rising intercepts and strictly falling slopes.
    """
    cdef Py_ssize_t read, line, kept = 0
    heapsort(lines, order, size)
    for read in range(size):
        line = order[read]
        if kept > 0 and lines.slope[line] >= lines.slope[order[kept - 1]]:
            continue
        while kept > 1 and hidden(lines, order[kept - 2], order[kept - 1], line):
            kept -= 1
        order[kept] = line
        kept += 1
    return kept


cdef inline Breakpoint breakpoint_after(
    Lines lines, const Py_ssize_t* order, Py_ssize_t at, Py_ssize_t size
) noexcept nogil:
    """Where line ``at`` of an envelope hands over to the next one."""
    cdef Breakpoint end
    end.rise = 1.0
    end.fall = 0.0
    if at + 1 < size:
        end.rise = lines.intercept[order[at + 1]] - lines.intercept[order[at]]
        end.fall = lines.slope[order[at]] - lines.slope[order[at + 1]]
    return end


cdef inline bint earlier(Breakpoint left, Breakpoint right) noexcept nogil:
    return left.rise * right.fall < right.rise * left.fall


cdef inline void change(Verdict* verdict, double x) noexcept nogil:
    if verdict.crossings == 0:
        verdict.first = x
    verdict.crossings += 1


cdef inline double meeting(double gap, double tilt, double left, double right) noexcept nogil:
    """Root of ``gap + tilt * x``, held inside [left, right] against rounding."""
    cdef double x = -gap / tilt if tilt != 0.0 else right
    if not x >= left:
        return left
    return right if x > right else x


cdef Verdict walk(
    Lines lines,
    const Py_ssize_t* deceptive, Py_ssize_t num_deceptive,
    const Py_ssize_t* other, Py_ssize_t num_other,
) noexcept nogil:
    """Follow two envelopes from x -> 0+ to infinity; both hold at least one line."""
    cdef Py_ssize_t i = 0, j = 0
    cdef Breakpoint ours, theirs, end
    cdef bint favored, after, move_ours, move_theirs
    cdef double gap, tilt, height, left = 0.0, right
    cdef Verdict verdict
    favored = before(lines, deceptive[0], other[0])
    verdict.start, verdict.first, verdict.crossings = favored, NAN, 0
    while True:
        gap = lines.intercept[deceptive[i]] - lines.intercept[other[j]]
        tilt = lines.slope[deceptive[i]] - lines.slope[other[j]]
        ours = breakpoint_after(lines, deceptive, i, num_deceptive)
        theirs = breakpoint_after(lines, other, j, num_other)
        if ours.fall == 0.0 and theirs.fall == 0.0:
            break
        # Equal breakpoints are passed together: between them there is nothing to judge.
        move_ours = not earlier(theirs, ours)
        move_theirs = not earlier(ours, theirs)
        end = ours if move_ours else theirs
        right = end.rise / end.fall
        height = gap * end.fall + tilt * end.rise
        after = height < 0.0 or (height == 0.0 and tilt > 0.0)
        if after != favored:
            change(&verdict, meeting(gap, tilt, left, right))
        favored = after
        i += move_ours
        j += move_theirs
        # Beyond a tie the next pair of slopes decides.
        tilt = lines.slope[deceptive[i]] - lines.slope[other[j]]
        after = height < 0.0 or (height == 0.0 and tilt < 0.0)
        if after != favored:
            change(&verdict, right)
        favored = after
        left = right
    after = tilt < 0.0 or (tilt == 0.0 and gap < 0.0)
    if after != favored:
        change(&verdict, meeting(gap, tilt, left, INFINITY))
    return verdict


cdef Verdict judge(
    Lines lines, const uint8_t* deceptive, Py_ssize_t size, Py_ssize_t* scratch
) noexcept nogil:
    """Verdict of one draw; deceptive lines fill the scratch from the front, others the rest."""
    cdef Py_ssize_t line, front = 0, back = 0
    cdef Py_ssize_t* other
    cdef Verdict verdict
    for line in range(size):
        # A program of infinite (or unknown) cost is never the least: it is left out.
        if not (isfinite(lines.intercept[line]) and isfinite(lines.slope[line])):
            continue
        if deceptive[line]:
            scratch[front] = line
            front += 1
        else:
            back += 1
            scratch[size - back] = line
    other = scratch + (size - back)
    if front == 0 or back == 0:
        verdict.start = -1 if front == back else front > 0
        verdict.first, verdict.crossings = NAN, 0
        return verdict
    front = lower_envelope(lines, scratch, front)
    back = lower_envelope(lines, other, back)
    return walk(lines, scratch, front, other, back)


def verdicts(
    const double[:, ::1] intercept,
    const double[:, ::1] slope,
    const uint8_t[::1] deceptive,
    Py_ssize_t[::1] scratch,
    int8_t[::1] start,
    double[::1] first,
    int64_t[::1] crossings,
):
    """Fill ``start``, ``first`` and ``crossings`` for every draw; the GIL is released.

    Parameters
    ----------
    intercept, slope
        Lines of every draw, (N, L): cost in bits at x = 0, and per unit of x. A line with a
        value that is not finite is left out of its draw.
    deceptive
        Whether each line is a deceptive program, (L,).
    scratch
        Working memory, at least L long.
    start
        Out, (N,): 1 if deceptive is favored as x -> 0+, 0 if not, -1 if the draw has no line.
        With one side empty the other is favored everywhere.
    first
        Out, (N,): x > 0 of the first change of the verdict; NaN without one.
    crossings
        Out, (N,): number of changes on (0, inf); touching without crossing is none.

    Raises
    ------
    ValueError
        If shapes disagree or there is no line.
    """
    cdef Py_ssize_t draw, num_draws = intercept.shape[0], size = intercept.shape[1]
    cdef Lines lines
    cdef Verdict verdict
    if size == 0 or scratch.shape[0] < size:
        raise ValueError(f"scratch must hold {size} > 0 lines; got {scratch.shape[0]}")
    if slope.shape[0] != num_draws or slope.shape[1] != size or deceptive.shape[0] != size:
        raise ValueError("intercept, slope and deceptive must agree in shape")
    if not start.shape[0] == first.shape[0] == crossings.shape[0] == num_draws:
        raise ValueError(f"start, first and crossings must have {num_draws} entries")
    with nogil:
        for draw in range(num_draws):
            lines.intercept = &intercept[draw, 0]
            lines.slope = &slope[draw, 0]
            verdict = judge(lines, &deceptive[0], size, &scratch[0])
            start[draw] = verdict.start
            first[draw] = verdict.first
            crossings[draw] = verdict.crossings
