"""Slow twin of the enumeration: all trees below a bound by closure, and weights one by one.

Trees are built from the leaves up, with `interpret` for what each of them is; nothing is shared
with the native search but the grammar.
"""

import math
from collections import defaultdict
from itertools import product

from bayes_mesa.domain.interpreter import interpret


def programs(grammar, most_bits):
    """Code → Meaning of every program of fewer than ``most_bits`` rule bits."""
    least = _least_bits(grammar)
    bits = {symbol: {} for symbol in grammar.symbols}
    grown = True
    while grown:
        grown = False
        for k, rule in enumerate(grammar.rules):
            known = [sorted(bits[s].items(), key=lambda item: item[1]) for s in rule.args]
            for code, total in _combined(
                (k,), grammar.rule_bits[k], known, [least[s] for s in rule.args], most_bits
            ):
                if code not in bits[rule.symbol]:
                    bits[rule.symbol][code] = total
                    grown = True
    return {code: interpret(grammar, code) for code in bits[grammar.start]}


def _combined(code, total, known, least, most_bits):
    if total + sum(least) >= most_bits:
        return
    if not known:
        yield code, total
        return
    for argument, more in known[0]:
        if total + more + sum(least[1:]) >= most_bits:
            break
        yield from _combined(code + argument, total + more, known[1:], least[1:], most_bits)


def _least_bits(grammar):
    least = dict.fromkeys(grammar.symbols, math.inf)
    for _ in grammar.symbols:
        for bits, rule in zip(grammar.rule_bits, grammar.rules, strict=True):
            whole = bits + sum(least[s] for s in rule.args)
            least[rule.symbol] = min(least[rule.symbol], whole)
    return least


def key(meaning):
    """What programs of one row of a listing agree in."""
    return (
        meaning.rule_bits, tuple(sorted(meaning.stores.items())),
        tuple(sorted(meaning.runs.items())), meaning.train, meaning.deploy,
    )  # fmt: skip


def classes(found):
    """Key → codes."""
    rows = defaultdict(list)
    for code, meaning in found.items():
        rows[key(meaning)].append(code)
    return dict(rows)


def class_of(model, meaning):
    if meaning.train != model.base_objective:
        return "misaligned"
    return "honest" if meaning.deploy == model.base_objective else "deceptive"


def choices(facts):
    """(bits, steps of one derivation) of every choice of facts, with what each derivation needs."""
    bits, steps = [b.value for b in facts.bits], [b.value for b in facts.steps]
    needs = facts.needs or ((),) * len(bits)
    for stored in product((True, False), repeat=len(bits)):

        def derive(j, stored=stored):
            return steps[j] + sum(derive(i) for i in needs[j] if not stored[i])

        yield (
            sum(b for b, z in zip(bits, stored, strict=True) if z),
            sum(derive(j) for j, z in enumerate(stored) if not z),
        )


def phi(family, bits, steps):
    values = {n: b.value for n, b in family.parameters.items()}
    if family.name == "linear":
        return bits + steps / values["rate"]
    if family.name == "levin":
        return bits + values["kappa"] * math.log2(steps)
    return bits + (steps / values["rate"]) ** (1 / values["exponent"])


def costs(model, meaning):
    """(bits, steps) of a program without its facts; every number of the model is known."""
    known = {c.name: c for c in model.components}
    bits = sum(n * known[k].bits.value for k, n in meaning.stores.items())
    return meaning.rule_bits + bits, sum(n * known[k].steps.value for k, n in meaning.runs.items())


def weight(model, family, meaning, shift=0.0):
    """(weight × 2^(β·shift), least penalty with its bits and steps) over all choices of facts."""
    selection = model.selection
    cap = math.inf if selection.cap is None else selection.cap
    most = math.inf if selection.max_bits is None else selection.max_bits
    bits, steps = costs(model, meaning)
    losses = {n: b.value for n, b in model.losses.items()}
    if meaning.train != model.base_objective and meaning.train not in losses:
        return 0.0, None
    fitting = [
        (phi(family, bits + b, steps + t), bits + b, steps + t)
        for b, t in choices(model.facts)
        if steps + t <= cap and bits + b <= most
    ]
    loss = selection.episodes * losses.get(meaning.train, 0.0)
    pressure = selection.pressure.value
    total = math.fsum(2.0 ** (-pressure * (p - shift)) for p, _, _ in fitting)
    return total * math.exp(-loss), min(fitting, default=None)


