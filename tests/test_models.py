"""The shipped model files say what their sources say, with a note behind every number."""

from pathlib import Path

import numpy as np
import pytest

from bayes_mesa.beliefs import Known, Prior
from bayes_mesa.model import Quantity
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
