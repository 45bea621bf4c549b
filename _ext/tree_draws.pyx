# Exact independent draws of programs of a grammar: case, rate and root, the tree, every fact.
#
# `sum_programs` (case_sums.pxd) leaves the log weight of every (case, row, root) that it summed.
# One of them is drawn by its share; then the tree top-down, every node a term of its state by that
# term's share of the state's inside sum; then every fact by itself at the row's rate. The mixture
# over cases and rates is the weight itself, so nothing is rejected and nothing is a chain.
#  * `draw_varying`: one program for every draw of theta; the sum is made anew each time.
#  * `fill_table`, `fill_terms` once, then `draw_fixed`: many programs at one theta.
# A tree may have any length: where a buffer is full the call returns with what it was at in `at`,
# and goes on from there when it is called again with larger ones.
#
# Only next_uint64 of the bit generator is used: one word for the entry, one for every state with
# more than one term in prefix order (a marginal state takes no place in the code), then those of
# the facts (fact_draws.pxd).

from libc.math cimport exp, fmax
from libc.stdint cimport UINT64_MAX, int16_t, int64_t, uint8_t, uint16_t, uint64_t
from numpy.random cimport bitgen_t

from case_sums cimport Entries, Rows, Theta, sum_programs
from fact_draws cimport draw_facts, generator, pick, stored_threshold, uniform
from inside_terms cimport Equations, Solution, solve_case
from program_work cimport Draws, draws_of, equations, rows_of, solution_of, theta_of

cdef enum:
    # Places of `at`.
    DRAW = 0
    LENGTH = 1     # numbers in the flat buffer
    OPEN = 2       # states on the stack; 0: the next program has not begun
    BEGIN = 3      # where the program at hand begins
    CHOSEN = 4     # its entry


cdef inline void thresholds_of(double rate, const Theta* theta, uint16_t* top,
                               uint64_t* threshold) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(theta.num_facts):
        threshold[j] = stored_threshold(theta.fact_cost[j], rate * theta.fact_step[j])
        top[j] = <uint16_t>(threshold[j] >> 48)


cdef inline void term_shares(const Equations* eq, const Theta* theta, int which, double rate,
                             uint64_t* reached, Solution* s) noexcept nogil:
    # Cumulative shares of every state's terms in units of 2^-64, from the solution at hand; a term
    # that is not alive adds nothing. coefficient holds the terms' own shares.
    cdef int j, k, t, a, last = -1, state = -1
    cdef double value, sum_so_far = 0.0, scaled
    for t in range(eq.num_terms):
        reached[t] = 0
        s.coefficient[t] = 0.0
    for j in range(eq.case_start[which], eq.case_start[which + 1]):
        t = eq.case_term[j]
        value = -(theta.costs.cost[t] + rate * theta.costs.step[t]) - s.best[eq.target[t]]
        scaled = 1.0
        for k in range(eq.width):
            a = eq.args[t * eq.width + k]
            if a < 0:
                break
            value += s.best[a]
            scaled *= s.scaled[a]
        s.coefficient[t] = exp(value) * scaled
    for j in range(eq.num_states):
        s.value[j] = 0.0
    for t in range(eq.num_terms):
        s.value[eq.target[t]] += s.coefficient[t]
    for t in range(eq.num_terms):
        if eq.target[t] != state:
            state = eq.target[t]
            sum_so_far = 0.0
            last = -1
        if s.coefficient[t] > 0.0:
            sum_so_far += s.coefficient[t]
            last = t
        if last >= 0:
            scaled = sum_so_far / s.value[state] * 18446744073709551616.0
            reached[t] = <uint64_t>scaled if scaled < 18446744073709551616.0 else UINT64_MAX
    # The sum of the shares may round below 1: the last term that is alive takes the rest.
    state = -1
    for t in range(eq.num_terms - 1, -1, -1):
        if eq.target[t] != state:
            state = eq.target[t]
            last = 0
        if not last and s.value[state] > 0.0:
            reached[t] = UINT64_MAX
            last = s.coefficient[t] > 0.0


cdef inline bint grow_tree(
    bitgen_t* rng, const uint64_t* reached, const int* state_start, const int* args,
    const int16_t* rule, Py_ssize_t width, int16_t* flat, Py_ssize_t flat_room, int* stack,
    Py_ssize_t stack_room, int64_t* at
) noexcept nogil:
    # Goes on with the tree whose states are on the stack; False where there is no room.
    cdef Py_ssize_t length = at[LENGTH], open_states = at[OPEN], k
    cdef int t, a, state
    cdef uint64_t word
    cdef bint done = True
    while open_states > 0:
        if length >= flat_room or open_states + width > stack_room:
            done = False
            break
        open_states -= 1
        state = stack[open_states]
        t = state_start[state]
        if state_start[state + 1] > t + 1:
            word = rng.next_uint64(rng.state)
            if word == UINT64_MAX:
                word -= 1
            while word >= reached[t]:
                t += 1
        if rule[t] >= 0:
            flat[length] = rule[t]
            length += 1
        for k in range(width - 1, -1, -1):
            a = args[t * width + k]
            if a >= 0:
                stack[open_states] = a
                open_states += 1
    at[LENGTH] = length
    at[OPEN] = open_states
    return done


