# Markov chains over programs, trees and store-or-derive choices, with parallel tempering.
#
# A `Kernel` is a target at one theta: pointers into arrays of the caller (tempered_target.py) that
# it keeps alive. A `Chain` is K replicas at inverse temperatures s_0 = 1 > ... > s_(K-1):
#     (kit, state) -> state   the next step's needs: code, counters, stored facts, energy;
#     info                    what only diagnostics need: proposals by move and outcome, swap rates.
# A round sweeps the replicas in turn, then proposes to exchange neighbours, the even pairs in one
# round and the odd ones in the next (Okabe et al. 2001; Syed et al. 2022 on why not at random). A
# sweep is a number of moves drawn by their probabilities, then one scan over all facts and a jump.
# The target is base(tree) e^(-s E): at s = 0 fresh trees are independent draws.
#
# Moves are in tree_moves.pxd, costs in tree_state.pxd, randomness in choices.pxd. A raised flag is
# seen within 256 moves. The slow twin is tests/reference/tempered.py.

from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport exp, fmin
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy
from numpy.random cimport bitgen_t

from choices cimport Source, accept, choose
from tree_moves cimport FLIP, JUMP, MOVES, OUTCOMES, Kit, flip, jump, move

from tree_state cimport (
    Costs, Facts, Program, Rules, State, energy, mark_executed, pay, price_tree, sum_facts,
)

cdef enum:
    POLL = 256

cdef struct Info:
    int64_t *moves            # replica, move, outcome
    int64_t *tried            # by pair of neighbours
    int64_t *swapped
    double *acceptance        # sum of the probabilities to swap


cdef class Kernel:
    """A target at one theta, as pointers into arrays that it keeps alive."""

    cdef Kit kit
    cdef list kept

    def __init__(self, arrays, int max_nodes):
        """Take `arrays`, a mapping with every field of Rules, Costs, Facts and Jumps by name."""
        self.kept = []
        self.take_rules(&self.kit.rules, arrays)
        self.take_costs(&self.kit.costs, arrays)
        self.take_facts(&self.kit.facts, arrays)
        self.kit.jumps.count = arrays["jump_count"]
        self.kit.jumps.longest = arrays["jump_longest"]
        self.kit.jumps.code = self.shorts(arrays["jump_code"])
        self.kit.jumps.size = self.ints(arrays["jump_size"])
        self.kit.jumps.cumulative = self.doubles(arrays["jump_cumulative"])
        self.kit.jumps.log_excess = self.doubles(arrays["jump_log_excess"])
        self.kit.max_nodes = max_nodes
        self.kit.log_whole = self.doubles(arrays["log_whole"])
        self.kit.move_cumulative = self.doubles(arrays["move_cumulative"])
        self.kit.log_back = arrays["log_back"]

    cdef take_rules(self, Rules *rules, arrays):
        rules.start = arrays["start"]
        rules.width = arrays["width"]
        rules.symbol = self.ints(arrays["symbol"])
        rules.arity = self.ints(arrays["arity"])
        rules.args = self.ints(arrays["args"])
        rules.executes = self.ints(arrays["executes"])
        rules.train = self.ints(arrays["train"])
        rules.first_rule = self.ints(arrays["first_rule"])
        rules.rule_order = self.ints(arrays["rule_order"])
        rules.rule_cumulative = self.doubles(arrays["rule_cumulative"])
        rules.log_base = self.doubles(arrays["log_base"])
        rules.first_wrap = self.ints(arrays["first_wrap"])
        rules.wrap_rule = self.ints(arrays["wrap_rule"])
        rules.wrap_place = self.ints(arrays["wrap_place"])
        rules.wrap_cumulative = self.doubles(arrays["wrap_cumulative"])
        rules.log_wrap = self.doubles(arrays["log_wrap"])
        rules.inner = self.ints(arrays["inner"])
        rules.first_peer = self.ints(arrays["first_peer"])
        rules.peer = self.ints(arrays["peer"])
        rules.first_effect = self.ints(arrays["first_effect"])
        rules.effect_counter = self.ints(arrays["effect_counter"])
        rules.effect_amount = self.ints(arrays["effect_amount"])

    cdef take_costs(self, Costs *costs, arrays):
        costs.bits_end = arrays["bits_end"]
        costs.once_end = arrays["once_end"]
        costs.rules_end = arrays["rules_end"]
        costs.steps_end = arrays["steps_end"]
        costs.counters = arrays["counters"]
        costs.overlaps = (costs.counters - costs.steps_end) // 2
        costs.price = self.doubles(arrays["price"])
        costs.overlap = self.doubles(arrays["overlap"])
        costs.uses = self.doubles(arrays["uses"])
        costs.loss = self.doubles(arrays["loss"])
        costs.family = arrays["family"]
        costs.nats = arrays["nats"]
        costs.rate = arrays["rate"]
        costs.exponent = arrays["exponent"]
        costs.reference = arrays["reference"]
        costs.least = arrays["least"]
        costs.root = arrays["root"]
        costs.cap = arrays["cap"]
        costs.capacity = arrays["capacity"]

    cdef take_facts(self, Facts *facts, arrays):
        facts.count = arrays["fact_count"]
        facts.order = self.ints(arrays["fact_order"])
        facts.first_need = self.ints(arrays["first_need"])
        facts.need = self.ints(arrays["need"])
        facts.bits = self.doubles(arrays["fact_bits"])
        facts.steps = self.doubles(arrays["fact_steps"])

    cdef const int* ints(self, const int[::1] array) except NULL:
        self.kept.append(array)
        return &array[0]

    cdef const int16_t* shorts(self, const int16_t[::1] array) except NULL:
        self.kept.append(array)
        return &array[0]

    cdef const double* doubles(self, const double[::1] array) except NULL:
        self.kept.append(array)
        return &array[0]


