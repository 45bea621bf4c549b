"""The report: complete, self-contained, the same every time, and deaf to hostile names."""

import json
import re
import time
import warnings
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from small_grammars import finite, post_like, uncertain
from small_models import family, known_facts, lognormal, structure, two_sided
from synthetic import STRUCTURES, family_dataset, posterior_tree, shipped_like

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Selection
from bayes_mesa.inference.fitting import fit
from bayes_mesa.interface.console import headline
from bayes_mesa.model_file import load_model
from bayes_mesa.pages import page_figure, report
from bayes_mesa.pages.convergence import computed, convergence
from bayes_mesa.pages.program_report import programs_in
from bayes_mesa.pages.recount import recount
from bayes_mesa.pages.report import by_kind, render, spread, verdict, write_report
from bayes_mesa.pages.report_figures import _closed_ranks, regime_figure
from bayes_mesa.pages.report_regime import regime_section
from bayes_mesa.plots.plot_style import plain
from bayes_mesa.results.diagnosis import mixing
from bayes_mesa.results.summary import summarize
from bayes_mesa.sensitivity.crux import crux_table
from bayes_mesa.text.number_text import (
    digit_text,
    error_text,
    number_text,
    probability_text,
    signed_text,
)
from bayes_mesa.text.wording import one_way

VOID = {"meta", "br", "use", "path", "image", "line", "img", "wbr", "input"}


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


CRUXES_OF = report._cruxes


def made_up_cruxes(tree):
    """Rows in the shape of `crux_table`, one for each belief, for trees whose text is no model."""
    share = {"mean": 0.25, "lower": -0.01, "upper": 0.3}
    flip = {"median": 3e3, "to": 3e4, "factor": 10.0}
    quantities = [b["quantity"] for b in json.loads(tree.attrs["beliefs"])]
    return [
        {
            "name": q,
            "first_order": share,
            "total": share,
            "evppi": 0.01,
            "flip": (flip, None)[k % 2],
        }
        for k, q in enumerate(quantities)
    ]


@pytest.fixture(scope="module", autouse=True)
def _cruxes_made_up():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_cruxes", made_up_cruxes)
        yield


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
    # By family, costs, margin, two critical exchanges, phase, masses, ranks of three families.
    assert page.elements["svg"] == page.elements["figure"] == 10
    links = [value for name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert links
    assert all(value.startswith(("#", "data:image/png")) for value in links)
    policies = [value for name, value in page.attributes if name == "content"]
    assert policies[0].startswith("default-src 'none'")
    assert not any(name.startswith("on") for name, _ in page.attributes)


def test_it_is_small(html):
    assert len(html.encode()) < 1_000_000


def test_it_opens_with_the_verdict(tree, html):
    text = " ".join(Page(html).text)
    assert verdict(summarize(tree)) in text.replace("\N{NO-BREAK SPACE}", " ")
    assert text.index("A deceptive program is favored") < text.index("The two figures")


def test_it_says_everything_it_must(html):
    text = " ".join("".join(Page(html).text).split())
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
        "25 %−1 to 30",
        "30000instead of 3000",
    ):
        assert said in text, said


def test_every_drawing_says_what_it_shows_and_has_its_data(html):
    drawn = re.findall(r"<figure>(.*?)</figure>", html, re.DOTALL)
    assert len(drawn) == 10
    for figure in drawn:
        label = re.search(r'<svg role="img" aria-label="([^"]*)"', figure)
        assert len(label[1]) > 40
        caption = re.search(r"<figcaption>(.*?)</figcaption>", figure, re.DOTALL)
        assert len(caption[1]) > 80
        data = re.search(r"<details><summary>(.*?)</details>", figure, re.DOTALL)
        assert data[1].startswith("The data of this figure")
        assert len(re.findall("<tr>", data[1])) >= 2


