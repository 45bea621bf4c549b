"""Ctrl-C ends every long command soon, with status 130, and leaves nothing half written.

What runs without the GIL looks for it every millisecond, fits between two chunks of about a second.
Run alone: the clock is that of the machine, and other work on it is counted.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
from test_enumeration import ENDLESS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc"),
]

EVIDENCE = """
[evidence.size]
kind = "measurement"
file = "size.csv"
"""
ROWS = "component,quantity,value,log_sd\nfind_base_obj,steps,3e4,0.3\ncombine,bits,150,0.2\n"

NATIVE, FIT, COMPILING = 0.2, 2.0, 5.0
COMMANDS = {
    "enumerate": (["{endless}", "--mass", "0.999999", "--max-programs", "1000000000000000"],
                  NATIVE),
    "programs": (["{posterior}", "--out", "{new}.nc", "--draws", "50000000"], NATIVE),
    "run": (["program_space_needs", "--out", "{new}", "--draws", "100000"], FIT),
    "run --evidence": (["speed_simplicity", "--out", "{new}", "--evidence", "{evidence}",
                        "--warmup", "400000"], COMPILING),
    "regime": (["rollouts", "--draws", "400000"], FIT),
    "episodes": (["drift", "--draws", "400000"], FIT),
    "cruxes": (["program_space", "--draws", "20000"], FIT),
    "compare": (["speed_simplicity", "discussion", "--draws", "200000"], FIT),
    "sweep": (["program_space", "--over", "exchange.linear.rate=1:1e8:log:400", "--out", "{new}"],
              FIT),
    "calibrate": (["speed_simplicity", "--of", "fit", "--evidence", "{evidence}"], COMPILING),
    "calibrate --of": (["program_space", "--of", "exact"], FIT),
}  # fmt: skip
#: Seconds of processor time after which the command is interrupted: loading, and well under way.
MOMENTS = (4.0, 9.0)


def used(process):
    """Seconds of processor time that a process has used."""
    with open(f"/proc/{process.pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("interrupts")
    (folder / "evidence.toml").write_text(EVIDENCE)
    (folder / "size.csv").write_text(ROWS)
    (folder / "endless.toml").write_text(ENDLESS)
    command = [sys.executable, "-m", "bayes_mesa", "run", "speed_simplicity", "--quiet"]
    subprocess.run([*command, "--out", folder / "out", "--draws", "100"], check=True)
    return {
        "posterior": folder / "out" / "posterior.nc",
        "evidence": folder / "evidence.toml",
        "endless": folder / "endless.toml",
    }


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("name", COMMANDS)
def test_ctrl_c_ends_it_soon(name, moment, places, tmp_path):
    arguments, limit = COMMANDS[name]
    arguments = [a.format(new=tmp_path / "new", **places) for a in arguments]
    process = subprocess.Popen(
        [sys.executable, "-m", "bayes_mesa", name.split()[0], *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        while used(process) < moment:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        sent = time.perf_counter()
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()  # until it ends
        process.wait(timeout=60)
        took = time.perf_counter() - sent
    finally:
        process.kill()
    print(f"{name} after {moment} s: ended within {took:.3f} s, {limit} s allowed")
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert "interrupted: " in said
    assert took < limit
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(".tmp")]


def test_no_moment_of_writing_is_a_bad_one(places, tmp_path):
    # HDF5 once crashed when the interrupt came while it called back.
    for k in range(12):
        process = subprocess.Popen(
            [sys.executable, "-m", "bayes_mesa", "programs", places["posterior"],
             "--out", tmp_path / "new.nc", "--draws", "50000000"],
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        while used(process) < 2.0 + 0.137 * k:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
        assert process.returncode == 130, said
        assert list(tmp_path.iterdir()) == []