cdef class Chain:
    """K replicas of one target, each with its own buffers."""

    cdef Kit kit
    cdef Kernel kernel
    cdef readonly int replicas
    cdef int parity
    cdef State *states
    cdef char *memory

    def __cinit__(self, Kernel kernel, int replicas):
        """Allocate all that the chain will ever need."""
        cdef Kit *kit = &self.kit
        cdef size_t nodes = kernel.kit.max_nodes, counters = max(1, kernel.kit.costs.counters)
        cdef size_t facts = max(1, kernel.kit.facts.count)
        cdef size_t a_tree = 8 * ((4 * counters + 3 * nodes + facts) // 8 + 1)
        cdef size_t stack = nodes + kernel.kit.rules.width
        cdef char *at
        cdef int k
        self.replicas = replicas
        self.states = <State*>calloc(replicas, sizeof(State))
        self.memory = <char*>calloc(
            1, (replicas + 1) * a_tree + facts * sizeof(double) + (stack + 2) * sizeof(int)
        )
        if self.states == NULL or self.memory == NULL:
            raise MemoryError
        at = self.memory
        for k in range(replicas):
            self.divide(at, counters, nodes, &self.states[k].tree)
            self.states[k].stored = <uint8_t*>(at + 4 * counters + 3 * nodes)
            at += a_tree
        self.divide(at, counters, nodes, &kit.proposal)
        at += a_tree
        self.kit.facts.derivation = <double*>at
        self.kit.stack = <int*>(at + facts * sizeof(double))
        self.retarget(kernel)

    def __dealloc__(self):
        free(self.states)
        free(self.memory)

    cdef void divide(self, char *at, size_t counters, size_t nodes, Program *tree) noexcept:
        tree.counter = <int32_t*>at
        tree.code = <int16_t*>(at + 4 * counters)
        tree.executed = <uint8_t*>(at + 4 * counters + 2 * nodes)

    def retarget(self, Kernel kernel):
        """Go on with other numbers of the same model: every energy is computed anew."""
        cdef Program proposal = self.kit.proposal
        cdef double *derivation = self.kit.facts.derivation
        cdef int *stack = self.kit.stack
        cdef int k
        if self.kernel is not None and not (
            kernel.kit.max_nodes <= self.kernel.kit.max_nodes
            and kernel.kit.costs.counters == self.kernel.kit.costs.counters
            and kernel.kit.facts.count == self.kernel.kit.facts.count
            and kernel.kit.rules.width == self.kernel.kit.rules.width
        ):
            raise ValueError("a chain can only go on with other numbers of the same model")
        self.kernel = kernel
        self.kit = kernel.kit
        self.kit.proposal = proposal
        self.kit.facts.derivation = derivation
        self.kit.stack = stack
        for k in range(self.replicas):
            if self.states[k].tree.size:
                self.refresh(&self.states[k])

    cdef void refresh(self, State *state) noexcept:
        cdef Program *tree = &state.tree
        cdef int c
        mark_executed(&self.kit.rules, tree, 0, tree.size, 1, self.kit.stack)
        for c in range(self.kit.costs.counters):
            tree.counter[c] = 0
        pay(&self.kit.rules, tree, 0, tree.size, 1, tree.counter)
        price_tree(&self.kit.rules, &self.kit.costs, tree)
        sum_facts(&self.kit.facts, state)
        state.energy = energy(&self.kit.costs, tree, state.fact_bits, state.fact_steps)

    def place(self, int replica, const int16_t[::1] code, const uint8_t[::1] stored):
        """Put a replica on a program; returns its energy in nats, infinite where it must not be."""
        cdef State *state = &self.states[replica]
        cdef int k
        if not 1 <= code.shape[0] <= self.kit.max_nodes or stored.shape[0] < self.kit.facts.count:
            raise ValueError("a code must have 1 .. max_nodes rules, and every fact a choice")
        state.tree.size = <int>code.shape[0]
        for k in range(state.tree.size):
            state.tree.code[k] = code[k]
        for k in range(self.kit.facts.count):
            state.stored[k] = stored[k]
        self.refresh(state)
        return state.energy

    def state(self, int replica):
        """The replica as it stands: code, stored, energy, and totals kept incrementally."""
        cdef State *state = &self.states[replica]
        cdef int k
        return (
            tuple(state.tree.code[k] for k in range(state.tree.size)),
            tuple(bool(state.stored[k]) for k in range(self.kit.facts.count)),
            state.energy,
            (state.tree.bits, state.tree.rule_bits, state.tree.steps, state.tree.loss),
            (state.fact_bits, state.fact_steps),
            tuple(state.tree.counter[k] for k in range(self.kit.costs.counters)),
            tuple(bool(state.tree.executed[k]) for k in range(state.tree.size)),
        )

    def run(
        self, bit_generator, const double[::1] ladder, int rounds, int proposals, bint scan,
        int16_t[:, ::1] code, int32_t[::1] size, uint8_t[:, ::1] stored, double[::1] energies,
        const int[::1] stop, int64_t[:, :, ::1] moves, int64_t[::1] tried, int64_t[::1] swapped,
        double[::1] acceptance
    ):
        """Go `rounds` rounds on; returns how many were done before the stop flag rose.

        Record the replica of s_0 after every round in `code`, `size`, `stored`, `energies`, as many
        as fit: none where they are empty. Info is added to `moves` (K, 7, 4), `tried`, `swapped`
        and `acceptance` (at least 1, at least K - 1).
        """
        cdef Kit *kit = &self.kit
        cdef Info info
        cdef int done = 0, k, records = <int>size.shape[0], parity = self.parity
        if not (
            ladder.shape[0] == moves.shape[0] == self.replicas
            and moves.shape[1] == MOVES and moves.shape[2] == OUTCOMES
            and min(tried.shape[0], swapped.shape[0], acceptance.shape[0]) >= self.replicas - 1
            and code.shape[1] >= self.kit.max_nodes and stored.shape[1] >= self.kit.facts.count
            and code.shape[0] == stored.shape[0] == energies.shape[0] == records
        ):
            raise ValueError("an array has another shape than replicas, records and facts need")
        info.moves = &moves[0, 0, 0]
        info.tried = &tried[0]
        info.swapped = &swapped[0]
        info.acceptance = &acceptance[0]
        kit.source.rng = <bitgen_t*>PyCapsule_GetPointer(bit_generator.capsule, "BitGenerator")
        with bit_generator.lock, nogil:
            while done < rounds:
                for k in range(self.replicas):
                    sweep(
                        kit, ladder[k], &self.states[k], proposals, scan, &stop[0],
                        &info.moves[k * MOVES * OUTCOMES],
                    )
                if stop[0]:
                    break
                swap_neighbours(kit, self.states, &ladder[0], self.replicas, parity, &info)
                parity ^= 1
                if done < records:
                    record(
                        &self.states[0], kit.facts.count, &code[done, 0], &size[done],
                        &stored[done, 0], &energies[done],
                    )
                done += 1
        # Not within the loop: a checked build may not write to an object without the GIL.
        self.parity = parity
        return done

    def outcomes(
        self, double s, int which, const int16_t[::1] code, const uint8_t[::1] stored,
        int16_t[:, ::1] codes, int32_t[::1] sizes, uint8_t[:, ::1] choices, double[::1] probability
    ):
        """Every outcome of one step from a program, by replaying all scripts; returns how many.

        `which` is a move, or -1: one move drawn by the probabilities of the moves. Outcomes are
        paths: a program may appear more than once.
        """
        cdef State *state = &self.states[0]
        cdef Source *source = &self.kit.source
        cdef int script[4096]
        cdef int options[4096]
        cdef int found = 0, last
        cdef double unused
        source.rng = NULL
        source.script = script
        source.options = options
        source.room = 4096
        source.given = 0
        while found < sizes.shape[0]:
            self.place(0, code, stored)
            source.taken = 0
            source.probability = 1.0
            last = which
            if which < 0:
                last = choose(source, self.kit.move_cumulative, MOVES)
            move(&self.kit, s, state, last)
            if source.taken > source.room:
                raise OverflowError("a step made more choices than a script holds")
            probability[found] = source.probability
            record(
                state, self.kit.facts.count, &codes[found, 0], &sizes[found], &choices[found, 0],
                &unused,
            )
            found += 1
            last = source.taken - 1
            while last >= 0 and script[last] + 1 == options[last]:
                last -= 1
            if last < 0:
                return found
            script[last] += 1
            source.given = last + 1
        raise OverflowError("more outcomes than there is room for")


cdef inline void sweep(Kit* kit, double s, State* state, int proposals, bint scan,
                       const int* stop, int64_t* moves) noexcept nogil:
    cdef int k, which
    for k in range(proposals):
        which = choose(&kit.source, kit.move_cumulative, MOVES)
        moves[OUTCOMES * which + move(kit, s, state, which)] += 1
        if k % POLL == 0 and stop[0]:
            return
    if not scan:
        return
    for k in range(kit.facts.count):
        moves[OUTCOMES * FLIP + flip(kit, s, state, k)] += 1
        if k % POLL == 0 and stop[0]:
            return
    moves[OUTCOMES * JUMP + jump(kit, s, state)] += 1


cdef inline void swap_neighbours(Kit* kit, State* states, const double* ladder, int replicas,
                                 int parity, Info* info) noexcept nogil:
    cdef int k
    cdef double log_ratio
    cdef State other
    for k in range(parity, replicas - 1, 2):
        log_ratio = (ladder[k] - ladder[k + 1]) * (states[k].energy - states[k + 1].energy)
        info.tried[k] += 1
        info.acceptance[k] += exp(fmin(0.0, log_ratio))
        if accept(&kit.source, log_ratio):
            info.swapped[k] += 1
            other = states[k]
            states[k] = states[k + 1]
            states[k + 1] = other


cdef inline void record(const State* state, int facts, int16_t* code, int32_t* size,
                        uint8_t* stored, double* at_energy) noexcept nogil:
    size[0] = state.tree.size
    at_energy[0] = state.energy
    memcpy(code, state.tree.code, state.tree.size * sizeof(code[0]))
    memcpy(stored, state.stored, facts)