cdef inline Py_ssize_t table_of(const Equations* eq, const Theta* theta, Rows* rows, Solution* s,
                                Entries* entries, double* share, int* status) noexcept nogil:
    # Shares of the entries, up to a common factor; returns how many there are, -1 - that number if
    # there is no room.
    cdef double log_weight[3]
    cdef double error[3]
    cdef double top = -1e308
    cdef Py_ssize_t k
    status[0] = sum_programs(eq, theta, rows, s, log_weight, error, entries)
    if status[0] != 0:
        return 0
    if entries.count > entries.room:
        return -1 - entries.count
    for k in range(entries.count):
        top = fmax(top, entries.log_weight[k])
    for k in range(entries.count):
        share[k] = exp(entries.log_weight[k] - top)
    return entries.count


def fill_table(
    const int[:, ::1] args, const int[::1] target, const int[::1] block, const int[::1] kind,
    const int[::1] case_start, const int[::1] case_term, const int[::1] root_state,
    const int[::1] root_class, int full,
    int family, const double[:, ::1] cost, const double[:, ::1] step,
    const double[:, ::1] root_cost, const double[:, ::1] root_step,
    const double[:, ::1] log_case, const int[:, ::1] order, const double[:, ::1] scalar,
    const double[:, ::1] fact_cost, const double[:, ::1] fact_step, Py_ssize_t num_facts,
    Py_ssize_t room, double[::1] numbers, int[::1] whole,
    int[:, ::1] entry, double[:, ::1] entry_share, double[::1] rate
):
    """Fill the entries of the one draw given: `entry` (3, E) case, row, root, and their shares.

    Returns the status and how many entries there are; more than E: nothing of use was filled.
    `rate` receives the rates of the rows.
    """
    cdef Equations eq = equations(
        args, target, block, kind, case_start, case_term, root_state, root_class, full
    )
    cdef Draws draws = draws_of(
        family, cost, step, root_cost, root_step, log_case, order, scalar, fact_cost, fact_step
    )
    cdef Solution solution = solution_of(&eq, &numbers[0], &whole[0])
    cdef Rows rows = rows_of(&eq, &numbers[0], room)
    cdef Entries entries = entries_of(entry, entry_share)
    cdef Theta theta
    cdef Py_ssize_t count, k
    cdef int status = 0
    draws.num_facts = num_facts
    with nogil:
        theta = theta_of(&eq, &draws, 0)
        count = table_of(&eq, &theta, &rows, &solution, &entries, &entry_share[1, 0], &status)
        for k in range(rows.count):
            rate[k] = rows.rate[k]
    return status, count if count >= 0 else -1 - count


cdef inline Entries entries_of(int[:, ::1] entry, double[:, ::1] entry_share) noexcept:
    cdef Entries entries
    entries.room = entry.shape[1]
    entries.count = 0
    entries.which = &entry[0, 0]
    entries.row = &entry[1, 0]
    entries.root = &entry[2, 0]
    entries.log_weight = &entry_share[0, 0]
    return entries


def fill_terms(
    const int[:, ::1] args, const int[::1] target, const int[::1] block, const int[::1] kind,
    const int[::1] case_start, const int[::1] case_term, const int[::1] root_state,
    const int[::1] root_class, int full,
    int family, const double[:, ::1] cost, const double[:, ::1] step,
    const double[:, ::1] root_cost, const double[:, ::1] root_step,
    const double[:, ::1] log_case, const int[:, ::1] order, const double[:, ::1] scalar,
    const double[:, ::1] fact_cost, const double[:, ::1] fact_step, Py_ssize_t num_facts,
    double[::1] numbers, int[::1] whole, const int[::1] which, const double[::1] rate,
    uint64_t[:, ::1] reached, uint16_t[:, ::1] top, uint64_t[:, ::1] threshold
):
    """Fill the cumulative shares of terms, and the facts' thresholds, of every (case, rate)."""
    cdef Equations eq = equations(
        args, target, block, kind, case_start, case_term, root_state, root_class, full
    )
    cdef Draws draws = draws_of(
        family, cost, step, root_cost, root_step, log_case, order, scalar, fact_cost, fact_step
    )
    cdef Solution solution = solution_of(&eq, &numbers[0], &whole[0])
    cdef Theta theta
    cdef Py_ssize_t i
    draws.num_facts = num_facts
    with nogil:
        theta = theta_of(&eq, &draws, 0)
        for i in range(which.shape[0]):
            solve_case(&eq, &theta.costs, which[i], rate[i], False, &solution)
            term_shares(&eq, &theta, which[i], rate[i], &reached[i, 0], &solution)
            thresholds_of(rate[i], &theta, &top[i, 0], &threshold[i, 0])


