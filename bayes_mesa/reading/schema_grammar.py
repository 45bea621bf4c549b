"""What ``[grammar]``, its rules, and structures written as programs of it may hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field

from bayes_mesa.domain.grammar import Rule
from bayes_mesa.reading.schema import Counts, no_counts
from bayes_mesa.reading.schema_types import (
    SAFE_NAME,
    Count,
    Label,
    Positive,
    Table,
    refused,
    tagged,
)
from bayes_mesa.text.wording import shown

MAX_RULES = 300
MAX_ARGS = 8
#: Weights further apart than this would leave double precision in a rule's bits.
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-100, 1e100


def _safe(text: str) -> str:
    if not SAFE_NAME.fullmatch(text):
        raise refused(f"must be a name of at most 100 letters, digits and _, found {shown(text)}")
    return text


def _objective_or_position(value: Any) -> Any:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise refused(
        f"must be an objective's name or the position of an argument, found {shown(value)}"
    )


def _reference(value: Any) -> str:
    return "<position>" if isinstance(value, int) else "<objective>"


def _in_range(weight: float) -> float:
    if not _LEAST_WEIGHT <= weight <= _MOST_WEIGHT:
        bounds = f"{shown(_LEAST_WEIGHT)} and {shown(_MOST_WEIGHT)}"
        raise refused(f"must be between {bounds}, found {shown(weight)}")
    return weight


if TYPE_CHECKING:
    Reference = int | str
else:
    Reference = Annotated[
        tagged("position", Annotated[Count, BeforeValidator(_objective_or_position)])
        | tagged("objective", Annotated[Label, BeforeValidator(_objective_or_position)]),
        Discriminator(_reference),
    ]

SafeName = Annotated[str, AfterValidator(_safe)]


class GrammarTable(Table):
    """``[grammar]``; its rules are read one by one."""

    start: SafeName
    rules: Annotated[list[Any], Field(min_length=1, max_length=MAX_RULES)]


class RuleTable(Table):
    """``[[grammar.rules]]``."""

    symbol: SafeName
    name: SafeName
    args: Annotated[list[SafeName], Field(max_length=MAX_ARGS)] = Field(default_factory=list)
    stores: Counts = Field(default_factory=no_counts)
    runs: Counts = Field(default_factory=no_counts)
    executes: list[Count] | None = None
    train: Reference | None = None
    deploy: Reference | None = None
    weight: Annotated[Positive, AfterValidator(_in_range)] = 1.0

    def positions(self) -> tuple[int, ...]:
        """The arguments that execute, by default all of them."""
        given = range(len(self.args)) if self.executes is None else sorted(self.executes)
        return tuple(given)

    def build(self) -> Rule:
        """The rule, where ``train`` and ``deploy`` are given or have their default."""
        return Rule(
            self.symbol,
            self.name,
            tuple(self.args),
            self.stores,
            self.runs,
            self.positions(),
            0 if self.train is None else self.train,
            0 if self.deploy is None else self.deploy,
            float(self.weight),
        )


class ProgramTable(Table):
    """``[structures.NAME]`` beside a grammar: a label for one of its programs."""

    program: str
    symbol: str = ""
