"""Many independent tasks, in blocks: on threads here, or on the workers of a Dask scheduler.

A task's outcome depends on the task alone, never on who computes it, when, or beside what. So a
block computed again, elsewhere, after its worker died, is the same block, and what is written of it
has the same bytes.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Container, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

from bayes_mesa.errors import InputError
from bayes_mesa.parallel.dask_cluster import LOCAL, run_on_dask
from bayes_mesa.parallel.outcome import Function, OnBlock, Outcome, attempt_all

Progress = Callable[[str, int, int], None]


def run_tasks(
    function: Function,
    tasks: Sequence[Any],
    *,
    block: int,
    on_block: OnBlock,
    done: Container[int] = (),
    workers: int | None = None,
    scheduler: str | None = None,
    stage: str = "points",
    progress: Progress | None = None,
) -> None:
    """Run ``function(task)`` for every task, and hand over each block of outcomes when it is done.

    Parameters
    ----------
    function
        Of a module (Dask finds it by its name), or a ``functools.partial`` of one. Its value must
        depend on the task alone. What it raises becomes the task's own outcome: a task that fails
        fails alone.
    tasks
        What it is called with; for Dask it must pickle.
    block
        Tasks in a block: number k holds those from ``k * block`` on, whoever computes them.
    on_block
        Called as ``on_block(number, outcomes)``, here in the calling thread, in any order of
        blocks.
    done
        Numbers of the blocks that need not be run.
    workers
        Threads, or processes of the local cluster; by default one for each processor. A scheduler
        of an address has its own.
    scheduler
        None: threads of this process. ``"local"``: a Dask cluster of processes on this machine,
        which listens on 127.0.0.1 alone. Else the address of a Dask scheduler.
    stage, progress
        ``progress(stage, done, total)`` is called after every block, with numbers of tasks.

    Raises
    ------
    InputError
        For a number of workers that cannot be, without Dask, or if the scheduler cannot be reached,
        is lost, or has no workers. What was handed over before stays.
    KeyboardInterrupt
        On Ctrl-C; blocks that were finished were handed over.
    """
    _check(block, workers, scheduler)
    numbers = [k for k in range(math.ceil(len(tasks) / block)) if k not in done]
    blocks = {k: tasks[k * block : (k + 1) * block] for k in numbers}
    total, finished = len(tasks), len(tasks) - sum(map(len, blocks.values()))

    def hand_over(number: int, outcomes: list[Outcome]) -> None:
        nonlocal finished
        on_block(number, outcomes)
        finished += len(outcomes)
        if progress is not None:
            progress(stage, finished, total)

    if not blocks:
        return
    if scheduler is None:
        _on_threads(function, blocks, hand_over, min(workers or processors(), len(blocks)))
        return
    run_on_dask(function, blocks, hand_over, workers or processors(), scheduler)


def processors() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _check(block: int, workers: int | None, scheduler: str | None) -> None:
    if block < 1:
        raise InputError(f"block must be at least 1, found {block}")
    if workers is not None and (isinstance(workers, bool) or not 1 <= workers <= 1024):
        raise InputError(f"workers must be from 1 to 1024, found {workers}")
    if workers is not None and scheduler not in (None, LOCAL):
        raise InputError(
            f"workers must be left out with the scheduler {scheduler}: it has workers of its own"
        )


def _on_threads(
    function: Function, blocks: Mapping[int, Sequence[Any]], on_block: OnBlock, threads: int
) -> None:
    """As many blocks at a time as there are threads; a single one is this thread itself."""
    if threads == 1:
        for number, tasks in blocks.items():
            on_block(number, attempt_all(function, tasks))
        return
    stopped = threading.Event()

    def run(tasks: Sequence[Any]) -> list[Outcome]:
        return attempt_all(function, tasks, stopped.is_set)

    waiting = iter(blocks.items())
    running: dict[Future[list[Outcome]], int] = {}
    pool = ThreadPoolExecutor(threads, thread_name_prefix="bayes_mesa")
    try:
        while True:
            for number, tasks in islice(waiting, 2 * threads - len(running)):
                running[pool.submit(run, tasks)] = number
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                on_block(running.pop(future), future.result())
    finally:
        stopped.set()
        pool.shutdown(wait=False, cancel_futures=True)
