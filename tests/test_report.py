"""The report: complete, self-contained, the same every time, and deaf to hostile names."""

import json
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from small_grammars import finite, post_like, uncertain
from synthetic import STRUCTURES, family_dataset, posterior_tree, shipped_like

from bayes_mesa.console import headline
from bayes_mesa.fitting import fit
from bayes_mesa.plots import CROWD, DRAWN, plot_costs, plot_margin, plot_probability
from bayes_mesa.program_report import programs_in
from bayes_mesa.report import computed, render, spread, verdict, write_report
from bayes_mesa.summary import summarize

VOID = {"meta", "br", "use", "path", "image", "line", "img", "wbr"}


class Page(HTMLParser):
    """Elements, attributes and text of a page; tags must be closed in order."""

    def __init__(self, html):
        super().__init__()
        self.elements = Counter()
        self.attributes = []
        self.text = []
        self.open = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements[tag] += 1
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements[tag] += 1
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def tree():
    return shipped_like(num_samples=60, divergences={"levin": 3})


@pytest.fixture(scope="module")
def html(tree):
    return render(tree)


def test_it_is_one_page_that_needs_nothing_else(html):
    page = Page(html)
    assert page.open == []
    assert page.elements["script"] == page.elements["link"] == page.elements["iframe"] == 0
    assert page.elements["svg"] == 3
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(value.startswith(("#", "data:image/png")) for value in links)
    policies = [value for name, value in page.attributes if name == "content"]
    assert policies[0].startswith("default-src 'none'")
    assert not any(name.startswith("on") for name, _ in page.attributes)


def test_it_is_small(html):
    assert len(html.encode()) < 2_000_000


def test_it_opens_with_the_verdict(tree, html):
    text = " ".join(Page(html).text)
    assert verdict(summarize(tree)) in text
    assert text.index("A deceptive program is favored") < text.index("The two figures")


def test_it_says_everything_it_must(html):
    text = " ".join(" ".join(Page(html).text).split())
    for said in (
        *STRUCTURES,
        "linear",
        "levin",
        "power",
        "misaligned",
        "fast_honest costs no more than fast_deceptive on either axis",
        "bits.get_base_obj",
        "opinion",
        "a guess",
        "3 divergent transitions",
        "0" * 64,
        "numpy 2.0",
        "name = 'speed_simplicity'",
    ):
        assert said in text, said


def test_every_drawing_says_what_it_shows(html):
    labels = [value for name, value in Page(html).attributes if name == "aria-label"]
    assert len(labels) == 3
    assert all(len(label) > 40 for label in labels)


def test_ids_are_unique_over_the_drawings(html):
    ids = [value for name, value in Page(html).attributes if name == "id"]
    assert ids
    assert len(ids) == len(set(ids))


def test_the_same_tree_gives_the_same_page(tree, html):
    assert render(tree) == html


def test_drawings_take_the_ink_of_the_page(html):
    assert "#010203" not in html
    assert "currentColor" in html


HOSTILE = (
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "' onmouseover='alert(1)",
    '"><svg/onload=alert(1)>',
    "</title></svg></pre><b>",
    "{{ 7*7 }}{% for x in y %}",
    "-->--!><!--",
    "<![CDATA[<a>]]>",
    "$\\frac{$",
    "&lt;b&gt;&#60;",
    "a$b$c_{x",
    "\u202eevil\u2066",
)


def hostile_tree(name):
    """Every text of the tree, as a file made by someone else could hold it, is ``name``."""
    names = [f"{name}{k}" for k in range(3)]
    dataset = family_dataset(np.tile([0, 1], (2, 10)))
    dataset = dataset.assign_coords(structure=names, component=[f"{name}a", f"{name}b"])
    belief = dict.fromkeys(("quantity", "belief", "kind", "note"), name)
    tree = posterior_tree(
        {"linear": dataset},
        **dict.fromkeys(("model", "title", "source", "note", "model_text", "model_sha256"), name),
        warnings=json.dumps([name]),
        versions=json.dumps({name: name}),
        dominance=json.dumps([{"winner": name, "loser": name, "needs": [name], "text": name}]),
        beliefs=json.dumps([belief | dict.fromkeys(("q05", "median", "q95"), 1.0)]),
    )
    constant = tree["constant_data"].to_dataset().assign_coords(structure=names)
    tree["constant_data"] = type(tree)(constant.assign(structure_symbol=("structure", names)))
    return tree


@pytest.fixture(scope="module")
def harmless():
    return Page(render(hostile_tree("plain")))


