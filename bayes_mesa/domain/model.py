"""The model as frozen values: what a model file says once it has been read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from bayes_mesa.domain.beliefs import Belief, Known
from bayes_mesa.domain.grammar import Code, Grammar
from bayes_mesa.errors import InputError

HONEST, DECEPTIVE, MISALIGNED = "honest", "deceptive", "misaligned"
CLASSES = (HONEST, DECEPTIVE, MISALIGNED)
#: Structures that results name one by one; of more only the heaviest.
MAX_NAMED = 1000

Axis = Literal["bits", "steps"]
Kind = Literal["opinion", "cited", "measured"]


@dataclass(frozen=True)
class Component:
    """A named part of a program: description length (bits) and running time (steps per episode).

    ``given`` holds those of ``bits`` and ``steps`` that a model file states; one that it leaves out
    is 0, unless experts were asked about it.
    """

    name: str
    bits: Belief = Known(0.0)
    steps: Belief = Known(0.0)
    kind: Kind = "opinion"
    note: str = ""
    shared: bool = True
    given: frozenset[str] = field(default=frozenset(), compare=False)


@dataclass(frozen=True)
class Structure:
    """A program shape: how often it stores and runs each component, and what it pursues.

    ``stores`` and ``runs`` map component names to whole counts; ``multiplicity`` is m_s > 0. A
    program of the grammar has ``rule_bits``, the description length of its tree, and its ``code``.
    """

    name: str
    stores: Mapping[str, int]
    runs: Mapping[str, int]
    train: str
    deploy: str
    symbol: str = ""
    multiplicity: float = 1.0
    rule_bits: float = 0.0
    code: Code = ()

    def class_under(self, base_objective: str) -> str:
        """Class derived from what is pursued in training and in deployment."""
        if self.train != base_objective:
            return MISALIGNED
        return HONEST if self.deploy == base_objective else DECEPTIVE


@dataclass(frozen=True)
class Quantity:
    """One cost of one component, written ``bits.NAME`` or ``steps.NAME``."""

    axis: Axis
    component: str

    def __str__(self) -> str:
        return f"{self.axis}.{self.component}"


@dataclass(frozen=True)
class Constraint:
    """The sum of ``larger`` is at least the sum of ``smaller``; the prior is conditioned on it."""

    larger: tuple[Quantity, ...]
    smaller: tuple[Quantity, ...]

    def __str__(self) -> str:
        return f"{' + '.join(map(str, self.larger))} >= {' + '.join(map(str, self.smaller))}"


@dataclass(frozen=True)
class Correlation:
    """Gaussian copula correlation ``rho`` in (-1, 1) between two uncertain quantities."""

    between: tuple[Quantity, Quantity]
    rho: float


@dataclass(frozen=True)
class Overlap:
    """A fraction in [0, 1] of ``component``'s steps is already inside ``inside``'s."""

    component: str
    inside: str
    fraction: Belief


@dataclass(frozen=True)
class Heuristics:
    """Factors that multiply the bits and the steps of the components ``of``."""

    of: tuple[str, ...] = ()
    bits: Belief = Known(1.0)
    steps: Belief = Known(1.0)


@dataclass(frozen=True)
class Facts:
    """Useful facts: stored (``bits``) or derived every episode (``steps``), one belief per fact.

    ``needs[j]`` holds the indices of the facts that deriving fact j derives first unless they are
    stored; ``uses`` maps structure names to v_s >= 0 (1 where absent).
    """

    names: tuple[str, ...] = ()
    bits: tuple[Belief, ...] = ()
    steps: tuple[Belief, ...] = ()
    needs: tuple[tuple[int, ...], ...] = ()
    uses: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))

    def __len__(self) -> int:
        return len(self.names)

    @property
    def depend(self) -> bool:
        """Whether deriving any fact needs another one."""
        return any(self.needs)


@dataclass(frozen=True)
class Family:
    """An exchange family with its prior weight w_F (normalised) and a belief per parameter.

    Parameters by family: ``linear`` rate; ``levin`` kappa; ``power`` rate, exponent.
    """

    name: str
    weight: float
    parameters: Mapping[str, Belief]

    def variables(self) -> dict[str, Belief]:
        """Beliefs by the names that results use, e.g. ``linear_rate``."""
        return {f"{self.name}_{parameter}": b for parameter, b in self.parameters.items()}


@dataclass(frozen=True)
class Selection:
    """How training selects: pressure, episodes E, cap (steps), capacity (bits)."""

    pressure: Belief = Known(1.0)
    episodes: float = 1.0
    cap: float | None = None
    max_bits: float | None = None


@dataclass(frozen=True)
class Regime:
    """How training spends its compute: k rollouts in each episode, out of a budget of T steps.

    ``budget`` T and ``steps_per_rollout`` s are in sequential steps; ``rollouts`` is the k at which
    the model stands, a whole number from 1. The beliefs ``task_rollouts`` (rollouts) and
    ``task_episodes`` (episodes) are where planning and learning each succeed half of the time, the
    exponents (dimensionless) how steeply; ``target_success`` is a probability.
    """

    budget: float
    steps_per_rollout: float
    rollouts: int
    task_rollouts: Belief
    task_episodes: Belief
    planning_exponent: Belief = Known(1.0)
    learning_exponent: Belief = Known(1.0)
    target_success: float = 0.9

    def cap(self, rollouts: Any) -> Any:
        """Steps that a program may take in an episode of k rollouts, k·s: a number or an array."""
        return rollouts * self.steps_per_rollout

    def affords(self, rollouts: int) -> bool:
        """Whether the budget pays for one whole episode of k rollouts, rounding apart."""
        return bool(self.cap(rollouts) * (1.0 - 1e-15) <= self.budget)

    def episodes(self, rollouts: Any) -> Any:
        """Episodes of so many rollouts that the budget pays for: E = T/(k·s)."""
        return self.budget / self.cap(rollouts)

    def selection(self, rollouts: Any, other: Selection) -> Selection:
        """The selection at so many rollouts; pressure and capacity are those of ``other``."""
        return replace(other, cap=self.cap(rollouts), episodes=self.episodes(rollouts))

    def beliefs(self) -> dict[str, Belief]:
        """What is believed about the task, by the names that results use."""
        names = ("task_rollouts", "task_episodes", "planning_exponent", "learning_exponent")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Path:
    """Path dependence: probability that early training decided, and of deception if so."""

    lock_in: Belief
    deceptive: Belief


@dataclass(frozen=True, eq=False)
class EvidenceTable:
    """One checked table of evidence.

    ``columns`` maps each column name to an array with one entry per row: float64 or int64 for
    numbers, str for names. ``origin`` is the file it came from, or "".
    """

    name: str
    kind: str
    columns: Mapping[str, np.ndarray]
    origin: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def numbers(self) -> dict[str, np.ndarray]:
        """The numeric columns: what a compiled likelihood takes as its argument."""
        return {n: x for n, x in self.columns.items() if x.dtype.kind in "fi"}


def given_model(model: object) -> Model:
    """The model, if it is one.

    Raises
    ------
    InputError
        If it is something else, a name or a path above all.
    """
    if not isinstance(model, Model):
        raise InputError(f"model must be a Model, found {model!r}: load it with load_model")
    return model


@dataclass(frozen=True)
class Column:
    """One place of the ``structure`` dimension of results: a structure, or the rest of a class."""

    name: str
    symbol: str
    class_name: str


@dataclass(frozen=True, eq=False)
class Model:
    """A checked model file. ``text`` and ``sha256`` are those of the file as read.

    With a ``grammar``, ``structures`` are the programs of it that results name, and every other
    program counts in the column ``other_CLASS``. So do those of many structures whose rows are not
    in ``named`` (rising rows; None: all are named).
    """

    name: str
    components: tuple[Component, ...]
    structures: tuple[Structure, ...]
    families: tuple[Family, ...]
    base_objective: str = "base"
    losses: Mapping[str, Belief] = field(default_factory=lambda: MappingProxyType({}))
    constraints: tuple[Constraint, ...] = ()
    correlations: tuple[Correlation, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    heuristics: Heuristics = Heuristics()
    facts: Facts = Facts()
    selection: Selection = Selection()
    regime: Regime | None = None
    path_dependence: Path | None = None
    evidence: tuple[EvidenceTable, ...] = ()
    grammar: Grammar | None = None
    named: tuple[int, ...] | None = None
    title: str = ""
    source: str = ""
    note: str = ""
    text: str = ""
    sha256: str = ""
    origin: str = ""

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """Class of every structure, in file order."""
        return tuple(s.class_under(self.base_objective) for s in self.structures)

    @cached_property
    def eligible(self) -> tuple[bool, ...]:
        """Whether each structure does equally well in training, or its loss is declared."""
        return tuple(
            s.train == self.base_objective or s.train in self.losses for s in self.structures
        )

    @cached_property
    def columns(self) -> tuple[Column, ...]:
        """What the ``structure`` dimension of results holds: the structures, then what is left."""
        every = [
            Column(s.name, s.symbol, c) for s, c in zip(self.structures, self.classes, strict=True)
        ]
        named = every if self.named is None else [every[row] for row in self.named]
        all_named = self.grammar is None and self.named is None
        rest = [] if all_named else [Column(f"other_{c}", "", c) for c in CLASSES]
        return (*named, *rest)

    @cached_property
    def places(self) -> np.ndarray:
        """Place of every structure in ``columns``, int (S,)."""
        if self.named is None:
            return np.arange(len(self.structures))
        places = len(self.named) + np.array([CLASSES.index(c) for c in self.classes])
        places[list(self.named)] = np.arange(len(self.named))
        return places

    @cached_property
    def component_index(self) -> Mapping[str, int]:
        """Position of every component, by name."""
        return MappingProxyType({c.name: k for k, c in enumerate(self.components)})

    def family(self, name: str) -> Family:
        """The exchange family called ``name``."""
        return next(f for f in self.families if f.name == name)
