"""Bugs planted into copies of the sources: each must be caught, and nothing where there is none."""

import math

import numpy as np
import pytest
from planted.bugs import BUGS, NO_BUG, Edit
from planted.copies import ROOT, DriftError, make_copy, planted
from planted.gate import GATES, judge
from planted.ranks import randomised_ranks, unlike_uniform
from planted.running import run_gate
from planted.table import ABOUT, PAGE

NAMES = [bug.name for bug in BUGS]


def bug_of(name):
    return BUGS[NAMES.index(name)]


def test_there_are_twelve_bugs_and_each_still_fits_the_sources():
    assert len(set(NAMES)) == 12
    for bug in BUGS:
        for edit in bug.edits:
            assert edit.new != edit.old
            changed = planted((ROOT / edit.file).read_text(), edit)
            if edit.file.endswith(".py"):
                compile(changed, edit.file, "exec")
        assert bug.gate in GATES
        native = any(edit.file.startswith("_ext/") for edit in bug.edits)
        assert native == (bug.extension is not None)


@pytest.mark.parametrize("text", ["nothing", "x = 1\nx = 1\n"])
def test_a_substitution_that_no_longer_fits_is_named(text):
    with pytest.raises(DriftError, match="a.py must hold this exactly once, found [02] times"):
        planted(text, Edit("a.py", "x = 1\n", "x = 2\n"))


def test_a_bug_is_caught_where_it_was_planted_and_only_there(tmp_path):
    bug = bug_of("ln2")
    found = run_gate(make_copy(bug, tmp_path), "brute force")
    assert found.size == 1
    assert bug.runs() < found.ran
    assert judge("brute force", most=1) == (None, "")
    from bayes_mesa.costing.exchange import LN2

    assert math.log(2.0) == LN2


def test_the_page_is_of_these_bugs_and_gates():
    page = PAGE.read_text()
    assert "**12 of 12 bugs are caught**" in page
    header = next(line for line in page.splitlines() if line.startswith("| bug |"))
    assert header == "| bug | " + " | ".join(GATES) + " | gates |"
    assert set(ABOUT) == set(GATES)
    for bug in BUGS:
        assert f"- **{bug.name.replace('_', ' ')}**" in page
        assert bug.what in page


def test_ranks_that_are_uniform_and_ranks_that_are_not():
    rng = np.random.default_rng(42)
    truth, draws = rng.normal(size=400), rng.normal(size=(400, 7))
    assert unlike_uniform({"x": randomised_ranks(truth, draws, rng)}) is None
    # Ties alone, as of a fact that is always stored.
    ties = randomised_ranks(np.ones(400), np.ones((400, 7)), rng)
    assert unlike_uniform({"x": ties}) is None
    narrow = unlike_uniform({"x": randomised_ranks(truth, 0.3 * draws, rng)})
    shifted = unlike_uniform({"x": randomised_ranks(truth, draws + 1.0, rng)})
    assert "the ranks of x" in narrow
    assert "the ranks of x" in shifted


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_bug_is_caught(name, tmp_path):
    bug = bug_of(name)
    found = run_gate(make_copy(bug, tmp_path), bug.gate)
    print(name, bug.gate, found.size, found.what)
    assert found.size is not None
    assert bug.runs() & found.ran


@pytest.mark.slow
def test_no_gate_fails_where_nothing_is_planted(tmp_path):
    site = make_copy(NO_BUG, tmp_path)
    for gate in GATES:
        found = run_gate(site, gate)
        assert found.size is None, (gate, found.what)