@pytest.mark.parametrize("group", range(3))
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_hostile_name_adds_no_element(harmless, group):
    name = " ".join(HOSTILE[group::3])
    page = Page(render(hostile_tree(name)))
    assert set(page.elements) == set(harmless.elements)
    # A longer name leaves the axes less room, and so fewer ticks.
    assert_same_elements(page, harmless)
    assert "".join(page.text).count(name) >= 10


def assert_same_elements(page, harmless):
    """The same elements, but for ticks of the axes and places where a line may break."""
    varying = {"use", "g", "text", "wbr"}
    counts = {n: k for n, k in page.elements.items() if n not in varying}
    assert counts == {n: k for n, k in harmless.elements.items() if n not in varying}
    assert {n for n, _ in page.attributes} == {n for n, _ in harmless.attributes}


def test_it_is_written_whole(tree, html, tmp_path):
    path = write_report(tree, tmp_path / "report.html")
    assert path.read_text("utf-8") == html
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def figures(mean, lower, upper):
    return {"mean": mean, "mcse": 0.01, "lower": lower, "upper": upper}


def test_verdict_in_a_sentence():
    summary = {
        "deceptive_favored": figures(0.25, 0.2, 0.3),
        "deceptive_mass": figures(0.5, 0.0, 1.0),
    }
    assert verdict(summary) == (
        "A deceptive program is favored with probability 0.250 (90 % interval 0.200 to 0.300); "
        "deceptive programs hold 50 % of the program weight on average."
    )
    proved = summary | {"deceptive_favored": figures(0.0, 0.0, 0.0)}
    assert "with probability 0, exactly;" in verdict(proved)


def test_spread_names_the_families_at_the_ends(tree):
    by = summarize(tree)["by_exchange"]
    low, high = (by[n]["deceptive_favored"]["mean"] for n in ("linear", "levin"))
    said = spread(summarize(tree))
    assert f"from {low:.3f} under the linear family to {high:.3f} under the levin family" in said


@pytest.mark.parametrize("plot", [plot_costs, plot_margin, plot_probability])
def test_plots_give_figure_and_axes(tree, plot):
    figure, axes = plot(tree, figsize=(4.0, 3.0))
    assert isinstance(figure, Figure)
    assert isinstance(axes, Axes)
    assert tuple(figure.get_size_inches()) == (4.0, 3.0)
    assert axes.get_xlabel()
    mine = Figure().subplots()
    assert plot(tree, ax=mine) == (mine.figure, mine)


def test_plots_survive_what_is_not_finite():
    dataset = family_dataset(np.tile([0, 1, -1], (2, 10)))
    dataset["margin_bits"][:] = np.inf
    dataset["structure_bits"][:] = 0.0
    tree = posterior_tree({"linear": dataset})
    for plot in (plot_costs, plot_margin, plot_probability):
        figure, _ = plot(tree)
        figure.draw_without_rendering()


def test_margin_plot_says_how_often_deception_wins():
    tree = posterior_tree({"linear": family_dataset(np.tile([0, 0, 0, 1], (2, 10)))})
    _, axes = plot_margin(tree)
    assert [t.get_text() for t in axes.texts] == ["75.0%", "25.0%"]


OTHERS = ("other_honest", "other_deceptive", "other_misaligned")


@pytest.fixture(scope="module")
def grammar_tree():
    return fit(uncertain(post_like()), {}, num_samples=30, num_chains=2)


@pytest.fixture(scope="module")
def grammar_page(grammar_tree):
    return Page(render(grammar_tree))


def listed(tree):
    expressions = tree["constant_data"]["structure_program"]
    names = expressions["structure"].values
    return {str(n): str(x) for n, x in zip(names, expressions.values, strict=True)}


def test_the_report_lists_the_programs_of_a_grammar(grammar_tree, grammar_page):
    assert grammar_page.open == []
    assert grammar_page.elements["script"] == 0
    text = " ".join("".join(grammar_page.text).split())
    expressions = [x for x in listed(grammar_tree).values() if x]
    assert len(expressions) == 20
    assert [x for x in expressions if x not in text] == []
    for said in (
        "all other misaligned programs",
        "6 rules make infinitely many programs",
        "Of infinitely many programs at most",
        "openly misaligned",
        "none is listed",
        "Masses are exact sums over all programs: the model factorises",
        "How this was computed",
        "switch(Policy, Policy)",
    ):
        assert said in text, said


def test_a_model_of_structures_has_no_section_on_programs(html):
    text = "".join(Page(html).text)
    assert "By structure and class" in text
    assert "The champions" not in text


