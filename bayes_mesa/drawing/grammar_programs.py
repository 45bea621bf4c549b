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
    """Programs met so far, numbered in the order in which they came."""

    def __init__(self, model: Model):
        self.model = model
        self.structures: list[Structure] = []
        self._number: dict[Code, int] = {}

    def numbers(self, flat: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """Number of every code, int (D,), of codes that stand behind one another in ``flat``."""
        found = np.empty(len(lengths), np.int64)
        starts = np.cumsum(lengths) - lengths
        for length in np.unique(lengths):
            places = np.flatnonzero(lengths == length)
            codes = flat[starts[places][:, None] + np.arange(length)]
            rows, inverse = np.unique(codes, axis=0, return_inverse=True)
            known = np.array([self.number(tuple(row)) for row in rows.tolist()])
            found[places] = known[inverse.reshape(-1)]
        return found

    def number(self, code: Code) -> int:
        """Number of a code, met now or earlier."""
        if code not in self._number:
            self._number[code] = len(self.structures)
            self.structures.append(program_structure(self.model, code))
        return self._number[code]


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
    counts = Counts.of(replace(model, structures=tuple(register.structures)))
    column = _columns(model, register)[program]
    bits = _paid(theta["bits"], counts.bits[program]) + counts.rule_bits[program]
    bits = bits + _paid(theta["fact_bits"], stored)
    steps = _paid(theta["steps"], counts.steps[program]) + _paid(theta["fact_steps"], ~stored)
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


def in_one_order(
    model: Model, registers: list[Register], programs: list[np.ndarray]
) -> tuple[list[str], list[np.ndarray]]:
    """Expressions of all registers' programs, short ones first, and the numbers in that order."""
    assert model.grammar is not None
    codes = sorted({s.code for r in registers for s in r.structures}, key=lambda c: (len(c), c))
    place = {code: k for k, code in enumerate(codes)}
    renumbered = []
    for register, program in zip(registers, programs, strict=True):
        # −1 stays −1, which is no program.
        own = np.array([*(place[s.code] for s in register.structures), -1], np.int64)
        renumbered.append(own[program])
    return [expression(model.grammar, code) for code in codes], renumbered


def _columns(model: Model, register: Register) -> np.ndarray:
    """Place of every registered program in `model.columns`."""
    listed = {s.code: k for k, s in enumerate(model.structures)}
    named = len(model.structures)
    return np.array(
        [
            listed.get(s.code, named + CLASSES.index(s.class_under(model.base_objective)))
            for s in register.structures
        ],
        np.int64,
    )


def _loss(
    model: Model, theta: Mapping[str, np.ndarray], register: Register, program: np.ndarray
) -> np.ndarray:
    """E · loss of what each program pursues in training, nats, (D,)."""
    names = [model.base_objective, *model.losses]
    pursued = np.array([names.index(s.train) for s in register.structures])[program]
    losses = np.hstack([np.zeros((len(theta["pressure"]), 1)), theta["loss"]])
    rows = np.arange(len(program)) % len(losses)
    return model.selection.episodes * losses[rows, pursued]


def _paid(costs: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Σ_k costs × counts, row by row."""
    return np.einsum("nk,nk->n", np.broadcast_to(costs, counts.shape), counts)
