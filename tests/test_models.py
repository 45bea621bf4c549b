"""The shipped model files say what their sources say, with a note behind every number."""

from pathlib import Path

import numpy as np
import pytest

from bayes_mesa.domain.beliefs import Known, Prior
from bayes_mesa.domain.critical_pressure import critical_pressure
from bayes_mesa.domain.expression import parse_expression
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import Quantity
from bayes_mesa.model_file import load_model

FOLDER = Path(__file__).resolve().parent.parent / "models"
SHIPPED = sorted(path.stem for path in FOLDER.glob("*.toml"))

# The ranges of issue 2, item 9: 5 % and 95 % quantiles.
BITS = {
    "get_base_obj": (1e2, 1e5),
    "simplest_obj": (2, 60),
    "combine": (10, 2e3),
    "is_deployed_in_world": (10, 5e3),
    "mesaoptimize": (1e4, 1e7),
    "useful_knowledge": (1e5, 1e9),
}
STEPS = {
    "get_base_obj": (1, 1e3),
    "find_base_obj": (1e2, 1e7),
    "combine": (1, 1e3),
    "is_deployed_in_world": (1, 1e4),
    "mesaoptimize_env": (1e4, 1e9),
    "mesaoptimize_outer_world_env": (1e4, 1e10),
}
# The post's equations, one line each: (c, t).
POST = {
    "fast_honest": (
        {"get_base_obj", "mesaoptimize", "useful_knowledge"},
        {"get_base_obj", "mesaoptimize_env"},
    ),
    "slow_deceptive": (
        {"simplest_obj", "combine", "mesaoptimize", "useful_knowledge"},
        {"combine", "find_base_obj", "mesaoptimize_env", "mesaoptimize_outer_world_env"},
    ),
    "fast_deceptive": (
        {
            "get_base_obj",
            "simplest_obj",
            "is_deployed_in_world",
            "mesaoptimize",
            "useful_knowledge",
        },
        {"is_deployed_in_world", "get_base_obj", "mesaoptimize_env"},
    ),
}
SYMBOLS = {"fast_honest": "Hfh", "slow_deceptive": "Hsd", "fast_deceptive": "Hfd"}


def quantiles(belief):
    return belief.quantile(np.array([0.05, 0.95]))


def component(model, name):
    return model.components[model.component_index[name]]


@pytest.fixture(scope="module", params=["speed_simplicity", "discussion"])
def model(request):
    return load_model(request.param)


@pytest.fixture(scope="module")
def discussion():
    return load_model("discussion")


def structure(model, name):
    return next(s for s in model.structures if s.name == name)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_file_loads_and_says_what_it_is(name):
    model = load_model(name)
    assert model.name == name
    assert model.title
    assert model.source
    assert model.note


@pytest.mark.parametrize("name", SHIPPED)
def test_every_number_has_a_kind_and_a_note(name):
    for part in load_model(name).components:
        assert part.kind in ("opinion", "cited", "measured"), part.name
        assert len(part.note) > 20, part.name


def test_the_posts_programs_come_first_and_pay_the_posts_terms(model):
    first = model.structures[:3]
    assert [s.name for s in first] == list(POST)
    for s in first:
        stores, runs = POST[s.name]
        assert dict(s.stores) == dict.fromkeys(stores, 1)
        assert dict(s.runs) == dict.fromkeys(runs, 1)
        assert s.symbol == SYMBOLS[s.name]
    assert model.classes[:3] == ("honest", "deceptive", "deceptive")


@pytest.mark.parametrize(("axis", "ranges"), [("bits", BITS), ("steps", STEPS)])
def test_costs_have_the_stated_quantiles(model, axis, ranges):
    for name, ends in ranges.items():
        np.testing.assert_allclose(
            quantiles(getattr(component(model, name), axis)), ends, rtol=1e-9
        )


def test_a_cost_that_the_post_does_not_name_is_zero():
    model = load_model("speed_simplicity")
    for part in model.components:
        assert part.name in BITS or part.bits == Known(0.0)
        assert part.name in STEPS or part.steps == Known(0.0)


