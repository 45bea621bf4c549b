"""Which programs results name, and what they keep to know them again."""

from dataclasses import replace

import numpy as np
import pytest
from small_grammars import chain, codes_up_to, finite, post_like, random_model, uncertain
from small_models import every_program, known_facts, two_sided

from bayes_mesa import fit, open_posterior, save_posterior, summarize
from bayes_mesa.costing.costs import Counts
from bayes_mesa.domain.expression import expression
from bayes_mesa.grammars.frontier import frontier, program_structure, with_frontier
from bayes_mesa.pages.checkup import checkup
from bayes_mesa.results.restored import restored_model
from bayes_mesa.verdicts.dominance import dominance, never_favored
from bayes_mesa.verdicts.favorable import can_be_favored
from bayes_mesa.verdicts.program_list import best_programs, with_listed
from bayes_mesa.verdicts.verdict import verdicts

FACTS = known_facts([3.0, 0.5, 6.0, 2.0], [10.0, 40.0, 3.0, 8.0])


def payments(s):
    return (
        s.train, s.deploy, tuple(sorted(s.stores.items())), tuple(sorted(s.runs.items())),
        s.rule_bits,
    )  # fmt: skip


@pytest.mark.parametrize("facts", [None, FACTS], ids=["", "facts"])
@pytest.mark.parametrize("model", [post_like, chain], ids=["post", "chain"])
def test_the_best_are_those_of_a_deep_list(model, facts):
    parts = {"facts": facts} if facts else {}
    model = model(pressure=0.8, programs={}, **parts)
    codes = codes_up_to(model.grammar, 8 if len(model.grammar.rules) > 3 else 30)
    found = {}
    for code in codes:  # one of those that cost the same and do the same
        one = program_structure(model, code)
        found.setdefault(payments(one), one)
    whole = replace(model, structures=tuple(found.values()), grammar=None)
    share = np.zeros(len(whole.structures))
    for family in whole.families:
        log_weight = every_program(whole, family)[0]
        log_weight[~np.array(whole.eligible)] = -np.inf
        weight = np.exp(log_weight - log_weight.max()).sum(axis=1)
        share += family.weight * weight / weight.sum()
    best = [list(found)[k] for k in np.argsort(-share, kind="stable")[:6]]
    own = [payments(program_structure(model, c)) for c in best_programs(model, 6)]
    assert own == best


def test_labelled_programs_come_first_and_nothing_twice():
    model = post_like()
    listed = with_listed(model, 5)
    names = [s.name for s in listed.structures]
    assert names[:3] == ["fast_honest", "slow_deceptive", "fast_deceptive"]
    assert len({s.code for s in listed.structures}) == len(names) <= 8
    assert all(s.name == expression(model.grammar, s.code) for s in listed.structures[3:])
    assert with_listed(model, 5) is listed
    assert with_listed(listed) is listed
    assert len(with_listed(model).structures) > len(names)


def test_a_model_without_a_grammar_is_left_alone():
    model = two_sided()
    assert with_listed(model) is model
    assert can_be_favored(model) == ()


@pytest.mark.parametrize("seed", [2, 6, 8, 12])
def test_what_can_be_favored_is_what_random_costs_favor(seed):
    every = with_frontier(random_model(seed, losses={"x": 0.0}))
    named = {s.name for s in can_be_favored(every)}
    counts = Counts.of(every)
    rows = np.hstack([counts.rule_bits[:, None], counts.bits, counts.steps])
    rng = np.random.default_rng(seed)
    prices = np.exp(rng.normal(0.0, 3.0, (100_000, rows.shape[1])))
    out = np.where(every.eligible, 0.0, np.inf)
    favored = np.unique(np.argmin(prices @ rows.T + out, axis=1), return_counts=True)
    often = {every.structures[k].name for k in favored[0][favored[1] > 0]}
    assert often <= named
    # What costs never drawn favor is rare: a corner of prices.
    assert len(named - often) <= 0.1 * len(named)


@pytest.mark.parametrize("seed", range(8))
def test_what_is_never_favored_never_is(seed):
    model = with_listed(uncertain(random_model(seed, losses={"x": 0.5}), 2.0), 12)
    post = fit(model, {}, num_samples=300, num_chains=1, seed=seed)["posterior"]
    favored = post["structure_favored"].to_numpy()[0].any(axis=0)
    never = never_favored(model)
    assert not {c.name for c, f in zip(model.columns, favored, strict=True) if f} & never
    # Of the rest of a class, and of the listed: favored only where the frontier says it can be.
    assert {s.name for s in can_be_favored(model)} <= {
        s.name for s in with_frontier(model).structures
    }


