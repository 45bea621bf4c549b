"""Plots: figure and axes, yours where you give them, what they show, and what they refuse."""

import json

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from small_grammars import post_like, uncertain
from synthetic import STRUCTURES, family_dataset, posterior_tree, shipped_like

import bayes_mesa as bm
from bayes_mesa.costing.exchange import penalty
from bayes_mesa.errors import InputError
from bayes_mesa.inference.fitting import fit
from bayes_mesa.interface.notebook import show
from bayes_mesa.plots.cost_plot import CROWD, DRAWN, CostPlane, plot_costs
from bayes_mesa.plots.critical_plot import Turning, plot_critical
from bayes_mesa.plots.margin_plot import plot_margin
from bayes_mesa.plots.phase_map import phase
from bayes_mesa.plots.phase_plot import plot_phase
from bayes_mesa.plots.plot_style import chosen, plain
from bayes_mesa.plots.probability_plot import MOST_ROWS, plot_masses, plot_probability
from bayes_mesa.plots.rank_plot import plot_ranks
from bayes_mesa.results.diagnosis import mixing
from bayes_mesa.results.summary import summarize

PLOTS = (plot_costs, plot_margin, plot_probability, plot_masses, plot_critical, plot_phase)


@pytest.fixture(scope="module")
def tree():
    return shipped_like(num_samples=60)


@pytest.fixture(scope="module")
def grammar_tree():
    return fit(uncertain(post_like()), {}, num_samples=30, num_chains=2)


# --- what all have in common --------------------------------------------------------------------


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_give_figure_and_axes(tree, plot):
    figure, axes = plot(tree, figsize=(4.0, 3.0))
    assert isinstance(figure, Figure)
    assert isinstance(axes, Axes)
    assert tuple(figure.get_size_inches()) == (4.0, 3.0)
    assert axes.get_xlabel()
    assert axes.get_title(loc="left")


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_draw_into_axes_that_are_given(tree, plot):
    mine = Figure().subplots()
    assert plot(tree, ax=mine) == (mine.figure, mine)
    assert mine.has_data()
    mine.figure.draw_without_rendering()


def test_the_face_has_every_plot():
    for plot in (*PLOTS, plot_ranks):
        assert getattr(bm, plot.__name__) is plot
    assert bm.show is show


def test_plots_survive_what_is_not_finite():
    dataset = family_dataset(np.tile([0, 1, -1], (2, 10)))
    dataset["margin_bits"][:] = np.inf
    dataset["structure_bits"][:] = 0.0
    dataset["critical_rate"][:, ::2] = np.inf
    dataset["critical_rate"][:, 1] = np.nan
    tree = posterior_tree({"linear": dataset})
    for plot in PLOTS:
        plot(tree)[0].draw_without_rendering()


def test_coords_choose_and_labels_name(tree):
    _, axes = plot_margin(tree, coords={"family": ["levin"]}, labels={"levin": "Kt-like"})
    assert [t.get_text() for t in axes.get_yticklabels()] == ["Kt-like"]
    _, axes = plot_probability(tree, coords={"family": "power"}, labels={"average": "all"})
    assert [t.get_text() for t in axes.get_yticklabels()] == ["all", "power"]
    wanted = [STRUCTURES[2], STRUCTURES[0]]
    _, axes = plot_masses(tree, coords={"structure": wanted})
    assert [t.get_text() for t in axes.get_yticklabels()] == [STRUCTURES[0], STRUCTURES[2]]
    plane = CostPlane.of(tree, {"structure": STRUCTURES[1]})
    assert plane.names == (STRUCTURES[1],)


def test_what_is_not_there_is_refused():
    with pytest.raises(InputError, match=r"coords\['family'\] must name one or more of a, b; "
                                         r"found c"):  # fmt: skip
        chosen(["a", "b"], {"family": ["a", "c"]}, "family")
    with pytest.raises(InputError, match="found none"):
        chosen(["a", "b"], {"family": []}, "family")


def test_a_name_between_dollar_signs_is_no_formula():
    assert plain("$x$") == r"\$x\$"
    assert plain("a" * 60) == "a" * 47 + "…"


# --- costs --------------------------------------------------------------------------------------


def legend(figure):
    return [t.get_text() for t in figure.legends[0].get_texts()]


