"""Programs written to a file as they are drawn: the same ones, and memory that does not grow."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import arviz
import h5py
import numpy as np
import pytest
import xarray as xr
from small_grammars import post_like
from small_grammars import uncertain as uncertain_grammar
from test_program_sums import FACTS
from test_programs import FAMILIES, quick, three_structures, uncertain
from typer.testing import CliRunner

import bayes_mesa as bm
from bayes_mesa.drawing import program_chains, program_groups, written_programs
from bayes_mesa.drawing.programs import programs_only, sample_programs
from bayes_mesa.drawing.written_programs import write_programs
from bayes_mesa.errors import ResultFileError
from bayes_mesa.interface.cli import app
from bayes_mesa.storage.streamed_file import streamed_file


def fixed_two_families():
    found = three_structures(FAMILIES["levin"], 6)
    return replace(found, families=(FAMILIES["levin"], FAMILIES["linear"]))


MODELS = {
    "one theta": lambda: three_structures(FAMILIES["levin"], 6),
    "one theta for each family": fixed_two_families,
    "many thetas": lambda: uncertain("all"),
    "a grammar at one theta": lambda: post_like(facts=FACTS),
    "a grammar at many": lambda: uncertain_grammar(post_like(facts=FACTS)),
}


@pytest.fixture
def short_stretches(monkeypatch):
    monkeypatch.setattr(written_programs, "_HELD", 1)
    monkeypatch.setattr(written_programs, "_LEAST", 40)


QUICK = {("one theta for each family", "exact"), ("many thetas", "exact")}
QUICK |= {("a grammar at one theta", "exact"), ("one theta", "tempered")}
CASES = [
    pytest.param(name, method, marks=() if (name, method) in QUICK else pytest.mark.slow)
    for name in MODELS
    for method in ("exact", "tempered")
]


@pytest.mark.parametrize(("name", "method"), CASES)
@pytest.mark.usefixtures("short_stretches")
def test_the_file_holds_what_is_drawn_at_once(name, method, tmp_path):
    found = MODELS[name]()
    post = quick(found, num_samples=15)
    asked = {"seed": 7, "num_draws": 95, "num_chains": 3, "method": method}
    whole = programs_only(sample_programs(found, post, **asked))
    sums = set()
    for threads in (1, 3):
        path = tmp_path / f"{threads}.nc"
        written = write_programs(found, post, path, threads=threads, **asked)
        sums.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(sums) == 1
    xr.testing.assert_identical(bm.open_posterior(path), whole)
    structure = whole["programs"]["structure"].to_numpy()
    assert list(written.structures.values()) == [
        np.mean(structure == k) for k in range(len(written.structures))
    ]
    assert sum(written.classes.values()) == pytest.approx(1.0)
    assert written.attributes == whole["programs"].attrs


@pytest.mark.usefixtures("short_stretches")
def test_other_readers_open_the_file(tmp_path):
    found = MODELS["one theta"]()
    post = quick(found, num_samples=2)
    path = write_programs(found, post, tmp_path / "p.nc", num_draws=100).path
    whole = programs_only(sample_programs(found, post, num_draws=100))
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        xr.testing.assert_equal(tree["programs"]["bits"], whole["programs"]["bits"])
    with arviz.from_netcdf(path) as tree:
        assert tree["programs"].sizes["draw"] == 100
    with h5py.File(path) as file:
        bits = file["programs/bits"]
        assert bits.chunks == (1, 40)
        assert bits.fletcher32
        assert bits.compression == "gzip"
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]


@pytest.mark.parametrize("method", ["exact", "tempered"])
@pytest.mark.parametrize("name", ["one theta for each family", "many thetas"])
def test_pieces_are_what_is_drawn_at_once(name, method, monkeypatch):
    found = MODELS[name]()
    post = quick(found, num_samples=15)

    def chains():
        return program_chains.ProgramChains.of(
            found, post, method=method, seed=3, num_draws=60, num_chains=2, threads=1
        )

    whole = program_groups.by_chain(chains().take(60))
    monkeypatch.setattr(program_chains, "_BLOCK", 7)
    monkeypatch.setattr(program_chains, "_BLOCK_VARYING", 3)
    monkeypatch.setattr(program_chains, "_MOST_VARYING", 3)
    under_way = chains()
    parts = [program_groups.by_chain(under_way.take(count)) for count in (1, 30, 29)]
    for variable, x in whole.items():
        pieces = np.concatenate([p[variable] for p in parts], axis=1)
        np.testing.assert_array_equal(pieces, x, err_msg=variable)


@pytest.mark.usefixtures("short_stretches")
def test_an_interrupt_keeps_the_old_file(tmp_path, monkeypatch):
    found = MODELS["one theta"]()
    post = quick(found, num_samples=2)
    path = tmp_path / "p.nc"
    path.write_text("before")
    take = program_chains.ProgramChains.take
    calls = []

    def interrupted(self, count):
        calls.append(count)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return take(self, count)

    monkeypatch.setattr(program_chains.ProgramChains, "take", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_programs(found, post, path, num_draws=200)
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]


def test_how_well_chains_mix_is_told_from_few_draws(monkeypatch):
    monkeypatch.setattr(program_groups, "_DIAGNOSED", 30)
    found = MODELS["many thetas"]()
    post = quick(found, num_samples=15)
    drawing = program_chains.ProgramChains.of(
        found, post, method="tempered", seed=3, num_draws=100, num_chains=2, threads=1
    )
    arrays = program_groups.by_chain(drawing.take(100))
    at_once, in_parts = program_groups.Diagnosed(drawing), program_groups.Diagnosed(drawing)
    at_once.add(arrays)
    for start in (0, 33, 66, 99):
        part = {n: x[:, start : start + 33] for n, x in arrays.items()}
        in_parts.add(part, start)
    kept = [np.concatenate([p["bits"] for p in d.parts], axis=1) for d in (at_once, in_parts)]
    np.testing.assert_array_equal(kept[0], arrays["bits"][:, ::4])
    np.testing.assert_array_equal(kept[1], kept[0])


FULL = """if True:
    import resource, signal, sys
    import numpy as np, xarray as xr
    from bayes_mesa.errors import ResultFileError
    from bayes_mesa.storage.streamed_file import streamed_file
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    rng = np.random.default_rng(1)
    try:
        with streamed_file(sys.argv[1], "draw", 40_000, 1000) as file:
            for start in range(0, 40_000, 1000):
                file.write("programs", xr.Dataset({"x": ("draw", rng.random(1000))}), start)
    except ResultFileError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of files")
