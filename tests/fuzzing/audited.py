"""Reads cases under an audit hook, in a process of its own: a hook cannot be taken away again.

``python -m fuzzing.audited FOLDER SEED COUNT`` prints what was seen beyond what is allowed.
Allowed are, after a warm-up that imports and builds whatever is made at its first use:

* ``open`` of files in FOLDER, for reading by the readers and for writing by this process;
* ``os.listdir``, ``os.scandir``, ``os.remove``, ``os.mkdir`` in FOLDER, by this process;
* events of the interpreter that run and reach nothing: identities asked, attributes looked up
  (``object.__getattr__``), frames read for a warning (``sys._getframe``), garbage collected
  (``gc.*``), signals and timers.

Everything else is told: ``exec``, ``compile``, ``import``, ``socket.*``, ``subprocess.*``,
``os.system``, ``ctypes.*``, ``pickle.*``, ``open`` anywhere else, and whatever has no name yet.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from fuzzing.campaign import case_of, target_of
from fuzzing.seeds import read_models, sound
from fuzzing.trial import outcome

_IN_FOLDER = ("open", "os.listdir", "os.scandir", "os.remove", "os.mkdir", "pathlib.Path.glob")
_HARMLESS = (
    "builtins.id",
    "object.__getattr__",
    "sys._getframe",
    "signal.",
    "gc.",
    "cpython._PySys_ClearAuditHooks",
)


def main() -> None:
    """Print a list of [event, its first argument] as JSON."""
    folder, seed, count = Path(sys.argv[1]).resolve(), int(sys.argv[2]), int(sys.argv[3])
    seen: list[tuple[str, str]] = []
    watching = False

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if not watching or event.startswith(_HARMLESS):
            return
        if event in _IN_FOLDER and str(arguments[0]).startswith(f"{folder}{os.sep}"):
            return
        if len(seen) < 50:
            seen.append((event, str(arguments[:1])[:200]))

    models = read_models(folder / "models")
    # Sound cases, and some of each kind of unsound ones, build whatever is built at first use.
    for cases in sound().values():
        for case in cases:
            outcome(case, folder / "case", models)
    for number in range(300):
        outcome(case_of(target_of(number), seed + 1, number), folder / "case", models)
    sys.addaudithook(hook)
    watching = True
    for number in range(count):
        outcome(case_of(target_of(number), seed, number), folder / "case", models)
    # The hook sees: else an empty list would say nothing.
    os.stat(folder)
    compile("1", "seen", "eval")
    watching = False
    print(json.dumps(seen))


main()