def test_costs_are_drawn_whole_or_beyond_the_least(tree):
    whole, beyond = (CostPlane.of(tree, beyond=b) for b in (False, True))
    posterior = tree["posterior"].to_dataset()
    bits = posterior["structure_bits"].transpose("structure", "chain", "draw").to_numpy()
    np.testing.assert_array_equal(whole.bits, bits.reshape(3, -1))
    np.testing.assert_allclose(beyond.bits, whole.bits - whole.bits.min(axis=0), rtol=1e-12)
    assert beyond.steps.min(axis=0).max() == 0.0
    assert "beyond the least" in plot_costs(tree, beyond=True)[1].get_title(loc="left")


def test_what_structures_share_is_taken_off_where_it_hides_the_rest(tree):
    assert not CostPlane.of(tree).beyond
    shared = tree.copy(deep=True)
    posterior = shared["posterior"].to_dataset()
    posterior["structure_bits"] = posterior["structure_bits"] + 1e9
    shared["posterior"] = type(tree)(posterior)
    assert CostPlane.of(shared).beyond


def test_the_frontier_is_what_no_other_undercuts_on_both_axes():
    def at(bits, steps):
        columns = (np.array([x], dtype=float).T for x in (bits, steps))
        return CostPlane(tuple("abcde"), ("honest",) * 5, *columns, False, 0.0)

    assert at([5, 1, 3, 3, 9], [1, 9, 4, 5, 1]).frontier() == [1, 2, 0]


@pytest.mark.parametrize("beyond", [False, True])
def test_lines_join_equal_penalties_and_pass_through_the_best(tree, beyond):
    figure, axes = plot_costs(tree, beyond=beyond)
    plane = CostPlane.of(tree, beyond=beyond)
    bits, steps = plane.medians
    lines = {line.get_label(): line for line in axes.get_lines()}
    for name in ("linear", "levin", "power"):
        (line,) = [x for label, x in lines.items() if label.startswith(f"{name}, ")]
        group = tree[f"posterior_{name}"].to_dataset()
        parameters = {
            str(n).removeprefix(f"{name}_"): float(group[n].median())
            for n in group.data_vars
            if str(n).startswith(f"{name}_")
        }
        x, y = line.get_data()
        near = np.abs(x) < 1e3 * bits.max()
        along = penalty(name, parameters, x[near], y[near] + plane.shared_steps)
        assert np.ptp(along) < 1e-6 * np.abs(along).max()
        least = penalty(name, parameters, bits, steps + plane.shared_steps).min()
        np.testing.assert_allclose(along, least, rtol=1e-6)
    assert any("frontier" in text for text in legend(figure))


def test_of_many_structures_the_plot_of_costs_draws_the_most_probable(grammar_tree):
    assert grammar_tree["posterior"].sizes["structure"] > CROWD
    figure, _ = plot_costs(grammar_tree)
    figure.draw_without_rendering()
    drawn = [t for t in legend(figure) if t.endswith(("honest)", "deceptive)", "misaligned)"))]
    assert len(drawn) == DRAWN
    assert drawn[0] in ("fast_honest (honest)", "slow_deceptive (deceptive)")
    assert not any(label.startswith("other_") for label in drawn)
    mine = Figure().subplots()
    assert plot_costs(grammar_tree, ax=mine) == (mine.figure, mine)


def test_of_many_structures_the_best_of_every_class_is_drawn(grammar_tree):
    tree = grammar_tree.copy(deep=True)
    classes = tree["constant_data"]["structure_class"].to_numpy().astype("U10")
    mass = tree["posterior"]["structure_mass"].mean(("chain", "draw")).to_numpy()
    least = int(np.argmin(np.where(np.arange(mass.size) < mass.size - 3, mass, np.inf)))
    classes[least] = "misaligned"
    constant = tree["constant_data"].to_dataset().assign(structure_class=("structure", classes))
    tree["constant_data"] = type(tree)(constant)
    assert CostPlane.of(tree).classes.count("misaligned") == 1


# --- margin, masses -----------------------------------------------------------------------------


def test_margin_plot_says_how_often_deception_wins():
    tree = posterior_tree({"linear": family_dataset(np.tile([0, 0, 0, 1], (2, 10)))})
    _, axes = plot_margin(tree)
    assert [t.get_text() for t in axes.texts] == ["75.0 %", "25.0 %"]


