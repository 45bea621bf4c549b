# One draw of theta: the sum over all programs by class, from rows (program_rows.pxd) times cases
# (inside_terms.pxd).
#
# Everything is measured from `floor`, the log of the largest single term of a class that the best
# trees show before anything is solved: what is CUT nats below it in every class is not solved for,
# and its bound (a case is at most the case in which all is available) goes into the error.

from libc.math cimport INFINITY, exp, expm1, fabs, fmax, log, log1p

from fact_terms cimport log_all_free
from inside_terms cimport EPS, Costs, Equations, Solution, best_trees, solve_case
from levin_rows cimport LEAST_POWER
from power_rows cimport Window, fill_power_rows, log_product, nearly_linear, tilt
from program_rows cimport (
    ALL_FAR, CLASSES, CLASS_FAR, CUT, LAST_NODE, Bounds, Lump, chord_bound, levin_nodes, lump_error,
    power_span, program_node, program_window,
)

cdef enum:
    SUMMED = 0
    INFINITE = 1       # the grammar's sum has no finite value
    NO_TIME = 2        # a program of no steps under Levin's family
    TOO_MANY_ROWS = 3
    LINEAR = 0
    LEVIN = 1
    POWER = 2

cdef struct Theta:
    Costs costs
    int family
    double first             # linear: rate; levin: pressure kappa; power: penalty of the reference
    double second            # power: exponent
    double shared            # mandatory steps
    double added             # steps of the reference beyond them
    const double *fact_cost
    const double *fact_step
    Py_ssize_t num_facts

cdef struct Rows:
    Py_ssize_t room
    Py_ssize_t count
    double *rate
    double *weight
    double *size        # what a weight was made from, for the estimate of rounding
    double *delta       # power only, as are spacing and rule
    double *spacing
    double *rule
    double *best        # (rows, CLASSES): log of the largest program
    double *upper       # (rows, CLASSES): log of the sum with everything available
    double *lump        # (3, CLASSES): sums of the first rows
    double bound        # relative error of the rule over rates
    double norm[3]      # log of what a class's best program comes to by the rows, less its weight
    double known[3]     # log weight of some program of a class that the rows miss, else -inf

cdef struct Entries:
    # Where the mass is, for draws; NULL pointers if nobody asks.
    Py_ssize_t room
    Py_ssize_t count
    int *which
    int *row
    int *root
    double *log_weight


cdef inline void best_programs(const Equations* eq, const Theta* theta, double rate,
                               double* value, double* steps, Solution* s) noexcept nogil:
    # By class: log weight and steps of the best program at a linear rate, coins paid, no facts.
    cdef double free[3]
    cdef double found
    cdef int c, j, q, which
    cdef bint hopeful
    for c in range(CLASSES):
        value[c] = -INFINITY
        steps[c] = 0.0
        free[c] = INFINITY
    for j in range(-1, eq.num_cases):
        which = eq.full if j < 0 else theta.costs.order[j]
        if j >= 0 and which == eq.full:
            continue
        hopeful = False
        for c in range(CLASSES):
            hopeful = hopeful or theta.costs.log_case[which] + free[c] > value[c]
        if j >= 0 and not hopeful:
            return
        best_trees(eq, &theta.costs, which, 1.0, rate, s)
        if j < 0:
            for c in range(CLASSES):
                free[c] = -INFINITY
        for q in range(eq.num_roots):
            if s.best[eq.root_state[q]] == -INFINITY:
                continue
            c = eq.root_class[q]
            found = s.best[eq.root_state[q]] - (
                theta.costs.root_cost[q] + rate * theta.costs.root_step[q]
            )
            if j < 0:
                free[c] = fmax(free[c], found)
            found += theta.costs.log_case[which]
            if found > value[c]:
                value[c] = found
                steps[c] = s.best_steps[eq.root_state[q]] + theta.costs.root_step[q]


cdef inline void best_facts(const Theta* theta, double rate, double* cost,
                            double* steps) noexcept nogil:
    # The best choice at a linear rate.
    cdef Py_ssize_t j
    cost[0] = 0.0
    steps[0] = 0.0
    for j in range(theta.num_facts):
        if theta.fact_cost[j] < rate * theta.fact_step[j]:
            cost[0] += theta.fact_cost[j]
        else:
            steps[0] += theta.fact_step[j]


