"""Ctrl-C that cannot be lost: Python drops what is raised inside a library's callback.

A KeyboardInterrupt comes up wherever the main thread is. In a callback of the garbage collector or
of a compiled library it is reported and dropped, and the work goes on. So long work remembers the
signal, and looks between its stages and in the loops that wait.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

_pressed = threading.Event()


@contextmanager
def remembered() -> Iterator[None]:
    """Remember Ctrl-C for `heed`, and let the process's own handler do what it does.

    Without effect outside the main thread, where no signal arrives, and in a process that has no
    handler written in Python. Within another one the outer one counts.
    """
    handler = signal.getsignal(signal.SIGINT)
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or not callable(handler) or isinstance(handler, _Remembering):
        yield
        return
    _pressed.clear()
    signal.signal(signal.SIGINT, _Remembering(handler))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        _pressed.clear()


@dataclass(frozen=True)
class _Remembering:
    """The process's own handler, and a flag beside it."""

    handler: Callable[[int, FrameType | None], Any]

    def __call__(self, number: int, frame: FrameType | None) -> None:
        _pressed.set()
        self.handler(number, frame)


def heed() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed since the outermost `remembered` began."""
    if _pressed.is_set():
        raise KeyboardInterrupt
