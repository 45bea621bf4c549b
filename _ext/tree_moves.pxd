# The moves of the tree kernels: each proposes, prices what changed, and accepts or not.
#
# Target: base(tree) e^(-s E), s the inverse temperature. A fresh subtree is drawn from the base
# grammar, so its weight cancels. Moves that are drawn along a path (which node, which rule) accept
# by the probabilities of that path and of the one back: each pair of paths is in balance.
# Nothing is allocated: a proposal is built in a second buffer, and accepted by exchanging pointers.

from libc.math cimport INFINITY
from libc.stdint cimport int16_t
from libc.string cimport memcmp, memcpy

from choices cimport Source, accept, choose, pick
from tree_state cimport (
    Costs, Facts, Program, Rules, State, argument, energy, mark_executed, pay, price_tree,
    subtree_end, sum_facts,
)

cdef enum:
    REGENERATE = 0
    INSERT = 1
    DELETE = 2
    SWAP = 3
    FLIP = 4
    EXCHANGE = 5
    JUMP = 6
    MOVES = 7

cdef enum:
    REJECTED = 0
    ACCEPTED = 1
    IDENTICAL = 2         # the proposal is the state
    IMPOSSIBLE = 3        # no such move here, or no room for it
    OUTCOMES = 4

cdef struct Jumps:
    int count             # programs in the table, each once
    int longest
    const int16_t *code       # `longest` an entry
    const int *size
    const double *cumulative  # of the entries, then of a fresh tree
    const double *log_excess  # log (proposal / base) by entry, then of any other program

cdef struct Kit:
    Rules rules
    Costs costs
    Facts facts
    Jumps jumps
    Source source
    Program proposal
    int *stack
    int max_nodes
    const double *log_whole       # log n, n = 1 .. max_nodes
    const double *move_cumulative
    double log_back               # log P(delete) - log P(insert)


cdef inline int generate(Kit* kit, int symbol, int executed, int at, int limit) noexcept nogil:
    # A fresh subtree into the proposal at `at`: where it ends, or -1 if beyond `limit`.
    cdef Rules *rules = &kit.rules
    cdef int depth = 1, first, rule, k
    kit.stack[0] = 2 * symbol + executed
    while depth:
        if at + depth > limit:
            return -1
        depth -= 1
        symbol = kit.stack[depth] >> 1
        executed = kit.stack[depth] & 1
        first = rules.first_rule[symbol]
        rule = rules.rule_order[first + choose(
            &kit.source, &rules.rule_cumulative[first], rules.first_rule[symbol + 1] - first
        )]
        kit.proposal.code[at] = <int16_t>rule
        kit.proposal.executed[at] = executed
        at += 1
        for k in range(rules.arity[rule] - 1, -1, -1):
            kit.stack[depth] = 2 * rules.args[rule * rules.width + k]
            kit.stack[depth] += executed & rules.executes[rule * rules.width + k]
            depth += 1
    return at


cdef inline void splice(Kit* kit, const Program* tree, int at, int end, int new_end) noexcept nogil:
    # Around the proposal's new nodes at .. new_end: the rest of the tree, less at .. end.
    cdef Program *new = &kit.proposal
    memcpy(new.code, tree.code, at * sizeof(tree.code[0]))
    memcpy(new.executed, tree.executed, at)
    memcpy(&new.code[new_end], &tree.code[end], (tree.size - end) * sizeof(tree.code[0]))
    memcpy(&new.executed[new_end], &tree.executed[end], tree.size - end)
    memcpy(new.counter, tree.counter, kit.costs.counters * sizeof(tree.counter[0]))
    new.size = tree.size + new_end - end
    pay(&kit.rules, tree, at, end, -1, new.counter)
    pay(&kit.rules, new, at, new_end, 1, new.counter)


cdef inline bint same(const Kit* kit, const Program* tree, int at, int end,
                      int new_end) noexcept nogil:
    return end == new_end and not memcmp(
        &kit.proposal.code[at], &tree.code[at], (end - at) * sizeof(tree.code[0])
    )


cdef inline int judge(Kit* kit, double s, double log_hastings, State* state) noexcept nogil:
    cdef Program old = state.tree
    cdef double proposed
    price_tree(&kit.rules, &kit.costs, &kit.proposal)
    proposed = energy(&kit.costs, &kit.proposal, state.fact_bits, state.fact_steps)
    if proposed == INFINITY:
        return REJECTED
    if not accept(&kit.source, log_hastings - s * (proposed - state.energy)):
        return REJECTED
    state.tree = kit.proposal
    kit.proposal = old
    state.energy = proposed
    return ACCEPTED


