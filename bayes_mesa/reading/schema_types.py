"""The kinds of value that a model file holds, each with what it must be, for pydantic to check."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    create_model,
    model_validator,
)
from pydantic_core import PydanticCustomError

from bayes_mesa.domain.beliefs import FORMS, Belief, Known, Prior, lognormal_from_quantiles
from bayes_mesa.domain.model import Quantity
from bayes_mesa.text.wording import Location, listed, shown, suggestion

#: Upper probability at which a prior's draws must still be finite numbers.
_TAIL = 1e-12
_Z_TAIL = 7.04
_LARGEST_LOG = 709.0
#: Of a Beta, beyond which SciPy finds no quantiles.
_BETA_ARGUMENTS = 1e-15, 1e15
MAX_COUNT = 10**9


@dataclass(frozen=True)
class Names:
    """What a file declares: the names that others may refer to (None: the table is unreadable)."""

    components: Mapping[str, Any] | None
    structures: Mapping[str, Any] | None


def refused(message: str, *at: str | int) -> PydanticCustomError:
    """Make the error that says ``message`` of the value, or of the part ``at`` inside it."""
    # Through the context: braces in a template would be taken for names.
    return PydanticCustomError("plain", "{message}", {"message": message, "at": at})


class Table(BaseModel):
    """A table with no keys but its own, and no conversions."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,
        defer_build=True,  # built at the first use: imports stay quick
    )


Number = Annotated[float, Field(allow_inf_nan=False)]
Positive = Annotated[Number, Field(gt=0)]
NotNegative = Annotated[Number, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=MAX_COUNT)]


