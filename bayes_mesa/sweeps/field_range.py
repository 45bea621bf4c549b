"""A field of a model file and the values that it takes in a sweep."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_mesa.errors import InputError
from bayes_mesa.text.wording import shown

Value = float | str | bool
Place = tuple[str | int, ...]

#: Points of a grid: more do not fit into memory as one data set.
MOST_POINTS = 1_000_000
_RANGE = re.compile(r"([^:]+):([^:]+):(log|lin):([^:]+)")
_PART = re.compile(r"[A-Za-z0-9_-]+|\*")
_INDEX = re.compile(r"\[(\d{1,6})\]")
_LONGEST = 200

#: Units by the last keys of a field, the longest match first; others have none.
_UNITS: Mapping[tuple[str, ...], str] = {
    ("exchange", "linear", "rate"): "steps per bit",
    ("exchange", "levin", "kappa"): "bits per doubling of time",
    ("exchange", "power", "rate"): "steps per bit^exponent",
    ("facts", "steps"): "steps per derivation",
    ("heuristics", "bits"): "dimensionless",
    ("heuristics", "steps"): "dimensionless",
    ("selection", "cap"): "steps per episode",
    ("selection", "episodes"): "episodes",
    ("selection", "max_bits"): "bits",
    ("regime", "budget"): "steps",
    ("regime", "steps_per_rollout"): "steps",
    ("regime", "rollouts"): "rollouts per episode",
    ("regime", "task_rollouts"): "rollouts",
    ("regime", "task_episodes"): "episodes",
    ("multiplicity",): "programs",
    ("loss",): "nats per episode",
    ("bits",): "bits",
    ("steps",): "steps per episode",
}


@dataclass(frozen=True)
class FieldRange:
    """A field and its values, in the order given.

    Attributes
    ----------
    name
        As the user wrote it, such as ``components.combine.bits``; also its dimension's name.
    values
        All numbers, all texts, or all true or false; none twice.
    """

    name: str
    values: tuple[Value, ...]

    @property
    def place(self) -> Place:
        """Keys and list positions that lead to the field; ``*`` is every key of a table."""
        parts = _INDEX.sub(r".\1", self.name).split(".")
        return tuple(int(part) if part.isdecimal() else part for part in parts)

    @property
    def units(self) -> str:
        """Unit of the field's numbers; empty where there is none to name."""
        place = self.place[:-1] if self.place[-1] in ("q05", "q50", "q95") else self.place
        words = tuple(str(part) for part in place)
        fitting = [key for key in _UNITS if words[-len(key) :] == key]
        return _UNITS[max(fitting, key=len)] if fitting else ""

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers."""
        return not isinstance(self.values[0], str | bool)

    def coordinate(self) -> np.ndarray:
        """Values of the coordinate: float64, or text (``true`` and ``false`` too)."""
        if self.is_number:
            return np.array(self.values, dtype=float)
        return np.array([literal(v) if isinstance(v, bool) else v for v in self.values])


def field_ranges(over: Mapping[str, Any]) -> tuple[FieldRange, ...]:
    """Read what is swept: field → values, or a text such as ``1e-2:1e8:log:40``.

    Parameters
    ----------
    over
        Values are ``FROM:TO:log:N`` (N values evenly spaced on a logarithmic scale, both ends
        among them), ``FROM:TO:lin:N``, a text of values parted by commas, or an iterable of
        numbers, of texts, or of booleans.

    Raises
    ------
    InputError
        For no field, a name that none can have, values that cannot be, or too many points.
    """
    if not isinstance(over, Mapping) or not over:
        raise InputError(
            "over must name at least one field and its values, such as "
            f"{{'exchange.linear.rate': '1e-2:1e8:log:40'}}, found {shown(over)}"
        )
    found = tuple(_field_range(name, given) for name, given in over.items())
    points = math.prod(len(field.values) for field in found)
    if points > MOST_POINTS:
        raise InputError(
            f"a sweep must have at most {MOST_POINTS:,} points, found "
            f"{' × '.join(str(len(field.values)) for field in found)} = {points:,}: take fewer "
            "values"
        )
    return found


def literal(value: Value) -> str:
    """How a TOML file writes the value; a whole number without a point, for fields of such."""
    import tomlkit

    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return tomlkit.item(value).as_string()
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)


def _field_range(name: str, given: Any) -> FieldRange:
    parts = _INDEX.sub(r".\1", name).split(".") if isinstance(name, str) else []
    if not (2 <= len(parts) and len(name) <= _LONGEST and all(map(_PART.fullmatch, parts))):
        raise InputError(
            "a field must be a dotted name of the model file, such as exchange.linear.rate or "
            f"components.combine.bits.q95, found {shown(name)}"
        )
    values = _of_text(name, given) if isinstance(given, str) else _of_iterable(name, given)
    if not values:
        raise InputError(f"{name}: must have at least one value, found none")
    kinds = {_kind(value) for value in values}
    if len(kinds) > 1:
        raise InputError(f"{name}: the values must be of one kind, found {' and '.join(kinds)}")
    for value in values:
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{name}: the values must be finite, found {value}")
    if len(set(values)) < len(values):
        twice = next(v for k, v in enumerate(values) if v in values[:k])
        raise InputError(f"{name}: the values must differ, found {shown(twice)} twice")
    return FieldRange(name, values)


def _of_text(name: str, text: str) -> tuple[Value, ...]:
    if (match := _RANGE.fullmatch(text.strip())) is not None:
        return _spaced(name, text, *match.groups())
    if ":" in text:
        raise _no_range(name, text)
    return tuple(_value(part.strip()) for part in text.split(",") if part.strip())


def _spaced(
    name: str, text: str, first: str, last: str, scale: str, size: str
) -> tuple[Value, ...]:
    try:
        low, high, number = float(first), float(last), int(size)
    except ValueError:
        raise _no_range(name, text) from None
    positive = scale == "lin" or (low > 0.0 and high > 0.0)
    if not (positive and math.isfinite(low) and math.isfinite(high) and low != high):
        raise _no_range(name, text)
    if not 2 <= number <= MOST_POINTS:
        raise _no_range(name, text)
    inner = np.linspace(math.log(low), math.log(high), number) if scale == "log" else None
    values = np.linspace(low, high, number) if inner is None else np.exp(inner)
    # Fifteen digits: 1000.0000000000001 is what no one asked for. The ends are as given.
    middle = (float(f"{x:.15g}") for x in values[1:-1].tolist())
    return low, *middle, high


def _no_range(name: str, text: str) -> InputError:
    return InputError(
        f"{name}: a range must be FROM:TO:log:N or FROM:TO:lin:N, with different finite ends "
        f"(positive for log) and N of 2 to {MOST_POINTS:,}, found {shown(text)}"
    )


def _value(text: str) -> Value:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text


def _of_iterable(name: str, given: Any) -> tuple[Value, ...]:
    if not isinstance(given, Iterable) or isinstance(given, Mapping | bytes):
        raise InputError(f"{name}: must have a list of values or a range, found {shown(given)}")
    few: Sequence[Any] = given.tolist() if isinstance(given, np.ndarray) else list(given)
    values: list[Value] = []
    for value in few:
        if isinstance(value, bool | np.bool):
            values.append(bool(value))
        elif isinstance(value, str):
            values.append(str(value))
        elif isinstance(value, int | float | np.integer | np.floating):
            values.append(float(value))
        else:
            raise InputError(
                f"{name}: the values must be numbers, texts, or true and false, found "
                f"{shown(value)}"
            )
    return tuple(values)


def _kind(value: Value) -> str:
    if isinstance(value, bool):
        return "true or false"
    return "texts" if isinstance(value, str) else "numbers"
