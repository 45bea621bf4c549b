r"""The grammar as a system of polynomial equations: what exact sums over all programs solve.

Trees are sorted by *state*: their symbol, whether they execute, and what they exhibit in training
and in deployment. At a linear rate lambda the sum F_i over the trees of state i solves

.. math:: F_i = \sum_{\text{terms } t \text{ of } i} w_t \prod_{a} F_{t,a}, \qquad
          w_t = 2^{-\beta (\text{rule bits} + \text{unshared bits})} e^{-\lambda \text{steps}},

if every component may be stored at no cost. That a shared component is paid once is resolved by one
coin per component: with *availability* a_k of component k drawn so that P(a_k >= j) = 2^(-beta j
b_k), a program of requirement r_k is allowed with probability 2^(-beta r_k b_k), what it pays. So
the whole sum is the mean of F, restricted to the rules that are allowed, over availabilities: every
term is positive. Availabilities that leave the same terms alive are one *case*.

Costs reach 1e9 while tens decide, so what every tree of a state pays is taken out by counts: the
weights here are those of what a term pays beyond its state's mandatory counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.domain.grammar import Grammar
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, HONEST, MISALIGNED, Model
from bayes_mesa.errors import InputError, RefusedError

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

#: Availabilities that are looked at one by one when the system is made.
MAX_AVAILABILITIES = 1 << 16
#: Terms of a system; each is a rule with the states of its arguments.
MAX_TERMS = 20_000
#: Availabilities looked at together: bounds the memory.
_ROWS = 512


@dataclass(frozen=True, order=True)
class State:
    """Trees of one symbol that execute or not, and exhibit the same objectives."""

    symbol: str
    executed: bool
    train: str
    deploy: str


@dataclass(frozen=True, eq=False)
class Case:
    """Availabilities that leave the same terms alive.

    Attributes
    ----------
    alive
        bool (T,): terms that are allowed, can end, and can be reached from a root.
    availability
        int (V, C): a_k of every availability of the case beyond the mandatory stores; 0 for
        components that are not coins.
    """

    alive: Flags
    availability: Ints


@dataclass(frozen=True, eq=False)
class System:
    """The equations of one model's grammar; states in an order that can be solved in.

    Attributes
    ----------
    states
        S states; every argument of a state's terms stands in its own block or in an earlier one.
    block
        int (S,): strongly connected block of each state, rising.
    target, rule
        int (T,): state that a term adds to, and its rule. Terms are sorted by target.
    args
        int (T, A): states of the arguments, -1 where there are fewer.
    state_runs, state_stores
        int (S, C): mandatory counts, the least of any tree of each state.
    runs, stores
        int (T, C): executed runs, and stores of unshared components, beyond the mandatory ones of
        the target (with those of the arguments counted in): >= 0.
    roots
        int (Q,): states of whole programs that may be selected.
    root_runs, root_stores
        int (Q, C): mandatory counts of each root beyond those of all programs.
    root_class
        int (Q,): position of each root's class in `model.CLASSES`.
    root_objective
        int (Q,): position in ``model.losses`` of what it pursues in training, -1 without a loss.
    mandatory_runs, mandatory_stores
        int (C,): what every program that may be selected runs and stores.
    most
        int (C,): largest availability of each coin beyond the mandatory stores; 0: no coin.
    cases
        The cases that leave a root alive.
    """

    grammar: Grammar
    states: tuple[State, ...]
    block: Ints
    target: Ints
    rule: Ints
    args: Ints
    state_runs: Ints
    state_stores: Ints
    runs: Ints
    stores: Ints
    roots: Ints
    root_runs: Ints
    root_stores: Ints
    root_class: Ints
    root_objective: Ints
    mandatory_runs: Ints
    mandatory_stores: Ints
    most: Ints
    cases: tuple[Case, ...]

    @classmethod
    def of(cls, model: Model) -> System:
        """The system of a model with a grammar.

        Raises
        ------
        RefusedError
            If there are too many optional components, or too many terms, for exact sums.
        InputError
            If no program may be selected.
        """
        return _Maker(model).system()

    @cached_property
    def rule_bits(self) -> NDArray[np.float64]:
        """Rule bits of every term, (T,)."""
        return np.array(self.grammar.rule_bits)[self.rule]


@dataclass(frozen=True)
class _Term:
    target: State
    rule: int
    args: tuple[State, ...]


class _Maker:
    """Works the system out of a model, step by step."""

    def __init__(self, model: Model):
        if model.grammar is None:
            raise ValueError("a system needs a model with a grammar")
        self.model = model
        self.grammar = model.grammar
        index = model.component_index
        shape = (len(self.grammar.rules), len(model.components))
        self.rule_runs, self.rule_stores = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for k, rule in enumerate(self.grammar.rules):
            for name, count in rule.runs.items():
                self.rule_runs[k, index[name]] = count
            for name, count in rule.stores.items():
                self.rule_stores[k, index[name]] = count
        self.unshared = np.array([c.name in self.grammar.unshared for c in model.components], bool)

    def system(self) -> System:
        terms = self._live_terms(self._all_terms())
        if not terms:
            raise InputError("the grammar must have a program that may be selected, found none")
        states, block = _solvable_order(terms)
        index = {s: k for k, s in enumerate(states)}
        terms.sort(key=lambda t: (index[t.target], t.rule, [index[a] for a in t.args]))
        target = np.array([index[t.target] for t in terms], np.int64)
        rule = np.array([t.rule for t in terms], np.int64)
        width = max((len(t.args) for t in terms), default=0)
        args = np.full((len(terms), width), -1, np.int64)
        for row, term in zip(args, terms, strict=True):
            row[: len(term.args)] = [index[a] for a in term.args]
        executed = np.array([s.executed for s in states])[target]
        runs = self.rule_runs[rule] * executed[:, None]
        stores = self.rule_stores[rule] * self.unshared
        state_runs, state_stores = (_least(x, target, args, len(states)) for x in (runs, stores))
        roots = np.array([k for k, s in enumerate(states) if self._is_root(s)], np.int64)
        shared, most, cases = self._cases(target, rule, args, roots, len(states))
        least_runs, least_stores = state_runs[roots].min(axis=0), state_stores[roots].min(axis=0)
        return System(
            grammar=self.grammar,
            states=states,
            block=block,
            target=target,
            rule=rule,
            args=args,
            state_runs=state_runs,
            state_stores=state_stores,
            runs=runs + _summed(state_runs, args) - state_runs[target],
            stores=stores + _summed(state_stores, args) - state_stores[target],
            roots=roots,
            root_runs=state_runs[roots] - least_runs,
            root_stores=state_stores[roots] - least_stores,
            root_class=np.array([self._class(states[k]) for k in roots], np.int64),
            root_objective=np.array([self._objective(states[k]) for k in roots], np.int64),
            mandatory_runs=least_runs,
            mandatory_stores=least_stores + shared,
            most=most,
            cases=cases,
        )

    def _all_terms(self) -> list[_Term]:
        """Every rule with every combination of arguments' states that trees can have."""
        known: dict[tuple[str, bool], set[State]] = {}
        terms: dict[_Term, None] = {}
        grown = True
        while grown:
            grown = False
            for term in self._terms_of(known):
                if term not in terms:
                    if len(terms) >= MAX_TERMS:
                        raise RefusedError(
                            f"the grammar has more than {MAX_TERMS} terms (rules with what their "
                            "arguments exhibit): exact sums are refused; programs can be sampled"
                        )
                    terms[term] = None
                    states = known.setdefault((term.target.symbol, term.target.executed), set())
                    grown |= term.target not in states
                    states.add(term.target)
        return list(terms)

    def _terms_of(self, known: dict[tuple[str, bool], set[State]]) -> Iterator[_Term]:
        for index, rule in enumerate(self.grammar.rules):
            for executed in (True, False):
                places = [(s, executed and k in rule.executes) for k, s in enumerate(rule.args)]
                choices = [sorted(known.get(place, ())) for place in places]
                for args in product(*choices):
                    train = rule.train if isinstance(rule.train, str) else args[rule.train].train
                    deploy = (
                        rule.deploy if isinstance(rule.deploy, str) else args[rule.deploy].deploy
                    )
                    yield _Term(State(rule.symbol, executed, train, deploy), index, args)

    def _live_terms(self, terms: list[_Term]) -> list[_Term]:
        """Terms that a program that may be selected can hold."""
        by_target: dict[State, list[_Term]] = {}
        for term in terms:
            by_target.setdefault(term.target, []).append(term)
        reached = {s for s in by_target if self._is_root(s)}
        frontier = set(reached)
        while frontier:
            frontier = {a for s in frontier for t in by_target[s] for a in t.args} - reached
            reached |= frontier
        return [t for t in terms if t.target in reached]

    def _is_root(self, state: State) -> bool:
        pursued = state.train == self.model.base_objective or state.train in self.model.losses
        return state.executed and state.symbol == self.grammar.start and pursued

    def _class(self, state: State) -> int:
        base = self.model.base_objective
        if state.train != base:
            return CLASSES.index(MISALIGNED)
        return CLASSES.index(HONEST if state.deploy == base else DECEPTIVE)

    def _objective(self, state: State) -> int:
        names = list(self.model.losses)
        return names.index(state.train) if state.train in names else -1

    def _cases(
        self, target: Ints, rule: Ints, args: Ints, roots: Ints, num_states: int
    ) -> tuple[Ints, Ints, tuple[Case, ...]]:
        """Mandatory shared stores, the coins' sides, and the cases."""
        needed = np.where(self.unshared, 0, self.rule_stores)
        used = np.unique(rule)
        highest = needed[used].max(axis=0, initial=0)

        def alive(availability: Ints) -> Flags:
            allowed = (needed[None, :, :] <= availability[:, None, :]).all(axis=2)
            return _alive(allowed[:, rule], target, args, roots, num_states)

        least = np.zeros_like(highest)
        for k in np.flatnonzero(highest):
            # Only what some rule stores can be the least; counts may reach a thousand million.
            levels = np.unique([0, *needed[used, k]])
            ends = (n for n in levels if alive(_raised(highest, k, n)[None]).any())
            least[k] = next(ends, highest[k])
        most = highest - least
        sides = [range(n + 1) for n in most]
        if np.prod(most + 1, dtype=float) > MAX_AVAILABILITIES:
            raise RefusedError(
                f"{np.count_nonzero(most)} components are stored by some programs and not by "
                "others: exact sums go over every combination of them and are refused beyond "
                f"{MAX_AVAILABILITIES} combinations; programs can be sampled"
            )
        availability = np.array(list(product(*sides)), np.int64).reshape(-1, len(most))
        parts = range(0, len(availability), _ROWS)
        kept = np.concatenate([alive(availability[k : k + _ROWS] + least) for k in parts])
        grouped: dict[bytes, list[int]] = {}
        for row, mask in enumerate(kept):
            if mask.any():
                grouped.setdefault(mask.tobytes(), []).append(row)
        cases = tuple(Case(kept[rows[0]], availability[rows]) for rows in grouped.values())
        return least, most, cases


