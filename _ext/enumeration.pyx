# Levin-order enumeration: every tree of a grammar whose rule bits lie in a band [low, high), once.
#
# Depth first over leftmost derivations. Position p of the prefix code has one frame, and all that a
# frame holds follows from the code before p, so that backtracking restores nothing but the key:
#  * the slot it fills (node `parent`, argument), and the slot to fill when its subtree is done
#    (`follow`; -1 at the end of the tree). A child's is the next argument of its parent, or else
#    the parent's own: no list of open symbols is kept;
#  * three flags, handed down: executes in training, lies on the path that decides what the program
#    exhibits in training, in deployment. A behaviour is known where its path meets a name: nothing
#    has to be passed up;
#  * the rule bits so far, and the least that the slots after this one will add.
# A rule is left out where bits so far + its least + the rest reach `high`. Bits are integers (of
# 2^-40 bits), so that sums are exact and every tree lies in one band.
#
# Within a symbol, rules without arguments come first, each part by rising least bits: the first one
# that is too long ends its part, and at the last open slot a tight loop emits whole programs.
#
# Programs with equal counts (uses of every rule, executed uses of every rule) and behaviour form a
# class. Its key is those counts and the two objectives in 16-bit lanes of a few words; the hash is
# linear in them, hence one sum per node. The table has open addressing; a hit compares whole keys.
# The caller owns every array; a call returns when its quota of nodes is spent or a table is full,
# and the next one goes on from there. Twin: tests/reference/enumeration.py.

from libc.stdint cimport int64_t, uint16_t, uint64_t

cdef enum:
    EXECUTES = 1
    TRAINS = 2
    DEPLOYS = 4

    # What `state` holds from call to call.
    POSITION = 0    # -1: not begun; -2: the band is finished
    PROGRAMS = 1    # emitted so far, in all bands
    CLASSES = 2
    POOL_USED = 3
    LEAST_CUT = 4   # least total of a rule that was too long for the band
    TOO_DEEP = 5    # rules left out because the code would not fit

    # A row of `classes`: how many programs, where the first one's code begins, and the key.
    COUNT = 0
    CODE = 1
    KEY = 2

    FINISHED = 0
    PAUSED = 1
    CLASSES_FULL = 2
    POOL_FULL = 3
    ENOUGH = 4

STATUS = {
    "finished": FINISHED, "paused": PAUSED, "classes_full": CLASSES_FULL, "pool_full": POOL_FULL,
    "enough": ENOUGH,
}
FLAGS = {"executes": EXECUTES, "trains": TRAINS, "deploys": DEPLOYS}
STATE_SIZE, FRAME_SIZE, ROW_HEAD = 6, 12, KEY

cdef struct Frame:
    int64_t next        # the rule to try next
    int64_t leaves_end  # of the rules of the symbol: first without, then with arguments
    int64_t end
    int64_t rule        # the rule that was taken
    int64_t follow      # slot after this subtree: position of the node, and argument
    int64_t follow_argument
    int64_t flags
    int64_t bits
    int64_t rest
    uint64_t hash
    int64_t arguments   # of the rule taken: where they begin and end in the argument tables
    int64_t arguments_end

cdef struct Rules:  # in the order of the search, grouped by symbol
    const int64_t* first        # by symbol: its first rule,
    const int64_t* first_branch  # its first rule with arguments,
    const int64_t* end          # and where its rules end
    const int64_t* bits
    const int64_t* least        # bits of the rule and the least of all its arguments
    const int64_t* number       # index in the file
    const int64_t* argument     # where the arguments begin in the tables below (size + 1)
    const int64_t* trains_lane  # 0, or 1 + the objective that the rule names
    const int64_t* deploys_lane
    const int64_t* symbol       # by argument: its symbol,
    const int64_t* after        # the least bits of the arguments after it,
    const int64_t* handed       # the flags that reach it

cdef struct Lanes:
    uint64_t* key
    Py_ssize_t words
    Py_ssize_t executed  # lane of the first rule's executed uses
    Py_ssize_t train
    Py_ssize_t deploy
    const uint64_t* salt  # by lane, odd

cdef struct Classes:
    uint64_t* rows
    Py_ssize_t width
    Py_ssize_t capacity
    uint64_t* table  # pairs: hash, class + 1 (0: free)
    int shift  # 64 - log2(number of pairs)
    uint64_t mask
    uint16_t* pool
    Py_ssize_t pool_size


