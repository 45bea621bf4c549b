"""What each table of a model file may hold, and the part of the model that it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, ValidationInfo

from bayes_mesa.domain import model as parts
from bayes_mesa.domain.beliefs import Belief, Known
from bayes_mesa.reading.schema_types import (
    MAX_COUNT,
    ComponentName,
    CostBelief,
    CostName,
    Count,
    ExponentBelief,
    Label,
    NotNegative,
    Number,
    Positive,
    PositiveBelief,
    ShareBelief,
    StructureName,
    Table,
    refused,
    tagged,
)
from bayes_mesa.text.wording import shown

MAX_FACTS = 100_000


class ModelTable(Table):
    """``[model]``."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+$", max_length=100)]
    title: str = ""
    source: str = ""
    note: str = ""
    base_objective: Label = "base"


class ComponentTable(Table):
    """``[components.NAME]``."""

    bits: CostBelief = Known(0.0)
    steps: CostBelief = Known(0.0)
    kind: Literal["opinion", "cited", "measured"] = "opinion"
    note: str = ""
    shared: bool = True

    def build(self, name: str) -> parts.Component:
        """The component called ``name``."""
        given = frozenset(self.model_fields_set & {"bits", "steps"})
        return parts.Component(
            name, self.bits, self.steps, self.kind, self.note, self.shared, given
        )


def _list_or_table(value: Any) -> str:
    return "<counts>" if isinstance(value, dict) else "<names>"


def _counted(value: list[str] | dict[str, int]) -> Mapping[str, int]:
    return MappingProxyType({name: n for name, n in Counter(value).items() if n})


if TYPE_CHECKING:
    Counts = Mapping[str, int]
else:
    Counts = Annotated[
        tagged("names", list[ComponentName]) | tagged("counts", dict[ComponentName, Count]),
        Discriminator(_list_or_table),
        AfterValidator(_counted),
    ]


def no_counts() -> Mapping[str, int]:
    """Nothing stored, or nothing run."""
    return MappingProxyType({})


class StructureTable(Table):
    """``[structures.NAME]``."""

    symbol: str = ""
    stores: Counts = Field(default_factory=no_counts)
    runs: Counts = Field(default_factory=no_counts)
    train: Label
    deploy: Label
    multiplicity: Positive = 1.0

    def build(self, name: str) -> parts.Structure:
        """The structure called ``name``."""
        return parts.Structure(
            name, self.stores, self.runs, self.train, self.deploy, self.symbol, self.multiplicity
        )


class ObjectiveTable(Table):
    """``[objectives.NAME]``."""

    loss: CostBelief


def _one_or_more(value: Any) -> str:
    return "<several>" if isinstance(value, list) else "<one>"


