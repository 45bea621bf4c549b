# One case of a grammar at one linear rate: the best tree of every state, then the sum over trees.
#
# F_i = sum_t w_t prod_a F_a is solved in units of its own largest tree: with v the best trees in
# the max-plus semiring every coefficient w_t e^(sum v_a - v_i) is at most 1 and every solution at
# least 1, so that weights of e^-1e9 neither underflow nor lose digits. Block by block of states
# that need one another: no loop, direct; otherwise Newton's method, exact in one step where a block
# is linear.
#  * G is convex with positive coefficients: from any point where I - G' has positive pivots one
#    step lands below the least solution and every further step stays there (so a neighbour's
#    solution may be the first guess, and a pivot that is not positive says that there is none).
#  * The error is certified: if y = x + 2 d has G(y) <= y, the least solution is below y (Knaster
#    and Tarski), where (I - G') d is what rounding can have done to the terms.

from libc.math cimport INFINITY, exp, fabs, fmax

cdef extern from *:
    """
    static const double bm_converged = 1e-9;
    static const double bm_eps = 2.220446049250313e-16;
    """
    const double CONVERGED "bm_converged"
    const double EPS "bm_eps"

cdef enum:
    MAX_STEPS = 100
    DIRECT = 0
    LINEAR_BLOCK = 1

cdef struct Equations:
    int num_states
    int num_terms
    int width               # most arguments of a term
    int num_roots
    int num_cases
    int full                # the case in which every term is alive
    const int *target       # (T,)
    const int *args         # (T, width), -1 where there are fewer
    const int *block        # (S,)
    const int *kind         # (blocks,): 0 no loop, 1 linear, 2 more
    const int *case_start   # (K + 1,)
    const int *case_term    # alive terms of every case, rising
    const int *root_state   # (Q,)
    const int *root_class   # (Q,)

cdef struct Costs:
    const double *cost       # (T,): nats of rule bits and unshared stores
    const double *step       # (T,): steps, in the unit of 1/rate
    const double *root_cost  # (Q,): with the loss
    const double *root_step  # (Q,)
    const double *log_case   # (K,): log probability of every case
    const int *order         # (K,): cases by falling probability

cdef struct Solution:
    double *best          # (S,): log weight of the best tree, -inf without one
    double *best_steps    # (S,): its steps
    double *scaled        # (S,): F e^-best
    double *error         # (S,): bound of the relative error of `scaled`
    double *coefficient   # (T,): of the block at hand
    double *doubt         # (T,): relative error of that coefficient
    double *value         # (S,)
    double *right         # (S,)
    double *matrix        # (S, S)
    int *place            # (S,): row of a state in its block
    int *inner            # (T, width + 1): how many arguments are in the block, and their rows


cdef inline void best_trees(const Equations* eq, const Costs* costs, int which, double weight,
                            double rate, Solution* s) noexcept nogil:
    # v_i = max_t (sum v_args - weight cost_t - rate step_t).
    cdef int i, j, k, t, a, b, last = eq.case_start[which + 1]
    cdef double value, steps
    cdef bint grown
    for i in range(eq.num_states):
        s.best[i] = -INFINITY
    i = eq.case_start[which]
    while i < last:
        b = eq.block[eq.target[eq.case_term[i]]]
        while True:
            grown = False
            j = i
            while j < last:
                t = eq.case_term[j]
                if eq.block[eq.target[t]] != b:
                    break
                value = -(weight * costs.cost[t] + rate * costs.step[t])
                for k in range(eq.width):
                    a = eq.args[t * eq.width + k]
                    if a < 0:
                        break
                    value += s.best[a]
                if value > s.best[eq.target[t]]:
                    steps = costs.step[t]
                    for k in range(eq.width):
                        a = eq.args[t * eq.width + k]
                        if a < 0:
                            break
                        steps += s.best_steps[a]
                    s.best[eq.target[t]] = value
                    s.best_steps[eq.target[t]] = steps
                    grown = True
                j += 1
            if not grown or eq.kind[b] == DIRECT:
                break
        i = j