cdef inline uint64_t lane_unit(Py_ssize_t lane) noexcept nogil:
    return <uint64_t>1 << (16 * (lane & 3))


cdef inline uint64_t node_hash(
    const Rules* rules, const Lanes* lanes, int64_t rule, int64_t flags
) noexcept nogil:
    cdef int64_t number = rules.number[rule]
    cdef uint64_t found = lanes.salt[number]
    if flags & EXECUTES:
        found += lanes.salt[lanes.executed + number]
    if flags & TRAINS:
        found += <uint64_t>rules.trains_lane[rule] * lanes.salt[lanes.train]
    if flags & DEPLOYS:
        found += <uint64_t>rules.deploys_lane[rule] * lanes.salt[lanes.deploy]
    return found


cdef inline void count_node(
    const Rules* rules, const Lanes* lanes, int64_t rule, int64_t flags, uint64_t sign
) noexcept nogil:
    # sign is 1, or 2^64 - 1 to take the node out again: lanes never borrow from each other.
    cdef int64_t number = rules.number[rule]
    lanes.key[number >> 2] += sign * lane_unit(number)
    if flags & EXECUTES:
        number += lanes.executed
        lanes.key[number >> 2] += sign * lane_unit(number)
    if flags & TRAINS:
        lanes.key[lanes.train >> 2] += (
            sign * <uint64_t>rules.trains_lane[rule] * lane_unit(lanes.train)
        )
    if flags & DEPLOYS:
        lanes.key[lanes.deploy >> 2] += (
            sign * <uint64_t>rules.deploys_lane[rule] * lane_unit(lanes.deploy)
        )


cdef inline uint64_t place(uint64_t value, int shift) noexcept nogil:
    # The high bits of a product depend on all bits of the sum (Knuth 6.4, multiplicative hashing).
    return (value * <uint64_t>0x9E3779B97F4A7C15) >> shift


cdef inline bint same_key(const uint64_t* left, const Lanes* lanes) noexcept nogil:
    cdef uint64_t differs = 0
    cdef Py_ssize_t word
    for word in range(lanes.words):
        differs |= left[word] ^ lanes.key[word]
    return differs == 0


cdef inline void keep_code(
    Classes* classes, const Rules* rules, const Frame* frames, int64_t position, int64_t leaf,
    int64_t at
) noexcept nogil:
    cdef int64_t node
    for node in range(position):
        classes.pool[at + node] = <uint16_t>rules.number[frames[node].rule]
    classes.pool[at + position] = <uint16_t>rules.number[leaf]


cdef inline int new_class(
    Classes* classes, const Rules* rules, const Lanes* lanes, const Frame* frames,
    int64_t position, int64_t leaf, uint64_t value, uint64_t slot, int64_t* state
) noexcept nogil:
    cdef int64_t found = state[CLASSES]
    cdef uint64_t* row = classes.rows + found * classes.width
    cdef Py_ssize_t word
    if found >= classes.capacity:
        return CLASSES_FULL
    if state[POOL_USED] + position + 1 > classes.pool_size:
        return POOL_FULL
    classes.table[2 * slot] = value
    classes.table[2 * slot + 1] = <uint64_t>found + 1
    row[COUNT] = 1
    row[CODE] = <uint64_t>state[POOL_USED]
    for word in range(lanes.words):
        row[KEY + word] = lanes.key[word]
    keep_code(classes, rules, frames, position, leaf, state[POOL_USED])
    state[POOL_USED] += position + 1
    state[CLASSES] += 1
    return FINISHED


cdef inline int tally(
    Classes* classes, const Rules* rules, const Lanes* lanes, const Frame* frames,
    int64_t position, int64_t leaf, uint64_t value, int64_t* state
) noexcept nogil:
    """Count the program whose key is complete; not FINISHED where a table has no room for it."""
    cdef uint64_t slot = place(value, classes.shift), known
    cdef uint64_t* row
    while True:
        known = classes.table[2 * slot + 1]
        if known == 0:
            return new_class(
                classes, rules, lanes, frames, position, leaf, value, slot, state
            )
        if classes.table[2 * slot] == value:
            row = classes.rows + (known - 1) * classes.width
            if same_key(row + KEY, lanes):
                row[COUNT] += 1
                return FINISHED
        slot = (slot + 1) & classes.mask