def _side(value: parts.Quantity | list[parts.Quantity]) -> tuple[parts.Quantity, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


if TYPE_CHECKING:
    Side = tuple[parts.Quantity, ...]
else:
    Side = Annotated[
        tagged("one", CostName) | tagged("several", Annotated[list[CostName], Field(min_length=1)]),
        Discriminator(_one_or_more),
        AfterValidator(_side),
    ]


def _one_axis(sides: list[Side]) -> list[Side]:
    if len({quantity.axis for side in sides for quantity in side}) > 1:
        raise refused("must compare bits with bits or steps with steps, found both")
    return sides


class ConstraintTable(Table):
    """``[[constraints]]``."""

    at_least: Annotated[list[Side], Field(min_length=2, max_length=2), AfterValidator(_one_axis)]

    def build(self) -> parts.Constraint:
        """The constraint that it states."""
        return parts.Constraint(*self.at_least)


def _pair(between: list[parts.Quantity]) -> list[parts.Quantity]:
    if between[0] == between[1]:
        raise refused(f"must be two different costs, found {between[0]} twice")
    return between


class CorrelationTable(Table):
    """``[[correlations]]``."""

    between: Annotated[list[CostName], Field(min_length=2, max_length=2), AfterValidator(_pair)]
    rho: Annotated[Number, Field(gt=-1, lt=1)]

    def build(self) -> parts.Correlation:
        """The correlation that it states."""
        return parts.Correlation((self.between[0], self.between[1]), float(self.rho))


def _other(inside: str, info: ValidationInfo) -> str:
    if inside == info.data.get("component"):
        raise refused(f"must be another component than {shown(inside)}, found the same")
    return inside


class OverlapTable(Table):
    """``[[overlaps]]``."""

    component: ComponentName
    inside: Annotated[ComponentName, AfterValidator(_other)]
    fraction: ShareBelief

    def build(self) -> parts.Overlap:
        """The overlap that it states."""
        return parts.Overlap(self.component, self.inside, self.fraction)


def _distinct(names: list[str]) -> tuple[str, ...]:
    for name, count in Counter(names).items():
        if count > 1:
            raise refused(f"must name each component once, found {shown(name)} {count} times")
    return tuple(names)


class HeuristicsTable(Table):
    """``[heuristics]``."""

    of: Annotated[list[ComponentName], Field(min_length=1), AfterValidator(_distinct)]
    bits: PositiveBelief = Known(1.0)
    steps: PositiveBelief = Known(1.0)

    def build(self) -> parts.Heuristics:
        """The factors that it states."""
        return parts.Heuristics(tuple(self.of), self.bits, self.steps)


class FactsTable(Table):
    """``[facts]``: by count, or in a file."""

    count: Annotated[int, Field(ge=0, le=MAX_FACTS)] | None = None
    bits: CostBelief | None = None
    steps: CostBelief | None = None
    file: str | None = None
    uses: dict[StructureName, NotNegative] = Field(default_factory=dict)

    def build(self) -> parts.Facts:
        """Facts by count: the same two beliefs for each."""
        count = self.count or 0
        return parts.Facts(
            tuple(f"fact_{j + 1}" for j in range(count)),
            (self.bits or Known(0.0),) * count,
            (self.steps or Known(0.0),) * count,
            ((),) * count,
            self.uses_of(),
        )

    def uses_of(self) -> Mapping[str, float]:
        """How often each structure named needs its facts."""
        return MappingProxyType({name: float(v) for name, v in self.uses.items()})


class FamilyTable(Table):
    """``[exchange.FAMILY]``."""

    weight: Positive = 1.0

    def parameters(self) -> Mapping[str, Belief]:
        """Beliefs by parameter, in the order of the family."""
        fields = (name for name in type(self).model_fields if name != "weight")
        return MappingProxyType({name: getattr(self, name) for name in fields})


class LinearTable(FamilyTable):
    """``[exchange.linear]``."""

    rate: PositiveBelief


class LevinTable(FamilyTable):
    """``[exchange.levin]``."""

    kappa: CostBelief


class PowerTable(FamilyTable):
    """``[exchange.power]``."""

    rate: PositiveBelief
    exponent: ExponentBelief


class SelectionTable(Table):
    """``[selection]``."""

    pressure: PositiveBelief = Known(1.0)
    episodes: Positive = 1.0
    cap: Positive | None = None
    max_bits: Positive | None = None

    def build(self) -> parts.Selection:
        """The selection that it states."""
        return parts.Selection(self.pressure, float(self.episodes), self.cap, self.max_bits)


class RegimeTable(Table):
    """``[regime]``."""

    budget: Positive
    steps_per_rollout: Positive
    rollouts: Annotated[int, Field(ge=1, le=MAX_COUNT)]
    task_rollouts: PositiveBelief
    planning_exponent: CostBelief = Known(1.0)
    task_episodes: PositiveBelief
    learning_exponent: CostBelief = Known(1.0)
    target_success: Annotated[Number, Field(gt=0, lt=1)] = 0.9

    def build(self) -> parts.Regime:
        """The regime that it states."""
        return parts.Regime(
            budget=float(self.budget),
            steps_per_rollout=float(self.steps_per_rollout),
            rollouts=self.rollouts,
            task_rollouts=self.task_rollouts,
            task_episodes=self.task_episodes,
            planning_exponent=self.planning_exponent,
            learning_exponent=self.learning_exponent,
            target_success=float(self.target_success),
        )


class PathTable(Table):
    """``[path]``."""

    lock_in: ShareBelief
    deceptive: ShareBelief

    def build(self) -> parts.Path:
        """The path dependence that it states."""
        return parts.Path(self.lock_in, self.deceptive)


class EvidenceEntry(Table):
    """``[evidence.NAME]``; the closed set of kinds is asked when the file is read."""

    kind: str
    file: str


ONE: Mapping[str, type[Table]] = MappingProxyType(
    {
        "model": ModelTable,
        "heuristics": HeuristicsTable,
        "facts": FactsTable,
        "selection": SelectionTable,
        "regime": RegimeTable,
        "path": PathTable,
    }
)
NAMED: Mapping[str, type[Table]] = MappingProxyType(
    {
        "components": ComponentTable,
        "structures": StructureTable,
        "objectives": ObjectiveTable,
        "evidence": EvidenceEntry,
    }
)
LISTED: Mapping[str, type[Table]] = MappingProxyType(
    {
        "constraints": ConstraintTable,
        "correlations": CorrelationTable,
        "overlaps": OverlapTable,
    }
)
FAMILIES: Mapping[str, type[FamilyTable]] = MappingProxyType(
    {"linear": LinearTable, "levin": LevinTable, "power": PowerTable}
)
