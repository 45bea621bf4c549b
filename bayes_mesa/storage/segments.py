"""The finished parts of one job: a folder of sealed files that a killed run goes on from.

Every part is a file of its own, written whole or not at all. Beside them ``job.json`` says what is
computed, so that no part is taken for one of another model, other evidence, another seed or another
version; and a lock keeps a second process out. The order of writing is the proof: the description
comes before the first part and goes before the last, so that a part is never without the
description that it belongs to, and a description never with only some of what it once had.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from bayes_mesa.errors import InputError, ResultFileError
from bayes_mesa.storage.atomic_file import remove_leftovers, shown_path, sync_folder, write_text
from bayes_mesa.storage.folder_lock import FolderLock
from bayes_mesa.storage.netcdf_file import open_tree, save_tree

if TYPE_CHECKING:
    import xarray as xr

JOB_FILE, PART_SUFFIX, DAMAGED_SUFFIX = "job.json", ".nc", ".damaged"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,149}")


class Segments:
    """Finished parts of one job in one folder, whose lock it holds; a context manager.

    Attributes
    ----------
    folder
        Where the parts are.
    job
        What is computed, as ``job.json`` says it.
    found
        Names of the parts that were there when the folder was opened, sorted.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any], lock: FolderLock):
        self.folder, self.job, self._lock = folder, job, lock
        self.found: tuple[str, ...] = tuple(self.names())

    @classmethod
    def open(
        cls, folder: Path, job: Mapping[str, Any], *, resume: bool, force: bool = False
    ) -> Segments:
        """Lock the folder (made if need be) for a job, and keep or refuse the parts in it.

        Parameters
        ----------
        folder
            A folder for these parts alone.
        job
            What is computed, in JSON's terms: everything on which the parts depend.
        resume
            Go on from the parts of the same job. Else there must be none.
        force
            Remove whatever parts are there, and start anew.

        Raises
        ------
        InputError
            If another process works there; if there are parts, and neither ``resume`` nor ``force``
            is given; or if they belong to another job, naming what differs.
        ResultFileError
            If the folder cannot be written.
        """
        described = json.loads(json.dumps(job))
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = error.strerror or error
            raise ResultFileError(
                f"{shown_path(folder)}: must be a folder that can be made: {reason}"
            ) from error
        lock = FolderLock(folder).take()
        try:
            earlier = None if force else _earlier(folder)
            if earlier is None:
                _empty(folder)
                write_text(folder / JOB_FILE, json.dumps(described, indent=1, sort_keys=True))
            elif not resume:
                raise InputError(
                    f"{shown_path(folder)}: must hold no parts of an unfinished run, but does: "
                    "--resume goes on from them, --force starts anew"
                )
            elif differing := differences(earlier, described):
                raise InputError(
                    f"{shown_path(folder)}: can go on only with the run that was begun, but now "
                    f"{'; '.join(differing)}: name another folder, or start anew with --force"
                )
            remove_leftovers(folder)
        except BaseException:
            lock.release()
            raise
        return cls(folder, described, lock)

    def names(self) -> list[str]:
        """Names of the finished parts, sorted."""
        return sorted(path.name.removesuffix(PART_SUFFIX) for path in _parts(self.folder))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._path(name).is_file()

    def load(self, name: str) -> xr.DataTree | None:
        """A finished part, equal to what was saved; None where there is none.

        A damaged part is moved aside with a warning, and counts as not there.
        """
        path = self._path(name)
        if not path.is_file():
            return None
        try:
            return open_tree(path)
        except ResultFileError as error:
            self._set_aside(path, error)
            return None

    def save(self, name: str, tree: xr.DataTree | xr.Dataset) -> None:
        """Write a part, replacing one of that name; when it returns, the part is on the disk.

        Raises
        ------
        ResultFileError
            If the disk is full or refuses; names path and bytes.
        """
        import xarray as xr

        whole = xr.DataTree(tree) if isinstance(tree, xr.Dataset) else tree
        save_tree(whole, self._path(name))

    def remove(self, name: str) -> None:
        """Remove a part that a later one has made needless."""
        with suppress(OSError):
            self._path(name).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all parts: the result that they made is safely written elsewhere."""
        _empty(self.folder)

    def close(self) -> None:
        """Give the lock back; the folder goes too, if nothing is left in it."""
        self._lock.release()
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise InputError(
                f"a part's name must be of letters, digits, '_', '.' and '-', found {name!r}"
            )
        return self.folder / f"{name}{PART_SUFFIX}"

    def _set_aside(self, path: Path, error: ResultFileError) -> None:
        aside = path.with_name(path.name + DAMAGED_SUFFIX)
        os.replace(path, aside)
        warnings.warn(
            f"{error}; it was moved to {shown_path(aside)} and is computed again", stacklevel=3
        )

    def __enter__(self) -> Segments:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def holds_parts(folder: Path) -> bool:
    """Whether a folder holds a job that was begun."""
    return (folder / JOB_FILE).exists()


def clear_parts(folder: Path) -> None:
    """Remove all parts in a folder, whatever their job, and the folder if it is then empty.

    Raises
    ------
    InputError
        If another process works there.
    ResultFileError
        If something cannot be removed.
    """
    if not folder.is_dir():
        return
    with FolderLock(folder):
        _empty(folder)
    with suppress(OSError):
        folder.rmdir()


def differences(earlier: Any, now: Any, name: str = "") -> list[str]:
    """What two descriptions do not share, one phrase each; digests are named, not shown."""
    if isinstance(earlier, dict) and isinstance(now, dict):
        keys = [*earlier, *(k for k in now if k not in earlier)]
        return [
            text
            for key in keys
            for text in differences(
                earlier.get(key), now.get(key), f"{name}.{key}" if name else str(key)
            )
        ]
    if earlier == now:
        return []
    if any(isinstance(x, str) and len(x) >= 64 for x in (earlier, now)):
        return [f"{name} differs"]
    return [f"{name} is {json.dumps(now)} where it was {json.dumps(earlier)}"]


def _earlier(folder: Path) -> Any:
    """The description in a folder; None where there is none."""
    path = folder / JOB_FILE
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ResultFileError(
            f"{shown_path(path)}: cannot be opened: {error.strerror or error}"
        ) from error
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ResultFileError(
            f"{shown_path(path)}: is damaged, so that the parts beside it belong to nothing: "
            "--force starts anew"
        ) from error


def _parts(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        name = path.name.removesuffix(PART_SUFFIX)
        if path.name.endswith(PART_SUFFIX) and _NAME.fullmatch(name):
            yield path


def _empty(folder: Path) -> None:
    """Remove description, parts, damaged parts and what was never finished, in this order."""
    try:
        (folder / JOB_FILE).unlink(missing_ok=True)
        # Without the description on the disk's own word, no parts can outlive it by a crash.
        sync_folder(folder)
        for path in [*_parts(folder), *folder.glob(f"*{PART_SUFFIX}{DAMAGED_SUFFIX}")]:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise ResultFileError(
            f"{shown_path(folder)}: cannot be cleared: {error.strerror or error}"
        ) from error
    remove_leftovers(folder)