def _label(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise refused(f"must be a name that can be read, found {shown(text)}")
    return text


Label = Annotated[str, AfterValidator(_label)]


def _declared(name: str, info: ValidationInfo, section: str, written: str) -> None:
    """Refuse a name that the file does not declare; the reader of the document words it."""
    known = getattr(_names(info), section)
    if known is not None and name not in known:
        # Not the known names themselves: pydantic would print all of them for every error.
        raise PydanticCustomError("undeclared", "", {"name": written, "section": section})


def _names(info: ValidationInfo) -> Names:
    return info.context if isinstance(info.context, Names) else Names(None, None)


def _component(text: str, info: ValidationInfo) -> str:
    _declared(text, info, "components", text)
    return text


def _structure(text: str, info: ValidationInfo) -> str:
    _declared(text, info, "structures", text)
    return text


ComponentName = Annotated[str, AfterValidator(_component)]
StructureName = Annotated[str, AfterValidator(_structure)]


def _quantity(text: Any, info: ValidationInfo) -> Quantity:
    axis, dot, component = text.partition(".") if isinstance(text, str) else ("", "", "")
    if axis not in ("bits", "steps") or not dot:
        raise refused(f'must be "bits.NAME" or "steps.NAME", found {shown(text)}')
    _declared(component, info, "components", text)
    return Quantity("bits" if axis == "bits" else "steps", component)


CostName = Annotated[Quantity, BeforeValidator(_quantity)]


def tagged(tag: str, kind: Any) -> Any:
    """One of several shapes, under a tag that no user can write as a name."""
    return Annotated[kind, Tag(f"<{tag}>")]


def without_tags(location: Location) -> Location:
    """Drop from an error's location the tags that `tagged` put there."""
    return tuple(p for p in location if not (isinstance(p, str) and p[:1] + p[-1:] == "<>"))


# Beliefs ------------------------------------------------------------------------------------------


def _exceeds(other: str) -> Any:
    """Require a value greater than that of an earlier key (where that one is sound)."""

    def check(value: float, info: ValidationInfo) -> float:
        least = info.data.get(other)
        if least is not None and not value > least:
            raise refused(f"must exceed {other} ({shown(least)}), found {shown(value)}")
        return value

    return AfterValidator(check)


class _Quantiles(Table):
    q05: Positive
    q95: Annotated[Positive, _exceeds("q05")]

    def belief(self) -> Prior:
        return lognormal_from_quantiles(self.q05, self.q95)


class _Form(Table):
    dist: str

    def belief(self) -> Prior:
        names = FORMS[self.dist].arguments
        return Prior(self.dist, tuple((name, float(getattr(self, name))) for name in names))


def _form(name: str) -> Any:
    form = FORMS[name]
    fields: dict[str, Any] = {}
    for argument in form.arguments:
        kind: Any = Positive if argument in form.positive else Number
        if argument == "high":
            kind = Annotated[kind, _exceeds("low")]
        fields[argument] = (kind, ...)
    return tagged(name, create_model(name, __base__=_Form, **fields))


def _shape(value: Any) -> str:
    if not isinstance(value, dict):
        return "<number>"
    if "dist" not in value:
        return "<quantiles>"
    name = value["dist"]
    return f"<{name}>" if isinstance(name, str) and name in FORMS else "<unknown>"


class _Unknown(Table):
    """A distribution that is not in the table: one fault, whatever its arguments."""

    @model_validator(mode="before")
    @classmethod
    def _refuse(cls, value: Any) -> Any:
        name = value["dist"]
        near = suggestion(name, FORMS) if isinstance(name, str) else ""
        raise refused(f"must be one of {listed(FORMS)}, found {shown(name)}{near}", "dist")


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused(f"must be a number, {{ q05, q95 }} or {{ dist, ... }}, found {shown(value)}")
    return value


def _believed(read: Any) -> Belief:
    return Known(float(read)) if isinstance(read, int | float) else _drawable(read.belief())


def _drawable(prior: Prior) -> Prior:
    """Refuse a prior whose draws would leave the range of double precision."""
    least, most = _BETA_ARGUMENTS
    if prior.name == "Beta" and not all(least <= value <= most for _, value in prior.arguments):
        raise refused(f"must have arguments from {least:g} to {most:g}, found {prior}")
    if not _finite_tail(prior):
        raise refused(f"must stay below 1.8e308 in its upper tail, found {prior}")
    return prior


def _finite_tail(prior: Prior) -> bool:
    if prior.name == "LogNormal":
        # In closed form: `exp(loc)` may overflow, and SciPy takes a second to import.
        arguments = dict(prior.arguments)
        reach = _Z_TAIL * arguments["scale"]
        return arguments["loc"] + reach < _LARGEST_LOG and arguments["loc"] > -_LARGEST_LOG
    if math.isfinite(prior.support[1]):
        return math.isfinite(prior.support[1] - prior.support[0])
    return math.isfinite(prior.quantile(1.0 - _TAIL))


def _clear_of_zero(belief: Belief) -> bool:
    """Whether draws of what must be positive are so in double precision."""
    if not isinstance(belief, Prior) or belief.name in ("Uniform", "LogUniform"):
        return True
    if belief.name == "LogNormal":
        arguments = dict(belief.arguments)
        return arguments["loc"] - _Z_TAIL * arguments["scale"] > -_LARGEST_LOG
    return bool(belief.quantile(_TAIL) > 0.0)


_Shapes: Any = tagged("number", Annotated[Number, BeforeValidator(_number)])
for _read in (
    tagged("quantiles", _Quantiles),
    tagged("unknown", _Unknown),
    *map(_form, FORMS),
):
    _Shapes = _Shapes | _read


def belief_keys(tag: str) -> tuple[str, ...]:
    """Keys of a belief's table, by the tag of its shape."""
    form = FORMS.get(tag[1:-1])
    return ("dist", *form.arguments) if form else ("q05", "q95")


def _holding(requirement: str, holds: Callable[[Belief], bool]) -> AfterValidator:
    def check(belief: Belief) -> Belief:
        if not holds(belief):
            found = shown(belief.value) if isinstance(belief, Known) else str(belief)
            raise refused(f"{requirement}, found {found}")
        return belief

    return AfterValidator(check)


def _belief(requirement: str, holds: Callable[[Belief], bool]) -> Any:
    return Annotated[
        _Shapes,
        Discriminator(_shape),
        AfterValidator(_believed),
        _holding(requirement, holds),
    ]


def _positive(belief: Belief) -> bool:
    # The end of a continuous prior's support has probability 0, so a support from 0 on will do.
    return belief.value > 0 if isinstance(belief, Known) else belief.support[0] >= 0


def _exponent(belief: Belief) -> bool:
    if isinstance(belief, Known):
        return belief.value >= 1
    return isinstance(belief, Prior) and belief.support[1] > 1 and belief.share_above(1.0) > 1e-9


def _truncated(belief: Belief) -> Belief:
    if not isinstance(belief, Prior) or belief.support[0] >= 1.0:
        return belief
    return Prior(belief.name, belief.arguments, low=1.0)


if TYPE_CHECKING:
    CostBelief = Belief
    PositiveBelief = Belief
    ShareBelief = Belief
    ExponentBelief = Belief
else:
    CostBelief = _belief("must be at least 0", lambda b: b.support[0] >= 0)
    PositiveBelief = Annotated[
        _belief("must be greater than 0", _positive),
        _holding("must stay above 0 in its lower tail", _clear_of_zero),
    ]
    ShareBelief = _belief(
        "must be between 0 and 1", lambda b: b.support[0] >= 0 and b.support[1] <= 1
    )
    ExponentBelief = Annotated[
        _belief("must be at least 1 (a prior: with some of it above 1)", _exponent),
        AfterValidator(_truncated),
    ]

SAFE_NAME = re.compile(r"[A-Za-z0-9_]{1,100}")
