"""Slow twin of ``_ext/tempered.pyx``: the same chain from the same generator state.

It follows the native kernel choice by choice, but works on whole programs: after every proposal the
interpreter reads the counts off the tree, and bits, steps and energy are computed from scratch.
"""

import math
from math import exp, expm1, inf, log1p

from bayes_mesa.domain.interpreter import interpret

MOVES = ("regenerate", "insert", "delete", "swap", "flip", "exchange", "jump")
OUTCOMES = ("rejected", "accepted", "identical", "impossible")


class Words:
    """Choices from a bit generator, as choices.pxd makes them."""

    def __init__(self, bit_generator):
        self.raw = bit_generator.random_raw

    def uniform(self):
        return float(int(self.raw()) >> 11) * (1.0 / 9007199254740992.0)

    def pick(self, count):
        if count == 1:
            return 0
        while True:
            product = (int(self.raw()) >> 32) * count
            low = product & 0xFFFFFFFF
            if low >= count or low >= (2**32 - count) % count:
                return product >> 32

    def choose(self, cumulative):
        if len(cumulative) == 1:
            return 0
        u = self.uniform()
        return next((k for k, x in enumerate(cumulative[:-1]) if u < x), len(cumulative) - 1)

    def accept(self, log_ratio):
        if log_ratio >= 0.0:
            return True
        if not log_ratio > -inf:
            return False
        return self.uniform() < exp(log_ratio)


