"""What the tree kernels sample: the weights of all programs at one theta and one exchange family.

The weight is w(p) = base(tree) e^(-E(p)): base is the product over nodes of 2^(-β rule bits), or
the multiplicity of a structure; E, in nats, is β ln2 times (component and fact bits +
Φ(0, steps)), plus what is lost in training, and infinite where p may not be selected. A tempered
chain samples base e^(-s E). The sum of base must be finite: the pressure must exceed the grammar's
critical one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa._ext.tempered import Chain, Kernel
from bayes_mesa.chains.tempered_moves import jump_table, move_table
from bayes_mesa.costing.exchange import LN2
from bayes_mesa.domain.critical_pressure import tree_sums
from bayes_mesa.domain.grammar import Code
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.domain.slots import parameters
from bayes_mesa.errors import InputError, RefusedError
from bayes_mesa.grammars.rule_tables import RuleTables
from bayes_mesa.grammars.shortest import shortest_programs

Floats = NDArray[np.float64]

_FAMILIES = ("linear", "levin", "power")
#: What is read of theta, besides the family's parameters; a result leaves out what is empty.
_PART_OF_THETA = (
    "bits", "steps", "fact_bits", "fact_steps", "pressure", "loss", "overlap_fraction",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Target:
    """All programs of a model with at most ``max_nodes`` nodes, weighed at one theta.

    Attributes
    ----------
    arrays
        The kernel's fields by name.
    log_base
        (R,): natural log of every rule's factor of base.
    counter_price
        Price of every counter, bits or steps.
    mandatory_bits, mandatory_steps
        Paid by every program and left out of E.
    kernel
        The native form of all this.
    """

    model: Model
    family: Family
    tables: RuleTables
    theta: Mapping[str, Floats]
    max_nodes: int
    arrays: Mapping[str, Any]
    kernel: Kernel

    @classmethod
    def of(
        cls,
        model: Model,
        family: Family,
        theta: Mapping[str, Any],
        row: int = 0,
        *,
        max_nodes: int = 64,
        moves: Mapping[str, float] | None = None,
        jumps: Sequence[Code] | None = None,
        tables: RuleTables | None = None,
    ) -> Target:
        """The target at one draw of theta.

        Parameters
        ----------
        model, family
            Any model, and one of its exchange families.
        theta
            As `slots.assemble` gives it; ``row`` says which draw.
        max_nodes
            Programs with more nodes are left out.
        moves
            Probability of every move of `MOVES` in the mixture; by default a fixed share of each
            that the model has. They are normalised.
        jumps
            Programs that the structure jump proposes, each as often; by default those that the
            model names. Half of the jumps propose a fresh tree.
        tables
            `RuleTables.of(model)`, where it is at hand.

        Raises
        ------
        InputError
            Unknown or negative moves, ``max_nodes`` below 1, a pressure that is not above the
            critical one.
        RefusedError
            Under levin, where a program runs 0 steps.
        """
        tables = tables or RuleTables.of(model)
        if max_nodes < 1:
            raise InputError(f"max_nodes must be >= 1, found {max_nodes}")
        names = (*_PART_OF_THETA, *family.variables())
        here = {n: np.asarray(theta[n], dtype=float)[row] for n in names if n in theta}
        here |= {n: np.zeros(0) for n in _PART_OF_THETA if n not in theta}
        arrays = {
            **tables.arrays,
            **_base(model, tables, float(here["pressure"])),
            "log_whole": np.log(np.maximum(np.arange(max(max_nodes, 2) + 1.0), 0.5)),
        }
        arrays |= _prices(model, family, tables, here)
        arrays |= _reference(model, family, tables, here, arrays)
        arrays |= jump_table(model, tables, arrays, jumps, max_nodes)
        arrays |= move_table(tables, arrays, moves)
        return cls(model, family, tables, here, max_nodes, arrays, Kernel(arrays, max_nodes))

    def log_base(self, code: Code) -> float:
        """Natural log of base of a program."""
        return math.fsum(self.arrays["log_base"][r] for r in code)

    def energy(self, code: Code, stored: Sequence[bool]) -> float:
        """E of a program in nats, less a constant of theta; infinite where it is not eligible."""
        if len(code) > self.max_nodes:
            return math.inf
        choice = np.zeros(max(1, len(self.model.facts)), np.uint8)
        choice[: len(self.model.facts)] = stored
        return float(Chain(self.kernel, 1).place(0, np.array(code, np.int16), choice))


def _padded(values: Any) -> Floats:
    array = np.ascontiguousarray(values, dtype=np.float64)
    return array if array.size else np.zeros(1)


def _base(model: Model, tables: RuleTables, pressure: float) -> dict[str, Any]:
    """Base of every rule, and the tables from which fresh trees and wraps are drawn."""
    grammar = tables.grammar
    if model.grammar is None:
        log_base = np.log([r.weight for r in grammar.rules])
        top = float(log_base.max())
        log_sums = {grammar.start: top + math.log(math.fsum(np.exp(log_base - top)))}
    else:
        log_base = -pressure * LN2 * np.array(grammar.rule_bits)
        sums = tree_sums(grammar, pressure)
        if not all(0.0 < x < math.inf for x in sums.values()):
            raise RefusedError(
                "chains need the weights of all trees of a symbol as a number of double precision, "
                f"found none at pressure {pressure:g} in a draw; give the pressure a narrower "
                "belief"
            )
        log_sums = {s: math.log(x) for s, x in sums.items()}
    inside = log_base + [sum(log_sums[a] for a in r.args) for r in grammar.rules]
    wrapped = {
        symbol: [inside[row] - log_sums[symbol] for row, _ in wraps]
        for symbol, wraps in tables.wraps.items()
    }
    rules = [inside[list(grammar.rules_of[s])] for s in grammar.symbols]
    return {
        "log_base": log_base,
        "log_start": log_sums[grammar.start],
        "rule_cumulative": _padded(np.concatenate([_cumulative(x) for x in rules])),
        "wrap_cumulative": _padded(
            np.concatenate([_cumulative(wrapped[s]) for s in grammar.symbols])
        ),
        "log_wrap": _padded([_log_sum(wrapped[s]) for s in grammar.symbols]),
    }


def _log_sum(logs: Any) -> float:
    if not len(logs):
        return -math.inf
    top = max(logs)
    return float(top + math.log(math.fsum(math.exp(x - top) for x in logs)))


def _cumulative(logs: Any) -> Floats:
    whole = _log_sum(logs)
    reached = np.cumsum(np.exp(np.asarray(logs, dtype=float) - whole))
    reached[-1:] = 1.0
    return np.minimum(reached, 1.0)


def _prices(
    model: Model, family: Family, tables: RuleTables, theta: Mapping[str, Floats]
) -> dict[str, Any]:
    """Prices of the counters, and of everything else that E is made of."""
    overlapped = [
        theta["overlap_fraction"][k] * theta["steps"][model.component_index[o.component]]
        for k, o in enumerate(model.overlaps)
    ]
    limited = model.grammar is not None and model.selection.max_bits is not None
    price = np.concatenate(
        [
            theta["bits"][tables.bits_of],
            theta["bits"][tables.once_of] * tables.once_added,
            np.array(tables.grammar.rule_bits if limited else ()),
            theta["steps"][tables.steps_of],
        ]
    )
    mandatory_bits = float(theta["bits"] @ tables.mandatory_bits)
    mandatory_steps = float(theta["steps"] @ tables.mandatory_steps)
    cap, capacity = model.selection.cap, model.selection.max_bits
    given = {} if model.grammar else model.facts.uses
    uses = [given.get(rule.name, 1.0) for rule in tables.grammar.rules]
    chosen = {name: float(x) for name, x in parameters(family, theta).items()}
    return {
        "price": _padded(price),
        "overlap": _padded(overlapped),
        "uses": _padded(uses),
        "loss": _padded([_loss(model, theta, o) for o in tables.objectives]),
        "family": _FAMILIES.index(family.name),
        "nats": float(theta["pressure"]) * LN2,
        "rate": chosen["kappa"] / LN2 if family.name == "levin" else chosen["rate"],
        "exponent": chosen.get("exponent", 1.0),
        "cap": math.inf if cap is None else cap - mandatory_steps,
        "capacity": math.inf if capacity is None else capacity - mandatory_bits,
        "fact_bits": _padded(theta["fact_bits"]),
        "fact_steps": _padded(theta["fact_steps"]),
        "mandatory_bits": mandatory_bits,
        "mandatory_steps": mandatory_steps,
    }


def _loss(model: Model, theta: Mapping[str, Floats], objective: str) -> float:
    names = list(model.losses)
    if objective in names:
        return float(model.selection.episodes * theta["loss"][names.index(objective)])
    return 0.0 if objective == model.base_objective else math.inf


def _reference(
    model: Model,
    family: Family,
    tables: RuleTables,
    theta: Mapping[str, Floats],
    arrays: Mapping[str, Any],
) -> dict[str, float]:
    """The fastest program's steps: penalties are differences to it, without cancellation."""
    steps = np.zeros(len(tables.grammar.rules))
    price, first = arrays["price"], arrays["first_effect"]
    for rule in range(len(steps)):
        paid = slice(first[2 * rule + 1], first[2 * rule + 2])
        for counter, amount in zip(
            arrays["effect_counter"][paid], arrays["effect_amount"][paid], strict=True
        ):
            if counter < arrays["steps_end"]:
                steps[rule] += amount * price[counter]
    fastest = shortest_programs(tables.grammar, [0.0] * len(steps), steps.tolist())
    fits = [x.cost for o, x in fastest.items() if math.isfinite(_loss(model, theta, o))]
    least = min(fits, default=0.0)
    reference = arrays["mandatory_steps"] + least
    if family.name == "levin" and arrays["rate"] > 0 and reference == 0.0:
        raise RefusedError(
            "levin needs every program to run more than 0 steps, found one that runs none; give "
            "its components steps, or use another exchange family"
        )
    rate, exponent = arrays["rate"], arrays["exponent"]
    root = 0.0 if family.name == "levin" else reference ** (1 / exponent) / rate ** (1 / exponent)
    return {"least": least, "reference": reference, "root": root}
