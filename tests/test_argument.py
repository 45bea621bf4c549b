"""Each point of docs/argument.md, computed by the package; the page's figures are these."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

import bayes_mesa as bm

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "argument.md").read_text()
#: Rounding of a figure with three decimals, and the Monte Carlo error stated for the page's.
ROUNDING, PAGE_ERROR = 5e-4, 0.0026
FAMILIES = ("linear", "levin", "power")
HSD = 'stores = ["simplest_obj", "combine", "mesaoptimize", "useful_knowledge"]'
SHARED = ["mesaoptimize", "useful_knowledge", "mesaoptimize_env"]
SEARCH = ["mesaoptimize", "mesaoptimize_env", "mesaoptimize_outer_world_env"]
ALL = [
    *("get_base_obj", "simplest_obj", "combine", "is_deployed_in_world", "mesaoptimize"),
    *("useful_knowledge", "find_base_obj", "mesaoptimize_env", "mesaoptimize_outer_world_env"),
]


def shipped_text(name):
    return (ROOT / "models" / f"{name}.toml").read_text()


@pytest.fixture
def run(tmp_path):
    """Fit a shipped model whose text is edited: replacements, and tables put at its end."""

    def fitted(name, *edits, extra="", num_samples=250, text=None):
        text = shipped_text(name) if text is None else text
        for old, new in edits:
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        path = tmp_path / "edited.toml"
        path.write_text(text + extra)
        return bm.fit(bm.load_model(path), {}, num_samples=num_samples, seed=42)

    return fitted


def only_linear(text, rate):
    """The text of a shipped model with no exchange but linear, at a known rate."""
    start = text.index("[exchange.linear]")
    end = text.index("[selection]")
    return f"{text[:start]}[exchange.linear]\nrate = {rate!r}\n\n{text[end:]}"


def without(text, start, end):
    return text[: text.index(start)] + text[text.index(end) :]


def heuristics(of, factor):
    return f"\n[heuristics]\nof = {json.dumps(of)}\nbits = {factor}\nsteps = {factor}\n"


def page_says(figure, estimate, error=PAGE_ERROR):
    """The page prints the figure, and it lies within five standard errors of the estimate."""
    assert f"{figure:.3f}" in PAGE
    assert abs(estimate["mean"] - figure) < 5 * math.hypot(estimate["mcse"], error) + ROUNDING


def favored(tree):
    return bm.summarize(tree)["deceptive_favored"]


def by_family(tree, name="deceptive_favored"):
    return {f: tree[f"posterior_{f}"][name].to_numpy() for f in FAMILIES}


def summed(summary, class_name):
    """Probability that a structure of the class is favored, for a single family."""
    rows = [s["favored"] for s in summary["structures"].values() if s["class"] == class_name]
    mean = sum(row["mean"] for row in rows)
    return {"mean": mean, "mcse": math.sqrt(sum(row["mcse"] ** 2 for row in rows))}


@pytest.fixture(scope="module")
def base():
    return bm.fit(bm.load_model("speed_simplicity"), {}, num_samples=250, seed=42)


def test_the_starting_point(base):
    summary = bm.summarize(base)
    page_says(0.551, summary["deceptive_favored"])
    for name, figure in {"linear": 0.261, "levin": 0.868, "power": 0.523}.items():
        page_says(figure, summary["by_exchange"][name]["deceptive_favored"], 0.004)


# --- B against B' ----------------------------------------------------------------------------


def test_drift_over_the_episodes():
    model = bm.load_model("drift")
    curve = bm.episodes_curve(model, episodes=[1e4, 1e6, 1e8, 1e12], num_draws=500, seed=42)
    found = bm.episodes_summary(curve)["curve"]
    page = {
        1e4: (0.094, 0.046, 0.861),
        1e6: (0.385, 0.239, 0.376),
        1e8: (0.577, 0.374, 0.048),
        1e12: (0.610, 0.390, 0.000),
    }
    for row, (episodes, figures) in zip(found, page.items(), strict=True):
        assert row["episodes"] == episodes
        for name, figure in zip(("honest", "deceptive", "misaligned"), figures, strict=True):
            page_says(figure, row["favored"][name])
    pays = [row["pays_bits"]["median"] for row in found]
    # Medians of wide distributions: within a factor that 500 draws would hardly miss.
    assert np.allclose(np.log(pays), np.log([31, 103, 230, 273]), atol=0.9)
    assert all(f"{bits} bits" in PAGE for bits in (31, 103, 230, 273))


@pytest.mark.parametrize(
    ("rate", "episodes", "figure"),
    [(1.0, "1e12", 0.936), (1e6, "1e12", 0.503), (1.0, "1e6", 0.492), (0.01, "1e6", 0.234)],
)
def test_speed_keeps_b_from_pretending_and_not_from_open_drift(run, rate, episodes, figure):
    text = only_linear(shipped_text("drift"), rate)
    tree = run("drift", ("episodes = 1e6", f"episodes = {episodes}"), text=text, num_samples=500)
    page_says(figure, summed(bm.summarize(tree), "honest"), 0.0036)


# --- heuristics ------------------------------------------------------------------------------

HEURISTICS = {
    "shared": (SHARED, (0.554, 0.557, 0.564)),
    "all": (ALL, (0.558, 0.564, 0.575)),
    "search": (SEARCH, (0.527, 0.501, 0.454)),
}


@pytest.mark.parametrize("what", HEURISTICS)
def test_heuristics_on_both_costs(run, base, what):
    of, figures = HEURISTICS[what]
    before = by_family(base)
    for factor, figure in zip((3, 10, 100), figures, strict=True):
        tree = run("speed_simplicity", extra=heuristics(of, factor))
        page_says(figure, favored(tree))
        after = by_family(tree)
        if what == "search":  # the outer planning is the deceptive program's alone
            assert (after["linear"] <= before["linear"]).all()
        else:  # against the post: the same draws, and not one of them turns honest
            assert all((after[f] >= before[f]).all() for f in FAMILIES)
            assert np.array_equal(after["linear"], before["linear"])
        before = after
    if what == "search":
        falls = before["power"].mean() - by_family(base)["power"].mean()
        assert falls < -0.05
        linear = bm.summarize(tree)["by_exchange"]["linear"]["deceptive_favored"]
        page_says(0.121, linear, 0.003)


def test_heuristics_on_everything_scale_the_linear_margin(run, base):
    tree = run("speed_simplicity", extra=heuristics(ALL, 10))
    margins = [t["posterior_linear"]["margin_bits"].to_numpy() for t in (base, tree)]
    assert margins[1] == pytest.approx(10 * margins[0], rel=1e-6)


# --- optimisers that cannot be shared --------------------------------------------------------


def test_unshared_optimisers(run, base):
    twice = "stores = { simplest_obj = 1, combine = 1, mesaoptimize = 2, useful_knowledge = 1 }"
    tree = run("speed_simplicity", (HSD, twice), num_samples=500)
    page_says(0.042, favored(tree), 0.001)


GRAMMAR = """
[grammar]
start = "Policy"
[[grammar.rules]]
symbol = "Policy"
name   = "pursue"
args   = ["Optimiser"]
runs   = ["mesaoptimize_env"]
[[grammar.rules]]
symbol   = "Policy"
name     = "pretend"
args     = ["Optimiser"]
stores   = ["combine", "mesaoptimize", "useful_knowledge"]
runs     = ["combine", "find_base_obj", "mesaoptimize_env", "mesaoptimize_outer_world_env"]
executes = []
train    = "base"
deploy   = 0
[[grammar.rules]]
symbol = "Optimiser"
name   = "optimize"
args   = ["Goal"]
stores = ["mesaoptimize", "useful_knowledge"]
[[grammar.rules]]
symbol = "Goal"
name   = "base"
stores = ["get_base_obj"]
runs   = ["get_base_obj"]
train  = "base"
deploy = "base"
[[grammar.rules]]
symbol = "Goal"
name   = "simplest"
stores = ["simplest_obj"]
train  = "simplest"
deploy = "simplest"
"""


@pytest.mark.parametrize(("shared", "figure"), [("true", 0.551), ("false", 0.042)])
def test_unshared_optimisers_in_a_grammar(run, shared, figure):
    text = without(shipped_text("speed_simplicity"), "[structures.fast_honest]", "[[constraints]]")
    edit = ("[components.mesaoptimize]\n", f"[components.mesaoptimize]\nshared = {shared}\n")
    page_says(figure, favored(run("", edit, text=text, extra=GRAMMAR)))


# --- overlap ---------------------------------------------------------------------------------


def test_overlap_of_deriving_and_planning(run, base):
    before = by_family(base)
    for fraction, figure in {0.5: 0.554, 0.9: 0.559, 1.0: 0.565}.items():
        overlap = '\n[[overlaps]]\ncomponent = "find_base_obj"\ninside = "mesaoptimize_env"\n'
        tree = run("speed_simplicity", extra=f"{overlap}fraction = {fraction}\n")
        page_says(figure, favored(tree))
        after = by_family(tree)
        assert all((after[f] >= before[f]).all() for f in FAMILIES)
        before = after


@pytest.mark.parametrize(
    ("fraction", "pointer", "deceptive"), [(0.0, 0.499, 0.214), (1.0, 0.686, 0.239)]
)
def test_overlap_helps_the_honest_pointer_most(run, fraction, pointer, deceptive):
    prior = 'fraction = { dist = "Beta", concentration1 = 1, concentration0 = 1 }'
    summary = bm.summarize(run("discussion", (prior, f"fraction = {fraction}")))
    page_says(pointer, summary["structures"]["pointer_honest"]["favored"], 0.004)
    page_says(deceptive, summary["deceptive_favored"], 0.003)


# --- path, capacity --------------------------------------------------------------------------


def test_path_dependence(run):
    tree = run("speed_simplicity", extra="\n[path]\nlock_in = 0.2\ndeceptive = 0.1\n")
    summary = bm.summarize(tree)
    without_path = summary["deceptive_favored"]["mean"]
    found = summary["with_path"]["deceptive_favored"]
    assert found["mean"] == pytest.approx(0.2 * 0.1 + 0.8 * without_path)
    page_says(0.460, found)


def test_a_capacity_favours_what_derives_the_objective(run):
    facts = (
        "\n[facts]\ncount = 8\nbits = { q05 = 1e3, q95 = 1e5 }\nsteps = { q05 = 1e4, q95 = 1e10 }\n"
    )
    edits = [
        ("bits = { q05 = 1e4, q95 = 1e7 }", "bits = 1e5"),
        ("bits = { q05 = 1e5, q95 = 1e9 }", "bits = 0"),
    ]
    means = []
    for capacity, figure in {3e5: 0.569, 1.2e5: 0.661}.items():
        limit = ("[selection]\n", f"[selection]\nmax_bits = {capacity}\n")
        tree = run("speed_simplicity", *edits, limit, extra=facts, num_samples=60)
        page_says(figure, favored(tree), 0.006)
        means.append({f: x.mean() for f, x in by_family(tree).items()})
    assert means[1]["linear"] > means[0]["linear"]
    assert abs(means[1]["levin"] - means[0]["levin"]) < 0.03


# --- speed and the fast deceptive program ----------------------------------------------------


def test_speed_never_decides_about_the_fast_deceptive_program(run, base):
    summary = bm.summarize(base)
    statement = next(s for s in summary["dominance"] if s["loser"] == "fast_deceptive")
    assert (statement["winner"], statement["needs"]) == ("fast_honest", [])
    text = without(
        shipped_text("speed_simplicity"), "[structures.fast_deceptive]", "# Deriving an objective"
    )
    deleted = run("", text=text)
    for name, verdict in by_family(deleted).items():
        assert np.array_equal(verdict, by_family(base)[name])


def test_a_check_that_costs_nothing_ties_and_is_not_favored(run):
    free = (
        ("bits  = { q05 = 10, q95 = 5e3 }\nsteps = { q05 = 1, q95 = 1e4 }", "bits = 0\nsteps = 0"),
        ("bits = { q05 = 2, q95 = 60 }", "bits = 0"),
    )
    structures = bm.summarize(run("speed_simplicity", *free))["structures"]
    honest, fast = structures["fast_honest"], structures["fast_deceptive"]
    assert (fast["favored"]["mean"], fast["favored"]["upper"]) == (0.0, 0.0)
    assert fast["mass"]["mean"] == pytest.approx(honest["mass"]["mean"])
    assert fast["mass"]["mean"] > 0.1


def test_speed_alone_and_simplicity_alone(run):
    text = shipped_text("speed_simplicity")
    assert favored(run("", text=only_linear(text, 1e-30)))["mean"] == 0.0
    tree = run("", text=only_linear(text, 1e30), num_samples=500)
    page_says(0.873, favored(tree))
    bits = tree["posterior_linear"]["bits"]
    shorter = bits.sel(component="get_base_obj") > (
        bits.sel(component="simplest_obj") + bits.sel(component="combine")
    )
    assert np.array_equal(shorter, tree["posterior_linear"]["deceptive_favored"] == 1)


# --- the switch, and the cameras -------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "figure"), [("{ q05 = 10, q95 = 1e3 }", 0.518), ("{ q05 = 1e3, q95 = 1e6 }", 0.145)]
)
def test_heuristics_for_the_other_goal_stored(run, bits, figure):
    edit = (HSD, HSD.replace('"combine"', '"combine", "own_heuristics"'))
    extra = f"\n[components.own_heuristics]\nbits = {bits}\n"
    page_says(figure, favored(run("speed_simplicity", edit, extra=extra)))


def test_heuristics_for_the_other_goal_derived(run):
    runs = '"mesaoptimize_env", "mesaoptimize_outer_world_env"]'
    extra = "\n[components.find_own_heuristics]\nsteps = { q05 = 1e4, q95 = 1e9 }\n"
    tree = run("speed_simplicity", (runs, f'"find_own_heuristics", {runs}'), extra=extra)
    page_says(0.509, favored(tree))


@pytest.mark.parametrize(
    ("rate", "deceptive", "cameras"), [(0.01, 0.000, 0.542), (1e6, 0.281, 0.057)]
)
def test_no_speed_prior_helps_against_the_cameras(run, rate, deceptive, cameras):
    summary = bm.summarize(run("", text=only_linear(shipped_text("discussion"), rate)))
    page_says(deceptive, summary["deceptive_favored"], 0.0033)
    page_says(cameras, summary["structures"]["camera_misaligned"]["favored"], 0.0036)


# --- other levers ----------------------------------------------------------------------------


def test_the_rate_of_a_ponder_cost():
    assert bm.ponder_rate(0.5) == pytest.approx(1.0, rel=1e-15)
    assert bm.ponder_rate(0.75) == pytest.approx(0.5, rel=1e-15)
    # λ → 0: (ln 2)/λ (1 − λ/2 ...), also where 1 − λ rounds to 1.
    for halt in (1e-6, 1e-12, 1e-200):
        expected = math.log(2.0) / halt * (1 - halt / 2)
        assert bm.ponder_rate(halt) == pytest.approx(expected, rel=1e-11)
    assert bm.ponder_rate(1 - 2.0**-50) == pytest.approx(1 / 50, rel=1e-12)
    assert all(np.diff([bm.ponder_rate(x) for x in np.linspace(0.01, 0.99, 50)]) < 0)


def test_a_ponder_cost_is_the_linear_penalty():
    """Bits of t steps under the geometric prior against c + t/γ."""
    halt, steps = 0.03, 120.0
    assert steps / bm.ponder_rate(halt) == pytest.approx(-steps * math.log2(1 - halt))


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_halting_probabilities_that_are_none(wrong):
    with pytest.raises(bm.InputError, match="halt must be a probability above 0 and below 1"):
        bm.ponder_rate(wrong)


@pytest.mark.parametrize(
    ("halt", "figure"), [(0.5, 0.015), (1e-2, 0.145), (1e-4, 0.494), (1e-6, 0.770)]
)
def test_a_ponder_cost_in_place_of_the_opinion_on_the_rate(run, halt, figure):
    text = only_linear(shipped_text("speed_simplicity"), bm.ponder_rate(halt))
    page_says(figure, favored(run("", text=text)), 0.0036)


# --- likelihood ratio, forecasts -------------------------------------------------------------


def test_a_likelihood_ratio_of_eight(base):
    after = favored(bm.update(base, likelihood_ratio=8))
    page_says(0.907, after, 0.001)
    weights = bm.summarize(bm.update(base, likelihood_ratio=8))["by_exchange"]
    for name, figure in {"levin": 0.486, "linear": 0.194}.items():
        assert f"{figure:.3f}" in PAGE
        error = weights[name]["weight_error"]
        assert abs(weights[name]["weight"] - figure) < 5 * math.hypot(error, 0.0015) + ROUNDING


def test_the_page_shows_the_forecasts_of_the_package():
    from bayes_mesa.regimes.forecasts import FORECASTS, READ

    rows = re.findall(r"^\| .*(?:Carlsmith|Greenblatt|the same, after).*\|$", PAGE, re.MULTILINE)
    assert len(rows) == len(FORECASTS)
    for row, forecast in zip(rows, FORECASTS, strict=True):
        assert f"{forecast.probability:.2f}" in row
        assert READ[forecast.read] in row
