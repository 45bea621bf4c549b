"""A text file given by the user: read within its size, decoded, and kept to its own folder."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

from bayes_mesa.errors import Fault, ModelFileError

BYTE_ORDER_MARK = "\ufeff"


@dataclass(frozen=True)
class SourceFile:
    """A file as read: the path that messages show, its exact text, and the SHA-256 of its bytes."""

    path: str
    text: str
    sha256: str

    @property
    def lines(self) -> str:
        """The text with a byte order mark removed and every line ended by a line feed."""
        return self.text.removeprefix(BYTE_ORDER_MARK).replace("\r\n", "\n")


def text_source(text: str, shown: str) -> SourceFile:
    """A file of this text, as it would be read; ``shown`` is the path that messages name."""
    return SourceFile(shown, text, hashlib.sha256(text.encode()).hexdigest())


def read_source(path: Path, shown: str, max_bytes: int) -> SourceFile:
    """Read a UTF-8 file of at most ``max_bytes``.

    Parameters
    ----------
    path
        Where the file is.
    shown
        The path that messages name, as the user wrote it.
    max_bytes
        Largest size that is read.

    Raises
    ------
    ModelFileError
        If there is no such plain file, it cannot be read, is too large, or is not UTF-8.
    """
    raw = _read_bytes(path, shown, max_bytes)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        found = f"must be UTF-8 text, found the byte 0x{raw[error.start]:02x}"
        raise ModelFileError([Fault(shown, line, "file", found)]) from None
    return SourceFile(shown, text, hashlib.sha256(raw).hexdigest())


def _read_bytes(path: Path, shown: str, max_bytes: int) -> bytes:
    try:
        # Asked before opening: opening a pipe would wait for a writer for ever.
        mode = path.stat().st_mode
        raw = b""
        if stat.S_ISREG(mode):
            with path.open("rb") as stream:
                raw = stream.read(max_bytes + 1)
    except FileNotFoundError:
        raise _refusal(shown, "must be a file that exists, found none") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a usable path"
        raise _refusal(shown, f"must be a readable file, found: {reason}") from None
    if not stat.S_ISREG(mode):
        found = "a folder" if stat.S_ISDIR(mode) else "something else"
        raise _refusal(shown, f"must be a plain file, found {found}")
    if len(raw) > max_bytes:
        raise _refusal(shown, f"must be at most {max_bytes} bytes, found more")
    return raw


def _refusal(shown: str, message: str) -> ModelFileError:
    return ModelFileError([Fault(shown, 1, "file", message)])


def why_outside(folder: Path, name: str) -> str | None:
    """Say why ``name`` is no file beside or below ``folder``; None if it is (or does not exist).

    Absolute names, ``..`` and links that leave the folder are refused, in the notation of any
    system: a model file reads the same everywhere.
    """
    ways = PurePosixPath(name), PureWindowsPath(name)
    if not name or "\0" in name:
        return "must be the name of a file"
    if any(way.is_absolute() or way.drive or way.root for way in ways):
        return "must be relative to the folder of this file"
    if any(".." in way.parts for way in ways):
        return "must be beside or below this file"
    try:
        if not (folder / name).resolve().is_relative_to(folder.resolve()):
            return "must not be a link that leaves the folder of this file"
    except (OSError, RuntimeError, ValueError):
        return "must be a file that can be found"
    return None