cdef inline double lost(const Theta* theta, double beyond) noexcept nogil:
    # Nats of penalty of a program of so many steps beyond the mandatory ones, less the reference's.
    cdef double more = beyond - theta.added
    cdef double ratio = log1p(more) if more > -0.5 else log(theta.shared + beyond)
    if theta.family == LEVIN:
        return theta.first * ratio
    return theta.first * expm1(ratio / theta.second)


cdef inline void look(const Equations* eq, const Theta* theta, double rate, double* value,
                      Bounds* bounds, Solution* s) noexcept nogil:
    # value: log of the sum over facts times the best program, by class, times e^(rate added).
    # A program that is seen raises the lower bounds.
    cdef double steps[3]
    cdef double cost = 0.0, derived = 0.0, found, beyond
    cdef double facts = log_product(rate, theta.fact_cost, theta.fact_step, theta.num_facts)
    cdef int c
    best_programs(eq, theta, rate, value, steps, s)
    best_facts(theta, rate, &cost, &derived)
    for c in range(CLASSES):
        if value[c] == -INFINITY:
            continue
        beyond = steps[c] + derived
        # What rounding may have added to the difference comes off: it is to be a lower bound.
        found = (
            value[c] + rate * steps[c] * (1.0 - 64.0 * EPS) - cost - lost(theta, beyond)
        )
        if found > bounds.lower[c]:
            bounds.lower[c] = found
            bounds.beyond[c] = beyond
        value[c] += rate * theta.added + facts


cdef inline bint free_sums(const Equations* eq, const Theta* theta, double rate, bint warm,
                           double* out, Solution* s) noexcept nogil:
    # By class: log of the sum over trees with everything available.
    cdef double top[3]
    cdef double found
    cdef int c, q
    if not solve_case(eq, &theta.costs, eq.full, rate, warm, s):
        return False
    for c in range(CLASSES):
        top[c] = -INFINITY
        out[c] = 0.0
    for q in range(eq.num_roots):
        c = eq.root_class[q]
        top[c] = fmax(top[c], root_log(eq, theta, rate, q, s))
    for q in range(eq.num_roots):
        c = eq.root_class[q]
        found = root_log(eq, theta, rate, q, s) - top[c]
        out[c] += exp(found) * s.scaled[eq.root_state[q]]
    for c in range(CLASSES):
        out[c] = log(out[c]) + top[c] if out[c] > 0.0 else -INFINITY
    return True


cdef inline double root_log(const Equations* eq, const Theta* theta, double rate, int q,
                            const Solution* s) noexcept nogil:
    return s.best[eq.root_state[q]] - (
        theta.costs.root_cost[q] + rate * theta.costs.root_step[q]
    )


cdef inline bint falls(const Equations* eq, const Theta* theta, double rate, const Bounds* bounds,
                       double* out, Solution* s) noexcept nogil:
    # By class: how far the log of the free sum, times all facts, is below its value at rate 0.
    cdef double facts = log_all_free(theta.fact_cost, theta.num_facts) - log_product(
        rate, theta.fact_cost, theta.fact_step, theta.num_facts
    )
    cdef int c
    if not free_sums(eq, theta, rate, True, out, s):
        return False
    for c in range(CLASSES):
        if out[c] == -INFINITY:
            out[c] = 0.0
        else:
            out[c] = bounds.upper[c] - out[c] + facts + rate * theta.shared
    return True