cdef inline bint factorise(double* matrix, int n) noexcept nogil:
    # In place, without pivoting: an M-matrix needs none, and any other shows a pivot <= 0.
    cdef int i, j, k
    cdef double factor
    for k in range(n):
        if not matrix[k * n + k] > 0.0:
            return False
        for i in range(k + 1, n):
            if matrix[i * n + k] != 0.0:
                factor = matrix[i * n + k] / matrix[k * n + k]
                matrix[i * n + k] = factor
                for j in range(k + 1, n):
                    matrix[i * n + j] -= factor * matrix[k * n + j]
    return True


cdef inline void substitute(const double* matrix, int n, double* right) noexcept nogil:
    cdef int i, j
    for i in range(n):
        for j in range(i):
            right[i] -= matrix[i * n + j] * right[j]
    for i in range(n - 1, -1, -1):
        for j in range(i + 1, n):
            right[i] -= matrix[i * n + j] * right[j]
        right[i] /= matrix[i * n + i]


cdef inline int open_block(const Equations* eq, const Costs* costs, double rate, int first,
                           int end, Solution* s) noexcept nogil:
    # Coefficients of the block's terms, with the arguments of earlier blocks multiplied in.
    # Returns the number of its states that are alive.
    cdef int j, k, t, a, b = eq.block[eq.target[eq.case_term[first]]], n = 0, inside
    cdef int target = -1
    cdef double weight, size, product, doubt
    cdef int *inner
    for j in range(first, end):
        t = eq.case_term[j]
        if eq.target[t] != target:
            target = eq.target[t]
            s.place[target] = n
            n += 1
    for j in range(first, end):
        t = eq.case_term[j]
        target = eq.target[t]
        weight = -(costs.cost[t] + rate * costs.step[t])
        size = s.best[target] - weight
        weight -= s.best[target]
        product = 1.0
        doubt = 0.0
        inside = 0
        inner = s.inner + t * (eq.width + 1)
        for k in range(eq.width):
            a = eq.args[t * eq.width + k]
            if a < 0:
                break
            weight += s.best[a]
            size -= s.best[a]
            if eq.block[a] == b:
                inside += 1
                inner[inside] = s.place[a]
            else:
                product *= s.scaled[a]
                doubt += s.error[a]
        inner[0] = inside
        s.coefficient[t] = exp(weight) * product
        s.doubt[t] = doubt + EPS * (8.0 + 4.0 * fabs(size))
    return n


cdef inline void evaluate(const Equations* eq, int first, int end, int n, const double* x,
                          Solution* s, bint slope) noexcept nogil:
    # value = G(x) and, if asked for, matrix = I - G'(x).
    cdef int j, k, m, t, row
    cdef double c, part
    cdef const int *inner
    for j in range(n):
        s.value[j] = 0.0
    if slope:
        for j in range(n * n):
            s.matrix[j] = 0.0
        for j in range(n):
            s.matrix[j * n + j] = 1.0
    for j in range(first, end):
        t = eq.case_term[j]
        row = s.place[eq.target[t]]
        inner = s.inner + t * (eq.width + 1)
        c = s.coefficient[t]
        if inner[0] == 0:
            s.value[row] += c
        elif inner[0] == 1:
            s.value[row] += c * x[inner[1]]
            if slope:
                s.matrix[row * n + inner[1]] -= c
        elif inner[0] == 2:
            part = c * x[inner[1]]
            s.value[row] += part * x[inner[2]]
            if slope:
                s.matrix[row * n + inner[2]] -= part
                s.matrix[row * n + inner[1]] -= c * x[inner[2]]
        else:
            part = c
            for k in range(1, inner[0] + 1):
                part *= x[inner[k]]
            s.value[row] += part
            if slope:
                for m in range(1, inner[0] + 1):
                    part = c
                    for k in range(1, inner[0] + 1):
                        if k != m:
                            part *= x[inner[k]]
                    s.matrix[row * n + inner[m]] -= part