def test_families_are_equally_weighted_with_the_stated_ranges(model):
    assert [f.name for f in model.families] == ["linear", "levin", "power"]
    np.testing.assert_allclose([f.weight for f in model.families], 1 / 3)
    linear, levin, power = model.families
    np.testing.assert_allclose(quantiles(linear.parameters["rate"]), (1e-2, 1e6), rtol=1e-9)
    np.testing.assert_allclose(quantiles(levin.parameters["kappa"]), (0.5, 4), rtol=1e-9)
    assert power.parameters["rate"] == linear.parameters["rate"]


def test_exponent_is_centred_on_the_cited_figure_and_truncated_to_one(model):
    exponent = model.family("power").parameters["exponent"]
    arguments = dict(exponent.arguments)
    assert np.exp(arguments["loc"]) == pytest.approx(1.26, rel=1e-12)
    assert arguments["scale"] == 0.47
    assert exponent.low == 1.0
    # P(exponent < 1) = Phi(-ln 1.26 / 0.47) = Phi(-0.49172...)
    assert exponent.share_cut == pytest.approx(0.3114, abs=1e-4)


def test_pressure_and_constraint(model):
    assert model.selection.pressure == Prior("LogNormal", (("loc", 0.0), ("scale", 0.5)))
    (only,) = model.constraints
    assert only.larger == (Quantity("steps", "find_base_obj"),)
    assert only.smaller == (Quantity("steps", "get_base_obj"),)


def test_discussion_holds_a_program_for_each_objection(discussion):
    assert dict(zip((s.name for s in discussion.structures), discussion.classes, strict=True)) == {
        "fast_honest": "honest",
        "slow_deceptive": "deceptive",
        "fast_deceptive": "deceptive",
        "checked_deceptive": "deceptive",
        "pointer_honest": "honest",
        "unshared_deceptive": "deceptive",
        "camera_misaligned": "misaligned",
    }
    assert all(discussion.eligible)


def test_the_crux_is_the_pointer_against_an_objective_and_a_check(discussion):
    honest = structure(discussion, "pointer_honest")
    deceptive = structure(discussion, "checked_deceptive")
    shared = set(honest.stores) & set(deceptive.stores)
    assert set(honest.stores) - shared == {"pointer"}
    assert set(deceptive.stores) - shared == {"simplest_obj", "is_deployed_in_world"}
    assert set(deceptive.runs) - set(honest.runs) == {"is_deployed_in_world"}
    np.testing.assert_allclose(
        quantiles(component(discussion, "pointer").bits), (5, 500), rtol=1e-9
    )


def test_an_unshared_optimiser_is_stored_twice(discussion):
    assert structure(discussion, "unshared_deceptive").stores["mesaoptimize"] == 2


def test_the_cameras_cost_nothing_in_training(discussion):
    assert discussion.losses == {"cameras": Known(0.0)}
    assert structure(discussion, "camera_misaligned").train == "cameras"


def test_find_overlaps_with_planning_and_goes_with_the_size_of_the_objective(discussion):
    (overlap,) = discussion.overlaps
    assert (overlap.component, overlap.inside) == ("find_base_obj", "mesaoptimize_env")
    assert overlap.fraction.support == (0.0, 1.0)
    (correlation,) = discussion.correlations
    assert {str(q) for q in correlation.between} == {"bits.get_base_obj", "steps.find_base_obj"}
    assert correlation.rho > 0


@pytest.fixture(scope="module")
def space():
    return load_model("program_space")


@pytest.fixture(scope="module", params=["program_space", "program_space_needs"])
def grammatical(request):
    return load_model(request.param)


def equations(s):
    return dict(s.stores), dict(s.runs), s.train, s.deploy, s.symbol


def test_programs_of_the_grammar_are_the_posts_and_the_comments(space, discussion):
    """As counted by hand in `discussion`; two searches that share nothing have their own name."""
    assert [s.name for s in space.structures[:3]] == list(POST)
    assert [s.name for s in space.structures] == [s.name for s in discussion.structures]
    for s in space.structures:
        stores, runs, *rest = equations(structure(discussion, s.name))
        if s.name == "unshared_deceptive":
            stores["entwined_optimiser"] = stores.pop("mesaoptimize")
        assert equations(s) == (stores, runs, *rest)
    assert space.classes == discussion.classes
    assert all(space.eligible)


def test_programs_with_needs_lack_only_the_knowledge_that_the_facts_stand_for(discussion):
    found = load_model("program_space_needs").structures
    assert [s.symbol for s in found] == ["Hfh", "Hsd", "Hfd", "Hcd", "Hph"]
    for s in found:
        stores, *rest = equations(structure(discussion, s.name))
        del stores["useful_knowledge"]
        assert equations(s) == (stores, *rest)