def test_masses_stand_at_their_means(tree):
    summary = summarize(tree)
    _, axes = plot_masses(tree, summary=summary)
    drawn = {
        float(y): float(x)
        for bars in axes.containers
        for x, y in zip(*bars.lines[0].get_data(), strict=True)
    }
    means = [s["mass"]["mean"] for s in summary["structures"].values()]
    assert [drawn[y] for y in (2.0, 1.0, 0.0)] == pytest.approx(means, rel=1e-12)


def test_of_many_structures_the_heaviest_masses_are_drawn(grammar_tree):
    _, axes = plot_masses(grammar_tree)
    assert len(axes.get_yticklabels()) == MOST_ROWS < len(summarize(grammar_tree)["structures"])


# --- critical exchange and phase ----------------------------------------------------------------


def turning_tree(critical, rate, **variables):
    dataset = family_dataset(np.zeros((1, len(critical)), dtype=int))
    like = dataset["critical_rate"]
    dataset["critical_rate"] = like.copy(data=np.array([critical], dtype=float))
    dataset["linear_rate"] = like.copy(data=np.array([rate], dtype=float))
    for name, values in variables.items():
        dataset[name] = dataset[name].copy(data=values)
    return posterior_tree({"linear": dataset})


def test_where_the_verdict_turns_is_counted_draw_by_draw():
    tree = turning_tree([1.0, 2.0, np.inf, 0.0, np.nan], [1.5, 1.5, 1e9, 1e-9, 1.0])
    found = Turning.of(tree, "linear")
    assert (found.never, found.always, found.beyond) == (0.25, 0.25, 0.5)
    np.testing.assert_array_equal(found.turning, [1.0, 2.0])
    figure, _ = plot_critical(tree)
    assert legend(figure) == [
        "rate: above critical in 50.0 % of the draws",
        "critical rate (never 25.0 %, always 25.0 %)",
    ]


def test_kappa_counts_the_other_way(tree):
    group = tree["posterior_levin"].to_dataset()
    share = float((group["levin_kappa"] < group["critical_kappa"]).mean())
    assert Turning.of(tree, "levin").beyond == pytest.approx(share)
    for family in ("power", "cubic"):
        with pytest.raises(InputError, match=f"must be one that has a critical.*found '{family}'"):
            plot_critical(tree, family=family)


def test_heights_are_shares_of_all_draws(tree):
    _, axes = plot_critical(tree)
    filled = [p.get_data() for p in axes.patches if p.get_fill()]
    assert len(filled) == 2
    for heights in filled:
        area = float(np.sum(heights.values * np.diff(np.log10(heights.edges))))
        assert 0.95 < area <= 1.0 + 1e-12


def test_the_phase_is_the_share_of_draws_whose_critical_rate_is_lower():
    # The critical rate is ten times the component, so that P jumps from 0 to 1 along that line.
    rng = np.random.default_rng(42)
    cost = rng.lognormal(3.0, 2.0, 4000)
    steps = np.stack([rng.lognormal(0.0, 1.0, 4000), cost], axis=-1)[None]
    tree = turning_tree(10.0 * cost, rng.lognormal(5.0, 3.0, 4000), steps=steps)
    found = phase(tree)
    assert found.component == "steps.combine"
    assert found.unit == "steps per episode"
    away = np.log10(found.rates / (10.0 * found.values[:, None]))
    assert np.all(found.probability[away < -2.0] < 1e-3)
    assert np.all(found.probability[away > 2.0] > 1.0 - 1e-3)
    assert np.all(np.diff(found.probability, axis=1) >= 0.0)
    middle = np.abs(away) < 0.05
    assert np.abs(found.probability[5:-5][middle[5:-5]] - 0.5).max() < 0.25


def test_the_component_may_be_named_either_way(tree):
    for name in ("bits.combine", "bits[combine]"):
        assert phase(tree, name).component == "bits.combine"
    figure, axes = plot_phase(tree, component="steps.combine", labels={"steps.combine": "glue"})
    assert axes.get_ylabel() == "glue, steps per episode"
    assert len(figure.axes) == 2


