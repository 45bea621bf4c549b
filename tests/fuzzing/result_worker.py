"""Reads damaged result files in a process of its own, which may crash or hang without harm.

``python -m fuzzing.result_worker FOLDER READER SEED FIRST COUNT`` reads ``FOLDER/whole.nc`` with
the public function READER, and writes a line of JSON for every file before and after it is read:
after a crash the last line is its number.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzzing.result_files import ResultCase, result_case

#: Processor seconds for one file, after which the system ends the process; and for its answer.
KILLED_AFTER, TOO_LONG = 10.0, 3.0
#: Bytes that reading may add to what the process holds: a small file is never large inside.
MEMORY = 1 << 29


def answer(case: ResultCase, path: Path, read: Callable[[Path], Any], whole: Any) -> str:
    """``refused``, or for a right seal ``opened``; else what went wrong."""
    from bayes_mesa import ResultFileError

    path.write_bytes(case.content)
    start = time.process_time()
    try:
        tree = read(path)
    except ResultFileError as error:
        found = _promised(str(error), str(path))
    except Exception as error:
        found = f"broken: {type(error).__name__}: {error}"[:300]
    else:
        found = "opened" if case.sealed else "silent: another tree"
        if not case.sealed and tree.identical(whole):
            found = "silent: the same tree from other bytes"
    if time.process_time() - start > TOO_LONG:
        found = f"broken: took {time.process_time() - start:.1f} s"
    return found


def _promised(said: str, path: str) -> str:
    """One line, with the path and a reason."""
    if not said.startswith(f"{path}: ") or len(said) <= len(path) + 5:
        return f"broken: no path or no reason: {said[:200]}"
    if len(said) > 2000 or not said.isprintable():
        return f"broken: not one plain line: {said[:200]!r}"
    return "refused"


def main() -> None:
    """Read the files one by one."""
    import bayes_mesa

    folder, (seed, first, count) = Path(sys.argv[1]), map(int, sys.argv[3:])
    read = getattr(bayes_mesa, sys.argv[2])
    whole = (folder / "whole.nc").read_bytes()
    tree = read(folder / "whole.nc")
    for number in range(first, first + count):
        case = result_case(seed, number, whole)
        print(json.dumps([number, case.kind, ""]), flush=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        signal.setitimer(signal.ITIMER_PROF, KILLED_AFTER)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            found = answer(case, folder / f"damaged-{first}.nc", read, tree)
        signal.setitimer(signal.ITIMER_PROF, 0.0)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        if said and found in ("refused", "opened"):
            found = f"broken: warned {said[0].message}"
        if grown * 1024 > MEMORY:
            found = f"broken: took {grown >> 10} MiB"
        print(json.dumps([number, case.kind, found]), flush=True)


main()
