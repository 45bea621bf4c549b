"""Geweke's joint test of every move of the tempered sampler, and that it sees a wrong one."""

from dataclasses import replace

import numpy as np
import pytest
from exact_space import LEVEL, Space, mid_rank, misfit
from geweke import LADDER, MOVES, THETAS, Joint, Mover, successive, worst
from test_tempering import SPACES as OTHERS
from test_tempering import log_weight

from bayes_mesa._ext.tempered import Kernel

#: The spaces of the transition matrices too, where most of the weight is in few programs.
SPACES = {f"level_{name}": found for name, found in LEVEL.items()} | OTHERS


def space(name):
    return Space.of(*SPACES[name])


@pytest.mark.parametrize("move", MOVES)
def test_programs_and_theta_keep_their_joint_law(move):
    averages, wanted, mover = successive(space("level_grammar"), move, 600, 20, 42)
    assert misfit(averages, wanted).max() < 1.0
    moves, swapped = mover.counted()
    # One that goes nowhere would keep any law.
    assert (swapped if move == "replica exchange" else moves[:, :, 1]).sum() > 500


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
@pytest.mark.parametrize("move", MOVES)
def test_programs_and_theta_keep_their_joint_law_in_every_space(move, name):
    assert worst(space(name), move, 5000, 20, 42) < 1.0


@pytest.mark.parametrize("name", ["post_like_facts", "structures_facts"])
def test_the_space_is_weighed_as_by_the_definition(name):
    listed = space(name)
    for pressure, rate in THETAS[::2]:
        target = listed.target(pressure, rate)
        wanted = np.array([log_weight(target, c, z) for c, z in listed.programs])
        found = listed.log_weight(pressure, rate)
        fits = np.isfinite(wanted)
        np.testing.assert_array_equal(np.isfinite(found), fits)
        np.testing.assert_allclose((found - found[fits][0])[fits], (wanted - wanted[fits][0])[fits],
                                   atol=1e-9)  # fmt: skip


def test_theta_given_programs_follows_the_joint_law():
    joint = Joint.of(space("structures_facts"), 2)
    rng = np.random.default_rng(42)
    programs = joint.draw(rng)[1]
    wanted = np.exp(sum(joint.log_share[:, r, p] for r, p in enumerate(programs)))
    drawn = np.array([joint.theta_given(programs, rng) for _ in range(4000)])
    seen = drawn[:, None] == np.arange(len(THETAS))
    assert misfit(seen.astype(float), wanted / wanted.sum()).max() < 1.0


def faulty(monkeypatch, **changed):
    """Kernels that are given other numbers than their target's."""
    whole = Space.target

    def target(self, *args, **kwargs):
        found = whole(self, *args, **kwargs)
        arrays = {**found.arrays, **{n: change(found.arrays[n]) for n, change in changed.items()}}
        return replace(found, kernel=Kernel(arrays, found.max_nodes))

    monkeypatch.setattr(Space, "target", target)


@pytest.mark.parametrize(
    ("move", "name", "changed"),
    [
        ("regenerate", "level_grammar", {"log_whole": np.zeros_like}),
        ("insert and delete", "level_grammar", {"log_back": lambda x: x + 1.0}),
        ("swap", "level_grammar", {"log_base": lambda x: 2.0 * x}),
        ("flip", "level_grammar", {"fact_bits": lambda x: 1.3 * x}),
        ("flip", "post_like_facts", {"cap": lambda x: 2.0 * x}),
        ("exchange", "level_structures", {"fact_steps": np.zeros_like}),
        ("jump", "post_like_facts", {"jump_log_excess": np.zeros_like}),
        ("scan", "level_structures", {"nats": lambda x: 0.5 * x}),
        ("whole round", "level_grammar", {"rate": lambda x: 1.5 * x}),
    ],
)
def test_a_wrong_move_is_seen(move, name, changed, monkeypatch):
    faulty(monkeypatch, **changed)
    assert worst(space(name), move, 1000, 20, 42) > 1.0


def test_a_wrong_ladder_is_seen():
    # What is drawn for one pair of temperatures is exchanged by the rule for another.
    listed = space("post_like_facts")
    rng, mover = np.random.default_rng(1), Mover(listed, "replica exchange", 2)
    mover.ladder = np.array([LADDER[0], 0.9])
    joint = Joint.of(listed, 2)
    rows = []
    for _ in range(1000):
        k, programs = joint.draw(rng)
        for _ in range(5):
            programs = mover.turn(k, programs)
        rows.append(joint.functions[k, programs[0]])
    assert misfit(np.array(rows), joint.wanted()[: len(rows[0])]).max() > 1.0


def test_what_chance_allows():
    rng = np.random.default_rng(42)
    seldom = (rng.random((200, 2000)) < 0.004).astype(float)
    # Five standard errors by the sample's own spread would be exceeded where it holds one event.
    assert misfit(seldom, np.full(2000, 0.004)).max() < 1.0
    assert misfit(np.full((4000, 1), 0.5), np.array([0.52])) > 1.0
    values = np.array([3.0, 1.0, 1.0 + 1e-13, 2.0])
    np.testing.assert_allclose(mid_rank(values, np.full(4, 0.25)), [0.875, 0.25, 0.25, 0.625])
