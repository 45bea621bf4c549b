"""What tempered draws are: their column in the results, bits, steps, class and weight."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.costing.costs import Counts
from bayes_mesa.costing.fact_choices import derivation_steps
from bayes_mesa.domain.grammar import Code
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import CLASSES, DECEPTIVE, Model, Structure

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Described:
    """Draws in words of the model, (chain, draw) each; −1, False and NaN where nothing fits.

    Attributes
    ----------
    column
        int64, into `Model.columns`.
    deceptive
        bool.
    bits, steps
        Of the whole program, its facts included; bits include those of its rules.
    log_weight
        log base − E, natural log, less a constant of theta.
    """

    column: NDArray[np.int64]
    deceptive: NDArray[np.bool_]
    bits: Floats
    steps: Floats
    log_weight: Floats


class Dictionary:
    """Programs met so far, by code: each is interpreted once, whatever theta is."""

    def __init__(self, model: Model):
        self.model = model
        self.columns: list[int] = []
        self.classes: list[int] = []
        self._counts: list[Counts] = []
        self._rules: list[NDArray[np.int64]] = []
        self._numbers: dict[Code, int] = {}
        self._named = {s.code: k for k, s in reversed([*enumerate(model.structures)])}

    def numbers(self, codes: NDArray[np.int16], lengths: NDArray[np.int32]) -> NDArray[np.int64]:
        """Number of every code, (D, longest) rows of the given lengths (D,), as they were met."""
        rows = np.ascontiguousarray(codes)
        as_one = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).ravel()
        # A code ends where its tree does, so the zeros behind it cannot be taken for rules.
        _, first, inverse = np.unique(as_one, return_index=True, return_inverse=True)
        found = [self._number(tuple(rows[k, : lengths[k]].tolist())) for k in first]
        return np.array(found, dtype=np.int64)[inverse]

    def totals(self, target: Target, number: NDArray[np.int64]) -> Totals:
        """Of every program in ``number``, without its facts, at a target's theta."""
        chosen, inverse = np.unique(number, return_inverse=True)
        counts = [self._counts[k] for k in chosen]
        theta = target.theta
        overlapped = theta["overlap_fraction"] * theta["steps"][counts[0].overlap_component]
        bits = np.concatenate([c.bits for c in counts]) @ theta["bits"]
        steps = np.concatenate([c.steps for c in counts]) @ theta["steps"]
        steps -= np.concatenate([c.overlap for c in counts]) @ overlapped
        rules = np.stack([self._rules[k] for k in chosen])
        return Totals(
            (bits + np.concatenate([c.rule_bits for c in counts]))[inverse],
            steps[inverse],
            np.concatenate([c.uses for c in counts])[inverse],
            (rules @ target.arrays["log_base"])[inverse],
        )

    def _number(self, code: Code) -> int:
        if code not in self._numbers:
            self._numbers[code] = len(self._counts)
            self._append(code)
        return self._numbers[code]

    def _append(self, code: Code) -> None:
        model = self.model
        if model.grammar is None:
            program, column = model.structures[code[0]], code[0]
            only = np.zeros(len(model.structures), dtype=np.int64)
            only[code[0]] = 1
            self._rules.append(only)
        else:
            found = interpret(model.grammar, code)
            program = Structure(
                "", found.stores, found.runs, found.train, found.deploy,
                rule_bits=found.rule_bits, code=code,
            )  # fmt: skip
            column = self._named.get(code, -1)
            self._rules.append(np.bincount(code, minlength=len(model.grammar.rules)))
        number = CLASSES.index(program.class_under(model.base_objective))
        self._counts.append(Counts.of(replace(model, structures=(program,))))
        self.classes.append(number)
        self.columns.append(column if column >= 0 else len(model.structures) + number)


@dataclass(frozen=True, eq=False)
class Totals:
    """Bits, steps and log base of trees, and how often each needs its facts; (D,) each."""

    bits: Floats
    steps: Floats
    uses: Floats
    log_base: Floats


def describe(
    target: Target,
    codes: NDArray[np.int16],
    lengths: NDArray[np.int32],
    stored: NDArray[np.bool_],
    energy: Floats,
    dictionary: Dictionary | None = None,
) -> Described:
    """What the draws of a target are.

    Parameters
    ----------
    codes, lengths, stored, energy
        As in `TemperedDraws`, (..., longest), (...,), (..., fact), (...,).
    dictionary
        Of the same model, to be used again at another theta.
    """
    shape = lengths.shape
    if not lengths.size or not lengths.flat[0]:
        nan = np.full(shape, math.nan)
        return Described(np.full(shape, -1), np.zeros(shape, bool), nan, nan.copy(), nan.copy())
    dictionary = dictionary or Dictionary(target.model)
    number = dictionary.numbers(codes.reshape(-1, codes.shape[-1]), lengths.ravel())
    trees = dictionary.totals(target, number)
    bits, steps = trees.bits, trees.steps
    if stored.shape[-1]:
        choices = stored.reshape(len(number), -1)
        bits = bits + choices @ target.theta["fact_bits"]
        derived = derivation_steps(target.model.facts.needs, target.theta["fact_steps"], choices)
        with np.errstate(invalid="ignore"):
            steps = steps + np.where(trees.uses > 0.0, trees.uses * derived, 0.0)
    deceptive = np.array(dictionary.classes)[number] == CLASSES.index(DECEPTIVE)
    return Described(
        np.array(dictionary.columns)[number].reshape(shape),
        deceptive.reshape(shape),
        bits.reshape(shape),
        steps.reshape(shape),
        trees.log_base.reshape(shape) - energy,
    )
