"""One process at a time in a folder: a lock that its holder's death releases."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path
from types import TracebackType

from bayes_mesa.errors import InputError, ResultFileError
from bayes_mesa.storage.atomic_file import shown_path

LOCK_FILE = "lock"
#: What file systems without locks answer: work goes on unlocked there.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


class FolderLock:
    """The lock of a folder, held from `take` to `release`; a context manager.

    The operating system keeps it (flock on the file ``lock``, which holds the process's number), so
    it ends with the process, however that ends. Where the system or the
    file system has no flock, nothing is locked.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._descriptor is not None

    def take(self) -> FolderLock:
        """Take the lock at once.

        Raises
        ------
        InputError
            If another process, or another part of this one, holds it; names its number.
        ResultFileError
            If the folder cannot be written.
        """
        path = self._folder / LOCK_FILE
        try:
            while not self.held:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
                try:
                    self._lock(descriptor)
                except BaseException:
                    os.close(descriptor)
                    raise
        except OSError as error:
            reason = error.strerror or error
            raise ResultFileError(f"{shown_path(path)}: cannot be written: {reason}") from error
        return self

    def release(self) -> None:
        """Give the lock back, and remove its file."""
        if self._descriptor is None:
            return
        # Removed while held: who opened the old file finds that it is no longer the folder's.
        with contextlib.suppress(OSError):
            (self._folder / LOCK_FILE).unlink()
        os.close(self._descriptor)
        self._descriptor = None

    def _lock(self, descriptor: int) -> None:
        """Lock an open file and keep it, unless it was replaced in between (then come again)."""
        try:
            import fcntl
        except ImportError:  # not POSIX
            self._descriptor = descriptor
            return
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(self._taken(descriptor)) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
        if not _is_at(descriptor, self._folder / LOCK_FILE):
            os.close(descriptor)
            return
        self._descriptor = descriptor
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())

    def _taken(self, descriptor: int) -> str:
        found = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        holder = f"process {found}" if found.isdecimal() else "another process"
        return (
            f"{shown_path(self._folder)}: must be used by one run at a time, but {holder} is at "
            "work in it: wait for it, stop it, or name another folder"
        )

    def __enter__(self) -> FolderLock:
        return self.take() if not self.held else self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
