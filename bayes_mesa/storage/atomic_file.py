"""A file that is written whole or not at all.

The bytes go to a temporary file in the same folder, which is flushed to disk and renamed onto the
name; then the folder is flushed. Whoever reads the name finds what stood there before or all that
was written, at any moment, and so does whoever comes after a crash.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bayes_mesa.errors import ResultFileError

#: Characters of a name that its temporary file keeps: longer ones might not fit.
_KEPT = 100
_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{12}\.tmp", re.DOTALL)


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write UTF-8 text atomically; see `write_bytes`."""
    return write_bytes(path, (text.encode(),))


def write_bytes(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> Path:
    """Write a file so that its name holds either what stood there before or all of ``chunks``.

    A link is followed. On any failure, an interrupt included, the temporary file is removed.

    Raises
    ------
    ResultFileError
        If the operating system refuses; names the path, the bytes written so far and the reason.
    """
    with replacing(path) as file:
        for chunk in chunks:
            file.write(chunk)
    return Path(path)


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A new file, open for writing and reading, that takes the name ``path`` when the block ends.

    As `write_bytes` does, for who cannot say beforehand what will be written.

    Raises
    ------
    ResultFileError
        As `write_bytes`, also where the block raises OSError.
    """
    target = _target(path)
    if target.exists() and not target.is_file():
        raise ResultFileError(f"{shown_path(path)}: cannot be written: it is not a regular file")
    temporary = target.with_name(f".{target.name[:_KEPT]}.{secrets.token_hex(6)}.tmp")
    written = 0
    try:
        with open(temporary, "x+b") as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
            finally:
                with suppress(OSError):
                    written = file.tell()
        os.replace(temporary, target)
        sync_folder(target.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ResultFileError(_refusal(path, written, error)) from error
        raise


def remove_leftovers(folder: Path, names: Iterable[str] | None = None) -> None:
    """Remove the temporary files that killed writers left in a folder.

    Only for who knows that nobody writes there at the same time, as the holder of a lock does.

    Parameters
    ----------
    folder
        Where they wrote.
    names
        Files that they were to become; None for whatever file.
    """
    stems = None if names is None else {name[:_KEPT] for name in names}
    with suppress(OSError):
        for path in folder.iterdir():
            left = _TEMPORARY.fullmatch(path.name)
            if left and (stems is None or left["name"] in stems):
                path.unlink()


def sync_folder(folder: Path) -> None:
    """Flush a folder's list of names to disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def shown_path(path: object) -> str:
    """A path as messages show it: on one line, with nothing that acts on a terminal."""
    text = str(path)
    return text if text.isprintable() else repr(text)


def _target(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.realpath(os.fspath(path)))
    except (TypeError, ValueError, OSError) as error:
        raise ResultFileError(f"{shown_path(path)}: is not a usable path: {error}") from error


def _refusal(path: str | os.PathLike[str], written: int, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return (
            f"{shown_path(path)}: no room: {reason} after {written} bytes; nothing was left behind"
        )
    return f"{shown_path(path)}: cannot be written: {reason} ({written} bytes were ready)"