def test_the_longest_name_and_its_unit_stay_on_one_line_within_the_figure(tree):
    figure, axes = plot_phase(tree, component="steps.combine", labels={"steps.combine": "m_" * 40})
    figure.canvas.draw()
    label, whole = axes.yaxis.label, figure.bbox
    assert label.get_text().endswith("…, steps per episode")
    assert "\n" not in label.get_text()
    box = label.get_window_extent()
    assert whole.y0 <= box.y0 < box.y1 <= whole.y1


def test_phases_that_cannot_be_drawn_are_refused(tree):
    with pytest.raises(InputError, match="one of .*bits.combine.*; found 'bits.nothing'"):
        phase(tree, "bits.nothing")
    levin = posterior_tree({"levin": family_dataset(np.zeros((2, 9), int), family="levin")})
    with pytest.raises(InputError, match="needs the linear family"):
        phase(levin)
    with pytest.raises(InputError, match="draws that have a critical rate"):
        phase(turning_tree([np.nan] * 4, [1.0, 2.0, 3.0, 4.0]))
    known = family_dataset(np.zeros((1, 4), int))[["linear_rate", "critical_rate"]]
    bare = posterior_tree({"linear": family_dataset(np.zeros((1, 4), int))})
    bare["posterior_linear"] = type(bare)(known)
    with pytest.raises(InputError, match="an uncertain quantity beside the rate"):
        phase(bare)


# --- regimes ------------------------------------------------------------------------------------


def test_regime_plots_take_curves_or_their_summary():
    model = bm.load_model("rollouts")
    curves = bm.regime(model, fit(model, num_samples=20, num_chains=1), rollouts=[8, 64, 512])
    for given in (curves, bm.summarize_regime(curves)):
        figure, (upper, lower) = bm.plot_regime(given, figsize=(5.0, 8.0))
        figure.draw_without_rendering()
        assert upper.get_ylabel() == "P(success | k)"
        assert lower.get_xlabel() == "k, rollouts per episode"
    assert len(figure.legends) == 1
    assert "target 0.85" in legend(figure)
    assert bm.plot_regime(curves)[0].legends == []


# --- ranks and the notebook ---------------------------------------------------------------------


def test_ranks_are_arviz_s_of_the_unknowns_that_mix_worst(tree):
    from matplotlib import pyplot

    dataset = tree["posterior_levin"].to_dataset()
    worst = [name for name, *_ in mixing(dataset).unknowns[:4]]
    figure, axes = plot_ranks(tree, family="levin", labels={worst[0]: "the $worst$"})
    pyplot.close(figure)
    assert isinstance(figure, Figure)
    assert len(axes) == 4
    assert axes[0].get_title().startswith(r"the \$worst\$")
    r_hats = [r for _, r, _ in mixing(dataset).unknowns]
    assert r_hats == sorted(r_hats, reverse=True)
    one, axes = plot_ranks(tree, coords={"parameter": ["pressure"]}, figsize=(3.0, 2.0))
    pyplot.close(one)
    assert tuple(one.get_size_inches()) == (3.0, 2.0)
    with pytest.raises(InputError, match=r"coords\['parameter'\]"):
        plot_ranks(tree, coords={"parameter": ["nothing"]})
    with pytest.raises(InputError, match=r"coords\['family'\]"):
        plot_ranks(tree, family="nothing")


def test_the_headline_in_a_notebook_and_in_a_terminal(tree):
    found = bm.show(tree)
    assert found.summary == summarize(tree)
    assert repr(found).startswith("exchange")
    page = found._repr_html_()
    assert page.count("<table>") == 2
    assert page.count("<tr>") == 1 + 4 + 1 + 3
    for name in (*json.loads(tree.attrs["families"]), *STRUCTURES):
        assert f"<td>{name}</td>" in page


def test_the_headline_cuts_long_names_and_turns_nothing_round():
    tree = shipped_like(num_samples=20)
    tree.attrs["model"] = "\u202e" + "m" * 500
    html = bm.show(tree)._repr_html_()
    assert "m" * 80 not in html
    assert "\u202e" not in html


def test_the_headline_escapes_hostile_names():
    name = "<script>alert(1)</script>"
    tree = posterior_tree(
        {"linear": family_dataset(np.tile([0, 1], (2, 10)))},
        model=name,
        warnings=json.dumps([name]),
    )
    page = bm.show(tree)._repr_html_()
    assert "<script>" not in page
    assert page.count("&lt;script&gt;") == 2
