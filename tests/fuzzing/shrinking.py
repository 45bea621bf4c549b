"""The least part of a case that still fails."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from fuzzing.case import Case
from fuzzing.trial import Broken, outcome

if TYPE_CHECKING:
    from bayes_mesa.domain.model import Model

_SECONDS = 10.0


def shrunk(case: Case, folder: Path, models: Mapping[str, Model]) -> Case:
    """Leave out lines, then characters, as long as the case fails with the same exception."""
    reason = _failure(case, folder, models)
    end = time.monotonic() + _SECONDS
    changed = reason is not None
    while changed and time.monotonic() < end:
        changed = False
        for smaller in _smaller(case):
            if time.monotonic() > end:
                break
            if _failure(smaller, folder, models) == reason:
                case, changed = smaller, True
                break
    return case


def _failure(case: Case, folder: Path, models: Mapping[str, Model]) -> str | None:
    try:
        outcome(case, folder, models)
    except Broken as broken:
        return str(broken).split(":")[0]
    return None


def _smaller(case: Case) -> Iterator[Case]:
    for name, content in case.files.items():
        lines = content.split(b"\n")
        size = max(1, len(lines) // 2)
        while size:
            for start in range(0, len(lines), size):
                left = lines[:start] + lines[start + size :]
                if len(left) < len(lines):
                    yield case.having(name, b"\n".join(left))
            size //= 2