def test_sections_come_in_the_order_of_the_argument(html):
    ids = re.findall(r'<section id="([a-z]+)"', html)
    assert ids == [
        *("figures", "costs", "margin", "turning", "phase", "hangs", "structures", "beliefs"),
        *("dominance", "forecasts", "convergence", "provenance"),
    ]
    targets = set(re.findall(r'<a href="#([a-z]+)"', html))
    assert targets == set(ids)


def test_it_says_how_to_cite_and_reopen_it(html):
    text = " ".join("".join(Page(html).text).split())
    for said in (
        'post = bm.open_posterior("posterior.nc")',
        "bayes-mesa report posterior.nc --out report.html",
        "--seed 1 --draws 60 --warmup 0 --chains 4",
        "bayes_mesa 0.1.0, model speed_simplicity (SHA-256 0000000000000000), seed 1",
    ):
        assert said in text, said


def test_it_says_how_evidence_is_given_again(undrawn):
    tree = shipped_like(num_samples=20)
    own = "[evidence.own]\nkind = 'measurement'\n"
    tree.attrs["evidence"] = json.dumps(
        [{"name": n, "kind": "measurement", "rows": 1} for n in ("own", "given")]
    )
    tree.attrs["model_text"] += f"\n{own}"
    text = " ".join("".join(Page(render(tree)).text).split())
    assert "evidence that was given beside it (given), here called evidence.toml" in text
    assert "--out results --evidence evidence.toml --seed" in text
    tree.attrs["evidence"] = "[]"
    text = " ".join("".join(Page(render(tree)).text).split())
    assert "evidence.toml" not in text
    assert "--out results --prior-only --seed" in text
    tree.attrs["model_text"] = "nothing"
    assert "--prior-only" not in render(tree)


def test_beliefs_go_by_what_they_rest_on():
    kinds = ["measured", "opinion", "rumour", "cited", "opinion"]
    groups = by_kind([{"kind": kind, "quantity": k} for k, kind in enumerate(kinds)])
    assert [g["kind"] for g in groups] == ["opinion", "cited", "measured", "rumour"]
    assert [b["quantity"] for b in groups[0]["rows"]] == [1, 4]
    assert all(g["said"] for g in groups)
    assert by_kind([]) == []


def test_ids_are_unique_over_the_drawings(html):
    ids = [value for name, value in Page(html).attributes if name == "id"]
    assert ids
    assert len(ids) == len(set(ids))


def test_the_same_tree_gives_the_same_page(tree, html):
    assert render(tree) == html


def test_drawings_take_the_ink_of_the_page(html):
    assert "#010203" not in html
    assert "currentColor" in html


def test_the_text_of_a_label_is_not_repainted():
    svg = page_figure._svg(lambda: titled("fill: #0072b2; #010203 x"), "alt", "salt")
    assert "fill: #0072b2; #010203 x" in svg
    assert "var(--blue)" in svg
    assert "currentColor" in svg


def titled(title):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([0, 1], color="#0072B2")
    axes.set_title(title)
    return figure, axes


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
    assert "".join(page.text).count(one_way(name)) >= 10


def assert_same_elements(page, harmless):
    """The same elements, but for ticks of the axes and places where a line may break."""
    varying = {"use", "g", "text", "path", "wbr"}
    counts = {n: k for n, k in page.elements.items() if n not in varying}
    assert counts == {n: k for n, k in harmless.elements.items() if n not in varying}
    assert {n for n, _ in page.attributes} == {n for n, _ in harmless.attributes}


def hostile_names(count):
    """So many different names, made of the fragments above."""
    pairs = [f"{a}{b}" for a in HOSTILE for b in HOSTILE]
    return [f"{pairs[k % len(pairs)]}{k}" for k in range(count)]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_two_hundred_hostile_names_add_no_element(undrawn):
    pages = []
    for names in (hostile_names(200), [f"plain{k}" for k in range(200)]):
        tree = shipped_like(num_samples=20)
        belief = json.loads(tree.attrs["beliefs"])[0]
        said = ("quantity", "belief", "note")
        tree.attrs["beliefs"] = json.dumps([belief | dict.fromkeys(said, n) for n in names])
        tree.attrs["warnings"] = json.dumps(names)
        proved = [{"winner": n, "loser": n, "needs": [n], "text": n} for n in names]
        tree.attrs["dominance"] = json.dumps(proved)
        evidence = [{"name": n, "kind": n, "rows": 1} for n in names]
        tree.attrs["evidence"] = json.dumps(evidence)
        pages.append(Page(render(tree)))
    assert_same_elements(*pages)
    text = "".join(pages[0].text)
    assert [n for n in hostile_names(200) if text.count(one_way(n)) < 4] == []


