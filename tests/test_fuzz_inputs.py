"""Whatever stands in a model file, its tables or its facts: sound, or an error that says where.

The cases are made by the package `fuzzing` from a seed, which is printed; BAYES_MESA_FUZZ_SEED sets
it. A case that fails is left in the test's folder, named by target, seed and number.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing.campaign import case_of, run, target_of
from fuzzing.case import MODEL, TARGETS, Case
from fuzzing.seeds import read_models, sound
from fuzzing.shrinking import shrunk
from fuzzing.trial import Broken, outcome, peak_memory

import bayes_mesa

SEED = int(os.environ.get("BAYES_MESA_FUZZ_SEED", "42"))
TESTS = Path(__file__).resolve().parent
PACKAGE = Path(bayes_mesa.__file__).parent


def started(*arguments):
    command = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)


def checked(counts, failures, count):
    print(f"seed {SEED}: {json.dumps(dict(sorted(counts.items())))}")
    told = "\n".join(f"{name}: {reason} (left in {place})" for name, reason, place in failures)
    assert not failures, f"seed {SEED}\n{told}"
    assert sum(n for name, n in counts.items() if not name.startswith("then ")) == count
    for target in TARGETS:
        assert counts[f"{target} sound"] > 0.02 * count * counts[f"{target} refused"] / count
        assert counts[f"{target} refused"] > 0


def test_what_the_cases_begin_with_is_sound(tmp_path):
    models = read_models(tmp_path / "models")
    for cases in sound().values():
        for case in cases:
            assert outcome(case, tmp_path / "case", models)[0] == "sound"


def test_fifteen_hundred_inputs(tmp_path):
    before = peak_memory()
    tally = run("all", SEED, 0, 800, tmp_path)
    checked(tally.counts, tally.failures, 800)
    assert peak_memory() - before < 400e6


@pytest.mark.slow
def test_two_hundred_thousand_inputs(tmp_path):
    half = 100_000
    parts = [
        started("fuzzing", "all", "--seed", SEED, "--first", k * half, "--count", half,
                "--deeper", 200, "--out", tmp_path / str(k))
        for k in range(2)
    ]  # fmt: skip
    counts, failures = {}, []
    for part in parts:
        answer, _ = part.communicate()
        assert part.returncode == 0, "the interpreter itself ended"
        found = json.loads(answer)
        failures += found["failures"]
        for name, number in found["counts"].items():
            counts[name] = counts.get(name, 0) + number
    checked(counts, failures, 2 * half)
    assert counts["then fitted"] > 20


def test_a_number_is_the_same_case_anywhere(tmp_path):
    for number in range(40):
        target = target_of(number)
        assert case_of(target, SEED, number) == case_of(target, SEED, number)
    numbers = ("--seed", SEED, "--first", 3, "--count", 4)
    here = run(MODEL, SEED, 3, 4, tmp_path / "here")
    there, _ = started("fuzzing", MODEL, *numbers, "--out", tmp_path / "there").communicate()
    assert json.loads(there)["counts"] == here.counts


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ZeroDivisionError("x"), "ZeroDivisionError"),
        (RecursionError("x"), "RecursionError"),
        (bayes_mesa.InputError("no line"), "InputError"),
        (bayes_mesa.ModelFileError([]), "without a fault"),
    ],
)
def test_other_answers_would_be_seen(tmp_path, monkeypatch, fault, said):
    def broken(path):
        raise fault

    monkeypatch.setattr("bayes_mesa.model_file.load_model", broken)
    with pytest.raises(Broken, match=said):
        outcome(sound()[MODEL][0], tmp_path, {})


def test_a_hang_would_be_seen(tmp_path, monkeypatch):
    def hang(path):
        while True:
            try:
                sum(range(1000))
            except Exception:  # noqa: S112
                continue

    monkeypatch.setattr("fuzzing.trial.SECONDS", 0.05)
    monkeypatch.setattr("bayes_mesa.model_file.load_model", hang)
    with pytest.raises(Broken, match="took more than"):
        outcome(sound()[MODEL][0], tmp_path, {})


def test_a_failing_case_is_cut_to_what_matters(tmp_path, monkeypatch):
    def broken(path):
        if b"kappa" in path.read_bytes():
            raise KeyError("kappa")

    monkeypatch.setattr("bayes_mesa.model_file.load_model", broken)
    lines = b"\n".join(b"kappa" if k == 70 else b"rate" for k in range(100))
    least = shrunk(Case(MODEL, {"m.toml": lines}, "m.toml"), tmp_path, {})
    assert least.files == {"m.toml": b"kappa"}


def test_reading_runs_and_reaches_nothing(tmp_path):
    """Under an audit hook; what is allowed, and why, is in `fuzzing.audited`."""
    out, _ = started("fuzzing.audited", tmp_path, SEED, 700).communicate()
    # The last line is the process's own, to show that the hook sees.
    assert json.loads(out) == [["compile", "(b'1',)"]]


def calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.func.id, node.lineno


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


#: Where pickle may stand, and why: what goes to other processes of the same run, never a file.
PICKLING = {"calibration/job.py"}


def test_the_package_never_evaluates_or_unpickles():
    forbidden = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib"}
    pickling = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        tree = ast.parse(path.read_text())
        where = path.relative_to(PACKAGE).as_posix()
        run = [call for call in calls(tree) if call[0] in ("eval", "exec", "compile", "__import__")]
        assert not run, f"{where}: {run}"
        if forbidden & {name.split(".")[0] for name in imports(tree)}:
            pickling.add(where)
    assert pickling <= PICKLING