cdef inline void open_slot(
    const Rules* rules, Frame* frames, int64_t position, int64_t parent, int64_t argument
) noexcept nogil:
    """Fill in the frame at ``position`` for argument ``argument`` of the node at ``parent``."""
    cdef Frame* frame = frames + position
    cdef const Frame* above = frames + parent
    cdef int64_t symbol = rules.symbol[argument]
    frame.next = rules.first[symbol]
    frame.leaves_end = rules.first_branch[symbol]
    frame.end = rules.end[symbol]
    frame.flags = above.flags & rules.handed[argument]
    frame.rest = above.rest + rules.after[argument]
    if argument + 1 < above.arguments_end:
        frame.follow = parent
        frame.follow_argument = argument + 1
    else:
        frame.follow = above.follow
        frame.follow_argument = above.follow_argument


cdef inline void open_root(
    const Rules* rules, Frame* frame, int64_t start, Lanes* lanes
) noexcept nogil:
    cdef Py_ssize_t word
    for word in range(lanes.words):
        lanes.key[word] = 0
    frame.next = rules.first[start]
    frame.leaves_end = rules.first_branch[start]
    frame.end = rules.end[start]
    frame.follow = -1
    frame.follow_argument = 0
    frame.flags = EXECUTES | TRAINS | DEPLOYS
    frame.bits = 0
    frame.rest = 0
    frame.hash = 0


cdef inline int emit_leaves(
    const Rules* rules, const Lanes* lanes, Classes* classes, const Frame* frames, Frame* frame,
    int64_t position, int64_t low, int64_t high, int64_t most, int64_t* state
) noexcept nogil:
    """Every leaf of the last open slot: each completes a program."""
    cdef int64_t rule = frame.next, flags = frame.flags, bits = frame.bits
    cdef int status = FINISHED
    while rule < frame.leaves_end:
        if bits + rules.bits[rule] >= high:
            state[LEAST_CUT] = min(state[LEAST_CUT], bits + rules.bits[rule])
            break
        if bits + rules.bits[rule] >= low:
            if state[PROGRAMS] >= most:
                status = ENOUGH
                break
            count_node(rules, lanes, rule, flags, 1)
            status = tally(
                classes, rules, lanes, frames, position, rule,
                frame.hash + node_hash(rules, lanes, rule, flags), state,
            )
            count_node(rules, lanes, rule, flags, <uint64_t>-1)
            if status != FINISHED:
                break
            state[PROGRAMS] += 1
        rule += 1
    frame.next = rule if status != FINISHED else frame.leaves_end
    return status


cdef int search(
    const Rules* rules, const Lanes* lanes, Classes* classes, Frame* frames, Py_ssize_t depth,
    int64_t low, int64_t high, int64_t most, int64_t quota, int64_t* state
) noexcept nogil:
    cdef int64_t position = state[POSITION], rule, total
    cdef Frame* frame
    cdef int status = PAUSED
    while quota > 0:
        quota -= 1
        frame = frames + position
        if frame.follow < 0 and frame.next < frame.leaves_end:
            status = emit_leaves(
                rules, lanes, classes, frames, frame, position, low, high, most, state
            )
            if status != FINISHED:
                break
            status = PAUSED
        rule = frame.next
        if rule < frame.end:
            total = frame.bits + rules.least[rule] + frame.rest
            if total >= high:
                state[LEAST_CUT] = min(state[LEAST_CUT], total)
                # The others of this part are as long; rules with arguments are a part of their own.
                frame.next = frame.leaves_end if rule < frame.leaves_end else frame.end
                continue
            frame.next = rule + 1
            if position + 1 >= depth:
                state[TOO_DEEP] += 1
                continue
            frame.rule = rule
            frame.arguments = rules.argument[rule]
            frame.arguments_end = rules.argument[rule + 1]
            if frame.arguments < frame.arguments_end:
                open_slot(rules, frames, position + 1, position, frame.arguments)
            else:
                open_slot(rules, frames, position + 1, frame.follow, frame.follow_argument)
            frames[position + 1].bits = frame.bits + rules.bits[rule]
            frames[position + 1].hash = frame.hash + node_hash(rules, lanes, rule, frame.flags)
            count_node(rules, lanes, rule, frame.flags, 1)
            position += 1
        elif position == 0:
            position = -2
            status = FINISHED
            break
        else:
            position -= 1
            frame = frames + position
            count_node(rules, lanes, frame.rule, frame.flags, <uint64_t>-1)
    state[POSITION] = position
    return status


