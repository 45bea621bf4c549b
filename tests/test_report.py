"""The report: complete, self-contained, the same every time, and deaf to hostile names."""

import json
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from synthetic import STRUCTURES, family_dataset, posterior_tree, shipped_like

from bayes_mesa.plots import plot_costs, plot_margin, plot_probability
from bayes_mesa.report import render, spread, verdict, write_report
from bayes_mesa.summary import summarize

VOID = {"meta", "br", "use", "path", "image", "line", "img"}


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
    ticks = {"use", "g", "text"}
    counts = {n: k for n, k in page.elements.items() if n not in ticks}
    assert counts == {n: k for n, k in harmless.elements.items() if n not in ticks}
    assert {n for n, _ in page.attributes} == {n for n, _ in harmless.attributes}
    assert "".join(page.text).count(name) >= 10


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
