"""A copy of the package with a bug in it, below build/planted unless told otherwise."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from .bugs import ROOT

BUILD = ROOT / "build" / "planted"


class DriftError(Exception):
    """The sources have moved on: a substitution no longer applies exactly once."""


def planted(text, edit):
    """``text`` with one substitution made."""
    found = text.count(edit.old)
    if found != 1:
        raise DriftError(
            f"{edit.file} must hold this exactly once, found {found} times; bring the bug in "
            f"tests/planted/bugs.py up to date with the source:\n{edit.old}"
        )
    return text.replace(edit.old, edit.new)


def make_copy(bug, folder=BUILD):
    """The folder from which ``bayes_mesa`` with this bug is imported; its extension is built."""
    home = folder / bug.name
    shutil.rmtree(home, ignore_errors=True)
    site = home / "site"
    package = site / "bayes_mesa"
    leave = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bayes_mesa", package, ignore=leave)
    shutil.copytree(ROOT / "models", package / "models", ignore=leave)
    (package / "_ext").mkdir()
    for path in native_files():
        shutil.copy(path, package / "_ext")
    if bug.extension:
        build(bug, home / "source", site)
    else:
        plant(bug, site)
    return site


def plant(bug, folder):
    """Make the bug's edits in the files below ``folder``."""
    for edit in bug.edits:
        path = folder / edit.file
        path.write_text(planted(path.read_text(), edit))


def native_files():
    """The built extensions that the working tree runs, and their package's file."""
    found = importlib.util.find_spec("bayes_mesa._ext.tempered")
    folder = Path(found.origin).parent
    suffix = Path(found.origin).name.removeprefix("tempered")
    return [folder / "__init__.py", *folder.glob(f"*{suffix}")]


def build(bug, source, site):
    """Build the one extension that the bug is in, from a copy of the native sources."""
    native = source / "_ext"
    native.mkdir(parents=True)
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source)
    for path in (ROOT / "_ext" / f"{bug.extension}.pyx", *(ROOT / "_ext").glob("*.[ph]*")):
        if path.suffix in (".pxd", ".h") or path.stem in (bug.extension, "__init__"):
            shutil.copy(path, native)
    plant(bug, source)
    command = [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", str(site)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{bug.extension} with {bug.name} must build, but:\n{done.stderr}")
