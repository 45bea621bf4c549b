"""Blocks of tasks on the workers of a Dask scheduler: one started here, or one at an address.

Dask gives the blocks of a worker that dies to another. A block whose workers have died several
times is put aside until all others are done; then its tasks run one by one with nothing beside
them, so that the one which kills workers is known, and fails alone.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from bayes_mesa.errors import InputError
from bayes_mesa.parallel.environment import environment
from bayes_mesa.parallel.outcome import Function, OnBlock, Outcome, attempt_all
from bayes_mesa.text.wording import shown

if TYPE_CHECKING:
    from distributed import Client, Future

#: The scheduler that is started here, for the processors of this machine.
LOCAL = "local"
#: Blocks handed to the scheduler ahead of time, so that no worker waits for us.
_AHEAD = 256
#: Seconds: between looks at what is done; until a scheduler must have answered; between questions
#: whether it has workers; without workers before we give up.
_LOOK, _ANSWER, _ASK, _WITHOUT_WORKERS = 0.01, 10.0, 5.0, 60.0
_KILLED = (
    "the process that computed this point was killed each time it was tried (out of memory, or a "
    "fault in native code)"
)


def run_on_dask(
    function: Function,
    blocks: Mapping[int, Sequence[Any]],
    on_block: OnBlock,
    workers: int,
    scheduler: str,
) -> None:
    """Run the blocks on a Dask scheduler; see `tasks.run_tasks`."""
    with _connected(scheduler, workers) as client:
        job = _Job(client, function, scheduler)
        aside = list(job.run(blocks, on_block))
        for number in aside:
            on_block(number, [job.alone(task) for task in blocks[number]])


class _Job:
    """The blocks of one call on a connected client."""

    def __init__(self, client: Client, function: Function, scheduler: str):
        self._client, self._scheduler = client, scheduler
        self._call = partial(_told, function)
        self._name = f"bayes_mesa-{uuid.uuid4().hex}"  # two jobs of one scheduler stay apart
        self._asked = self._seen = time.monotonic()

    def run(self, blocks: Mapping[int, Sequence[Any]], on_block: OnBlock) -> Iterator[int]:
        """Hand over all blocks but those whose workers died, whose numbers are returned."""
        # What is dropped from here is let go by the scheduler too: on Ctrl-C nothing else begins.
        waiting = iter(blocks.items())
        running: dict[Future, int] = {}
        while True:
            for number, tasks in islice(waiting, _AHEAD - len(running)):
                running[self._submit(f"block-{number}", tasks)] = number
            if not running:
                return
            for future in self._next(running):
                number = running.pop(future)
                if (outcomes := self._result(future)) is None:
                    yield number
                else:
                    on_block(number, outcomes)

    def alone(self, task: Any) -> Outcome:
        """The outcome of one task while nothing else is on the scheduler."""
        future = self._submit(f"task-{uuid.uuid4().hex}", [task])
        self._next([future])
        outcomes = self._result(future)
        return Outcome(error=_KILLED) if outcomes is None else outcomes[0]

    def _submit(self, name: str, tasks: Sequence[Any]) -> Future:
        # Not pure: the key is ours, and nothing is taken from another job.
        return self._client.submit(self._call, list(tasks), key=f"{self._name}-{name}", pure=False)

    def _next(self, futures: Any) -> list[Future]:
        """Those that have come to an end; waits for one."""
        while True:
            if done := [future for future in futures if future.status != "pending"]:
                return done
            self._look_at_the_scheduler()
            time.sleep(_LOOK)

    def _result(self, future: Future) -> list[Outcome] | None:
        """Outcomes of a block; None if the workers that computed it were killed."""
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        try:
            there, outcomes = future.result()
        except KilledWorker:
            return None
        except (FutureCancelledError, OSError, TimeoutError) as error:
            raise self._lost() from error
        except Exception as error:  # our own function lets none out: it could not even begin
            said = " ".join(str(error).split())
            raise InputError(
                f"the workers of the scheduler {shown(self._scheduler)} must be able to run "
                f"bayes_mesa, but found {type(error).__name__}: {said}; install the same versions "
                "there as here"
            ) from error
        if there != environment():
            raise InputError(self._differing(there))
        return outcomes

    def _look_at_the_scheduler(self) -> None:
        now = time.monotonic()
        if self._client.status == "closed":
            raise self._lost()
        if now - self._asked < _ASK:
            return
        self._asked = now
        try:
            found = self._client.scheduler_info()["workers"]
        except Exception as error:
            raise self._lost() from error
        if found:
            self._seen = now
        elif now - self._seen > _WITHOUT_WORKERS:
            raise InputError(_no_workers(self._scheduler))

    def _lost(self) -> InputError:
        return InputError(
            f"the connection to the Dask scheduler {shown(self._scheduler)} was lost; what was "
            "finished is kept: see that it runs, and go on with --resume (resume=True)"
        )

    def _differing(self, there: Mapping[str, str]) -> str:
        here = environment()
        differing = [
            f"{name} {there.get(name)} where {here[name]} is wanted"
            for name in here
            if there.get(name) != here[name]
        ]
        return (
            f"the workers of the scheduler {shown(self._scheduler)} must have the versions that "
            f"are installed here, found {', '.join(differing)}: install the same there"
        )


def _told(function: Function, tasks: Sequence[Any]) -> tuple[dict[str, str], list[Outcome]]:
    """What a worker does: the outcomes of a block, and the versions that they come from."""
    return environment(), attempt_all(function, tasks)


@contextmanager
def _connected(scheduler: str, workers: int) -> Iterator[Client]:
    try:
        import distributed  # noqa: F401
    except ImportError as error:
        raise InputError(
            "--scheduler needs Dask, found none: pip install 'bayes_mesa[distributed]'"
        ) from error
    with _quiet(), _local(workers) if scheduler == LOCAL else _remote(scheduler) as client:
        yield client


@contextmanager
def _local(workers: int) -> Iterator[Client]:
    """A cluster of single-threaded processes that nothing outside this machine can reach."""
    import dask
    from distributed import Client, LocalCluster

    loopback = "127.0.0.1"
    # No pages at all; the server that would show them is bound like everything else.
    no_pages: dict[str, Any] = {
        "distributed.scheduler.http.routes": [],
        "distributed.worker.http.routes": [],
    }
    with dask.config.set(no_pages):
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host=loopback,
            memory_limit=0,  # the machine's own limit: a guess would kill what would have fitted
            silence_logs=logging.CRITICAL,
            preload=["bayes_mesa.parallel.worker_process"],
            dashboard_address=None,
            scheduler_kwargs={"dashboard": False, "dashboard_address": f"{loopback}:0"},
        )
    try:
        client = Client(cluster, set_as_default=False)
        yield client
        client.close()
    finally:
        # On Ctrl-C nothing that still runs is wanted.
        cluster.close(timeout=_ANSWER)


@contextmanager
def _remote(address: str) -> Iterator[Client]:
    from distributed import Client

    remedy = "start one with `dask scheduler`, and give the address that it prints (tcp://...)"
    try:
        client = Client(address, timeout=_ANSWER, set_as_default=False)
    except Exception as error:  # OSError, TimeoutError, ValueError, gaierror, ...
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"the scheduler must be {LOCAL!r} or the address of a Dask scheduler that runs, found "
            f"{shown(address)}, which cannot be reached ({said}): {remedy}"
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=_ANSWER)
        except Exception as error:
            raise InputError(_no_workers(address)) from error
        yield client
    finally:
        with suppress(Exception):
            client.close(timeout=2)


def _no_workers(scheduler: str) -> str:
    return (
        f"the scheduler {shown(scheduler)} must have workers, found none: start some with "
        f"`dask worker {scheduler}`"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Dask's own log on standard error: what matters is raised or becomes an outcome."""
    logger = logging.getLogger("distributed")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)
