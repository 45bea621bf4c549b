"""The folder of a run: one process at a time in it, results never overwritten unasked, and parts.

While a run is under way its finished parts lie in ``parts``. They go once ``posterior.nc``,
``summary.json`` and ``report.html`` are all written, so that a run that was killed at any time goes
on from them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bayes_mesa.errors import InputError
from bayes_mesa.results.store import PARTIAL, POSTERIOR, open_posterior
from bayes_mesa.storage.atomic_file import remove_leftovers
from bayes_mesa.storage.folder_lock import FolderLock
from bayes_mesa.storage.segments import Segments, clear_parts, differences, holds_parts

SUMMARY, REPORT = "summary.json", "report.html"
RESULTS = (POSTERIOR, SUMMARY, REPORT)
RUN_FILES = (*RESULTS, PARTIAL)
PARTS = "parts"

#: What the three kinds of parts hold.
_KINDS = {"prior": "prior draws", "nuts": "stretches of NUTS", "fit": "fit"}


@contextmanager
def run_folder(folder: Path, *, force: bool, resume: bool) -> Iterator[Path]:
    """The folder, made if need be, locked, and free for a run; gives that of its parts.

    Raises
    ------
    InputError
        If it holds results or parts and neither ``force`` nor ``resume`` says what is to be done
        with them; if another process works in it; if it cannot be made.
    """
    parts = folder / PARTS
    refuse = not (force or resume)
    if refuse:
        _refuse_what_is_there(folder)  # before a folder is made, and again when it is locked
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"{folder}: must be a folder that can be made: {reason}") from error
    with FolderLock(folder):
        if refuse:
            _refuse_what_is_there(folder)
        remove_leftovers(folder, RUN_FILES)
        if force:
            clear_parts(parts)
        yield parts


def _refuse_what_is_there(folder: Path) -> None:
    if holds_parts(folder / PARTS):
        raise InputError(
            f"{folder}: must hold no unfinished run, but does: --resume goes on with it, --force "
            "starts anew"
        )
    found = [name for name in RUN_FILES if (folder / name).exists()]
    if found:
        raise InputError(
            f"{folder}: must hold no results, found {', '.join(found)}; --force replaces them"
        )


def found_finished(parts: Path, job: Mapping[str, Any]) -> str:
    """What of a job is finished, in words.

    Raises
    ------
    InputError
        If the parts belong to another job, naming what differs.
    """
    with Segments.open(parts, job, resume=True) as segments:
        names = segments.found
    return f"found finished: {_in_words(names)}" if names else "found nothing finished"


def finished_before(folder: Path, job: Mapping[str, Any]) -> dict[str, Any] | None:
    """The summary of a run that had ended before; None where there is something left to do.

    Raises
    ------
    InputError
        If the results are those of another run, naming what differs, or if they are damaged.
    """
    if not (folder / POSTERIOR).exists() or holds_parts(folder / PARTS):
        return None
    described = json.loads(open_posterior(folder / POSTERIOR).attrs.get("job", "{}"))
    now = {name: job[name] for name in described} if described else dict(job)
    if differing := differences(described, now):
        raise InputError(
            f"{folder}: holds the results of another run, for now {'; '.join(differing)}: "
            "name another folder, or replace them with --force"
        )
    if not all((folder / name).exists() for name in RESULTS):
        return None
    summary: dict[str, Any] = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    return summary


def _in_words(names: Sequence[str]) -> str:
    """Such as ``prior draws (levin, linear), fit (linear)``."""
    families: dict[str, dict[str, None]] = {}
    for name in names:
        kind, family = name.split("-")[:2]
        families.setdefault(kind, {})[family] = None
    return ", ".join(
        f"{text} ({', '.join(families[kind])})" for kind, text in _KINDS.items() if kind in families
    )