TURNING = "[\u202a-\u202e\u2066-\u2069]"


@pytest.mark.parametrize("mark", "\u202a\u202b\u202d\u202e\u2066\u2067\u2068")
def test_no_name_turns_round_what_follows_it(undrawn, mark):
    tree = shipped_like(num_samples=20)
    tree.attrs |= dict.fromkeys(("title", "source", "note"), f"a{mark}b")
    tree.attrs["warnings"] = json.dumps([f"{mark}name: 0.31 was cut off"])
    text = "".join(Page(render(tree)).text)
    assert not re.search(TURNING, text)
    assert "\N{REPLACEMENT CHARACTER}name: 0.31 was cut off" in text


def test_a_label_of_a_figure_does_not_turn_round_either():
    assert "\u202e" not in plain("\u202eevil")


def test_a_long_name_can_break_in_its_table():
    said = str(report._breakable("x" * 500))
    assert max(map(len, said.split("<wbr>"))) <= 30
    assert said.replace("<wbr>", "") == "x" * 500
    # Entities stay whole, and places that were there before too.
    said = str(report._breakable("<" * 60 + "bits.a_b(c)"))
    assert said.replace("<wbr>", "") == "&lt;" * 60 + "bits.a_b(c)"
    assert said.endswith("bits.<wbr>a_<wbr>b(<wbr>c)")


def test_letters_that_matplotlib_lacks_are_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        svg = page_figure._svg(lambda: titled("\u5fc3"), "alt", "salt")
    assert "\u5fc3" in svg


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (3162.3, "3160"), (1e7, "1e7"), (2.34e-05, "2.34e-5"), (0.0316, "0.0316"), (0.0, "0"),
        (999_999.0, "1000000"), (1e6, "1e6"), (-4321.0, "-4320"), (5e-4, "5e-4"), (41.0, "41"),
        (None, "–"), (float("nan"), "–"), (float("inf"), "∞"),
    ],
)  # fmt: skip
def test_numbers_of_the_page_are_written_as_its_script_does(x, text):
    assert number_text(x) == text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (probability_text(3.7e-5), "3.7e-5"), (probability_text(1 - 2e-9), "1 − 2.0e-9"),
        (digit_text(2.2e-5), "2e-5"), (digit_text(0.004), "0.004"), (digit_text(None), "–"),
        (error_text({"mean": 1.2e-5, "mcse": 4e-6}), "1.2e-5 ± 4e-6"),
        (signed_text(-0.38, 4e-5), "−0.38000 ± 4e-5"), (number_text(7850.0), "7850"),
    ],
)  # fmt: skip
def test_every_small_number_has_the_page_scripts_exponent(text, wanted):
    assert text == wanted


def test_no_line_breaks_inside_a_number():
    said = report._error({"mean": 1.3e-148, "mcse": 1e-148})
    assert said.count('<span class="whole">') == 2
    assert " " not in Page(str(said)).text[1]
    assert "whole" in report._variance({"mean": 0.59, "lower": 0.56, "upper": 0.63})
    assert report._tied("0.5 (90 % of < 0.1 %)") == "0.5 (90\xa0% of <\xa00.1\xa0%)"


def test_on_paper_small_letters_are_smaller_than_the_others(html):
    # They are sized by the root's letters, which therefore must shrink with the body's.
    assert re.search(r"@media print \{.*html \{ font-size: 10pt; \}", html, re.DOTALL)