cdef inline bint newton(const Equations* eq, int first, int end, int n, bint linear, double* x,
                        Solution* s) noexcept nogil:
    # The least x = G(x), from the x at hand; False where there is none within reach of it.
    cdef int i, _again
    cdef double step, worst
    for _again in range(MAX_STEPS):
        evaluate(eq, first, end, n, x, s, True)
        if not factorise(s.matrix, n):
            return False
        for i in range(n):
            s.right[i] = s.value[i] - x[i]
        substitute(s.matrix, n, s.right)
        worst = 0.0
        for i in range(n):
            step = s.right[i]
            x[i] += step
            if not (x[i] > 0.0 and x[i] < 1e290):
                return False
            worst = fmax(worst, fabs(step) / x[i])
        if linear or worst <= CONVERGED:
            return True
    return False


cdef inline void add_doubts(const Equations* eq, int first, int end, const double* x,
                            double* out, Solution* s) noexcept nogil:
    # out += what each term's doubt comes to at x.
    cdef int j, k, t
    cdef double part
    cdef const int *inner
    for j in range(first, end):
        t = eq.case_term[j]
        inner = s.inner + t * (eq.width + 1)
        part = s.coefficient[t] * s.doubt[t]
        for k in range(1, inner[0] + 1):
            part *= x[inner[k]]
        out[s.place[eq.target[t]]] += part


cdef inline void certify(const Equations* eq, int first, int end, int n, double* x, double* y,
                         Solution* s) noexcept nogil:
    # error = (y - x)/x of the smallest y = x + f d tried that bounds the least solution.
    cdef int i, _again
    cdef double f = 2.0
    cdef bint holds
    for i in range(n):
        s.right[i] = 0.0
    add_doubts(eq, first, end, x, s.right, s)
    substitute(s.matrix, n, s.right)
    for _again in range(12):
        for i in range(n):
            y[i] = x[i] + f * s.right[i]
        evaluate(eq, first, end, n, y, s, False)
        add_doubts(eq, first, end, y, s.value, s)
        holds = True
        for i in range(n):
            holds = holds and s.value[i] <= y[i]
        if holds:
            break
        f *= 8.0
    for i in range(n):
        y[i] = f * s.right[i] / x[i] if holds else INFINITY


cdef inline bint solve_case(const Equations* eq, const Costs* costs, int which, double rate,
                            bint warm, Solution* s) noexcept nogil:
    # Fills best, scaled and error of every state that is alive; False where the sum is infinite.
    # `warm`: `scaled` holds the solution of the same case at another rate.
    cdef int i, j, n, state, last = eq.case_start[which + 1]
    cdef int b
    cdef double value, doubt
    best_trees(eq, costs, which, 1.0, rate, s)
    i = eq.case_start[which]
    while i < last:
        b = eq.block[eq.target[eq.case_term[i]]]
        j = i + 1
        while j < last and eq.block[eq.target[eq.case_term[j]]] == b:
            j += 1
        n = open_block(eq, costs, rate, i, j, s)
        if eq.kind[b] == DIRECT:
            value = 0.0
            doubt = 0.0
            state = eq.target[eq.case_term[i]]
            for n in range(i, j):
                value += s.coefficient[eq.case_term[n]]
                doubt += s.coefficient[eq.case_term[n]] * s.doubt[eq.case_term[n]]
            s.scaled[state] = value
            s.error[state] = doubt / value
        elif not solve_block(eq, i, j, n, eq.kind[b] == LINEAR_BLOCK, warm, s):
            return False
        i = j
    return True


cdef inline bint solve_block(const Equations* eq, int first, int end, int n, bint linear,
                             bint warm, Solution* s) noexcept nogil:
    # Gathers the block's states behind one another, solves, certifies, and puts them back.
    cdef double *x = s.right + n
    cdef double *y = x + n
    cdef int j, t
    for j in range(first, end):
        t = eq.target[eq.case_term[j]]
        x[s.place[t]] = s.scaled[t] if warm else 1.0
    if not newton(eq, first, end, n, linear, x, s):
        if not warm:
            return False
        for j in range(n):
            x[j] = 1.0
        if not newton(eq, first, end, n, linear, x, s):
            return False
    certify(eq, first, end, n, x, y, s)
    for j in range(first, end):
        t = eq.target[eq.case_term[j]]
        s.scaled[t] = x[s.place[t]]
        s.error[t] = y[s.place[t]]
    return True