@pytest.mark.parametrize("limit", [100, 3_000, 100_000, 300_000])
def test_a_full_disk_is_told_at_once_and_leaves_nothing(limit, tmp_path):
    # HDF5 itself would crash on leaving. The last limit is met by its last words.
    path = tmp_path / "p.nc"
    command = [sys.executable, "-c", FULL, str(path), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{path}: no room: File too large after ")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path):
    nowhere = tmp_path / "nowhere" / "p.nc"
    with (
        pytest.raises(ResultFileError, match="nowhere.*cannot be written: No such file"),
        streamed_file(nowhere, "draw", 1, 1),
    ):
        pass


KNOWN = """
[model]
name = "known"
base_objective = "base"
[components.c]
bits = 3.0
steps = 5.0
[structures.left]
stores = ["c"]
train = "base"
deploy = "base"
[structures.right]
runs = ["c"]
train = "base"
deploy = "other"
[exchange.linear]
rate = 10.0
"""


def test_a_known_model_needs_no_theta_for_each_program(tmp_path, monkeypatch):
    monkeypatch.setattr("bayes_mesa.interface.program_commands._ENOUGH", 10)
    path, out = tmp_path / "known.toml", tmp_path / "p.nc"
    path.write_text(KNOWN)
    size = ["--draws", "300", "--chains", "2", "--seed", "4"]
    done = CliRunner().invoke(app, ["programs", str(path), "--out", str(out), *size])
    assert done.exit_code == 0, done.stderr
    model = bm.load_model(path)
    whole = sample_programs(model, bm.fit(model, num_samples=300, num_chains=2, seed=4), seed=4)
    xr.testing.assert_identical(
        bm.open_posterior(out)["programs"].to_dataset(), whole["programs"].to_dataset()
    )


def test_more_thetas_than_memory_should_hold_are_refused(tmp_path):
    args = ["programs", "speed_simplicity", "--out", str(tmp_path / "p.nc"), "--draws", "2500000"]
    done = CliRunner().invoke(app, args)
    assert done.exit_code == 2
    assert "at most 1000000" in done.stderr
    assert "found 10000000" in done.stderr
    assert "bayes-mesa run speed_simplicity" in done.stderr


MEASURED = """if True:
    import re, sys
    from bayes_mesa.interface.cli import main
    sys.argv[0] = "bayes-mesa"
    try:
        main()
    except SystemExit as end:
        assert not end.code
    # Not `getrusage`: its peak is inherited from the process that started this one.
    print(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1])
"""


def peak(*args):
    """Largest resident set of a command, in KiB."""
    command = [sys.executable, "-c", MEASURED, *map(str, args), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


WITH_FACTS = KNOWN + "[facts]\nfile = 'facts.csv'\n"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A posterior whose theta varies, and a model of twenty facts at one theta."""
    folder = tmp_path_factory.mktemp("sources")
    found = bm.fit(bm.load_model("speed_simplicity"), {}, seed=1)
    bm.save_posterior(found, folder / "posterior.nc")
    rows = [f"f{k},{k + 1},{10 * (k + 1)}" for k in range(20)]
    (folder / "facts.csv").write_text("\n".join(["name,bits,steps", *rows]) + "\n")
    (folder / "known.toml").write_text(WITH_FACTS)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
@pytest.mark.parametrize("source", ["posterior.nc", "known.toml"])
def test_ten_million_programs_take_no_more_memory_than_a_hundred_thousand(
    source, sources, tmp_path
):
    out = tmp_path / "p.nc"
    few, many = (
        peak("programs", sources / source, "--out", out, "--draws", draws, "--chains", 4)
        for draws in (25_000, 2_500_000)
    )
    with xr.open_datatree(out, engine="h5netcdf") as tree:
        assert tree["programs"]["structure"].shape == (4, 2_500_000)
    print(f"{source}: peak {few} and {many}, {many / few - 1:+.1%}; {out.stat().st_size} bytes")
    assert many <= 1.1 * few


@pytest.mark.slow
@pytest.mark.parametrize("source", ["posterior.nc", "known.toml"])
def test_a_million_programs_are_the_same_bytes_for_any_number_of_threads(source, sources, tmp_path):
    sums = set()
    for threads in (1, 2, 4, 8):
        out = tmp_path / "p.nc"
        size = ("--draws", 125_000, "--chains", 8, "--threads", threads)
        peak("programs", sources / source, "--out", out, *size)
        sums.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(sums) == 1