def _raised(highest: Ints, k: Any, level: Any) -> Ints:
    found = highest.copy()
    found[k] = level
    return found


def _alive(allowed: Flags, target: Ints, args: Ints, roots: Ints, num_states: int) -> Flags:
    """Which terms can end and be reached from a root, (V, T), for each row of allowed terms."""
    # Products of counts, not of weights: exact, and far faster than a loop over terms.
    places = np.arange(num_states)
    made = (target[:, None] == places).astype(np.float32)
    used = (args[:, :, None] == places).any(axis=1).astype(np.float32)
    ends = _spread(
        np.zeros((len(allowed), num_states), bool),
        lambda has: (allowed & _all_args(has, args)).astype(np.float32) @ made > 0.0,
    )
    allowed = allowed & _all_args(ends, args)
    reached = np.zeros((len(allowed), num_states), bool)
    reached[:, roots] = ends[:, roots]
    reached = _spread(
        reached, lambda has: (has[:, target] & allowed).astype(np.float32) @ used > 0.0
    )
    return allowed & reached[:, target]


def _all_args(has: Flags, args: Ints) -> Flags:
    padded = np.hstack([has, np.ones((len(has), 1), bool)])
    return padded[:, args].all(axis=2) if args.shape[1] else np.ones((len(has), len(args)), bool)