cdef inline bint find_bounds(const Equations* eq, const Theta* theta, Bounds* bounds,
                             Solution* s) noexcept nogil:
    # What the rows are chosen by; False where the sum is infinite.
    cdef double value[3]
    cdef double half[3]
    cdef double free = log_all_free(theta.fact_cost, theta.num_facts), limit, drop, bend
    cdef double scale = 0.0
    cdef double power = theta.first if theta.family == LEVIN else 0.0
    cdef int c, q, _again
    for c in range(CLASSES):
        bounds.shortest[c] = INFINITY
        bounds.lower[c] = -INFINITY
        bounds.slack[c] = 3.0
    bounds.shared = theta.shared
    bounds.least = -INFINITY
    best_trees(eq, &theta.costs, eq.full, 0.0, 1.0, s)
    for q in range(eq.num_roots):
        c = eq.root_class[q]
        bounds.shortest[c] = min(
            bounds.shortest[c],
            theta.shared + theta.costs.root_step[q] - s.best[eq.root_state[q]],
        )
    look(eq, theta, 0.0, value, bounds, s)
    for c in range(CLASSES):
        if value[c] > -INFINITY:
            scale = fmax(scale, theta.shared + bounds.beyond[c])
    if not free_sums(eq, theta, 0.0, False, bounds.upper, s):
        return False
    for c in range(CLASSES):
        for q in range(eq.num_roots):
            if eq.root_class[q] == c:
                bounds.slack[c] = fmax(
                    bounds.slack[c], 3.0 + log(s.scaled[eq.root_state[q]])
                )
    if theta.family == LEVIN and scale > 0.0:
        limit = 0.3 * exp(-30.0 / (2.0 + power))
        bounds.slow = limit / scale
        # Short enough for the sum to be all but a straight line from 0 on: near the critical
        # pressure its bend is far more than the square of its drop.
        for _again in range(60):
            if not falls(eq, theta, 0.5 * bounds.slow, bounds, half, s):
                return False
            if not falls(eq, theta, bounds.slow, bounds, value, s):
                return False
            drop = 0.0
            bend = 0.0
            for c in range(CLASSES):
                drop = fmax(drop, value[c])
                bend = fmax(bend, expm1(-value[c]) - 2.0 * expm1(-half[c]))
            if drop <= limit and bend <= limit * limit + 1e-14:
                break
            bounds.slow *= fmax(0.5 * limit / drop, 1e-3) if drop > limit else 0.25
    for c in range(CLASSES):
        bounds.upper[c] += free
    return True


cdef inline bint wanted(const Window* window, const Bounds* bounds, double left, double right,
                        const double* low, const double* high) noexcept nogil:
    # Whether a class can have mass between two distances.
    cdef int c
    for c in range(CLASSES):
        if low[c] > -INFINITY and (
            chord_bound(window, left, right, low[c], high[c])
            > fmax(bounds.lower[c], bounds.least) - CUT - bounds.slack[c]
        ):
            return True
    return False


cdef inline Py_ssize_t last_before(const Window* window, double distance) noexcept nogil:
    # The last node left of a distance.
    cdef Py_ssize_t low = -1, high = 1, k
    cdef double d = 0.0
    while low > -LAST_NODE and program_node(window, low, &d) > 0.0 and d >= distance:
        low *= 2
    while high < LAST_NODE and program_node(window, high, &d) > 0.0 and d < distance:
        high *= 2
    while high - low > 1:
        k = low + (high - low) // 2
        program_node(window, k, &d)
        if d < distance:
            low = k
        else:
            high = k
    return low


cdef inline Py_ssize_t power_places(const Equations* eq, const Theta* theta, const Window* window,
                                    Bounds* bounds, Rows* rows, Solution* s) noexcept nogil:
    # Nodes where some class can have mass; delta and spacing are filled. -1: too many.
    # None for a class too far below the best for its nodes to be told apart.
    cdef Py_ssize_t begin[80]
    cdef Py_ssize_t end[80]
    cdef double low[240]
    cdef double high[240]
    cdef double middle[3]
    cdef Py_ssize_t count = 0, k, last = -1
    cdef double left, right, d = 0.0, other = 0.0, width, top = -INFINITY
    cdef int depth = 0, c
    look(eq, theta, window.slope, middle, bounds, s)
    for c in range(CLASSES):
        top = fmax(top, bounds.lower[c])
    bounds.least = top - CLASS_FAR
    if not top > -ALL_FAR:
        return 0
    power_span(window, bounds, &left, &right)
    begin[0] = last_before(window, left)
    end[0] = last_before(window, right) + 1
    last = begin[0] - 1
    program_node(window, begin[0], &d)
    look(eq, theta, window.slope * exp(window.excess * d), low, bounds, s)
    program_node(window, end[0], &d)
    look(eq, theta, window.slope * exp(window.excess * d), high, bounds, s)
    depth = 1
    while depth > 0:
        depth -= 1
        program_node(window, begin[depth], &d)
        program_node(window, end[depth], &other)
        if not wanted(window, bounds, d, other, &low[3 * depth], &high[3 * depth]):
            continue
        if end[depth] - begin[depth] <= 8:
            for k in range(max(begin[depth], last + 1), end[depth] + 1):
                if count >= rows.room:
                    return -1
                width = program_node(window, k, &d)
                rows.delta[count] = d
                rows.spacing[count] = width
                count += 1
                last = k
            continue
        k = begin[depth] + (end[depth] - begin[depth]) // 2
        program_node(window, k, &d)
        look(eq, theta, window.slope * exp(window.excess * d), middle, bounds, s)
        # The right half below the left one on the stack, so that nodes come in rising order.
        begin[depth + 1] = begin[depth]
        end[depth + 1] = k
        begin[depth] = k
        for c in range(CLASSES):
            low[3 * depth + 3 + c] = low[3 * depth + c]
            high[3 * depth + 3 + c] = middle[c]
            low[3 * depth + c] = middle[c]
        depth += 2
    return count