cdef inline int regenerate(Kit* kit, double s, State* state) noexcept nogil:
    # A fresh subtree in place of one: n / n'.
    cdef Program *tree = &state.tree
    cdef int at = pick(&kit.source, tree.size)
    cdef int end = subtree_end(&kit.rules, tree.code, at)
    cdef int new_end = generate(
        kit, kit.rules.symbol[tree.code[at]], tree.executed[at], at,
        kit.max_nodes - (tree.size - end),
    )
    if new_end < 0:
        return IMPOSSIBLE
    if same(kit, tree, at, end, new_end):
        return IDENTICAL
    splice(kit, tree, at, end, new_end)
    return judge(kit, s, kit.log_whole[tree.size] - kit.log_whole[kit.proposal.size], state)


cdef inline int insert(Kit* kit, double s, State* state) noexcept nogil:
    # A subtree becomes one argument of a rule of its own symbol, the others are fresh.
    cdef Rules *rules = &kit.rules
    cdef Program *tree = &state.tree
    cdef Program *new = &kit.proposal
    cdef int at = pick(&kit.source, tree.size)
    cdef int end = subtree_end(rules, tree.code, at)
    cdef int symbol = rules.symbol[tree.code[at]], executed = tree.executed[at]
    cdef int first = rules.first_wrap[symbol], count = rules.first_wrap[symbol + 1] - first
    cdef int limit = kit.max_nodes - (tree.size - end), length = end - at
    cdef int wrap, rule, place, k, runs, new_end = at + 1
    if count == 0:
        return IMPOSSIBLE
    wrap = first + choose(&kit.source, &rules.wrap_cumulative[first], count)
    rule = rules.wrap_rule[wrap]
    place = rules.wrap_place[wrap]
    if new_end + length + rules.arity[rule] - 1 > limit:
        return IMPOSSIBLE
    new.code[at] = <int16_t>rule
    new.executed[at] = executed
    for k in range(rules.arity[rule]):
        runs = executed & rules.executes[rule * rules.width + k]
        if k == place:
            if new_end + length > limit:
                return IMPOSSIBLE
            memcpy(&new.code[new_end], &tree.code[at], length * sizeof(tree.code[0]))
            mark_executed(rules, new, new_end, new_end + length, runs, kit.stack)
            new_end += length
        else:
            new_end = generate(
                kit, rules.args[rule * rules.width + k], runs, new_end,
                limit - length if k < place else limit,
            )
            if new_end < 0:
                return IMPOSSIBLE
    splice(kit, tree, at, end, new_end)
    return judge(
        kit, s,
        kit.log_back + kit.log_whole[tree.size] + rules.log_wrap[symbol]
        - kit.log_whole[new.size] - kit.log_whole[rules.inner[rule]],
        state,
    )


cdef inline int inner_place(const Rules* rules, int rule, int which) noexcept nogil:
    cdef int k = 0
    while True:
        if rules.args[rule * rules.width + k] == rules.symbol[rule]:
            if which == 0:
                return k
            which -= 1
        k += 1


cdef inline int delete(Kit* kit, double s, State* state) noexcept nogil:
    # The way back: an argument of its own symbol takes the place of a node.
    cdef Rules *rules = &kit.rules
    cdef Program *tree = &state.tree
    cdef int at = pick(&kit.source, tree.size)
    cdef int rule = tree.code[at], count = rules.inner[rule], begin, length
    if count == 0:
        return IMPOSSIBLE
    begin = argument(rules, tree.code, at, inner_place(rules, rule, pick(&kit.source, count)))
    length = subtree_end(rules, tree.code, begin) - begin
    memcpy(&kit.proposal.code[at], &tree.code[begin], length * sizeof(tree.code[0]))
    mark_executed(rules, &kit.proposal, at, at + length, tree.executed[at], kit.stack)
    splice(kit, tree, at, subtree_end(rules, tree.code, at), at + length)
    return judge(
        kit, s,
        kit.log_whole[tree.size] + kit.log_whole[count]
        - kit.log_back - kit.log_whole[kit.proposal.size] - rules.log_wrap[rules.symbol[rule]],
        state,
    )