def enumerate_band(
    const int64_t[:, ::1] symbols,
    const int64_t[:, ::1] rules,
    const int64_t[:, ::1] arguments,
    const uint64_t[::1] salt,
    int64_t start,
    int64_t low,
    int64_t high,
    int64_t most,
    int64_t quota,
    int64_t[:, ::1] frames,
    uint64_t[::1] key,
    uint64_t[:, ::1] classes,
    uint64_t[:, ::1] table,
    uint16_t[::1] pool,
    int64_t[::1] state,
):
    """Go on with the band [low, high) for at most ``quota`` nodes; the GIL is released.

    Parameters
    ----------
    symbols
        (3, symbols): first rule, first rule with arguments, end of the rules.
    rules
        (6, rules + 1), in the order of the search: bits, least bits, index in the file, where the
        arguments begin, 1 + objective named in training (0: an argument's), the same in deployment.
    arguments
        (3, arguments): symbol, least bits of the arguments after it, flags handed down.
    salt
        (2 R + 2,): odd multiplier of every lane: R uses, R executed uses, train, deploy.
    start
        The symbol of whole programs.
    low, high
        The band, in units of 2^-40 bits.
    most
        Programs to emit in all bands together.
    frames, key, classes, table, pool, state
        The search and what it found, kept between calls: (depth, FRAME_SIZE); (words,); (classes,
        ROW_HEAD + words); (a power of two, 2), with more rows than classes; (codes,); (STATE_SIZE,)
        with POSITION = -1 where a band begins.

    Returns
    -------
    int
        One of `STATUS`. Where a table is full the caller enlarges it and calls again.
    """
    cdef Rules compiled
    cdef Lanes lanes
    cdef Classes found
    cdef Py_ssize_t rule_count = rules.shape[1] - 1, pairs = table.shape[0]
    cdef int status
    compiled.first, compiled.first_branch = &symbols[0, 0], &symbols[1, 0]
    compiled.end = &symbols[2, 0]
    compiled.bits, compiled.least, compiled.number = &rules[0, 0], &rules[1, 0], &rules[2, 0]
    compiled.argument, compiled.trains_lane = &rules[3, 0], &rules[4, 0]
    compiled.deploys_lane = &rules[5, 0]
    compiled.symbol, compiled.after = &arguments[0, 0], &arguments[1, 0]
    compiled.handed = &arguments[2, 0]
    lanes.key, lanes.words = &key[0], key.shape[0]
    lanes.executed, lanes.train, lanes.deploy = rule_count, 2 * rule_count, 2 * rule_count + 1
    lanes.salt = &salt[0]
    found.rows, found.width, found.capacity = &classes[0, 0], classes.shape[1], classes.shape[0]
    found.table, found.mask = &table[0, 0], <uint64_t>(pairs - 1)
    found.shift = 64
    while pairs > 1:
        pairs >>= 1
        found.shift -= 1
    found.pool, found.pool_size = &pool[0], pool.shape[0]
    with nogil:
        if state[POSITION] == -1:
            open_root(&compiled, <Frame*>&frames[0, 0], start, &lanes)
            state[POSITION] = 0
        status = search(
            &compiled, &lanes, &found, <Frame*>&frames[0, 0], frames.shape[0], low, high, most,
            quota, &state[0],
        )
    return status


def rehash(const uint64_t[:, ::1] old, uint64_t[:, ::1] new):
    """Enter every pair of ``old`` into ``new``, which is larger and all zero."""
    cdef Py_ssize_t pair, pairs = new.shape[0]
    cdef uint64_t slot, mask = <uint64_t>(pairs - 1)
    cdef int shift = 64
    while pairs > 1:
        pairs >>= 1
        shift -= 1
    with nogil:
        for pair in range(old.shape[0]):
            if old[pair, 1] == 0:
                continue
            slot = place(old[pair, 0], shift)
            while new[slot, 1] != 0:
                slot = (slot + 1) & mask
            new[slot, 0] = old[pair, 0]
            new[slot, 1] = old[pair, 1]