class Weigh:
    """Energies of whole programs."""

    def __init__(self, target):
        self.target = target
        self.a = target.arrays
        self.names = [c.name for c in target.model.components]

    def counters(self, code):
        tables, names = self.target.tables, self.names
        found = interpret(tables.grammar, code)
        counts = [
            found.stores.get(names[k], 0) - int(tables.mandatory_bits[k]) for k in tables.bits_of
        ]
        counts += [
            int(found.stores.get(names[k], 0) >= level)
            for k, level in zip(tables.once_of, tables.once_level, strict=True)
        ]
        if self.a["rules_end"] > self.a["once_end"]:
            counts += [code.count(r) for r in range(len(tables.grammar.rules))]
        counts += [
            found.runs.get(names[k], 0) - int(tables.mandatory_steps[k]) for k in tables.steps_of
        ]
        for o in self.target.model.overlaps:
            counts += [found.runs.get(o.component, 0), found.runs.get(o.inside, 0)]
        return counts, found.train

    def facts(self, stored):
        a, bits, steps, own = self.a, 0.0, 0.0, {}
        for j in a["fact_order"][: len(stored)].tolist():
            own[j] = float(a["fact_steps"][j])
            for i in a["need"][a["first_need"][j] : a["first_need"][j + 1]].tolist():
                if not stored[i]:
                    own[j] += own[i]
            if stored[j]:
                bits += float(a["fact_bits"][j])
            else:
                steps += own[j]
        return bits, steps

    def energy(self, code, stored):
        a = self.a
        counts, train = self.counters(code)
        fact_bits, fact_steps = self.facts(stored)
        price = a["price"].tolist()

        def total(begin, end):
            value = 0.0
            for c in range(begin, end):
                value += price[c] * counts[c]
            return value

        bits = total(0, a["once_end"])
        rule_bits, steps = (
            total(a["once_end"], a["rules_end"]),
            total(a["rules_end"], a["steps_end"]),
        )
        pairs = counts[a["steps_end"] :]
        for k, steps_saved in enumerate(a["overlap"].tolist()[: len(pairs) // 2]):
            steps -= steps_saved * min(pairs[2 * k], pairs[2 * k + 1])
        uses = float(a["uses"][code[0]])
        if uses > 0.0:
            steps += uses * fact_steps
        bits += fact_bits
        loss = float(a["loss"][self.target.tables.objectives.index(train)])
        if not steps <= a["cap"] or bits + rule_bits > a["capacity"] or loss == inf:
            return inf
        return a["nats"] * (bits + self.added(steps)) + loss

    def added(self, steps):
        a = self.a
        added = steps - a["least"]
        if a["family"] == 0:
            return added / a["rate"]
        if a["reference"] == 0.0:
            return math.pow(added / a["rate"], 1.0 / a["exponent"]) if added > 0.0 else 0.0
        growth = added / a["reference"]
        if growth <= -1.0:
            return inf if a["family"] == 1 else -a["root"]
        if a["family"] == 1:
            return a["rate"] * log1p(growth)
        return a["root"] * expm1(log1p(growth) / a["exponent"])


class Walker:
    """One replica: code, stored facts, energy; moves take an inverse temperature."""

    def __init__(self, target, source, code, stored):
        self.target, self.source, self.weigh = target, source, Weigh(target)
        self.a, self.grammar = target.arrays, target.tables.grammar
        self.code, self.stored = tuple(code), tuple(stored)
        self.energy = self.weigh.energy(self.code, self.stored)

    def judge(self, s, log_hastings, code, stored):
        proposed = self.weigh.energy(code, stored)
        if proposed == inf:
            return 0
        if not self.source.accept(log_hastings - s * (proposed - self.energy)):
            return 0
        self.code, self.stored, self.energy = code, stored, proposed
        return 1

    def fresh(self, symbol, room):
        """A tree of ``symbol`` with at most ``room`` nodes, or None."""
        a, code, open_symbols = self.a, [], [symbol]
        first = a["first_rule"]
        place = {name: k for k, name in enumerate(self.grammar.symbols)}
        while open_symbols:
            if len(code) + len(open_symbols) > room:
                return None
            k = place[open_symbols.pop()]
            cumulative = a["rule_cumulative"][first[k] : first[k + 1]].tolist()
            rule = int(a["rule_order"][first[k] + self.source.choose(cumulative)])
            code.append(rule)
            open_symbols += reversed(self.grammar.rules[rule].args)
        return tuple(code)

    def node(self):
        at = self.source.pick(len(self.code))
        return at, self.grammar.end(self.code, at)

    def log(self, whole):
        return float(self.a["log_whole"][whole])

    def regenerate(self, s):
        at, end = self.node()
        room = self.target.max_nodes - len(self.code) + end - at
        new = self.fresh(self.grammar.rules[self.code[at]].symbol, room)
        if new is None:
            return 3
        if new == self.code[at:end]:
            return 2
        code = self.code[:at] + new + self.code[end:]
        return self.judge(s, self.log(len(self.code)) - self.log(len(code)), code, self.stored)

    def log_wrap(self, symbol):
        return float(self.a["log_wrap"][self.grammar.symbols.index(symbol)])

    def insert(self, s):
        at, end = self.node()
        symbol = self.grammar.rules[self.code[at]].symbol
        wraps = self.target.tables.wraps[symbol]
        if not wraps:
            return 3
        k = self.grammar.symbols.index(symbol)
        first = self.a["first_wrap"]
        rule, place = wraps[
            self.source.choose(self.a["wrap_cumulative"][first[k] : first[k + 1]].tolist())
        ]
        args, inner = self.grammar.rules[rule].args, self.code[at:end]
        room = self.target.max_nodes - len(self.code)
        if len(args) > room:
            return 3
        new = (rule,)
        for j, arg in enumerate(args):
            left = room + len(inner) - len(new) - (len(inner) if j < place else 0)
            part = inner if j == place and len(inner) <= left else None
            if j != place:
                part = self.fresh(arg, left)
            if part is None:
                return 3
            new += part
        code = self.code[:at] + new + self.code[end:]
        ratio = self.a["log_back"] + self.log(len(self.code)) + self.log_wrap(symbol)
        ratio = ratio - self.log(len(code)) - self.log(args.count(symbol))
        return self.judge(s, ratio, code, self.stored)

    def delete(self, s):
        at, end = self.node()
        rule = self.grammar.rules[self.code[at]]
        places = [k for k, a in enumerate(rule.args) if a == rule.symbol]
        if not places:
            return 3
        which = places[self.source.pick(len(places))]
        begin = list(self.grammar.arguments(self.code, at))[which]
        inner = self.code[begin : self.grammar.end(self.code, begin)]
        code = self.code[:at] + inner + self.code[end:]
        ratio = self.log(len(self.code)) + self.log(len(places)) - self.a["log_back"]
        ratio = ratio - self.log(len(code)) - self.log_wrap(rule.symbol)
        return self.judge(s, ratio, code, self.stored)

    def swap(self, s):
        at = self.source.pick(len(self.code))
        rule, first = self.code[at], self.a["first_peer"]
        peers = self.a["peer"][first[rule] : first[rule + 1]].tolist()
        if not peers:
            return 3
        other = peers[self.source.pick(len(peers))]
        code = (*self.code[:at], other, *self.code[at + 1 :])
        base = self.a["log_base"]
        return self.judge(s, float(base[other]) - float(base[rule]), code, self.stored)

    def turned(self, *facts):
        return tuple(z != (j in facts) for j, z in enumerate(self.stored))

    def flip(self, s, fact=None):
        if not self.stored:
            return 3
        fact = self.source.pick(len(self.stored)) if fact is None else fact
        return self.judge_facts(s, self.turned(fact))

    def exchange(self, s):
        n = len(self.stored)
        if n < 2:
            return 3
        i = self.source.pick(n)
        j = (i + 1 + self.source.pick(n - 1)) % n
        if self.stored[i] == self.stored[j]:
            return 2
        return self.judge_facts(s, self.turned(i, j))

    def judge_facts(self, s, stored):
        proposed = self.weigh.energy(self.code, stored)
        if proposed != inf and self.source.accept(-s * (proposed - self.energy)):
            self.stored, self.energy = stored, proposed
            return 1
        return 0

    def jump(self, s):
        a, count = self.a, self.a["jump_count"]
        table = a["jump_code"].reshape(-1, a["jump_longest"])
        table = [tuple(row[:n].tolist()) for row, n in zip(table, a["jump_size"], strict=True)]
        table = table[:count]
        entry = self.source.choose(a["jump_cumulative"].tolist())
        if entry < count:
            code = table[entry]
        else:
            code = self.fresh(self.grammar.start, self.target.max_nodes)
        if code is None:
            return 3
        if code == self.code:
            return 2
        excess = [
            float(a["jump_log_excess"][k])
            for k in (table.index(c) if c in table else count for c in (self.code, code))
        ]
        return self.judge(s, excess[0] - excess[1], code, self.stored)


def run(target, bit_generator, ladder, starts, rounds, proposals, scan):
    """The chain as `Chain.run` goes: records (code, stored, energy), info of moves and of swaps."""
    source = Words(bit_generator)
    replicas = [Walker(target, source, *start) for start in starts]
    moves = [[[0] * 4 for _ in MOVES] for _ in ladder]
    swapped, records = [0] * (len(ladder) - 1), []
    cumulative = target.arrays["move_cumulative"].tolist()
    for done in range(rounds):
        for s, walker, counted in zip(ladder, replicas, moves, strict=True):
            for _ in range(proposals):
                which = source.choose(cumulative)
                counted[which][getattr(walker, MOVES[which])(s)] += 1
            if scan:
                for j in range(len(walker.stored)):
                    counted[MOVES.index("flip")][walker.flip(s, j)] += 1
                counted[MOVES.index("jump")][walker.jump(s)] += 1
        for k in range(done % 2, len(ladder) - 1, 2):
            ratio = (ladder[k] - ladder[k + 1]) * (replicas[k].energy - replicas[k + 1].energy)
            if source.accept(ratio):
                replicas[k], replicas[k + 1] = replicas[k + 1], replicas[k]
                swapped[k] += 1
        records.append((replicas[0].code, replicas[0].stored, replicas[0].energy))
    return records, moves, swapped