def test_colours_that_differ_in_light_differ_in_dark():
    shades = set(page_figure._SHADES.values())
    assert len(shades) == 4
    css = files("bayes_mesa.pages").joinpath("templates", "report.css").read_text("utf-8")
    dark = re.search(r"prefers-color-scheme: dark\) \{\s*:root \{(.*?)\}", css, re.DOTALL)[1]
    named = dict(re.findall(r"--([a-z]+): #([0-9a-f]{6})", dark))
    own = [named[re.search("--([a-z]+)", shade)[1]] for shade in sorted(shades)]
    channels = [np.array([int(c[k : k + 2], 16) for k in (0, 2, 4)]) for c in own]
    for k, one in enumerate(channels):
        for other in channels[:k]:
            assert np.linalg.norm(one - other) > 80


def test_the_window_is_shaded_only_where_there_is_one(with_regime):
    found = regime_section(with_regime).summary
    some = regime_figure(found | {"window": {"least": 4, "greatest": 32}})
    assert some.caption.endswith("It is shaded, from 4 to 32.")
    none = regime_figure(found | {"window": None})
    assert none.caption.endswith("nothing is shaded.")


def test_no_figure_draws_in_ink_that_dark_swallows(html, with_regime):
    drawn = html + str(regime_figure(regime_section(with_regime).summary).svg)
    greys = {g for g in re.findall(r"#([0-9a-f]{2})\1\1\b", drawn)}
    # 0x11 is the black line beside a white one on the phase diagram's own ground.
    assert {g for g in greys if int(g, 16) < 0x66} <= {"11"}


def test_rank_plots_have_a_scale_and_no_curve_runs_through_their_p(tree):
    names = [name for name, *_ in mixing(tree["posterior_levin"].to_dataset()).unknowns[:4]]
    figure, axes = _closed_ranks(tree, "levin", names, (5.8, 4.6))
    figure.canvas.draw()
    for ax in axes:
        assert len([t for t in ax.get_yticklabels() if t.get_text()]) >= 2
        low, high = ax.get_ylim()
        highest = max(np.max(line.get_ydata()) for line in ax.get_lines())
        assert (highest - low) / (high - low) < 0.85
        assert all(t.get_transform() == ax.transAxes for t in ax.texts)


def test_it_is_written_whole(tree, html, tmp_path, monkeypatch):
    monkeypatch.setattr(report, "render", lambda tree, summary: html)
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


OTHERS = ("other_honest", "other_deceptive", "other_misaligned")


@pytest.fixture(scope="module")
def grammar_tree():
    return fit(uncertain(post_like()), {}, num_samples=30, num_chains=2)


@pytest.fixture
def undrawn(monkeypatch):
    """Pages in a fraction of the time: each drawing is a word."""
    monkeypatch.setattr(page_figure, "_svg", lambda draw, alt, name: f"drawing {name}")


@pytest.fixture
def grammar_page(grammar_tree, undrawn):
    return Page(render(grammar_tree))


def listed(tree):
    expressions = tree["constant_data"]["structure_program"]
    names = expressions["structure"].values
    return {str(n): str(x) for n, x in zip(names, expressions.values, strict=True)}


def test_the_report_lists_the_programs_of_a_grammar(grammar_tree, grammar_page):
    assert grammar_page.open == []
    # The explorable part: its data and its script, which the policy names by its hash.
    assert grammar_page.elements["script"] == 2
    policies = [v for n, v in grammar_page.attributes if n == "content"]
    assert "script-src 'sha256-" in policies[0]
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
        "The masses were not counted again on this page: the programs of a grammar are too many",
        "How the masses were computed",
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


def test_whether_a_program_can_ever_be_favored(grammar_tree, undrawn):
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


def test_a_grammar_without_recursion_is_not_called_infinite(undrawn):
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


@pytest.fixture
def harmless_grammar(grammar_tree, undrawn):
    return Page(render(hostile_grammar_tree(grammar_tree, "plain")))


