"""The engine for many tasks: on threads, on a local Dask cluster, and when things go wrong."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import parallel_tasks
import pytest

from bayes_mesa.errors import InputError
from bayes_mesa.parallel.environment import environment
from bayes_mesa.parallel.outcome import Outcome
from bayes_mesa.parallel.tasks import run_tasks

HERE = Path(__file__).resolve().parent


@pytest.fixture
def findable(monkeypatch):
    """Workers are new processes: they must find the module of the tasks."""
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)


def collected(function, tasks, **options):
    found = {}
    run_tasks(function, tasks, on_block=found.__setitem__, **options)
    return found


# --- threads ------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_blocks_are_fixed_runs_of_tasks(workers):
    found = collected(parallel_tasks.square, range(10), block=4, workers=workers)
    assert {k: [o.value["square"] for o in block] for k, block in found.items()} == {
        0: [0, 1, 4, 9],
        1: [16, 25, 36, 49],
        2: [64, 81],
    }


def test_blocks_that_are_done_are_left_out_and_counted():
    steps = []
    found = collected(
        parallel_tasks.square,
        range(10),
        block=4,
        done={1},
        workers=1,
        progress=lambda *step: steps.append(step),
    )
    assert sorted(found) == [0, 2]
    assert steps == [("points", 8, 10), ("points", 10, 10)]
    assert collected(parallel_tasks.square, range(4), block=2, done={0, 1}) == {}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_task_that_fails_fails_alone(workers):
    found = collected(parallel_tasks.fail_at_three, range(6), block=2, workers=workers)
    assert found[1][0] == Outcome(2)
    assert found[1][1] == Outcome(error="internal error: ValueError: three is not allowed")
    assert [o.value for o in (*found[0], *found[2])] == [0, 1, 4, 5]


def test_what_the_receiver_raises_ends_the_run():
    def full(number, outcomes):
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        run_tasks(parallel_tasks.slow, range(100), block=1, on_block=full, workers=2)


def test_an_interrupt_keeps_what_was_handed_over():
    found = {}

    def keep(number, outcomes):
        found[number] = outcomes
        if len(found) == 3:
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_tasks(parallel_tasks.slow, range(1000), block=1, on_block=keep, workers=2)
    assert len(found) == 3
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": 0}, "block must be at least 1, found 0"),
        ({"block": 1, "workers": 0}, "workers must be from 1 to 1024, found 0"),
        ({"block": 1, "workers": 2, "scheduler": "tcp://a:1"}, "workers must be left out"),
    ],
)
def test_settings_that_cannot_be(options, message):
    with pytest.raises(InputError, match=message):
        collected(parallel_tasks.square, range(3), **options)


# --- Dask ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://", "http://[::1"])
def test_a_scheduler_that_is_not_there(address, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr("bayes_mesa.parallel.dask_cluster._ANSWER", 1.0)
    with pytest.raises(InputError, match="the scheduler must be 'local' or the address") as error:
        collected(parallel_tasks.square, range(3), block=1, scheduler=address)
    assert address in str(error.value)
    assert "start one with `dask scheduler`" in str(error.value)


def test_without_dask_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"pip install 'bayes_mesa\[distributed\]'"):
        collected(parallel_tasks.square, range(3), block=1, scheduler="local")


def test_a_local_cluster_runs_in_processes_that_only_this_machine_reaches(findable):
    psutil = pytest.importorskip("psutil")
    pytest.importorskip("distributed")
    listening = set()

    def look(number, outcomes):
        me = psutil.Process()
        for process in [me, *me.children(recursive=True)]:
            for connection in process.net_connections():
                if connection.status == psutil.CONN_LISTEN:
                    listening.add(connection.laddr.ip)
                    assert connection.laddr.port != 8787  # the dashboard's own
        found[number] = outcomes

    found = {}
    run_tasks(parallel_tasks.square, range(8), block=2, on_block=look, workers=1, scheduler="local")
    assert sorted(o.value["square"] for b in found.values() for o in b) == [k * k for k in range(8)]
    assert os.getpid() not in {o.value["pid"] for b in found.values() for o in b}
    assert listening == {"127.0.0.1"}


@pytest.mark.slow
def test_a_task_that_kills_its_workers_fails_alone(findable):
    pytest.importorskip("distributed")
    found = collected(
        parallel_tasks.kill_at_three, range(40), block=4, workers=2, scheduler="local"
    )
    outcomes = [o for k in sorted(found) for o in found[k]]
    assert [o.value for o in outcomes if not o.error] == [k for k in range(40) if k != 3]
    assert "was killed each time it was tried" in outcomes[3].error


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_that_dies_once_changes_nothing(workers, tmp_path, findable):
    pytest.importorskip("distributed")
    tasks = [(k, str(tmp_path)) for k in range(12)]
    found = collected(parallel_tasks.kill_once, tasks, block=2, workers=workers, scheduler="local")
    assert (tmp_path / "killed").exists()
    assert [o for k in sorted(found) for o in found[k]] == [Outcome(k) for k in range(12)]


class Remote:
    """A scheduler and a worker of their own, as on other machines."""

    def __init__(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.processes = []

    def start(self, *words):
        environ = {**os.environ, "PYTHONPATH": str(HERE)}
        command = [sys.executable, "-m", "distributed.cli.dask_" + words[0], *words[1:]]
        self.processes.append(
            subprocess.Popen(
                command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
        )

    def scheduler(self):
        host, port = self.address.removeprefix("tcp://").split(":")
        self.start("scheduler", "--host", host, "--port", port, "--no-dashboard")

    def worker(self):
        self.start("worker", self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny")

    def stop(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def remote():
    pytest.importorskip("distributed")
    found = Remote()
    yield found
    found.stop()


@pytest.mark.slow
def test_a_scheduler_that_is_lost_is_named_and_what_was_done_stays(remote, monkeypatch):
    remote.scheduler()
    remote.worker()
    time.sleep(8)
    found = {}

    def keep(number, outcomes):
        found[number] = outcomes
        if len(found) == 2:
            remote.processes[0].send_signal(signal.SIGKILL)

    with pytest.raises(InputError, match="connection to the Dask scheduler .* was lost") as error:
        run_tasks(parallel_tasks.slow, range(200), block=1, on_block=keep, scheduler=remote.address)
    assert remote.address in str(error.value)
    assert "--resume" in str(error.value)
    assert len(found) >= 2


@pytest.mark.slow
def test_a_scheduler_without_workers_is_named(remote, monkeypatch):
    monkeypatch.setattr("bayes_mesa.parallel.dask_cluster._ANSWER", 6.0)
    remote.scheduler()
    time.sleep(4)
    with pytest.raises(InputError, match="must have workers, found none") as error:
        collected(parallel_tasks.square, range(3), block=1, scheduler=remote.address)
    assert f"dask worker {remote.address}" in str(error.value)


def test_versions_that_differ_are_told():
    from bayes_mesa.parallel.dask_cluster import _Job

    job = _Job(None, None, "tcp://far:1")
    said = str(job._differing({**environment(), "numpy": "1.0"}))
    assert "found numpy 1.0 where" in said
    assert "tcp://far:1" in said


def test_threads_work_at_the_same_time():
    meeting = threading.Barrier(2, timeout=30)
    found = collected(lambda task: meeting.wait() >= 0, range(2), block=1, workers=2)
    assert [o.value for b in found.values() for o in b] == [True, True]


# --- regimes on the same engine -----------------------------------------------------------------


def test_a_regime_is_the_same_on_threads_and_one_after_the_other():
    import bayes_mesa as bm

    model = bm.load_model("rollouts")
    post = bm.fit(model, num_samples=30, num_chains=2)
    one = bm.regime(model, post, rollouts=[1, 8, 64])
    assert bm.regime(model, post, rollouts=[1, 8, 64], workers=2).identical(one)


@pytest.mark.slow
def test_a_regime_is_the_same_on_dask(findable):
    pytest.importorskip("distributed")
    import bayes_mesa as bm

    model = bm.load_model("rollouts")
    post = bm.fit(model, num_samples=30, num_chains=2)
    one = bm.regime(model, post, rollouts=[1, 8, 64])
    found = bm.regime(model, post, rollouts=[1, 8, 64], workers=2, scheduler="local")
    assert found.identical(one)