def draw_fixed(
    bit_generator, const int[:, ::1] args, const int[::1] state_start, const int16_t[::1] rule,
    const uint64_t[::1] cumulative, const int64_t[::1] guide, int guide_bits,
    const int[::1] entry_table, const int[::1] entry_state, const uint64_t[:, ::1] reached,
    const uint16_t[:, ::1] top, const uint64_t[:, ::1] threshold, Py_ssize_t num_facts,
    uint16_t[::1] lane, int16_t[::1] flat, int[::1] stack, int64_t[::1] at,
    int64_t[::1] length, uint8_t[:, ::1] stored
):
    """Draw programs at one theta until `length` (D,) is full; False where a buffer is full."""
    cdef Py_ssize_t width = args.shape[1], row
    cdef uint64_t word
    cdef bint done = True
    cdef bitgen_t *rng = generator(bit_generator)
    with bit_generator.lock, nogil:
        while at[DRAW] < length.shape[0]:
            if at[OPEN] == 0:
                word = rng.next_uint64(rng.state)
                row = guide[word >> (64 - guide_bits)]
                while cumulative[row] < word:
                    row += 1
                at[CHOSEN] = row
                at[BEGIN] = at[LENGTH]
                at[OPEN] = 1
                stack[0] = entry_state[row]
            row = entry_table[at[CHOSEN]]
            done = grow_tree(
                rng, &reached[row, 0], &state_start[0], &args[0, 0], &rule[0], width, &flat[0],
                flat.shape[0], &stack[0], stack.shape[0], &at[0],
            )
            if not done:
                break
            length[at[DRAW]] = at[LENGTH] - at[BEGIN]
            if num_facts > 0:
                draw_facts(
                    rng, &top[row, 0], &threshold[row, 0], num_facts, &lane[0],
                    &stored[at[DRAW], 0],
                )
            at[DRAW] += 1
    return done


def draw_varying(
    bit_generator, const int[:, ::1] args, const int[::1] target, const int[::1] block,
    const int[::1] kind, const int[::1] case_start, const int[::1] case_term,
    const int[::1] root_state, const int[::1] root_class, int full,
    int family, const double[:, ::1] cost, const double[:, ::1] step,
    const double[:, ::1] root_cost, const double[:, ::1] root_step,
    const double[:, ::1] log_case, const int[:, ::1] order, const double[:, ::1] scalar,
    const double[:, ::1] fact_cost, const double[:, ::1] fact_step, Py_ssize_t num_facts,
    const int[::1] state_start, const int16_t[::1] rule,
    Py_ssize_t room, double[::1] numbers, int[::1] whole, int[:, ::1] entry,
    double[:, ::1] entry_share, uint64_t[::1] reached, uint16_t[::1] top, uint64_t[::1] threshold,
    uint16_t[::1] lane, int16_t[::1] flat, int[::1] stack, int64_t[::1] at,
    int64_t[::1] length, uint8_t[:, ::1] stored, int[::1] status
):
    """Draw a program for every draw of theta; returns 0, or how many entries there must be.

    -1: the buffers for trees are full.
    """
    cdef Equations eq = equations(
        args, target, block, kind, case_start, case_term, root_state, root_class, full
    )
    cdef Draws draws = draws_of(
        family, cost, step, root_cost, root_step, log_case, order, scalar, fact_cost, fact_step
    )
    cdef Solution solution = solution_of(&eq, &numbers[0], &whole[0])
    cdef Rows rows = rows_of(&eq, &numbers[0], room)
    cdef Entries entries = entries_of(entry, entry_share)
    cdef Theta theta
    cdef Py_ssize_t count, k
    cdef Py_ssize_t needed = 0
    cdef int which
    cdef bitgen_t *rng = generator(bit_generator)
    draws.num_facts = num_facts
    with bit_generator.lock, nogil:
        while at[DRAW] < length.shape[0]:
            if at[OPEN] == 0:
                theta = theta_of(&eq, &draws, at[DRAW])
                count = table_of(
                    &eq, &theta, &rows, &solution, &entries, &entry_share[1, 0], &status[0]
                )
                if status[0] != 0:
                    break
                if count < 0:
                    needed = -1 - count
                    break
                k = pick(uniform(rng), &entry_share[1, 0], count)
                which = entries.which[k]
                solve_case(&eq, &theta.costs, which, rows.rate[entries.row[k]], False, &solution)
                term_shares(
                    &eq, &theta, which, rows.rate[entries.row[k]], &reached[0], &solution
                )
                thresholds_of(rows.rate[entries.row[k]], &theta, &top[0], &threshold[0])
                at[BEGIN] = at[LENGTH]
                at[OPEN] = 1
                stack[0] = eq.root_state[entries.root[k]]
            if not grow_tree(
                rng, &reached[0], &state_start[0], &args[0, 0], &rule[0], eq.width, &flat[0],
                flat.shape[0], &stack[0], stack.shape[0], &at[0],
            ):
                needed = -1
                break
            length[at[DRAW]] = at[LENGTH] - at[BEGIN]
            if num_facts > 0:
                draw_facts(rng, &top[0], &threshold[0], num_facts, &lane[0], &stored[at[DRAW], 0])
            at[DRAW] += 1
    return needed