@pytest.mark.parametrize("group", range(3))
@pytest.mark.filterwarnings("ignore:Glyph")
def test_a_hostile_grammar_adds_no_element(grammar_tree, harmless_grammar, group):
    name = " ".join(HOSTILE[group::3])
    page = Page(render(hostile_grammar_tree(grammar_tree, name)))
    assert page.open == []
    assert_same_elements(page, harmless_grammar)
    assert "".join(page.text).count(one_way(name)) >= 60


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
    assert computed(bound) == "Bounded error of the log weights in the worst draw: 3e-9 nats."
    exact = {"masses": "listed", "programs": "tempered", "reason": "few facts"}
    said = computed(with_engines(tree, exact, log_weight_error=[0.0]))
    assert said.startswith("Masses are exact sums over all programs: few facts. Bounded error")


def test_how_tempered_masses_were_computed(tree, undrawn):
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
        "worst, 1e-7 in the middle."
    )


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


@pytest.fixture(scope="module")
def with_regime():
    return fit(load_model("rollouts"), num_samples=20, num_chains=2)


def test_the_regime_window_needs_nothing_but_the_results(with_regime, undrawn):
    found = regime_section(with_regime)
    assert found.why_not == ""
    assert [p["rollouts"] for p in found.summary["curve"]] == [2**j for j in range(20)]
    page = Page(render(with_regime))
    assert page.open == []
    text = "".join(page.text)
    assert found.summary["text"][0] in text
    assert "drawing regime" in text


def test_a_regime_that_cannot_be_read_again_is_left_out_with_its_reason(with_regime, undrawn):
    tree = with_regime.copy()
    tree.attrs |= {
        "model_text": str(tree.attrs["model_text"]).replace(
            "target_success = ", "target_success = 1"
        )
    }
    found = regime_section(tree)
    assert found.summary is None
    assert "cannot be read again" in found.why_not
    assert "its window is not shown: the model cannot be read again" in render(tree)


def test_the_cruxes_are_those_of_the_results(monkeypatch, undrawn):
    monkeypatch.setattr(report, "_cruxes", crux_table)
    model = load_model("speed_simplicity")
    tree = fit(model, num_samples=50, num_chains=2)
    rows = crux_table(tree)
    page = render(tree)
    text = "".join(Page(page).text)
    assert all(row["name"] in text for row in rows)
    first = next(r["name"] for r in rows if r["name"].startswith(("bits.", "steps.")))
    assert f"upwards: {first}, the quantity" in text
    assert "more beliefs, on which it hangs less" in text


def test_results_of_an_earlier_release_have_no_cruxes(tree):
    assert "form" not in json.loads(tree.attrs["beliefs"])[0]
    assert CRUXES_OF(tree) == []


def test_a_model_without_a_regime_has_no_such_section(tree, html):
    assert regime_section(tree) is None
    assert "regime window" not in html


# --- convergence and the recount ----------------------------------------------------------------


FACTS = known_facts([3.0, 1.0, 4.0], [20.0, 60.0, 35.0], {"honest": 2.0})
NEEDING = known_facts([3.0, 1.0, 4.0], [20.0, 60.0, 35.0], needs=((), (0,), (0, 1)))
THREE = (
    family("linear", rate=lognormal(3.0, 1.0)),
    family("levin", kappa=lognormal(0.0, 1.0)),
    family("power", rate=lognormal(3.0, 1.0), exponent=1.7),
)
LIMITS = Selection(Known(0.7), episodes=3.0, cap=400.0, max_bits=30.0)