def _spread(has: Flags, grow: Callable[[Flags], Flags]) -> Flags:
    while True:
        grown = has | grow(has)
        if np.array_equal(grown, has):
            return has
        has = grown


def _least(own: Ints, target: Ints, args: Ints, num_states: int) -> Ints:
    """Least count of every component over the trees of each state, (S, C)."""
    never = np.iinfo(np.int64).max // 16
    least = np.full((num_states, own.shape[1]), never, np.int64)
    while True:
        whole = np.minimum(own + _summed(least, args), never)
        found = least.copy()
        np.minimum.at(found, target, whole)
        if np.array_equal(found, least):
            return least
        least = found


def _summed(counts: Ints, args: Ints) -> Ints:
    """Sum over a term's arguments, (T, C)."""
    padded = np.vstack([counts, np.zeros((1, counts.shape[1]), np.int64)])
    return padded[args].sum(axis=1)


def _solvable_order(terms: list[_Term]) -> tuple[tuple[State, ...], Ints]:
    """States with their blocks, so that arguments come before what is made of them."""
    states = sorted({t.target for t in terms})
    index = {s: k for k, s in enumerate(states)}
    order, block = solvable_order(
        len(states), [(index[t.target], index[a]) for t in terms for a in t.args]
    )
    return tuple(states[k] for k in order), block


def solvable_order(num_states: int, needs: Iterable[tuple[int, int]]) -> tuple[list[int], Ints]:
    """Order in which states can be solved, and the block of each in that order.

    ``needs`` holds pairs, a state and one that it needs; those that need one another make a block.
    """
    above = np.eye(num_states, dtype=bool)  # above[i, j]: j is needed, at some depth, by i
    for state, needed in needs:
        above[state, needed] = True
    for k in range(num_states):
        above |= above[:, k : k + 1] & above[k : k + 1, :]
    # In a block all need the same states; a block that needs another needs more.
    depth = above.sum(axis=1)
    leader = np.argmax(above & above.T, axis=1)
    order = sorted(range(num_states), key=lambda k: (depth[k], leader[k], k))
    leaders = [int(leader[k]) for k in order]
    return order, np.array([list(dict.fromkeys(leaders)).index(x) for x in leaders], np.int64)