def test_listed_programs_go_by_mass_and_those_with_little_are_folded(grammar_tree):
    summary = summarize(grammar_tree)
    found = programs_in(grammar_tree, summary)
    names = {r.name for r in (*found.shown, *found.folded)}
    assert names == set(summary["structures"]) - set(OTHERS)
    for rows in (found.shown, found.folded):
        masses = [r.mass["mean"] for r in rows]
        assert masses == sorted(masses, reverse=True)
    assert len(found.shown) >= 10
    assert [r.name for r in found.rest] == list(OTHERS)
    assert min(r.mass["mean"] for r in found.shown[:10]) >= found.folded[0].mass["mean"]


def test_costs_of_programs_are_medians_and_excesses_over_the_least(grammar_tree):
    found = programs_in(grammar_tree, summarize(grammar_tree))
    draws = grammar_tree["posterior"]["structure_bits"].sel(structure=list(listed(grammar_tree)))
    named = draws.dropna("structure", how="all")
    least = named.min("structure")
    for row in found.shown:
        own = named.sel(structure=row.name)
        assert row.bits == pytest.approx(float(own.median()), rel=1e-12)
        assert row.more_bits == pytest.approx(float((own - least).median()), rel=1e-12, abs=1e-12)
    assert all(np.isnan(r.bits) for r in found.rest)


def test_whether_a_program_can_ever_be_favored(grammar_tree):
    by_name = {
        r.name: r.standing
        for part in ("shown", "folded")
        for r in getattr(programs_in(grammar_tree, summarize(grammar_tree)), part)
    }
    assert by_name["fast_honest"] == by_name["slow_deceptive"] == "yes"
    assert by_name["fast_deceptive"] == by_name["delegate(optimize(base))"] == "never"
    unknown = grammar_tree.copy()
    unknown.attrs = grammar_tree.attrs | {"frontier": "[]", "never_favored": "[]"}
    found = programs_in(unknown, summarize(unknown))
    assert {r.standing for r in found.folded} == {"not known"}
    assert "No finite list of the programs" in render(unknown)


def test_champions_are_the_best_of_their_class(grammar_tree):
    summary = summarize(grammar_tree)
    honest, deceptive, misaligned = programs_in(grammar_tree, summary).champions
    assert (honest.by_mass.name, deceptive.by_favored.name) == ("fast_honest", "slow_deceptive")
    assert misaligned.by_mass is None
    assert not honest.rest_is_heavier
    summary["structures"]["other_honest"]["mass"]["mean"] = 0.99
    assert programs_in(grammar_tree, summary).champions[0].rest_is_heavier


def test_rules_cost_minus_log2_of_their_share(grammar_tree):
    found = programs_in(grammar_tree, summarize(grammar_tree))
    assert found.endless
    weights = np.array([4.0, 1.0, 1.0, 0.5])
    bits = -np.log2(weights / weights.sum())
    assert [r["bits"] for r in found.rules] == pytest.approx([*bits, 1.0, 1.0])


def test_a_grammar_without_recursion_is_not_called_infinite():
    tree = fit(uncertain(finite()), {}, num_samples=10, num_chains=1)
    text = "".join(Page(render(tree)).text)
    assert "infinitely" not in text
    assert "the grammar’s 5 rules make" in text


def hostile_grammar_tree(grammar_tree, name):
    """A grammar's results in which every text is ``name``, numbered where it must differ."""
    tree = grammar_tree.copy(deep=True)
    names = [f"{name}{k}" for k in range(tree["constant_data"].sizes["structure"])]
    for group in tree.children:
        if "structure" in tree[group].coords:
            tree[group] = type(tree)(tree[group].to_dataset().assign_coords(structure=names))
    constant = tree["constant_data"].to_dataset()
    programs = np.array([*names[:-3], "", "", ""])
    constant = constant.assign(
        structure_program=("structure", programs), structure_symbol=("structure", np.array(names))
    )
    tree["constant_data"] = type(tree)(constant)
    entry = {"name": names[0], "program": name, "symbol": name, "class": name, "rule_bits": 1.0}
    grammar = json.loads(tree.attrs["grammar"])
    for rule in grammar["rules"]:
        rule |= {"symbol": name, "name": name, "args": [name]}
    engines = {"masses": "tempered", "programs": name, "reason": name, "inner_draws": name}
    tree.attrs |= {
        "frontier": json.dumps([entry]),
        "grammar": json.dumps(grammar),
        "engines": json.dumps(engines),
        "never_favored": json.dumps([names[1]]),
        "dominance": json.dumps([{"winner": name, "loser": name, "needs": [], "text": name}] * 8),
        **dict.fromkeys(("title", "source", "note", "model_text"), name),
    }
    return tree


@pytest.fixture(scope="module")
def harmless_grammar(grammar_tree):
    return Page(render(hostile_grammar_tree(grammar_tree, "plain")))


