"""Which engine answers and why, what results keep of it, and programs drawn by each of them."""

import hashlib
import json
import os
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from every_program import EveryProgram
from small_grammars import finite, grammar_model, post_like, rule, uncertain
from small_models import component, family, known_facts, lognormal, model, structure, two_sided
from test_tempering import HONEST_SIDE, NEEDY, USED, far_apart, structures_only
from test_tempering import limited as under

import bayes_mesa as bm
from bayes_mesa.chains.tempered_meaning import describe
from bayes_mesa.chains.tempered_walk import Settings
from bayes_mesa.chains.tempering import run_chains
from bayes_mesa.domain.expression import parse_expression
from bayes_mesa.domain.model import Overlap
from bayes_mesa.drawing.program_diagnosis import diagnose_programs
from bayes_mesa.results.restored import restored_model
from bayes_mesa.verdicts.engines import Engines

FAMILIES = ("linear", "levin", "power")
LONE = known_facts([3.0, 0.5, 6.0], [10.0, 40.0, 3.0])


def quick(found, **settings):
    return bm.fit(found, {}, **({"num_samples": 20, "num_chains": 2, "seed": 1} | settings))


def crowded(components=17):
    """So many optional components that their combinations exceed 2^16."""
    names = [f"c{k}" for k in range(components)]
    leaves = [
        rule("Goal", n, stores=[n], runs=["all"], train="base", deploy="base" if k % 2 else "x")
        for k, n in enumerate(names)
    ]
    rules = (rule("S", "one", ["Goal"]), rule("S", "both", ["Goal", "S"]), *leaves)
    costs = {n: (1.0 + k % 3, 0.0) for k, n in enumerate(names)} | {"all": (0.0, 5.0)}
    return grammar_model(rules, costs, start="S")


MANY = known_facts([1.0] * 17, [4.0] * 17, needs=((),) * 16 + ((0,),))

