"""Sweeps in processes of their own: killed, interrupted, on other workers, and the same bytes."""

import hashlib
import os
import signal
import subprocess
import sys
import time

import pytest

import bayes_mesa as bm

pytestmark = pytest.mark.slow

RATE, BITS = "exchange.linear.rate", "components.get_base_obj.bits"
OVER = ("--over", f"{RATE}=1e-2:1e8:log:40", "--over", f"{BITS}=10:1e4:log:40")
FEW = ("--draws", "25", "--chains", "2", "--quiet")


def start(folder, *words, over=OVER):
    command = [sys.executable, "-m", "bayes_mesa", "sweep", "speed_simplicity", *over]
    return subprocess.Popen(
        [*command, "--out", str(folder), *FEW, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def parts(folder):
    return sorted((folder / "sweep.parts").glob("block-*.nc"))


def wait_for_parts(folder, number, process):
    deadline = time.monotonic() + 300
    while len(parts(folder)) < number:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def finished(process):
    said, errors = process.communicate(timeout=1500)
    assert process.returncode == 0, errors
    return said


def digest(folder):
    return hashlib.sha256((folder / "sweep.nc").read_bytes()).hexdigest()


def worker_processes(process):
    psutil = pytest.importorskip("psutil")
    children = psutil.Process(process.pid).children(recursive=True)
    return [c for c in children if any("spawn_main" in word for word in c.cmdline())]


def test_1600_points_are_the_same_on_one_worker_and_on_two_of_which_one_is_killed(tmp_path):
    pytest.importorskip("distributed")
    one = start(tmp_path / "one", "--scheduler", "local", "--workers", "1")
    finished(one)
    two = start(tmp_path / "two", "--scheduler", "local", "--workers", "2")
    wait_for_parts(tmp_path / "two", 20, two)
    victims = worker_processes(two)
    assert len(victims) == 2
    victims[0].kill()
    finished(two)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    found = bm.open_sweep(tmp_path / "two")
    assert found["error"].size == 1600
    assert not found["error"].to_numpy().any()


SMALL = ("--over", f"{RATE}=1e-2:1e8:log:128")


def test_a_killed_sweep_goes_on_to_the_same_bytes(tmp_path):
    finished(start(tmp_path / "whole", "--workers", "1", over=SMALL))
    folder = tmp_path / "killed"
    for number in (2, 5):
        process = start(folder, "--resume", "--workers", "2", over=SMALL)
        wait_for_parts(folder, number, process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    before = {path.name: path.stat().st_mtime_ns for path in parts(folder)}
    process = start(folder, "--resume", "--workers", "2", over=SMALL)
    wait_for_parts(folder, len(before) + 1, process)
    after = {path.name: path.stat().st_mtime_ns for path in parts(folder)}
    assert before.items() <= after.items()  # nothing finished is computed twice
    finished(process)
    assert digest(folder) == digest(tmp_path / "whole")


@pytest.mark.parametrize("words", [(), ("--scheduler", "local")], ids=["threads", "dask"])
def test_ctrl_c_ends_soon_and_says_how_to_go_on(words, tmp_path):
    process = start(tmp_path, "--workers", "2", *words, over=SMALL)
    wait_for_parts(tmp_path, 2, process)
    asked = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process
    said, errors = process.communicate(timeout=60)
    took = time.monotonic() - asked
    assert process.returncode == 130, errors
    assert took < 5.0
    assert "interrupted: " in errors
    assert f"of 128 points are in {tmp_path}: --resume goes on from them" in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert len(parts(tmp_path)) >= 2


def test_a_scheduler_at_an_address_gives_the_same_bytes(tmp_path):
    pytest.importorskip("distributed")
    from test_parallel import Remote

    few = ("--over", f"{RATE}=1e-2:1e8:log:40")
    finished(start(tmp_path / "here", "--workers", "1", over=few))
    remote = Remote()
    try:
        remote.scheduler()
        remote.worker()
        time.sleep(5)
        finished(start(tmp_path / "there", "--scheduler", remote.address, over=few))
    finally:
        remote.stop()
    assert digest(tmp_path / "here") == digest(tmp_path / "there")