cdef inline int make_rows(const Equations* eq, const Theta* theta, Rows* rows, Lump* lump,
                          Solution* s) noexcept nogil:
    # Rates, and log weights with the sum over facts.
    cdef Bounds bounds
    cdef Window window
    cdef Py_ssize_t k
    cdef double total, shift
    cdef int c
    lump.used = False
    rows.bound = 0.0
    rows.norm[0] = rows.norm[1] = rows.norm[2] = 0.0
    rows.known[0] = rows.known[1] = rows.known[2] = -INFINITY
    rows.count = 1
    if theta.family == LINEAR:
        rows.rate[0] = theta.first
        rows.weight[0] = theta.first * theta.added
    elif theta.family == LEVIN and theta.first < LEAST_POWER:
        rows.rate[0] = 0.0
        rows.weight[0] = 0.0
    elif theta.family == POWER and nearly_linear(theta.second, theta.first):
        rows.rate[0] = theta.first / theta.second
        rows.weight[0] = rows.rate[0] * theta.added
    else:
        if not find_bounds(eq, theta, &bounds, s):
            return INFINITE
        for c in range(CLASSES):
            if bounds.shortest[c] <= 0.0:
                return NO_TIME
        if theta.family == LEVIN:
            rows.count = levin_nodes(
                theta.first, &bounds, rows.room, rows.rate, rows.weight, lump, &rows.bound
            )
        else:
            window = program_window(theta.second, theta.first)
            rows.count = power_places(eq, theta, &window, &bounds, rows, s)
        if rows.count < 0:
            return TOO_MANY_ROWS
        if theta.family == POWER:
            fill_power_rows(
                &window, rows.rule, rows.count, rows.delta, rows.spacing, rows.rate, rows.weight
            )
            for k in range(rows.count):
                rows.weight[k] += rows.rate[k] * theta.added
            for c in range(CLASSES):
                if bounds.upper[c] == -INFINITY:
                    continue
                total = 0.0
                shift = -lost(theta, bounds.beyond[c])
                for k in range(rows.count):
                    total += exp(
                        rows.weight[k] - rows.rate[k] * bounds.beyond[c] - shift
                    )
                # Where not even that program is found the rows miss the class.
                if not fabs(total - 1.0) < 0.5:
                    rows.known[c] = bounds.lower[c]
                else:
                    rows.norm[c] = log(total)
    for k in range(rows.count):
        if theta.family != LEVIN:
            rows.size[k] = rows.rate[k] * theta.added
        elif rows.rate[k] > 0.0:
            rows.size[k] = theta.first * (2.0 + fabs(log(rows.rate[k])))
        else:
            rows.size[k] = 0.0
        rows.weight[k] += log_product(
            rows.rate[k], theta.fact_cost, theta.fact_step, theta.num_facts
        )
    return SUMMED


cdef inline bint is_alive(const Equations* eq, const Theta* theta, const Rows* rows,
                          Py_ssize_t k, int which, const double* floor) noexcept nogil:
    # Whether a case can matter to a class at a row.
    cdef int c
    for c in range(CLASSES):
        if rows.upper[k * CLASSES + c] + rows.weight[k] + theta.costs.log_case[which] > (
            floor[c] - CUT
        ):
            return True
    return False


