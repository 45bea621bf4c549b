"""Programs drawn from a grammar: their codes in one register, and what each of them costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bayes_mesa.costing.costs import Counts
from bayes_mesa.costing.exchange import LN2, penalty
from bayes_mesa.domain.expression import expression
from bayes_mesa.domain.grammar import Code
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Family, Model, Structure
from bayes_mesa.grammars.frontier import program_structure
from bayes_mesa.grammars.tree_draws import draw_grammar_programs

Arrays = dict[str, np.ndarray]

_MAY_BE_EMPTY = ("bits", "steps", "loss", "overlap_fraction", "fact_bits", "fact_steps")


class Register:
    """Programs met so far, numbered in the order in which they came.

    Attributes
    ----------
    codes
        The prefix code of each.
    bits, steps
        How often each stores and runs each component, (K, C).
    rule_bits
        Bits of each program's own tree, (K,).
    column
        Place of each in `model.columns`, (K,).
    pursued
        What each pursues in training: 0 for the base objective, 1 + k for the k-th other one, (K,).
    """

    def __init__(self, model: Model):
        self.model = model
        self.codes: list[Code] = []
        self._number: dict[Code, int] = {}
        components = len(model.components)
        self.bits, self.steps = np.empty((0, components)), np.empty((0, components))
        self.rule_bits = np.empty(0)
        self.column, self.pursued = np.empty(0, np.int64), np.empty(0, np.int64)

    def numbers(self, flat: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Number of every code, int (D,), of codes that stand behind one another in ``flat``."""
        found = np.empty(len(lengths), np.int64)
        starts = np.cumsum(lengths) - lengths
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            codes = flat[starts[places][:, None] + np.arange(length)]
            rows, inverse = np.unique(codes, axis=0, return_inverse=True)
            known = np.array([self._number_of(tuple(row)) for row in rows.tolist()])
            found[places] = known[inverse.reshape(-1)]
        self._describe_new()
        return found

    def _number_of(self, code: Code) -> int:
        if code not in self._number:
            self._number[code] = len(self.codes)
            self.codes.append(code)
        return self._number[code]

    def _describe_new(self) -> None:
        """What the programs cost and exhibit that were not known yet; each is looked at once."""
        model = self.model
        new = [program_structure(model, code) for code in self.codes[len(self.column) :]]
        if not new:
            return
        counts = Counts.of(replace(model, structures=tuple(new)))
        self.bits = np.concatenate([self.bits, counts.bits])
        self.steps = np.concatenate([self.steps, counts.steps])
        self.rule_bits = np.concatenate([self.rule_bits, counts.rule_bits])
        self.column = np.concatenate([self.column, _columns(model, new)])
        places = {name: k for k, name in enumerate((model.base_objective, *model.losses))}
        pursued = np.array([places.get(s.train, 0) for s in new], np.int64)
        self.pursued = np.concatenate([self.pursued, pursued])


def draw_from_grammar(
    model: Model,
    family: Family,
    theta: Mapping[str, np.ndarray],
    bit_generator: np.random.BitGenerator,
    num_draws: int | None,
    register: Register,
) -> Arrays:
    """Independent exact draws: one per theta, or ``num_draws`` at a single one.

    Parameters
    ----------
    theta
        Variables of a posterior with N draws first: costs, losses, pressure and the family's
        parameters; what is empty may be missing.

    Returns
    -------
    dict of arrays
        What `described` gives.
    """
    none = np.zeros((len(theta["pressure"]), 0))
    theta = {**dict.fromkeys(_MAY_BE_EMPTY, none), **theta}
    drawn = draw_grammar_programs(bit_generator, model, family, theta, num_draws=num_draws)
    program = register.numbers(drawn.flat, drawn.lengths)
    return described(model, family, theta, register, program, drawn.stored)


def described(
    model: Model,
    family: Family,
    theta: Mapping[str, np.ndarray],
    register: Register,
    program: np.ndarray,
    stored: np.ndarray,
) -> Arrays:
    """What programs (D,) of the register cost with the facts that they store (D, n).

    ``theta`` has D draws first, or one that all programs are at.

    Returns
    -------
    dict of arrays
        ``program`` and ``stored`` as given, ``structure`` (D,) places in `model.columns`, ``bits``,
        ``steps`` and ``penalty`` (D,), ``deceptive`` (D,) 0 or 1, ``log_weight`` (D,): −β ln 2 Φ −
        E · loss, nats.
    """
    column = register.column[program]
    bits = _paid(theta["bits"], register.bits[program]) + register.rule_bits[program]
    bits = bits + _paid(theta["fact_bits"], stored)
    steps = _paid(theta["steps"], register.steps[program]) + _paid(theta["fact_steps"], ~stored)
    own = {n: theta[f"{family.name}_{n}"] for n in family.parameters}
    cost = penalty(family.name, own, bits, steps)
    deceptive = np.array([c.class_name == DECEPTIVE for c in model.columns])
    return {
        "program": program,
        "structure": column,
        "stored": stored,
        "bits": bits,
        "steps": steps,
        "penalty": cost,
        "deceptive": deceptive[column].astype(np.int8),
        "log_weight": -theta["pressure"] * LN2 * cost - _loss(model, theta, register, program),
    }


def in_one_order(model: Model, registers: list[Register]) -> tuple[list[str], list[np.ndarray]]:
    """Expressions of all registers' programs, short ones first, and each one's places there."""
    assert model.grammar is not None
    codes = sorted({c for r in registers for c in r.codes}, key=lambda c: (len(c), c))
    place = {code: k for k, code in enumerate(codes)}
    # At the end of each, where the number −1 looks, −1: it is no program.
    places = [np.array([*(place[c] for c in r.codes), -1], np.int64) for r in registers]
    return [expression(model.grammar, code) for code in codes], places


def _columns(model: Model, programs: list[Structure]) -> np.ndarray:
    """Place of every program in `model.columns`."""
    listed = {s.code: k for k, s in enumerate(model.structures)}
    named = len(model.structures)
    return np.array(
        [
            listed.get(s.code, named + CLASSES.index(s.class_under(model.base_objective)))
            for s in programs
        ],
        np.int64,
    )


def _loss(
    model: Model, theta: Mapping[str, np.ndarray], register: Register, program: np.ndarray
) -> np.ndarray:
    """E · loss of what each program pursues in training, nats, (D,)."""
    losses = np.hstack([np.zeros((len(theta["pressure"]), 1)), theta["loss"]])
    rows = np.arange(len(program)) % len(losses)
    return model.selection.episodes * losses[rows, register.pursued[program]]


def _paid(costs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Σ_k costs × counts, row by row."""
    return np.einsum("nk,nk->n", np.broadcast_to(costs, counts.shape), counts)
