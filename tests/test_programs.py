"""Draws of whole programs against all programs listed one by one, and their reproducibility."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from small_grammars import finite, post_like
from small_grammars import uncertain as uncertain_grammar
from small_models import every_program, known_facts, lognormal, phi, shares, two_sided
from test_verdict import FAMILIES, USES, limited, three_structures

from bayes_mesa import fit, open_posterior, sample_programs, save_posterior, summarize
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.expression import parse_expression
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import Facts, Selection, Structure
from bayes_mesa.drawing.programs import programs_only
from bayes_mesa.errors import InputError
from bayes_mesa.results.restored import restored_model
from bayes_mesa.verdicts.program_list import with_listed


def quick(found, **settings):
    return fit(found, {}, **({"num_samples": 50, "num_chains": 2, "seed": 1} | settings))


@pytest.mark.parametrize("name", FAMILIES)
def test_frequencies_are_those_of_all_programs(name):
    found = three_structures(FAMILIES[name], 14, uses=USES)
    log_weight, cost, bits, steps, stored = every_program(found, FAMILIES[name])
    post = quick(found, num_samples=1)
    summary = summarize(post)
    share = shares(log_weight)
    assert summary["deceptive_mass"]["mean"] == pytest.approx(share[1:].sum(), abs=1e-9)
    assert summary["deceptive_mass"]["mcse"] == 0.0
    size = 100_000
    programs = sample_programs(found, post, seed=42, num_draws=size, num_chains=1)["programs"]
    structure = programs["structure"].to_numpy()[0]
    kept = programs["stored"].to_numpy()[0]
    for s in range(3):
        close(structure == s, share[s].sum())
        for j in range(14):
            close((structure == s) & kept[:, j], share[s] @ stored[:, j])
    # Two facts at once: a sampler with the right margins could still draw them together.
    close(kept[:, 0] & kept[:, 1], (share @ (stored[:, 0] & stored[:, 1])).sum())
    # Their costs are those of the programs in the list.
    place = (~kept) @ (1 << np.arange(13, -1, -1))
    for variable, exact in (("bits", bits), ("steps", steps), ("penalty", cost)):
        np.testing.assert_allclose(programs[variable].to_numpy()[0], exact[structure, place])
    np.testing.assert_array_equal(programs["deceptive"].to_numpy()[0], structure > 0)


def close(hits, probability):
    error = np.sqrt(max(probability * (1 - probability), 1e-300) / hits.size)
    assert abs(hits.mean() - probability) <= 5 * error + 1 / hits.size * (error < 1 / hits.size)


def uncertain(name="levin", count=5):
    facts = Facts(
        tuple(f"f{j}" for j in range(count)),
        (lognormal(1, 1),) * count,
        (lognormal(4, 2),) * count,
        ((),) * count,
        {"honest": 2.0},
    )
    return two_sided(
        (lognormal(2, 1), lognormal(4, 1)),
        (lognormal(2, 1), lognormal(4, 1)),
        families=(FAMILIES[name],) if name != "all" else tuple(FAMILIES.values()),
        facts=facts,
        selection=Selection(lognormal(0, 0.5)),
    )


def digest(tree):
    programs = tree["programs"]
    whole = b"".join(programs[v].to_numpy().tobytes() for v in sorted(programs.data_vars))
    return hashlib.sha256(whole + str(programs["family"].to_numpy()).encode()).hexdigest()


@pytest.mark.parametrize("fixed", [True, False])
def test_same_bytes_from_any_number_of_threads(fixed):
    found = three_structures(FAMILIES["levin"], 6) if fixed else uncertain()
    post = quick(found)
    digests = {
        digest(sample_programs(found, post, seed=7, num_draws=300, num_chains=4, threads=t))
        for t in (1, 2, 4)
    }
    assert len(digests) == 1
    other = digest(sample_programs(found, post, seed=8, num_draws=300, num_chains=4))
    assert other not in digests


def test_chains_differ():
    found = three_structures(FAMILIES["levin"], 6)
    stored = sample_programs(found, quick(found), seed=7, num_chains=3)["programs"]["stored"]
    assert (stored[0] != stored[1]).any()
    assert (stored[1] != stored[2]).any()


def test_costs_are_those_of_the_draw_and_go_round_in_turn():
    found = uncertain()
    post = quick(found)
    programs = sample_programs(found, post, seed=3, num_draws=120)["programs"]
    theta = post["posterior"]
    place = np.arange(120) % 50
    for chain in range(2):
        stored = programs["stored"].to_numpy()[chain]
        s = programs["structure"].to_numpy()[chain]
        at = {n: theta[n].to_numpy()[chain][place] for n in theta.data_vars}
        rows = np.arange(120)
        bits = at["structure_bits"][rows, s] + (at["fact_bits"] * stored).sum(axis=1)
        derived = (at["fact_steps"] * ~stored).sum(axis=1)
        steps = at["structure_steps"][rows, s] + np.array([2.0, 1.0])[s] * derived
        np.testing.assert_allclose(programs["bits"].to_numpy()[chain], bits, rtol=1e-12)
        np.testing.assert_allclose(programs["steps"].to_numpy()[chain], steps, rtol=1e-12)
        cost = phi("levin", {"kappa": 1.3}, bits, steps)
        np.testing.assert_allclose(programs["penalty"].to_numpy()[chain], cost, rtol=1e-12)


def test_frequencies_over_uncertain_costs_are_the_mean_mass():
    found = uncertain("all")
    post = quick(found, num_samples=4000)
    programs = sample_programs(found, post, seed=3)["programs"]
    mass = post["posterior"]["deceptive_mass"].to_numpy()
    hits = programs["deceptive"].to_numpy()
    error = np.sqrt((mass * (1 - mass)).sum()) / mass.size
    assert abs(hits.mean() - mass.mean()) < 5 * error
    np.testing.assert_array_equal(programs["family"], post["posterior"]["family"])


def test_structures_alone_and_what_does_not_fit():
    found = limited(cap=19.0)
    programs = sample_programs(found, quick(found))["programs"]
    assert (programs["structure"] == -1).all()
    assert np.isnan(programs["penalty"]).all()
    assert not programs["deceptive"].any()
    assert "stored" not in programs


def test_the_posterior_itself_is_left_alone():
    found = uncertain()
    post = quick(found)
    tree = sample_programs(found, post)
    assert "programs" not in post
    assert {"programs", "programs_stats"} <= set(tree.children)
    assert list(tree["programs"]["structure_name"].to_numpy()) == ["honest", "deceptive"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "gibbs"}, InputError, "method must be one of auto, exact, tempered"),
        ({"method": "exact", "num_draws": "3"}, InputError, "num_draws must be a whole number"),
        ({"num_draws": -1}, InputError, "num_draws must be a whole number >= 1, found -1"),
        ({"num_draws": 0}, InputError, "num_draws must be a whole number >= 1, found 0"),
        ({"num_chains": 0}, InputError, "num_chains must be a whole number >= 1, found 0"),
        ({"num_draws": 1.5}, InputError, r"num_draws must be a whole number >= 1, found 1\.5"),
        ({"threads": -1}, InputError, "threads must be a whole number >= 1, found -1"),
    ],
)
def test_bad_arguments(arguments, error, message):
    found = two_sided()
    with pytest.raises(error, match=message):
        sample_programs(found, quick(found), **arguments)


def test_a_posterior_of_another_model():
    post = quick(two_sided())
    other = two_sided(sha256="1" * 64, selection=Selection(Known(2.0)))
    with pytest.raises(InputError, match="posterior must be of this model"):
        sample_programs(other, post)


# --- a grammar ------------------------------------------------------------------------------

GRAMMARS = {
    "finite": finite(losses={"own": 0.4}, programs={"plain": "follow(base)"}),
    "post": post_like(losses={"simplest": 0.3}),
    "facts": post_like(facts=known_facts([3.0, 0.5, 6.0], [10.0, 40.0, 3.0])),
}


@pytest.mark.parametrize("name", GRAMMARS)
@pytest.mark.parametrize("family", ["linear", "levin", "power"])
def test_programs_of_a_grammar_are_drawn_by_their_mass(name, family):
    found = replace(GRAMMARS[name], families=(replace(GRAMMARS[name].family(family), weight=1.0),))
    post = quick(found, num_samples=1, num_chains=1)
    drawn = sample_programs(found, post, seed=42, num_draws=40_000, num_chains=1)["programs"]
    structure = drawn["structure"].to_numpy()[0]
    mass = post["posterior"]["structure_mass"].to_numpy()[0, 0]
    assert list(drawn["structure_name"].to_numpy()) == list(
        post["posterior"]["structure"].to_numpy()
    )
    for place, share in enumerate(mass):
        close(structure == place, share)
    close(drawn["deceptive"].to_numpy()[0] == 1, post["posterior"]["deceptive_mass"].item())


def test_a_drawn_program_costs_what_its_expression_says():
    found = uncertain_grammar(GRAMMARS["facts"])
    post = quick(found, num_samples=100)
    drawn = sample_programs(found, post, seed=5)["programs"]
    names = drawn["program_name"].to_numpy()
    theta = {n: x.to_numpy() for n, x in post["posterior"].data_vars.items()}
    columns = [str(x) for x in drawn["structure_name"].to_numpy()]
    for chain, draw in ((0, 3), (1, 17), (1, 99)):
        own = {n: x.to_numpy()[chain, draw] for n, x in drawn.data_vars.items()}
        at = {n: x[chain, draw] for n, x in theta.items()}
        code = parse_expression(found.grammar, str(names[own["program"]]))
        meaning = interpret(found.grammar, code)
        index = found.component_index
        bits = meaning.rule_bits + sum(k * at["bits"][index[n]] for n, k in meaning.stores.items())
        steps = sum(k * at["steps"][index[n]] for n, k in meaning.runs.items())
        bits += at["fact_bits"] @ own["stored"]
        steps += at["fact_steps"] @ ~own["stored"]
        family = str(drawn["family"].to_numpy()[chain, draw])
        parameters = {k: b.value for k, b in found.family(family).parameters.items()}
        cost = phi(family, parameters, bits, steps)
        weight = -at["pressure"] * np.log(2.0) * cost
        expected = {"bits": bits, "steps": steps, "penalty": cost, "log_weight": weight}
        for variable, value in expected.items():
            assert own[variable] == pytest.approx(value, rel=1e-12), variable
        listed = {s.code: s.name for s in with_listed(found).structures}
        class_name = Structure("", {}, {}, meaning.train, meaning.deploy).class_under("base")
        assert columns[own["structure"]] == listed.get(code, f"other_{class_name}")
        assert own["deceptive"] == (class_name == "deceptive")


@pytest.mark.parametrize("fixed", [True, False])
def test_a_grammar_gives_the_same_bytes_from_any_number_of_threads(fixed):
    found = GRAMMARS["facts"] if fixed else uncertain_grammar(GRAMMARS["facts"])
    post = quick(found)
    digests = {
        digest(sample_programs(found, post, seed=7, num_draws=120, num_chains=3, threads=t))
        for t in (1, 2, 3)
    }
    assert len(digests) == 1


def test_programs_of_a_grammar_from_a_posterior_file(tmp_path):
    found = uncertain_grammar(GRAMMARS["post"])
    post = quick(found, num_samples=80)
    save_posterior(post, tmp_path / "posterior.nc")
    tree = open_posterior(tmp_path / "posterior.nc")
    again = sample_programs(restored_model(tree), tree, seed=9)
    assert digest(again) == digest(sample_programs(found, post, seed=9))
    save_posterior(programs_only(again), tmp_path / "programs.nc")
    kept = open_posterior(tmp_path / "programs.nc")["programs"]
    assert kept["program_name"].to_numpy()[0] in ("optimize(base)", "optimize(simplest)")