def masses(model, family, found):
    """Class → its weight, over the given programs."""
    total = dict.fromkeys(("honest", "deceptive", "misaligned"), 0.0)
    for meaning in found.values():
        total[class_of(model, meaning)] += weight(model, family, meaning)[0]
    return total


def linear_totals(model, family):
    """Class → exact weight over all programs under linear, without facts: one coin per component.

    Sum over sets R of shared components of (their share) × (sum over the trees that store in R
    only), by iterating the equations from 0; every shared component is stored at most once.
    """
    grammar, pressure = model.grammar, model.selection.pressure.value
    rate, known = family.parameters["rate"].value, {c.name: c for c in model.components}
    used = {n for r in grammar.rules for n in r.stores} - grammar.unshared
    shared = sorted(used)
    total = dict.fromkeys(("honest", "deceptive", "misaligned"), 0.0)
    losses = {n: b.value for n, b in model.losses.items()}
    for available in product((True, False), repeat=len(shared)):
        share, allowed = 1.0, set(grammar.unshared)
        for name, there in zip(shared, available, strict=True):
            chance = 2.0 ** (-pressure * known[name].bits.value)
            share *= chance if there else 1.0 - chance
            allowed |= {name} if there else set()
        rules = [
            (
                rule,
                -pressure * (b + sum(n * known[k].bits.value for k, n in rule.stores.items()
                                     if k in grammar.unshared)),
                -pressure * sum(n * known[k].steps.value for k, n in rule.runs.items()) / rate,
            )
            for b, rule in zip(grammar.rule_bits, grammar.rules, strict=True)
            if set(rule.stores) <= allowed
        ]  # fmt: skip
        for (train, deploy), value in _inside(grammar, rules).items():
            if train == model.base_objective or train in losses:
                loss = model.selection.episodes * losses.get(train, 0.0)
                if train != model.base_objective:
                    name = "misaligned"
                else:
                    name = "honest" if deploy == model.base_objective else "deceptive"
                total[name] += share * value * math.exp(-loss)
    return total


def _inside(grammar, rules):
    """(train, deploy) → sum over the trees of the start symbol that execute."""
    sums, before = {}, None
    while before is None or any(abs(sums[s] - before.get(s, 0.0)) > 1e-17 for s in sums):
        before, sums = sums, defaultdict(float)
        margins = _margins(before)
        for rule, tree, spent in rules:
            for executed in (True, False):
                weight_ = 2.0 ** (tree + (spent if executed else 0.0))
                _add_rule(sums, rule, executed, weight_, before, margins)
    return {(t, d): x for (s, e, t, d), x in sums.items() if s == grammar.start and e}


def _margins(sums):
    found = defaultdict(lambda: defaultdict(float))
    for (symbol, executed, train, deploy), x in sums.items():
        found[symbol, executed][train, None] += x
        found[symbol, executed][None, deploy] += x
        found[symbol, executed][None, None] += x
        found[symbol, executed][train, deploy] += x
    return found


def _add_rule(sums, rule, executed, weight_, before, margins):
    states = [((rule.train if isinstance(rule.train, str) else None),
               (rule.deploy if isinstance(rule.deploy, str) else None), weight_)]  # fmt: skip
    for k, symbol in enumerate(rule.args):
        options = margins[symbol, executed and k in rule.executes]
        asked = (rule.train == k, rule.deploy == k)
        states = [
            (t if train is None else train, d if deploy is None else deploy, w * x)
            for train, deploy, w in states
            for (t, d), x in options.items()
            if ((t is not None), (d is not None)) == asked
        ]
    for train, deploy, w in states:
        sums[rule.symbol, executed, train, deploy] += w
