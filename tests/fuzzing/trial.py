"""What becomes of a case: sound, answered as promised, or a failure that says what broke."""

from __future__ import annotations

import resource
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fuzzing.case import EVIDENCE, Case

if TYPE_CHECKING:
    from bayes_mesa.domain.model import Model

#: Processor seconds that a reader may take over one case.
SECONDS = 2.0
_LONGEST_LINE = 4000
#: What only Python or a library of ours would say.
_FOREIGN = ("pydantic", "<class", "Traceback", "object at 0x", "NoneType", "ndarray", "numpy")


class Broken(AssertionError):
    """A promise that a case broke; the text says which."""


class TooLong(BaseException):
    """Raised by the clock inside whatever takes too long; no `except Exception` stops it."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise `TooLong` after so many processor seconds."""

    def stop(*_: Any) -> None:
        raise TooLong

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        signal.signal(signal.SIGPROF, before)


def peak_memory() -> int:
    """Most bytes that this process has held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def read(case: Case, folder: Path, models: Mapping[str, Model]) -> Any:
    """What the case's reader makes of its files: a model, or tables."""
    from bayes_mesa.model_file import load_evidence, load_model

    path = case.write(folder)
    with at_most(SECONDS):
        if case.target == EVIDENCE:
            return load_evidence(path, models[case.beside])
        return load_model(path)


def outcome(case: Case, folder: Path, models: Mapping[str, Model]) -> tuple[str, Any]:
    """``("sound", what was read)`` or ``("refused", the error)``.

    Raises
    ------
    Broken
        Where anything else happens: another exception, a warning, too long a time, or an answer
        without file, line and field.
    """
    from bayes_mesa.errors import ModelFileError

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            found: tuple[str, Any] = ("sound", read(case, folder, models))
        except ModelFileError as error:
            _as_promised(error, case, folder)
            found = ("refused", error)
        except TooLong:
            raise Broken(f"took more than {SECONDS:g} s of processor time") from None
        except Exception as error:
            raise Broken(f"{type(error).__name__}: {error}") from error
    if said:
        raise Broken(f"warned: {said[0].category.__name__}: {said[0].message}")
    return found


def _as_promised(error: Any, case: Case, folder: Path) -> None:
    """Faults name a file of the case, a line of it, a field, and what was required."""
    if not error.faults:
        raise Broken("refused without a fault")
    for fault in error.faults:
        name = Path(fault.path).name
        # A file that the case names and that is not there is answered in the file that names it.
        if Path(fault.path).parent != folder or name not in case.files:
            raise Broken(f"names no file of the case: {fault}")
        lines = case.files[name].count(b"\n") + case.files[name].count(b"\r") + 1
        if not 1 <= fault.line <= lines:
            raise Broken(f"names line {fault.line} of {lines}: {fault}")
        if not fault.field or "must " not in fault.message:
            raise Broken(f"does not say what was required: {fault}")
        text = str(fault)
        if not text.isprintable() or len(text) > _LONGEST_LINE:
            raise Broken(f"is not one plain line: {text[:200]!r}")
        for word in _FOREIGN:
            if word in fault.message and word.encode() not in b"".join(case.files.values()):
                raise Broken(f"speaks of {word}: {fault}")