cdef inline int swap(Kit* kit, double s, State* state) noexcept nogil:
    # Another rule of the same symbol over the same arguments.
    cdef Rules *rules = &kit.rules
    cdef Program *tree = &state.tree
    cdef int at = pick(&kit.source, tree.size), end = at + 1
    cdef int rule = tree.code[at], first = rules.first_peer[rule], other
    cdef int count = rules.first_peer[rule + 1] - first
    if count == 0:
        return IMPOSSIBLE
    other = rules.peer[first + pick(&kit.source, count)]
    kit.proposal.code[at] = <int16_t>other
    kit.proposal.executed[at] = tree.executed[at]
    if tree.executed[at] and memcmp(
        &rules.executes[rule * rules.width], &rules.executes[other * rules.width],
        rules.width * sizeof(int),
    ):
        end = subtree_end(rules, tree.code, at)
        memcpy(
            &kit.proposal.code[at + 1], &tree.code[at + 1], (end - at - 1) * sizeof(tree.code[0])
        )
        mark_executed(rules, &kit.proposal, at, end, 1, kit.stack)
    splice(kit, tree, at, end, end)
    return judge(kit, s, rules.log_base[other] - rules.log_base[rule], state)


cdef inline int judge_facts(Kit* kit, double s, State* state, int i, int j) noexcept nogil:
    # Facts i and j have been turned over (i = j: one of them); undone unless accepted.
    cdef double bits = state.fact_bits, steps = state.fact_steps, proposed
    sum_facts(&kit.facts, state)
    proposed = energy(&kit.costs, &state.tree, state.fact_bits, state.fact_steps)
    if proposed != INFINITY and accept(&kit.source, -s * (proposed - state.energy)):
        state.energy = proposed
        return ACCEPTED
    state.fact_bits = bits
    state.fact_steps = steps
    state.stored[i] ^= 1
    if i != j:
        state.stored[j] ^= 1
    return REJECTED


cdef inline int flip(Kit* kit, double s, State* state, int fact) noexcept nogil:
    # Store what was derived, or derive what was stored.
    state.stored[fact] ^= 1
    return judge_facts(kit, s, state, fact, fact)


cdef inline int exchange(Kit* kit, double s, State* state) noexcept nogil:
    # One fact is stored in place of another: the way along a tight cap or capacity.
    cdef int n = kit.facts.count, i, j
    if n < 2:
        return IMPOSSIBLE
    i = pick(&kit.source, n)
    j = (i + 1 + pick(&kit.source, n - 1)) % n
    if state.stored[i] == state.stored[j]:
        return IDENTICAL
    state.stored[i] ^= 1
    state.stored[j] ^= 1
    return judge_facts(kit, s, state, i, j)


cdef inline int entry_of(const Jumps* jumps, const Program* tree) noexcept nogil:
    cdef int k
    for k in range(jumps.count):
        if jumps.size[k] == tree.size and not memcmp(
            &jumps.code[k * jumps.longest], tree.code, tree.size * sizeof(tree.code[0])
        ):
            return k
    return jumps.count


cdef inline int jump(Kit* kit, double s, State* state) noexcept nogil:
    # A whole tree from a fixed table, or a fresh one: an independent proposal with a known mass.
    cdef Jumps *jumps = &kit.jumps
    cdef Program *tree = &state.tree
    cdef int entry = choose(&kit.source, jumps.cumulative, jumps.count + 1), size
    if entry < jumps.count:
        size = jumps.size[entry]
        memcpy(
            kit.proposal.code, &jumps.code[entry * jumps.longest], size * sizeof(tree.code[0])
        )
        mark_executed(&kit.rules, &kit.proposal, 0, size, 1, kit.stack)
    else:
        size = generate(kit, kit.rules.start, 1, 0, kit.max_nodes)
        if size < 0:
            return IMPOSSIBLE
    if same(kit, tree, 0, tree.size, size):
        return IDENTICAL
    splice(kit, tree, 0, tree.size, size)
    return judge(
        kit, s,
        jumps.log_excess[entry_of(jumps, tree)] - jumps.log_excess[entry_of(jumps, &kit.proposal)],
        state,
    )


cdef inline int move(Kit* kit, double s, State* state, int which) noexcept nogil:
    if which == REGENERATE:
        return regenerate(kit, s, state)
    if which == INSERT:
        return insert(kit, s, state)
    if which == DELETE:
        return delete(kit, s, state)
    if which == SWAP:
        return swap(kit, s, state)
    if which == JUMP:
        return jump(kit, s, state)
    if kit.facts.count == 0:
        return IMPOSSIBLE
    if which == FLIP:
        return flip(kit, s, state, pick(&kit.source, kit.facts.count))
    return exchange(kit, s, state)