@pytest.mark.parametrize(
    "parts",
    [{}, {"facts": FACTS}, {"facts": NEEDING}, {"facts": FACTS, "selection": LIMITS}],
    ids=["plain", "facts", "needs", "limits"],
)
def test_masses_counted_again_are_those_of_the_results(parts):
    costs = (12.0, lognormal(5.0, 1.0)), (lognormal(2.0, 0.5), lognormal(6.0, 1.0))
    tree = fit(two_sided(*costs, families=THREE, **parts), {}, num_samples=30, num_chains=2)
    counted = recount(tree)
    assert counted.why_not == ""
    assert counted.draws == 16
    assert counted.programs == (16 if "facts" in parts else 2)
    assert counted.worst < 1e-9
    # The check can fail: masses that are off by so much are seen.
    group = tree["posterior_levin"].to_dataset()
    group["deceptive_mass"] = np.clip(group["deceptive_mass"] + 0.01, 0.01, None)
    tree["posterior_levin"] = type(tree)(group)
    assert recount(tree).worst == pytest.approx(0.01, rel=1e-6)


def test_losses_and_undeclared_objectives_are_counted():
    openly = structure("openly", ["b"], [], train="other", deploy="other")
    known = replace(
        two_sided((20.0, 5.0), (lognormal(2.0, 0.5), 9.0)),
        losses={"other": lognormal(0.0, 1.0)},
        selection=Selection(Known(1.0), episodes=2.0),
    )
    model = replace(known, structures=(*known.structures, openly))
    for each in (model, replace(model, losses={})):
        assert recount(fit(each, {}, num_samples=20, num_chains=2)).worst < 1e-9


def test_what_cannot_be_counted_again_is_said(grammar_tree, tree):
    assert "grammar" in recount(grammar_tree).why_not
    assert "do not say" in recount(tree).why_not
    ten = known_facts([1.0] * 11, [1.0] * 11)
    many = fit(two_sided(facts=ten), {}, num_samples=5, num_chains=1)
    assert "11 facts make 2^11 programs" in recount(many).why_not


def test_programs_drawn_are_held_against_the_masses():
    tree = fit(two_sided((9.0, 1.0), (8.0, 4.0)), {}, num_samples=50, num_chains=2)
    deceptive = np.tile([True, False], (2, 25))
    drawn = xr.Dataset({"deceptive": (("chain", "draw"), deceptive)})
    tree["programs"] = type(tree)(drawn)
    said = convergence(tree).agreement
    assert len(said) == 2
    assert said[1].startswith("Of 100 programs drawn 0.500 ±")
    mass = float(tree["posterior"]["deceptive_mass"].mean())
    assert said[1].endswith(f"the masses say {mass:.3f}.")


def test_mixing_is_that_of_the_diagnosis():
    tree = shipped_like(num_samples=60)
    for found in convergence(tree).families:
        expected = mixing(tree[f"posterior_{found.family}"].to_dataset())
        assert (found.r_hat, found.r_hat_at) == (expected.r_hat, expected.r_hat_at)
        assert (found.ess, found.ess_at) == (expected.ess, expected.ess_at)
        assert not found.by_nuts
    few = convergence(shipped_like(num_samples=4)).families[0]
    assert (few.r_hat, few.ess) == (None, 16.0)


def test_independent_draws_have_no_rank_plots(undrawn):
    page = render(shipped_like(num_samples=20))
    assert "independent draws for each family" in page
    assert "drawing ranks" not in page


# --- time and size ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_large_page_is_small_and_quick(monkeypatch, tmp_path):
    monkeypatch.setattr(report, "_cruxes", crux_table)
    # Processor time: on a busy machine the wall clock measures the neighbours.
    facts = "\n[facts]\ncount = 50\nbits = {q05 = 5, q95 = 50}\nsteps = {q05 = 10, q95 = 1e4}\n"
    path = tmp_path / "with_facts.toml"
    path.write_text(load_model("speed_simplicity").text + facts)
    model = load_model(path)
    tree = fit(model, {}, num_samples=1000, num_chains=4)
    rng = np.random.default_rng(42)
    for name in json.loads(tree.attrs["families"]):
        stats = {"diverging": (("chain", "draw"), rng.random((4, 1000)) < 0.001)}
        tree[f"sample_stats_{name}"] = type(tree)(xr.Dataset(stats))
    start = time.process_time()
    page = render(tree)
    assert time.process_time() - start < 10.0
    assert len(page.encode()) < 5_000_000
    assert render(tree) == page
