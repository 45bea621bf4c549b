# From arrays of the caller to the structs that the kernels over a grammar's programs work on.

from case_sums cimport Rows, Theta
from inside_terms cimport Equations, Solution
from power_rows cimport TAIL_ROWS

cdef struct Draws:
    # Draws of theta, one row each.
    int family
    Py_ssize_t num_facts
    const double *cost        # (N, T)
    const double *step        # (N, T)
    const double *root_cost   # (N, Q)
    const double *root_step   # (N, Q)
    const double *log_case    # (N, K)
    const int *order          # (N, K)
    const double *scalar      # (N, 4): first, second, shared, added
    const double *fact_cost   # (N, n)
    const double *fact_step   # (N, n)


cdef inline Equations equations(
    const int[:, ::1] args, const int[::1] target, const int[::1] block, const int[::1] kind,
    const int[::1] case_start, const int[::1] case_term, const int[::1] root_state,
    const int[::1] root_class, int full
) noexcept:
    cdef Equations eq
    eq.num_states = <int>block.shape[0]
    eq.num_terms = <int>target.shape[0]
    eq.width = <int>args.shape[1]
    eq.num_roots = <int>root_state.shape[0]
    eq.num_cases = <int>case_start.shape[0] - 1
    eq.full = full
    eq.target = &target[0]
    eq.args = &args[0, 0]
    eq.block = &block[0]
    eq.kind = &kind[0]
    eq.case_start = &case_start[0]
    eq.case_term = &case_term[0]
    eq.root_state = &root_state[0]
    eq.root_class = &root_class[0]
    return eq


cdef inline Draws draws_of(
    int family, const double[:, ::1] cost, const double[:, ::1] step,
    const double[:, ::1] root_cost, const double[:, ::1] root_step,
    const double[:, ::1] log_case, const int[:, ::1] order, const double[:, ::1] scalar,
    const double[:, ::1] fact_cost, const double[:, ::1] fact_step
) noexcept:
    cdef Draws draws
    draws.family = family
    draws.num_facts = fact_cost.shape[1]
    draws.cost = &cost[0, 0]
    draws.step = &step[0, 0]
    draws.root_cost = &root_cost[0, 0]
    draws.root_step = &root_step[0, 0]
    draws.log_case = &log_case[0, 0]
    draws.order = &order[0, 0]
    draws.scalar = &scalar[0, 0]
    draws.fact_cost = &fact_cost[0, 0]
    draws.fact_step = &fact_step[0, 0]
    return draws


cdef inline Theta theta_of(const Equations* eq, const Draws* draws, Py_ssize_t i) noexcept nogil:
    cdef Theta theta
    theta.costs.cost = draws.cost + i * eq.num_terms
    theta.costs.step = draws.step + i * eq.num_terms
    theta.costs.root_cost = draws.root_cost + i * eq.num_roots
    theta.costs.root_step = draws.root_step + i * eq.num_roots
    theta.costs.log_case = draws.log_case + i * eq.num_cases
    theta.costs.order = draws.order + i * eq.num_cases
    theta.family = draws.family
    theta.first = draws.scalar[4 * i]
    theta.second = draws.scalar[4 * i + 1]
    theta.shared = draws.scalar[4 * i + 2]
    theta.added = draws.scalar[4 * i + 3]
    theta.fact_cost = draws.fact_cost + i * draws.num_facts
    theta.fact_step = draws.fact_step + i * draws.num_facts
    theta.num_facts = draws.num_facts
    return theta


cdef inline Py_ssize_t numbers_needed(Py_ssize_t num_states, Py_ssize_t num_terms,
                                      Py_ssize_t room) noexcept nogil:
    return 8 * num_states + num_states * num_states + 2 * num_terms + 11 * room + 9 + 3 * TAIL_ROWS


cdef inline Solution solution_of(const Equations* eq, double* numbers, int* whole) noexcept nogil:
    cdef Solution s
    cdef Py_ssize_t n = eq.num_states
    s.best = numbers
    s.best_steps = s.best + n
    s.scaled = s.best_steps + n
    s.error = s.scaled + n
    s.value = s.error + n
    s.right = s.value + n
    s.coefficient = s.right + 3 * n
    s.doubt = s.coefficient + eq.num_terms
    s.matrix = s.doubt + eq.num_terms
    s.place = whole
    s.inner = whole + n
    return s


cdef inline Rows rows_of(const Equations* eq, double* numbers, Py_ssize_t room) noexcept nogil:
    cdef Rows rows
    rows.room = room
    rows.count = 0
    rows.rate = numbers + (
        8 * eq.num_states + eq.num_states * eq.num_states + 2 * eq.num_terms
    )
    rows.weight = rows.rate + room
    rows.size = rows.weight + room
    rows.delta = rows.size + room
    rows.spacing = rows.delta + room
    rows.best = rows.spacing + room
    rows.upper = rows.best + 3 * room
    rows.lump = rows.upper + 3 * room
    rows.rule = rows.lump + 9
    return rows
