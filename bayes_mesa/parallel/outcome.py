"""What a task gave: its value, or why there is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bayes_mesa.errors import BayesMesaError

Function = Callable[[Any], Any]


@dataclass(frozen=True)
class Outcome:
    """What a task gave: its value, or why there is none (``error``, else empty)."""

    value: Any = None
    error: str = ""


OnBlock = Callable[[int, list[Outcome]], None]


def attempt(function: Function, task: Any) -> Outcome:
    """The outcome of one task."""
    try:
        return Outcome(function(task))
    except BayesMesaError as error:
        return Outcome(error=str(error))
    except MemoryError:
        return Outcome(error="there is not enough memory for it")
    except Exception as error:
        said = " ".join(str(error).split()) or "no message"
        return Outcome(error=f"internal error: {type(error).__name__}: {said}")


def attempt_all(
    function: Function, tasks: Sequence[Any], stopped: Callable[[], bool] = lambda: False
) -> list[Outcome]:
    """The outcomes of a block, in order; asks before each task whether it is still wanted."""
    return [attempt(function, task) for task in tasks if not stopped()]
