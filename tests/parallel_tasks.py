"""Tasks that the tests of the parallel engine run: workers find them by this module's name."""

import os
import signal
import time
from pathlib import Path


def square(task):
    return {"square": task * task, "pid": os.getpid()}


def fail_at_three(task):
    if task == 3:
        raise ValueError("three is\nnot allowed")
    return task


def kill_at_three(task):
    if task == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return task


def kill_once(task):
    """Kills its worker the first time that task 5 is met; ``task`` is (number, folder)."""
    number, folder = task
    mark = Path(folder, "killed")
    if number == 5 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def slow(task):
    time.sleep(0.2)
    return task