#: Model → engine of the masses, engine of the programs, what the reason says.
CHOICES = {
    "structures": (structures_only(), "exact", "exact", "every structure is weighed"),
    "lone facts": (structures_only(facts=LONE), "exact", "exact", "factorises over facts"),
    "capped structures": (under(structures_only(), cap=150.0), "exact", "exact", "every structure"),
    "needs": (structures_only(facts=NEEDY), "listed", "tempered", "need one another: all 2^3"),
    "cap and facts": (
        under(structures_only(facts=LONE), cap=300.0), "listed", "tempered", "the cap bounds",
    ),
    "capacity and facts": (
        under(structures_only(facts=LONE), max_bits=20.0), "listed", "tempered", "the capacity",
    ),
    "many facts": (structures_only(facts=MANY), "tempered", "tempered", "more than 16 facts"),
    "grammar": (post_like(), "exact", "exact", "factorises over rules and facts"),
    "grammar with facts": (post_like(facts=LONE), "exact", "exact", "factorises"),
    "capped grammar": (finite(cap=14.0), "enumerated", "tempered", "a cap cuts the grammar off"),
    "small grammar": (finite(max_bits=14.0), "enumerated", "tempered", "a capacity cuts"),
    "open grammar": (
        replace(
            crowded(16), selection=replace(crowded(16).selection, max_bits=500.0)
        ),
        "tempered", "tempered", "leaves the deceptive mass open",
    ),
    "grammar with needs": (
        uncertain(post_like(facts=NEEDY)), "tempered", "tempered", "need one another",
    ),
    "known grammar with needs": (
        post_like(facts=NEEDY), "enumerated", "tempered", "programs are listed",
    ),
    "grammar with cap and facts": (
        uncertain(post_like(facts=LONE, cap=200.0)), "tempered", "tempered", "all facts together",
    ),
    "overlaps": (
        replace(post_like(), overlaps=(Overlap("plan", "world", lognormal(0, 1)),)),
        "tempered", "tempered", "overlaps tie",
    ),
    "many components": (crowded(), "tempered", "tempered", "combinations"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_the_engine_and_the_reason(name):
    found, masses, programs, reason = CHOICES[name]
    engines = Engines.of(found)
    assert (engines.masses, engines.programs) == (masses, programs), engines.reason
    assert reason in engines.reason
    assert (engines.inner_draws > 0) == (masses == "tempered")
    assert Engines.of(found) is engines


@pytest.mark.parametrize("name", ["lone facts", "needs", "small grammar", "grammar with needs"])
def test_a_result_says_which_engine_and_why(name):
    found, masses, programs, reason = CHOICES[name]
    post = quick(found, num_samples=4)
    said = json.loads(post.attrs["engines"])
    assert (said["masses"], said["programs"]) == (masses, programs)
    assert reason in said["reason"]
    drawn = bm.sample_programs(found, post)["programs"]
    assert drawn.attrs["method"] == programs
    assert reason in drawn.attrs["reason"]
    asked = bm.sample_programs(found, post, method="tempered")["programs"]
    assert asked.attrs["reason"] == "asked for by name"
    assert ("r_hat" in drawn.attrs) == (programs == "tempered")
    variables = set(post["posterior"].data_vars)
    error = {"tempered": "mass_error", "enumerated": "mass_bound"}.get(masses, "log_weight_error")
    assert {error} == variables & {"mass_error", "mass_bound", "log_weight_error"}


# --- there and back -----------------------------------------------------------------------------


def spread(found):
    """The structures with uncertain costs."""
    parts = tuple(replace(c, steps=lognormal(np.log(c.steps.value), 0.5)) for c in found.components)
    return replace(found, components=parts)


TWO = (Overlap("a", "b", lognormal(-2, 0.1)), Overlap("c", "b", lognormal(-2, 0.1)))
WAYS = {
    "structures, exact": (spread(structures_only(overlaps=())), "exact"),
    "structures with overlaps": (spread(structures_only(overlaps=TWO)), "tempered"),
    "structures with needs": (under(spread(structures_only(facts=USED)), cap=400.0), "tempered"),
    "grammar, exact": (uncertain(post_like(facts=LONE, losses={"simplest": 0.3})), "exact"),
    "grammar, tempered": (uncertain(post_like(facts=NEEDY, losses={"simplest": 0.3})), "tempered"),
    "grammar with overlaps": (
        replace(uncertain(post_like()), overlaps=(Overlap("plan", "world", lognormal(-1, 0.1)),)),
        "tempered",
    ),
}


@cache
def posterior_of(way):
    return quick(WAYS[way][0])


def digest(tree):
    programs = tree["programs"]
    whole = b"".join(programs[v].to_numpy().tobytes() for v in sorted(programs.data_vars))
    whole += programs["family"].to_numpy().tobytes()
    names = programs["program_name"].to_numpy() if "program_name" in programs.coords else ""
    return hashlib.sha256(whole + str(list(names)).encode()).hexdigest()


@pytest.mark.parametrize("way", WAYS)
def test_programs_from_a_file_are_those_of_the_model(way, tmp_path):
    found, method = WAYS[way]
    post = posterior_of(way)
    path = bm.save_posterior(post, tmp_path / "posterior.nc")
    opened = bm.open_posterior(path)
    # More draws than the posterior has, and more chains.
    asked = {"method": method, "seed": 5, "num_draws": 30, "num_chains": 3}
    here = bm.sample_programs(found, post, **asked)
    there = bm.sample_programs(restored_model(opened), opened, **asked)
    assert digest(here) == digest(there)
    assert here["programs"]["structure"].shape == (3, 30)
    assert_costs(found, post, here["programs"])


def assert_costs(found, post, drawn):
    """Bits, steps and log weight of what was drawn, at the theta of its place in turn."""
    for chain, draw in ((0, 3), (1, 19), (0, 23), (2, 29)):
        place = {"chain": chain % 2, "draw": draw % 20}
        name = str(drawn["family"].values[chain, draw])
        assert name == str(post["posterior"]["family"].isel(place).item())
        at = {n: x.isel(place).values for n, x in post[f"posterior_{name}"].data_vars.items()}
        own = {n: x.values[chain, draw] for n, x in drawn.data_vars.items()}
        if own["structure"] < 0:
            assert np.isnan([own["bits"], own["steps"], own["penalty"]]).all()
            continue
        index = {c.name: k for k, c in enumerate(found.components)}
        values = {f"{x}.{c}": at[x][k] for c, k in index.items() for x in ("bits", "steps")}
        for k, o in enumerate(found.overlaps):
            values[f"overlap_fraction.{o.component}.{o.inside}"] = at["overlap_fraction"][k]
        code = (int(own["structure"]),)
        if found.grammar is not None:
            text = str(drawn["program_name"].values[own["program"]])
            code = parse_expression(found.grammar, text)
        every = one_tree(found, name, values, code)
        stored = own.get("stored", np.zeros(0, bool))
        row = int(np.flatnonzero((every.stored == stored).all(axis=1))[0])
        assert own["bits"] == pytest.approx(every.bits[row], rel=1e-12)
        assert own["steps"] == pytest.approx(every.steps[row], rel=1e-12)
        assert own["deceptive"] == (every.class_name[row] == "deceptive")
        assert own["penalty"] == pytest.approx(every.cost[row] - every.lost[row], rel=1e-10)
        if "log_weight" in own:
            weight = -at["pressure"] * np.log(2.0) * every.cost[row]
            assert own["log_weight"] == pytest.approx(weight, rel=1e-10)


def one_tree(found, name, values, code):
    """Its rows among every program."""
    if found.grammar is None:
        alone = replace(found, structures=(found.structures[code[0]],))
        return EveryProgram.of(alone, found.family(name), values)
    from bayes_mesa.grammars.frontier import program_structure

    program = replace(program_structure(found, code), code=())
    alone = replace(found, structures=(program,), grammar=None)
    every = EveryProgram.of(alone, found.family(name), values)
    bits = every.bits + program.rule_bits
    fits = np.isfinite(every.cost)
    cost = np.where(fits, every.cost + program.rule_bits, np.inf)
    return replace(every, bits=bits, cost=cost)


# --- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_same_bytes_for_any_number_of_threads(way):
    found, method = WAYS[way]
    post = posterior_of(way)
    asked = {"method": method, "num_draws": 20, "num_chains": 4}
    digests = {digest(bm.sample_programs(found, post, seed=7, threads=t, **asked))
               for t in (1, 2, 4)}  # fmt: skip
    assert len(digests) == 1
    assert digest(bm.sample_programs(found, post, seed=8, **asked)) not in digests


def test_programs_at_known_numbers_do_not_depend_on_threads_either():
    found = post_like(facts=NEEDY)
    post = quick(found, num_samples=5)
    digests = {digest(bm.sample_programs(found, post, seed=7, num_draws=200, threads=t))
               for t in (1, 3)}  # fmt: skip
    assert len(digests) == 1


def test_masses_by_chains_do_not_depend_on_threads(monkeypatch):
    found = uncertain(post_like(facts=NEEDY, families=("levin",)))
    masses = []
    for processors in (1, 2, 4):
        monkeypatch.setattr(os, "cpu_count", lambda n=processors: n)
        masses.append(quick(found, num_samples=33)["posterior"]["structure_mass"].to_numpy())
    assert masses[0].tobytes() == masses[1].tobytes() == masses[2].tobytes()
    other = quick(found, num_samples=33, seed=2)["posterior"]["structure_mass"].to_numpy()
    assert masses[0].tobytes() != other.tobytes()


# --- known numbers: one theta for each family -----------------------------------------------------


def frequencies(tree, columns):
    drawn = tree["programs"]
    structure = drawn["structure"].to_numpy()
    found = {f"column {k}": structure == k for k in range(columns)}
    found["deceptive"] = drawn["deceptive"].to_numpy() == 1
    if "stored" in drawn:
        stored = drawn["stored"].to_numpy()
        found |= {f"fact {j}": stored[..., j] for j in range(stored.shape[2])}
    return found


def mean_and_error(draws):
    """Over (chain, draw), with the error by ArviZ."""
    from arviz_stats.base import array_stats

    draws = draws.astype(float)
    if np.ptp(draws) == 0.0:
        return draws.flat[0], 0.0
    ess = array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean")
    return draws.mean(), draws.std() / np.sqrt(ess)


def assert_frequencies(tree, every, columns):
    exact = {f"column {k}": x for k, x in enumerate(every.mass(columns))}
    exact["deceptive"] = every.class_mass()[1]
    exact |= {f"fact {j}": x for j, x in enumerate(every.fact_mass())}
    for name, draws in frequencies(tree, columns).items():
        mean, error = mean_and_error(draws)
        assert abs(mean - exact[name]) <= 5 * error + 5 / draws.size, (name, mean, exact[name])


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("facts", [{}, {"facts": LONE}], ids=["", "facts"])
def test_all_engines_agree_on_a_finite_grammar(name, facts):
    programs = {"plain": "follow(base)", "sly": "fake(base, own)"}
    found = finite(losses={"own": 0.4}, programs=programs, pressure=0.7, families=(name,), **facts)
    every = EveryProgram.of(found, found.family(name))
    post = quick(found, num_samples=1, num_chains=1)
    own = post["posterior"].to_dataset()
    listed = [str(x) for x in own["structure"].values]
    columns = len(listed)
    np.testing.assert_allclose(own["class_mass"].values[0, 0], every.class_mass(), atol=1e-9)
    # The same places as the fit's: every program of the grammar is listed by name.
    whole = replace(found, structures=restored_model(post).structures)
    every = EveryProgram.of(whole, found.family(name))
    np.testing.assert_allclose(own["structure_mass"].values[0, 0], every.mass(columns), atol=1e-9)
    rows = bm.enumerate_programs(found, 1.0)
    assert rows["deceptive_mass"]["mean"] == pytest.approx(every.class_mass()[1], abs=1e-9)
    weight = {r["program"]: r["weight"] for r in rows["programs"]}
    assert len(weight) == 12
    mass = dict(zip(listed, every.mass(columns), strict=True))
    for program, share in weight.items():
        label = {text: n for n, text in programs.items()}.get(program, program)
        assert share == pytest.approx(mass[label], abs=1e-9)
    for method, size in (("exact", 10_000), ("tempered", 3_000)):
        drawn = bm.sample_programs(
            found, post, method=method, seed=42, num_draws=size, num_chains=2
        )
        assert_frequencies(drawn, every, columns)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("limits", [{"cap": 12.5}, {"max_bits": 14.0}])
def test_enumerated_and_tempered_agree_on_a_limited_grammar(name, limits):
    found = finite(losses={"own": 0.4}, pressure=0.7, families=(name,), **limits)
    post = quick(found, num_samples=1, num_chains=1)
    whole = replace(found, structures=restored_model(post).structures)
    every = EveryProgram.of(whole, found.family(name))
    own = post["posterior"].to_dataset()
    columns = own.sizes["structure"]
    np.testing.assert_allclose(own["structure_mass"].values[0, 0], every.mass(columns), atol=1e-9)
    rows = bm.enumerate_programs(found, 1.0)
    assert rows["deceptive_mass"]["mean"] == pytest.approx(every.class_mass()[1], abs=1e-9)
    drawn = bm.sample_programs(found, post, seed=42, num_draws=3_000, num_chains=2)
    assert drawn["programs"].attrs["method"] == "tempered"
    assert_frequencies(drawn, every, columns)


@pytest.mark.parametrize("name", FAMILIES)
def test_tempered_programs_of_structures_that_need_their_facts(name):
    found = under(structures_only(facts=USED), cap=230.0)
    found = replace(found, families=(replace(found.family(name), weight=1.0),))
    every = EveryProgram.of(found, found.family(name))
    post = quick(found, num_samples=1, num_chains=1)
    np.testing.assert_allclose(
        post["posterior"]["structure_mass"].values[0, 0], every.mass(5), atol=1e-11
    )
    drawn = bm.sample_programs(found, post, seed=42, num_draws=4_000, num_chains=2)
    assert_frequencies(drawn, every, 5)


def test_at_known_numbers_one_chain_runs_on_in_every_family():
    found = post_like(facts=LONE)
    post = quick(found, num_samples=30)
    for method in ("exact", "tempered"):
        tree = bm.sample_programs(found, post, method=method, seed=3, num_draws=6_000)
        families = tree["programs"]["family"].to_numpy()
        wanted = np.resize(post["posterior"]["family"].to_numpy()[0], 6_000)
        np.testing.assert_array_equal(families[0], wanted)
        for name in FAMILIES:
            mass = post[f"posterior_{name}"]["deceptive_mass"].to_numpy()[0, 0]
            hits = tree["programs"]["deceptive"].to_numpy()[families == name].reshape(2, -1)
            mean, error = mean_and_error(hits)
            assert abs(mean - mass) < 5 * error


# --- a multimodal target --------------------------------------------------------------------------


def test_tempered_programs_cross_a_barrier():
    target = far_apart()
    found = replace(target.model, sha256="0" * 64)
    post = quick(found, num_samples=1, num_chains=1)
    share = post["posterior"]["deceptive_mass"].item()
    assert share == pytest.approx(1 / 3, abs=0.01)
    tree = bm.sample_programs(
        found, post, method="tempered", seed=42, num_draws=2_000, num_chains=4
    )
    mean, error = mean_and_error(tree["programs"]["deceptive"].to_numpy())
    assert error < 0.05
    assert abs(mean - share) < 5 * error
    assert not any("disagree" in w for w in json.loads(tree["programs"].attrs["warnings"]))


def test_without_tempering_the_diagnosis_says_so():
    target = far_apart()
    starts = [HONEST_SIDE, ((1,), (True,) * 12)]
    for settings, sound in ((Settings(ladder=(1.0,), warmup=300), False), (Settings(), True)):
        draws = run_chains(target, num_draws=1500, starts=starts, settings=settings, seed=42)
        meant = describe(target, draws.codes, draws.lengths, draws.stored, draws.energy)
        said = diagnose_programs(
            {
                "structure": meant.column, "bits": meant.bits, "steps": meant.steps,
                "deceptive": meant.deceptive, "log_weight": meant.log_weight,
            },
            ["honest", "deceptive"],
        )  # fmt: skip
        assert any("disagree on whether deceptive exists" in w for w in said["warnings"]) != sound
        assert (said["r_hat"]["deceptive"] > 1.5) != sound


def test_a_model_of_one_program_is_drawn_by_every_engine():
    alone = model((component("a", 3, 1),), (structure("d", ["a"], ["a"], deploy="x"),),
                  (family("linear", rate=3.0),))  # fmt: skip
    post = quick(alone)
    for method in ("exact", "tempered"):
        tree = bm.sample_programs(alone, post, method=method)
        assert (tree["programs"]["structure"] == 0).all()
    assert json.loads(tree["programs"].attrs["r_hat"]) == dict.fromkeys(
        ("bits", "steps", "deceptive", "log_weight")
    )


def test_two_structures_by_every_engine():
    found = two_sided((2.0, 3.0), (1.0, 3.0))
    post = quick(found, num_samples=1, num_chains=1)
    for method in ("exact", "tempered"):
        tree = bm.sample_programs(found, post, method=method, num_draws=4000, num_chains=2, seed=1)
        mean, error = mean_and_error(tree["programs"]["deceptive"].to_numpy())
        assert abs(mean - 2 / 3) < 5 * error