@pytest.mark.parametrize("group", range(3))
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_hostile_grammar_adds_no_element(grammar_tree, harmless_grammar, group):
    name = " ".join(HOSTILE[group::3])
    page = Page(render(hostile_grammar_tree(grammar_tree, name)))
    assert page.open == []
    assert_same_elements(page, harmless_grammar)
    assert "".join(page.text).count(name) >= 60


def with_engines(tree, engines, **variables):
    """A copy whose families' groups hold further (chain, draw) variables."""
    changed = tree.copy(deep=True)
    if engines is not None:
        changed.attrs["engines"] = json.dumps(engines)
    for group in ("posterior_linear", "posterior_levin", "posterior_power"):
        dataset = changed[group].to_dataset()
        like = dataset["deceptive_mass"]
        made = {n: like * 0 + np.resize(x, like.shape) for n, x in variables.items()}
        changed[group] = type(tree)(dataset.assign(made))
    return changed


def test_how_the_masses_were_computed(tree):
    assert computed(tree) == ""
    bound = with_engines(tree, None, log_weight_error=[1e-12, 3e-9])
    assert computed(bound) == "Bounded error of the log weights in the worst draw: 3e-09 nats."
    exact = {"masses": "listed", "programs": "tempered", "reason": "few facts"}
    said = computed(with_engines(tree, exact, log_weight_error=[0.0]))
    assert said.startswith("Masses are exact sums over all programs: few facts. Bounded error")


def test_how_tempered_masses_were_computed(tree):
    engines = {"masses": "tempered", "programs": "tempered", "reason": "a cap", "inner_draws": 200}
    said = computed(with_engines(tree, engines, mass_error=[0.01, 0.02, 0.05]))
    assert said == (
        "Masses come from Markov chains over programs, 200 draws of programs at the costs of every "
        "draw: a cap. Monte Carlo error of the deceptive mass at the costs of a single draw: 0.05 "
        "at worst, 0.02 in the middle."
    )
    unseen = with_engines(tree, engines, mass_error=[0.0, 0.0, 0.05], log_weight_error=[0.3])
    assert "Estimated error of the log weights in the worst draw: 0.3 nats" in computed(unseen)
    assert "none seen in most draws" in computed(unseen)
    assert "200 draws of programs" in render(unseen)


def test_how_enumerated_masses_were_computed(tree):
    engines = {"masses": "enumerated", "programs": "tempered", "reason": "a cap", "inner_draws": 0}
    said = computed(with_engines(tree, engines, mass_bound=[1e-7, 1e-7, 0.02, np.nan]))
    assert said == (
        "Masses are those of programs listed in order of rule bits, all others bounded: a cap. "
        "Room that programs not listed leave for the deceptive mass of a single draw: 0.02 at "
        "worst, 1e-07 in the middle."
    )


def test_of_many_structures_the_plot_of_costs_draws_the_most_probable(grammar_tree):
    assert grammar_tree["posterior"].sizes["structure"] > CROWD
    figure, axes = plot_costs(grammar_tree)
    figure.draw_without_rendering()
    labels = axes.get_legend_handles_labels()[1]
    assert len(labels) == DRAWN
    assert labels[0] in ("fast_honest (honest)", "slow_deceptive (deceptive)")
    assert not any(label.startswith("other_") for label in labels)
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
    labels = plot_costs(tree)[1].get_legend_handles_labels()[1]
    assert sum("(misaligned)" in label for label in labels) == 1


def test_the_headline_of_a_grammar_is_short_and_aligned(grammar_tree):
    summary = summarize(grammar_tree)
    table = headline(summary).split("\n\n")[1].splitlines()
    head, rows, more = table[0], table[1:-1], table[-1]
    assert len(rows) == 8 + 3
    assert [r.split()[0] for r in rows[-3:]] == list(OTHERS)
    left_out = len(summary["structures"]) - 11
    assert more == f"... and {left_out} more listed programs with less mass (summary.json)"
    starts = [head.index(c) for c in ("class", "favored", "90 %", "mass")]
    for row in rows:
        assert all(row[at - 1] == " " and row[at] != " " for at in starts), row
        assert len(row.split("  ")[0]) <= 44
    masses = [
        summary["structures"][r.split("  ")[0]]["mass"]["mean"] for r in rows[:8] if "..." not in r
    ]
    assert masses == sorted(masses, reverse=True)


def test_the_headline_of_few_structures_keeps_file_order(tree):
    rows = headline(summarize(tree)).split("\n\n")[1].splitlines()
    assert [r.split()[0] for r in rows] == ["structure", *STRUCTURES]
