"""The diagnosis of drawn programs against ArviZ, and what it says of chains that disagree."""

import numpy as np
import pytest
from arviz_stats.base import array_stats

from bayes_mesa.drawing.program_diagnosis import COMPARED, diagnose_programs

NAMES = ["honest", "sly", "other_deceptive"]


def healthy(seed=42, chains=4, draws=1000, share=(0.5, 0.3, 0.2)):
    rng = np.random.default_rng(seed)
    structure = rng.choice(len(share), (chains, draws), p=share)
    return {
        "structure": structure,
        "bits": 10.0 * structure + rng.normal(size=(chains, draws)),
        "steps": rng.lognormal(2.0, 1.0, (chains, draws)),
        "deceptive": (structure > 0).astype(np.int8),
        "log_weight": -rng.exponential(3.0, (chains, draws)),
    }


def slow(chains=4, draws=1000, memory=0.98):
    """Autoregressive draws: worth a hundredth of their number."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(chains, draws))
    for k in range(1, draws):
        x[:, k] = memory * x[:, k - 1] + np.sqrt(1 - memory**2) * x[:, k]
    return x


def test_r_hat_and_ess_are_those_of_arviz():
    drawn = healthy() | {"log_weight": slow()}
    found = diagnose_programs(drawn, NAMES)
    for name in COMPARED:
        x = drawn[name].astype(float)
        r_hat = array_stats.rhat(x, chain_axis=0, draw_axis=1)
        ess = array_stats.ess(x, chain_axis=0, draw_axis=1, method="bulk")
        assert found["r_hat"][name] == pytest.approx(float(r_hat), rel=1e-12)
        assert found["ess_bulk"][name] == pytest.approx(float(ess), rel=1e-12)
    assert len(found["warnings"]) == 1
    assert "log_weight" in found["warnings"][0]


def test_nothing_is_said_of_healthy_draws():
    for seed in range(5):
        assert diagnose_programs(healthy(seed), NAMES)["warnings"] == []


def test_one_chain_is_held_against_itself():
    drawn = healthy(chains=1, draws=4000)
    assert diagnose_programs(drawn, NAMES)["warnings"] == []
    drawn["bits"][:, 2000:] += 30.0
    found = diagnose_programs(drawn, NAMES)
    assert found["r_hat"]["bits"] > 1.5
    assert any("R-hat of bits" in w for w in found["warnings"])


def test_few_effective_draws_are_told():
    drawn = healthy(chains=2, draws=120)
    found = diagnose_programs(drawn, NAMES)
    assert any("worth" in w and "at least 400" in w for w in found["warnings"])


def test_a_structure_that_one_chain_never_meets():
    drawn = healthy()
    drawn["structure"][2][drawn["structure"][2] == 1] = 0
    said = [w for w in diagnose_programs(drawn, NAMES)["warnings"] if "disagree" in w]
    assert len(said) == 1
    assert "chains disagree on whether sly exists" in said[0]
    assert "none of chain 2" in said[0]
    share = (drawn["structure"] == 1).mean(axis=1).max()
    assert f"{share:.3g} of the draws" in said[0]


@pytest.mark.parametrize("share", [(0.992, 0.008, 0.0), (0.5, 0.5, 0.0)])
def test_rare_structures_and_those_that_no_chain_meets_are_no_disagreement(share):
    drawn = healthy(share=share)
    if share[1] < 0.02:
        drawn["structure"][0] = 0
    said = diagnose_programs(drawn, NAMES)["warnings"]
    assert not any("disagree" in w for w in said)


def test_what_does_not_vary_has_no_diagnosis():
    drawn = healthy()
    drawn |= {"bits": np.full((4, 1000), 7.0), "deceptive": np.ones((4, 1000), np.int8)}
    found = diagnose_programs(drawn, NAMES)
    for name in ("bits", "deceptive"):
        assert found["r_hat"][name] is None
        assert found["ess_bulk"][name] is None
    assert found["r_hat"]["steps"] is not None
    assert found["warnings"] == []


def test_chains_that_are_stuck_apart_are_told_and_not_nan():
    drawn = healthy()
    drawn["bits"] = np.arange(4.0)[:, None].repeat(1000, axis=1)
    found = diagnose_programs(drawn, NAMES)
    assert found["r_hat"]["bits"] > 1.01
    assert found["ess_bulk"]["bits"] is None or np.isfinite(found["ess_bulk"]["bits"])
    assert any("R-hat of bits" in w and "do not agree" in w for w in found["warnings"])
    assert not any("nan" in w for w in found["warnings"])


def test_one_chain_stuck_where_the_others_move():
    drawn = healthy()
    drawn["bits"][0] = drawn["bits"][0, 0]
    found = diagnose_programs(drawn, NAMES)
    assert any("bits" in w for w in found["warnings"])


def test_draws_where_nothing_fits_are_left_out():
    drawn = healthy()
    nothing = np.zeros((4, 1000), bool)
    nothing[:, ::10] = True
    drawn["structure"][nothing] = -1
    for name in ("bits", "steps", "log_weight"):
        drawn[name][nothing] = np.nan
    found = diagnose_programs(drawn, NAMES)
    assert found["warnings"] == []
    assert all(np.isfinite(x) for x in found["r_hat"].values())
    for name in ("bits", "steps", "log_weight"):
        drawn[name][:] = np.nan
    assert diagnose_programs(drawn, NAMES)["r_hat"]["bits"] is None


def test_too_few_draws_cannot_be_judged():
    found = diagnose_programs(healthy(draws=5), NAMES)
    assert set(found["r_hat"].values()) == {None}
    assert found["warnings"] == []