def test_costs_that_are_shared_with_the_other_models_are_theirs(grammatical, discussion):
    for part in grammatical.components:
        if part.name in discussion.component_index:
            other = component(discussion, part.name)
            assert (part.bits, part.steps, part.shared) == (other.bits, other.steps, True)
    unshared = {c.name for c in grammatical.components if not c.shared}
    assert unshared == grammatical.grammar.unshared
    assert "hand_over" in unshared
    assert grammatical.constraints == discussion.constraints
    assert grammatical.families == discussion.families


def test_little_of_the_pressures_prior_is_cut(grammatical):
    critical = critical_pressure(grammatical.grammar)
    assert 0.2 < critical < 0.5
    pressure = grammatical.selection.pressure
    assert pressure == Prior("LogNormal", (("loc", 0.0), ("scale", 0.5)), low=critical)
    assert pressure.share_cut < 0.05


def test_the_critical_pressure_of_the_shipped_grammar_by_hand(space):
    """Policies recurse by delegate and switch alone: their two ratios add up to 1."""
    beta = critical_pressure(space.grammar)
    optimisers = ((1 / 2) ** beta + 2 * (1 / 4) ** beta) * 4 * (1 / 4) ** beta
    assert (1 / 64) ** beta * (1 + optimisers) == pytest.approx(1.0, abs=1e-12)


def test_few_components_are_shared_and_not_stored_by_every_program(grammatical):
    """Sums double with each of them."""
    rules = grammatical.grammar.rules
    stored = {n for r in rules for n in r.stores} - grammatical.grammar.unshared
    always = {n for n in stored if every_program_stores(rules, "Policy", n)}
    assert len(stored - always) <= 8


def every_program_stores(rules, symbol, name):
    """Whether the symbol has no finite program once rules that store ``name`` are gone."""
    left = [r for r in rules if name not in r.stores]
    ending = set()
    while more := {r.symbol for r in left if ending.issuperset(r.args)} - ending:
        ending |= more
    return symbol not in ending


@pytest.mark.parametrize(
    ("text", "class_name"),
    [
        ("delegate(delegate(optimize(base)))", "honest"),
        ("learn(pursue(pointed))", "honest"),
        ("learn(disguise(simplest))", "deceptive"),
        ("delegate(switch(learn(pretend(simplest)), entwined(simplest)))", "deceptive"),
        ("switch(switch(optimize(pointed), optimize(simplest)), optimize(base))", "honest"),
        ("switch(entwined(cameras), optimize(base))", "misaligned"),
        ("disguise(cameras)", "deceptive"),
    ],
)
def test_programs_that_nobody_named(space, text, class_name):
    found = interpret(space.grammar, parse_expression(space.grammar, text))
    deceptive = "deceptive" if found.deploy != "base" else "honest"
    assert (deceptive if found.train == "base" else "misaligned") == class_name


def test_entwined_searches_are_stored_for_every_goal_and_a_way_to_learn_once(space):
    text = "switch(delegate(delegate(entwined(base))), entwined(simplest))"
    found = interpret(space.grammar, parse_expression(space.grammar, text))
    assert found.stores["entwined_optimiser"] == 2
    assert found.stores["hand_over"] == 2
    assert found.stores["useful_knowledge"] == 1
    assert found.runs["mesaoptimize_env"] == 1
    text = "switch(switch(learn(pursue(base)), learn(simplest)), learn(cameras))"
    found = interpret(space.grammar, parse_expression(space.grammar, text))
    assert found.stores["learn_to_optimise"] == found.runs["learn_to_optimise"] == 1


def test_facts_need_one_another_in_chains_and_a_diamond():
    facts = load_model("program_space_needs").facts
    assert len(facts) == 12
    assert facts.depend
    needs = {
        name: {facts.names[i] for i in needed}
        for name, needed in zip(facts.names, facts.needs, strict=True)
    }
    assert needs["machines"] == {"mechanics", "materials"}
    assert needs["mechanics"] == {"geometry"}
    assert needs["geometry"] == needs["materials"] == {"arithmetic"}
    assert needs["own_training"] == {"computers", "trainer"}
    assert all(isinstance(b, Known) and b.value > 0 for b in (*facts.bits, *facts.steps))
