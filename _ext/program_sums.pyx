# Exact sums over every program of a grammar, by class, for many draws of theta.
#
# The scalar work is in case_sums.pxd; here are the loop over draws and the face. The caller owns
# every array, the GIL is released, and a flag that is not 0 ends the loop after the draw at hand.
# The slow twin is tests/reference/program_sums.py.

from case_sums cimport Rows, Theta, sum_programs
from inside_terms cimport Equations, Solution
from program_work cimport (
    Draws, draws_of, equations, numbers_needed, rows_of, solution_of, theta_of,
)


def work_needed(Py_ssize_t num_states, Py_ssize_t num_terms, Py_ssize_t width, Py_ssize_t room):
    """Return how many doubles and ints the work arrays hold."""
    return numbers_needed(num_states, num_terms, room), num_states + num_terms * (width + 1)


def class_sums(
    const int[:, ::1] args, const int[::1] target, const int[::1] block, const int[::1] kind,
    const int[::1] case_start, const int[::1] case_term, const int[::1] root_state,
    const int[::1] root_class, int full,
    int family, const double[:, ::1] cost, const double[:, ::1] step,
    const double[:, ::1] root_cost, const double[:, ::1] root_step,
    const double[:, ::1] log_case, const int[:, ::1] order, const double[:, ::1] scalar,
    const double[:, ::1] fact_cost, const double[:, ::1] fact_step, Py_ssize_t num_facts,
    Py_ssize_t room, double[::1] numbers, int[::1] whole, const int[::1] stop,
    double[:, ::1] log_weight, double[:, ::1] error, int[::1] status
):
    """Fill `log_weight` (N, 3), `error` (N, 3) and `status` (N,) for the draws given."""
    cdef Equations eq = equations(
        args, target, block, kind, case_start, case_term, root_state, root_class, full
    )
    cdef Draws draws = draws_of(
        family, cost, step, root_cost, root_step, log_case, order, scalar, fact_cost, fact_step
    )
    cdef Solution solution = solution_of(&eq, &numbers[0], &whole[0])
    cdef Rows rows = rows_of(&eq, &numbers[0], room)
    cdef Theta theta
    cdef Py_ssize_t i
    draws.num_facts = num_facts
    with nogil:
        for i in range(log_weight.shape[0]):
            if stop[0]:
                break
            theta = theta_of(&eq, &draws, i)
            status[i] = sum_programs(
                &eq, &theta, &rows, &solution, &log_weight[i, 0], &error[i, 0], NULL
            )