cdef inline void add_roots(
    const Equations* eq, const Theta* theta, Rows* rows, Py_ssize_t k, int which,
    const double* floor, double* total, double* doubt, Entries* entries, const Solution* s
) noexcept nogil:
    # What one case adds to every class at one row, in units of e^floor.
    cdef double rate = rows.rate[k], log_weight, term, size
    cdef int q, c, state
    for q in range(eq.num_roots):
        state = eq.root_state[q]
        if s.best[state] == -INFINITY:
            continue
        c = eq.root_class[q]
        log_weight = root_log(eq, theta, rate, q, s) + (
            rows.weight[k] + theta.costs.log_case[which]
        )
        term = exp(log_weight - floor[c]) * s.scaled[state]
        size = (
            fabs(theta.costs.log_case[which]) + fabs(rows.weight[k]) + fabs(s.best[state])
            + theta.costs.root_cost[q] + rate * theta.costs.root_step[q] + rows.size[k]
        )
        # A size may be infinite where a term is 0.
        if term == 0.0:
            continue
        total[c] += term
        doubt[c] += term * (s.error[state] + 4.0 * EPS * (2.0 + size))
        if k < 3:
            rows.lump[k * CLASSES + c] += term
        if entries is not NULL:
            if entries.count < entries.room:
                entries.which[entries.count] = which
                entries.row[entries.count] = <int>k
                entries.root[entries.count] = q
                entries.log_weight[entries.count] = log_weight + log(s.scaled[state])
            entries.count += 1


cdef inline int sum_programs(
    const Equations* eq, const Theta* theta, Rows* rows, Solution* s, double* log_weight,
    double* error, Entries* entries
) noexcept nogil:
    # log_weight[c] and its error; entries.count may exceed its room.
    cdef double floor[3]
    cdef double total[3]
    cdef double doubt[3]
    cdef double steps[3]
    cdef Lump lump
    cdef Py_ssize_t k
    cdef int c, j, which, status = make_rows(eq, theta, rows, &lump, s)
    cdef bint warm, any_alive
    cdef double missed
    if entries is not NULL:
        entries.count = 0
    for c in range(CLASSES):
        log_weight[c] = INFINITY
        error[c] = INFINITY
        floor[c] = -INFINITY
        total[c] = 0.0
        doubt[c] = 0.0
    if status != SUMMED:
        return status
    # Nothing to draw by.
    if entries is not NULL and rows.count == 0:
        return TOO_MANY_ROWS
    for k in range(rows.count):
        best_programs(eq, theta, rows.rate[k], &rows.best[k * CLASSES], steps, s)
        for c in range(CLASSES):
            floor[c] = fmax(floor[c], rows.weight[k] + rows.best[k * CLASSES + c])
    for k in range(3 * CLASSES):
        rows.lump[k] = 0.0
    warm = False
    for k in range(rows.count - 1, -1, -1):
        if not free_sums(eq, theta, rows.rate[k], warm, &rows.upper[k * CLASSES], s):
            return INFINITE
        warm = True
        if is_alive(eq, theta, rows, k, eq.full, floor):
            add_roots(eq, theta, rows, k, eq.full, floor, total, doubt, entries, s)
    for j in range(eq.num_cases):
        which = theta.costs.order[j]
        if which == eq.full:
            continue
        any_alive = False
        warm = False
        for k in range(rows.count - 1, -1, -1):
            if not is_alive(eq, theta, rows, k, which, floor):
                continue
            if not solve_case(eq, &theta.costs, which, rows.rate[k], warm, s):
                return INFINITE
            any_alive = True
            warm = True
            add_roots(eq, theta, rows, k, which, floor, total, doubt, entries, s)
        if not any_alive:
            break
    for c in range(CLASSES):
        if rows.known[c] > -INFINITY or not 0.0 < total[c] < INFINITY:
            # So far away that no row or case was solved for it, or no program at all.
            log_weight[c] = rows.known[c] if rows.known[c] > -INFINITY else floor[c]
            error[c] = INFINITY if log_weight[c] > -INFINITY else 0.0
            continue
        # Rows and cases left out: none is above e^-CUT of the floor.
        missed = (2.0 + rows.count) * eq.num_cases * exp(-CUT)
        if lump.used:
            missed += lump_error(&lump, rows.lump + c, CLASSES)
        log_weight[c] = floor[c] + log(total[c]) - rows.norm[c]
        error[c] = (
            (doubt[c] + missed) / total[c] + rows.bound + 4.0 * fabs(rows.norm[c])
            + 4.0 * EPS * fabs(log_weight[c])
        )
    return SUMMED