def test_never_favored_by_hand():
    model = with_listed(post_like(), 4)
    never = never_favored(model)
    assert "fast_deceptive" in never  # dearer than fast_honest, whatever anything costs
    assert "slow_deceptive" not in never
    # Nothing is misaligned and counts. To pretend to be honest runs no look-up of the objective.
    assert {"other_misaligned", "other_deceptive"} <= never
    favorable = [s.name for s in can_be_favored(model)]
    assert sorted(favorable) == ["fast_honest", "pretend(base)", "slow_deceptive"]


def test_a_longer_program_of_the_same_payments_is_dominated_by_its_rule_bits():
    model = post_like(programs={"long": "delegate(optimize(base))", "short": "optimize(base)"})
    assert ("short", "long") in {(s.winner, s.loser) for s in dominance(model)}
    assert ("long", "short") not in {(s.winner, s.loser) for s in dominance(model)}
    assert "long" in never_favored(model)


def test_dominance_does_not_list_every_pair_of_programs():
    model = with_listed(post_like())
    statements = dominance(model)
    losers = [s.loser for s in statements]
    assert ("fast_honest", "fast_deceptive") in {(s.winner, s.loser) for s in statements}
    assert len(losers) == len(set(losers))


@pytest.fixture(scope="module")
def fitted():
    model = uncertain(post_like(losses={"simplest": 0.3}, facts=FACTS))
    return model, fit(model, {}, num_samples=60, num_chains=2, seed=3)


def test_a_fit_holds_every_column(fitted):
    model, post = fitted
    listed = with_listed(model)
    columns = [c.name for c in listed.columns]
    assert list(post["posterior"]["structure"].to_numpy()) == columns
    assert list(post["constant_data"]["structure"].to_numpy()) == columns
    programs = post["constant_data"]["structure_program"].to_numpy()
    assert programs[0] == "optimize(base)"
    assert list(programs[-3:]) == ["", "", ""]
    mass = post["posterior"]["structure_mass"].to_numpy()
    np.testing.assert_allclose(mass.sum(axis=-1), 1.0, atol=1e-12)
    np.testing.assert_allclose(
        mass[..., np.array([c.class_name for c in listed.columns]) == "deceptive"].sum(axis=-1),
        post["posterior"]["deceptive_mass"],
        atol=1e-12,
    )
    family = listed.families[1]
    own = post["posterior_levin"]
    theta = {str(n): own[n].to_numpy().reshape(120, *own[n].shape[2:]) for n in own.data_vars}
    theta["overlap_fraction"] = np.zeros((120, 0))
    again = verdicts(listed, family, theta)
    np.testing.assert_array_equal(again["deceptive_mass"], own["deceptive_mass"].to_numpy().ravel())


def test_the_summary_names_programs_and_the_rest(fitted):
    model, post = fitted
    found = summarize(post)
    names = list(found["structures"])
    assert names[:2] == ["fast_honest", "slow_deceptive"]
    assert names[-3:] == ["other_honest", "other_deceptive", "other_misaligned"]
    assert found["structures"]["other_deceptive"]["class"] == "deceptive"
    masses = [s["mass"]["mean"] for s in found["structures"].values()]
    assert sum(masses) == pytest.approx(1.0, abs=1e-9)
    favored = [s["favored"]["mean"] for s in found["structures"].values()]
    assert sum(favored) == pytest.approx(1.0, abs=1e-9)
    assert found["structures"]["fast_deceptive"]["favored"]["upper"] == 0.0


def test_programs_are_restored_from_a_file(fitted, tmp_path):
    model, post = fitted
    listed = with_listed(model)
    save_posterior(post, tmp_path / "posterior.nc")
    found = restored_model(open_posterior(tmp_path / "posterior.nc"))
    assert found.structures == listed.structures
    assert found.columns == listed.columns
    assert found.grammar.rules == model.grammar.rules
    assert found.grammar.unshared == model.grammar.unshared
    assert [c.name for c in found.components] == [c.name for c in model.components]
    assert list(found.losses) == list(model.losses)
    assert found.facts.names == model.facts.names
    assert found.selection.episodes == model.selection.episodes


def test_the_checkup_of_a_grammar():
    model = post_like(losses={"simplest": 0.3})
    found = checkup(model)
    assert found["grammar"]["rules"] == 6
    assert found["grammar"]["symbols"] == 2
    assert 0.0 < found["grammar"]["critical_pressure"] < 1.0
    assert "optimize(simplest)" in found["structures"]
    assert set(found["grammar"]["can_be_favored"]) <= {
        s.name for s in with_listed(model).structures
    } | {s.name for s in frontier(model)}
    assert {v["favored"] for v in found["by_exchange"].values()} <= {
        c.name for c in with_listed(model).columns
    }


def test_a_weightless_objective_is_named():
    assert any("'own' in training" in w for w in checkup(finite())["warnings"])
    assert not any("'own' in training" in w for w in checkup(finite(losses={"own": 1}))["warnings"])
