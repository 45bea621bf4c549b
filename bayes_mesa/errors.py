"""Every error a caller is meant to catch, and the faults that an input error carries."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Fault:
    """One thing wrong with an input file: where it stands, what was required, what was found."""

    path: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        # A line break in a path would make two lines of one fault, an escape would act.
        path = self.path if self.path.isprintable() else json.dumps(self.path)[1:-1]
        return f"{path}:{self.line}: {self.field}: {self.message}"


class BayesMesaError(Exception):
    """Base of every error that this package raises on purpose."""


class InputError(BayesMesaError, ValueError):
    """Something the user gave is wrong; the text says what was required and what was found."""


class ModelFileError(InputError):
    """A model or evidence file has faults; ``faults`` lists all of them, in file order."""

    def __init__(self, faults: Iterable[Fault]):
        self.faults = tuple(sorted(set(faults)))
        super().__init__("\n".join(map(str, self.faults)))


class RefusedError(InputError):
    """The input is legal, but the question has no exact route here; the text gives the reason."""


class ResultFileError(InputError):
    """A result file is missing, damaged or not ours; the text gives path and reason."""
