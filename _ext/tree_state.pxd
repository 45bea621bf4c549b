# Programs as flat prefix codes, and what they cost, for the tree kernels.
#
# A program is the prefix code of its tree, for every node whether it executes, and *counters*:
# what the nodes pay, by component. The counters follow every splice; the costs are a function of
# them alone, so that no rounding builds up however many splices there are. Counters stand in
# blocks: payments of bits, components stored once (a counter per level of their count), bits of the
# rules (only under a capacity), payments of steps, and pairs of run counts for overlaps. What every
# program pays has been taken out by the caller, before any product.

from libc.math cimport INFINITY, expm1, log1p
from libc.stdint cimport int16_t, int32_t, uint8_t

cdef enum:
    LINEAR = 0
    LEVIN = 1
    POWER = 2

cdef struct Rules:
    int start             # symbol of whole programs
    int width             # most arguments of any rule
    const int *symbol
    const int *arity
    const int *args           # symbols, `width` a rule
    const int *executes       # 0 or 1, `width` a rule
    const int *train          # position of the argument that decides, or -1 - objective
    const int *first_rule     # by symbol, into rule_order and rule_cumulative
    const int *rule_order
    const double *rule_cumulative
    const double *log_base
    const int *first_wrap     # by symbol: rules of that symbol with an argument of that symbol
    const int *wrap_rule
    const int *wrap_place
    const double *wrap_cumulative
    const double *log_wrap    # by symbol: log of the sum of what can be wrapped around
    const int *inner          # arguments of the rule's own symbol
    const int *first_peer     # by rule: rules of the same symbol and arguments
    const int *peer
    const int *first_effect   # 2 rule: paid by every node; 2 rule + 1: where it executes
    const int *effect_counter
    const int *effect_amount

cdef struct Costs:
    int bits_end          # blocks of counters
    int once_end
    int rules_end
    int steps_end
    int counters
    int overlaps
    const double *price   # by counter: bits or steps
    const double *overlap     # steps not paid again, by pair
    const double *uses    # v by rule of the root
    const double *loss    # nats by objective; infinite: not eligible
    int family
    double nats           # beta ln2
    double rate           # steps per bit, or kappa / ln2
    double exponent
    double reference      # steps of the reference program; what is kept is relative to mandatory
    double least          # the same, less what is mandatory
    double root           # (reference / rate)^(1/exponent)
    double cap            # less what is mandatory, as is the capacity
    double capacity

cdef struct Facts:
    int count
    const int *order      # each after what it needs
    const int *first_need
    const int *need
    const double *bits
    const double *steps
    double *derivation    # work: steps to derive each

cdef struct Program:
    int size
    int16_t *code
    uint8_t *executed
    int32_t *counter
    double bits           # beyond what is mandatory, without rules and facts
    double rule_bits      # 0 unless there is a capacity
    double steps
    double loss

cdef struct State:
    Program tree
    uint8_t *stored
    double fact_bits
    double fact_steps     # of one use of all facts
    double energy


cdef inline int subtree_end(const Rules* rules, const int16_t* code, int at) noexcept nogil:
    cdef int still = 1
    while still:
        still += rules.arity[code[at]] - 1
        at += 1
    return at


cdef inline int argument(const Rules* rules, const int16_t* code, int at, int place) noexcept nogil:
    at += 1
    while place:
        at = subtree_end(rules, code, at)
        place -= 1
    return at


cdef inline int objective(const Rules* rules, const int16_t* code) noexcept nogil:
    # What the program exhibits in training.
    cdef int at = 0, decides = rules.train[code[0]]
    while decides >= 0:
        at = argument(rules, code, at, decides)
        decides = rules.train[code[at]]
    return -1 - decides


cdef inline void mark_executed(const Rules* rules, Program* tree, int begin, int end, int executed,
                               int* stack) noexcept nogil:
    cdef int at, k, rule, depth = 1
    stack[0] = executed
    for at in range(begin, end):
        depth -= 1
        executed = stack[depth]
        tree.executed[at] = <uint8_t>executed
        rule = tree.code[at]
        for k in range(rules.arity[rule] - 1, -1, -1):
            stack[depth] = executed & rules.executes[rule * rules.width + k]
            depth += 1


cdef inline void pay(const Rules* rules, const Program* tree, int begin, int end, int sign,
                     int32_t* counter) noexcept nogil:
    cdef int at, rule, e
    for at in range(begin, end):
        rule = tree.code[at]
        for e in range(
            rules.first_effect[2 * rule], rules.first_effect[2 * rule + 1 + tree.executed[at]]
        ):
            counter[rules.effect_counter[e]] += sign * rules.effect_amount[e]


cdef inline void price_tree(const Rules* rules, const Costs* costs, Program* tree) noexcept nogil:
    cdef double bits = 0.0, rule_bits = 0.0, steps = 0.0
    cdef const int32_t *counter = tree.counter
    cdef int c
    for c in range(costs.bits_end):
        bits += costs.price[c] * counter[c]
    for c in range(costs.bits_end, costs.once_end):
        bits += costs.price[c] * (counter[c] > 0)
    for c in range(costs.once_end, costs.rules_end):
        rule_bits += costs.price[c] * counter[c]
    for c in range(costs.rules_end, costs.steps_end):
        steps += costs.price[c] * counter[c]
    counter += costs.steps_end
    for c in range(costs.overlaps):
        steps -= costs.overlap[c] * min(counter[2 * c], counter[2 * c + 1])
    tree.bits = bits
    tree.rule_bits = rule_bits
    tree.steps = steps
    tree.loss = costs.loss[objective(rules, tree.code)]


cdef inline void sum_facts(const Facts* facts, State* state) noexcept nogil:
    # Each derivation repeats what it needs, unless that is stored.
    cdef double steps
    cdef int k, j, i
    state.fact_bits = 0.0
    state.fact_steps = 0.0
    for k in range(facts.count):
        j = facts.order[k]
        steps = facts.steps[j]
        for i in range(facts.first_need[j], facts.first_need[j + 1]):
            if not state.stored[facts.need[i]]:
                steps += facts.derivation[facts.need[i]]
        facts.derivation[j] = steps
        if state.stored[j]:
            state.fact_bits += facts.bits[j]
        else:
            state.fact_steps += steps


cdef inline double added_penalty(const Costs* costs, double steps) noexcept nogil:
    # Penalty of `steps` beyond the mandatory ones, less that of the reference program, in bits.
    cdef double added = steps - costs.least, growth
    if costs.family == LINEAR:
        return added / costs.rate
    if costs.reference == 0.0:
        return (added / costs.rate) ** (1.0 / costs.exponent) if added > 0.0 else 0.0
    growth = added / costs.reference
    if growth <= -1.0:
        # No program runs 0 steps under levin; without steps the power family has no penalty.
        return INFINITY if costs.family == LEVIN else -costs.root
    if costs.family == LEVIN:
        return costs.rate * log1p(growth)
    return costs.root * expm1(log1p(growth) / costs.exponent)


cdef inline double energy(const Costs* costs, const Program* tree, double fact_bits,
                          double fact_steps) noexcept nogil:
    # beta ln2 (bits + penalty of the steps) + loss, in nats; infinite where it must not go.
    cdef double uses = costs.uses[tree.code[0]], steps = tree.steps, bits = tree.bits + fact_bits
    if uses > 0.0:
        steps += uses * fact_steps
    if not steps <= costs.cap or bits + tree.rule_bits > costs.capacity:
        return INFINITY
    if tree.loss == INFINITY:
        return INFINITY
    return costs.nats * (bits + added_penalty(costs, steps)) + tree.loss
