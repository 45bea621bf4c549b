"""The C peers, compiled here with ``cc -O3``."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent


def compiled(name: str, *libraries: str) -> ctypes.CDLL:
    """The shared library of ``native/NAME.c``."""
    build = FOLDER / "build"
    build.mkdir(exist_ok=True)
    library = build / f"{name}.so"
    compiler = os.environ.get("CC", "cc").split()
    source = FOLDER / "native" / f"{name}.c"
    command = [*compiler, "-O3", "-shared", "-fPIC", "-o", str(library), str(source), *libraries]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(library))
