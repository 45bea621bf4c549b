"""The explorable part of the report: what it holds, and that the page computes what Python does."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from html.parser import HTMLParser

import numpy as np
import pytest
from chromium import BROWSER, Chromium
from small_models import (
    belief,
    component,
    correlation,
    family,
    lognormal,
    model,
    prior,
    structure,
    two_sided,
)
from synthetic import shipped_like

import bayes_mesa as bm
from bayes_mesa.domain.model import Heuristics, Selection
from bayes_mesa.pages.explorer import NUM_DRAWS, explorer_data, explorer_section
from bayes_mesa.pages.report import render
from bayes_mesa.reweighting.reweighed_phase import phase
from bayes_mesa.reweighting.stock import Stock

HOSTILE = '"><script>alert(1)<!--<img src=x onerror=alert(1)>'


@pytest.fixture(scope="module")
def shipped():
    return bm.fit(bm.load_model("speed_simplicity"), num_samples=1000, seed=42)


@pytest.fixture(scope="module")
def html(shipped):
    return render(shipped)


def every_form():
    """A belief of every form that moves, one pair of them correlated, pressure cut off."""
    forms = {
        "gamma": prior("Gamma", 2.5, 0.1),
        "inverse": prior("InverseGamma", 3.0, 40.0),
        "exponential": prior("Exponential", 0.1),
        "half": prior("HalfNormal", 20.0),
        "weibull": prior("Weibull", 20.0, 1.7),
        "even": prior("Uniform", 1.0, 9.0),
    }
    costs = [component(n, b, 1.0) for n, b in forms.items()]
    costs += [component(n, lognormal(3.0, 0.8), lognormal(2.0, 0.6)) for n in ("left", "right")]
    return model(
        costs,
        (
            structure("honest", ["gamma", "half", "left", "even"], ["left"]),
            structure(
                "pretender",
                ["inverse", "exponential", "weibull", "right"],
                ["right"],
                deploy="other",
            ),
        ),
        (
            family("linear", 0.3, rate=lognormal(0.0, 1.0)),
            family(
                "power",
                0.7,
                rate=lognormal(0.0, 1.0),
                exponent=prior("LogNormal", 0.3, 0.4, low=1.0),
            ),
        ),
        correlations=(
            correlation("bits.left", "bits.right", 0.6),
            correlation("steps.left", "bits.right", -0.3),
        ),
        selection=Selection(prior("LogNormal", 0.0, 0.5, low=0.4)),
    )


@pytest.fixture(scope="module")
def limited():
    """Under a cap and a capacity, and updated: nothing fits in more draws of the one family."""
    made = two_sided(
        a=(lognormal(3.0, 0.7), lognormal(0.5, 1.5)),
        b=(15.0, lognormal(1.0, 1.0)),
        families=(
            family("linear", 0.3, rate=lognormal(-3.0, 0.5)),
            family("levin", 0.7, kappa=lognormal(0.0, 0.3)),
        ),
        selection=Selection(belief(1.0), cap=4.0, max_bits=60.0),
    )
    fitted = bm.fit(made, num_samples=800, seed=42)
    return bm.update(fitted, likelihood_ratio=0.1, seed=1)


@pytest.fixture(scope="module")
def forms():
    """Updated, so that the families' probabilities move as with evidence."""
    fitted = bm.fit(every_form(), num_samples=800, seed=42)
    return bm.update(fitted, likelihood_ratio=3.0, seed=1)


# --- what the page holds ------------------------------------------------------------------------


def decoded(text, dtype="<f8"):
    return np.frombuffer(base64.b64decode(text), dtype)


def test_the_draws_are_those_that_python_reweighs(shipped):
    data = explorer_data(shipped)
    stock = Stock.of(shipped, NUM_DRAWS)
    assert data["num_draws"] == 2000
    assert data["all_draws"] == 4000
    for held, own in zip(data["families"], stock.families, strict=True):
        assert held["name"] == own.name
        assert np.array_equal(decoded(held["favored"], "u1"), own.favored.ravel())
        assert np.array_equal(decoded(held["mass"]), own.mass.ravel())
        for slot, text in held["logs"].items():
            assert np.array_equal(decoded(text), own.logs[slot].ravel())
    assert np.array_equal(
        decoded(data["phase"]["critical"]), stock.families[0].critical_rate.ravel()
    )
    found = bm.reweigh(shipped, num_draws=NUM_DRAWS)
    assert data["start"]["favored"] == found.deceptive_favored.mean
    json.dumps(data, allow_nan=False)


def test_exchange_and_pressure_come_first_then_what_matters_most(shipped):
    slots = [s["slot"] for s in explorer_data(shipped)["sliders"]]
    assert slots[:5] == ["linear_rate", "levin_kappa", "power_rate", "power_exponent", "pressure"]
    assert slots[5] == "bits.get_base_obj"
    assert len(slots) == 5 + 12


def test_a_slider_reaches_beyond_the_prior(shipped):
    slider = next(s for s in explorer_data(shipped)["sliders"] if s["slot"] == "linear_rate")
    assert slider["median"] == pytest.approx(100.0)
    assert (slider["from"], slider["to"]) == pytest.approx((1e-3, 1e7))
    assert slider["unit"] == "steps per bit"


def test_the_phase_diagram_opens_with_the_crux(shipped):
    assert explorer_data(shipped, crux="bits.combine")["phase"]["cost"] == "bits.combine"
    assert (
        explorer_data(shipped, crux="levin_kappa")["phase"]["cost"]
        in (explorer_data(shipped)["phase"]["costs"])
    )


def test_many_costs_leave_those_that_matter_most():
    many = [component(f"c{k}", lognormal(1.0, 0.5)) for k in range(40)]
    heavy = component("heavy", lognormal(5.0, 1.0))
    names = [c.name for c in many]
    made = model(
        (*many, heavy, component("b", 200.0)),
        (structure("honest", [*names, "heavy"]), structure("pretender", ["b"], deploy="other")),
        (family("linear", rate=1.0),),
    )
    data = explorer_data(bm.fit(made, num_samples=100, seed=42))
    assert len(data["sliders"]) == 25
    assert data["sliders"][0]["slot"] == "bits.heavy"
    assert data["phase"] is None  # no verdict ever turns on the rate: no program takes steps


def test_without_anything_to_move_there_is_no_such_part():
    fitted = bm.fit(two_sided(a=(1.0, 1.0), b=(2.0, 1.0)), num_samples=50, seed=42)
    assert explorer_data(fitted) is None
    assert explorer_section(fitted) is None
    assert 'id="explorer' not in render(fitted)
    assert "<script" not in render(fitted)


def test_results_that_say_too_little_of_their_beliefs_have_no_such_part():
    assert explorer_data(shipped_like(num_samples=60)) is None


def test_a_model_made_in_python_with_heuristics_has_none():
    helped = two_sided(
        a=(lognormal(3.0, 0.5), 1.0),
        b=(20.0, 1.0),
        heuristics=Heuristics(("a",), lognormal(0.0, 0.3), belief(1.0)),
    )
    assert explorer_data(bm.fit(helped, num_samples=50, seed=42)) is None


# --- the page -----------------------------------------------------------------------------------


class Elements(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs


def test_only_the_one_script_may_run(html):
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    policy = dict(Elements(html).attributes)["content"] and next(
        value
        for name, value in Elements(html).attributes
        if (value or "").startswith("default-src")
    )
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "unsafe-eval" not in policy
    assert not any(name.startswith("on") for name, _ in Elements(html).attributes)
    assert not re.search(r"\beval\(|innerHTML|document\.write|fetch\(|XMLHttp|import\(", scripts[0])


def test_without_scripts_the_part_is_hidden(html):
    tag = re.search(r"<section id=\"explorer\"[^>]*>", html).group()
    assert tag.endswith(" hidden>")


def test_it_comes_right_after_the_verdict(html):
    places = [html.index(x) for x in ('class="verdict"', 'id="explorer"', "The two figures")]
    assert places == sorted(places)


def test_hostile_names_add_no_element():
    # No model file may name a part so; Python may.
    named = model(
        (component(HOSTILE, lognormal(3.0, 1.0)), component("b", 20.0)),
        (structure("honest", [HOSTILE]), structure("pretender", ["b"], deploy="other")),
        (family("linear", rate=lognormal(0.0, 1.0)),),
    )
    html = str(explorer_section(bm.fit(named, num_samples=50, seed=42)).html)
    assert "img" not in Elements(html).tags
    assert Elements(html).tags.count("script") == 2
    assert HOSTILE not in html
    data = re.search(r'id="explorer-data">(.*?)</script>', html).group(1)
    assert f"bits.{HOSTILE}" in [s["slot"] for s in json.loads(data)["sliders"]]


FRAGMENTS = (
    "<script>alert(1)<\u2215script>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "\u2028{{ 7*7 }}{% for x in y %}",
    "-->--!><!--",
    "&lt;b&gt;&#60;",
    "javascript:alert(1)",
    "x" * 500,
)


def named_section(names):
    made = model(
        (*(component(n, lognormal(3.0, 1.0)) for n in names), component("b", 60.0)),
        (structure("honest", names), structure("pretender", ["b"], deploy="other")),
        (family("linear", rate=lognormal(0.0, 1.0)),),
    )
    return str(explorer_section(bm.fit(made, num_samples=20, seed=42)).html)


def test_two_hundred_hostile_names_add_no_element():
    hostile = [f"{FRAGMENTS[k % 8]}{FRAGMENTS[k // 8 % 8]}{k}" for k in range(200)]
    found, plain = (Elements(named_section(n)) for n in (hostile, [f"c{k}" for k in range(200)]))
    assert Counter(found.tags) == Counter(plain.tags)
    assert {n for n, _ in found.attributes} == {n for n, _ in plain.attributes}


def test_names_that_turn_round_what_follows_are_the_same_everywhere():
    name = "\u202ea\u2066"
    named = model(
        (component(name, lognormal(3.0, 1.0)), component("b", 20.0)),
        (structure("honest", [name]), structure("pretender", ["b"], deploy="other")),
        (family("linear", rate=lognormal(0.0, 1.0)),),
    )
    html = str(explorer_section(bm.fit(named, num_samples=50, seed=42)).html)
    data = json.loads(re.search(r'id="explorer-data">(.*?)</script>', html).group(1))
    shown = "bits.\N{REPLACEMENT CHARACTER}a\N{REPLACEMENT CHARACTER}"
    assert shown in [s["slot"] for s in data["sliders"]]
    assert shown in data["families"][0]["logs"]
    assert f'data-slot="{shown}"' in html
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", html + json.dumps(data))


def test_the_contents_lead_there_only_with_scripts(html):
    assert re.search(r'<a href="#explorer" id="explorer-link" hidden>', html)
    assert "link.hidden = false" in html


def test_the_page_stays_small(html):
    assert len(html.encode()) < 5_000_000


# --- in Chromium --------------------------------------------------------------------------------

installed = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Chromium(tmp_path_factory.mktemp("chromium")) as running:
        yield running


class Pages(dict):
    """Address of every page by the name of its tree, written when first asked for."""

    def __init__(self, folder, makers):
        super().__init__()
        self.folder, self.makers = folder, makers

    def __missing__(self, name):
        path = self.folder / f"{name}.html"
        path.write_text(self.makers[name](), encoding="utf-8")
        self[name] = path.as_uri()
        return self[name]


@pytest.fixture(scope="module")
def pages(tmp_path_factory, html, request):
    def part(name):  # the rest of the report would take seconds
        found = explorer_section(request.getfixturevalue(name))
        return f'<!doctype html><meta charset="utf-8">{found.html}'

    makers = {
        "shipped": lambda: html,
        "forms": lambda: render(request.getfixturevalue("forms")),
        "limited": lambda: part("limited"),
    }
    return Pages(tmp_path_factory.mktemp("pages"), makers)


READ = """(() => {
  const value = (e) => (e && e.dataset.value !== "" ? Number(e.dataset.value) : null);
  const byId = (name) => document.getElementById(`explorer-${name}`);
  const rows = document.querySelectorAll("#explorer tr[data-family]");
  return {
    favored: value(byId("favored")), mass: value(byId("mass")),
    error: value(byId("error")), effective: value(byId("effective")),
    greyed: document.getElementById("explorer").classList.contains("unreliable"),
    doubt: !byId("doubt").hidden,
    families: Object.fromEntries([...rows].map(
      (row) => [row.dataset.family, [...row.querySelectorAll("td")].map(value)])),
    cells: [...document.querySelectorAll("#explorer-phase .cell[data-value]")].map(value),
    few: [...document.querySelectorAll("#explorer-phase .few")].map(value),
  };
})()"""


def move(browser, box, fraction):
    """Put a slider at a share of its range, as a hand would; the median or weight it then has."""
    return browser.value(
        f"""(() => {{
          const range = document.querySelector({json.dumps(box)} + " input[type=range]");
          range.value = Number(range.min) + {fraction} * (Number(range.max) - Number(range.min));
          range.dispatchEvent(new Event("input", {{ bubbles: true }}));
          return Number(range.value);
        }})()"""
    )


def press(browser, name):
    browser.value(f'document.getElementById("explorer-{name}").click()')


def agrees(browser, tree, medians, families=None):
    """Every number of the page against Python's for the same reweighing."""
    shown = browser.value(READ)
    found = bm.reweigh(tree, medians, families, num_draws=NUM_DRAWS)
    assert shown["favored"] == pytest.approx(found.deceptive_favored.mean, abs=1e-6)
    assert shown["mass"] == pytest.approx(found.deceptive_mass.mean, abs=1e-6)
    assert shown["effective"] == pytest.approx(found.effective_draws, rel=1e-6)
    assert shown["greyed"] == shown["doubt"] == (not found.reliable)
    for name, own in found.by_exchange.items():
        weight, favored, mass, effective = shown["families"][name]
        assert weight == pytest.approx(own.probability, abs=1e-6), name
        assert favored == pytest.approx(own.deceptive_favored.mean, abs=1e-6), name
        assert mass == pytest.approx(own.deceptive_mass.mean, abs=1e-6), name
        assert effective == pytest.approx(own.effective_draws, rel=1e-6), name
    # The page takes draws for independent: within what ArviZ makes of the same draws.
    if found.reliable:
        assert shown["error"] == pytest.approx(found.deceptive_favored.mcse, rel=0.35, abs=1e-9)
    return shown, found


def phase_agrees(shown, tree, medians, cost):
    stock = Stock.of(tree, NUM_DRAWS)
    linear = next(f for f in stock.families if f.name == "linear")
    held = explorer_data(tree)["phase"]
    found = phase(stock, linear, cost, np.array(held["rates"]), stock.moved(medians))
    assert shown["cells"] == pytest.approx(found.shares.ravel().tolist(), abs=1e-6)
    assert shown["few"] == pytest.approx(found.effective_draws.tolist(), rel=1e-6)


def cost_chosen(browser):
    """The page opens at the component that the cruxes put first."""
    return browser.value('document.getElementById("explorer-cost").value')


@installed
def test_the_page_opens_at_the_models_own_beliefs(browser, pages, shipped):
    browser.open(pages["shipped"])
    shown, _ = agrees(browser, shipped, None)
    phase_agrees(shown, shipped, {}, cost_chosen(browser))
    assert not shown["greyed"]
    assert browser.value('document.getElementById("explorer").hidden') is False
    move(browser, '[data-slot="bits.get_base_obj"]', 0.6)
    assert browser.value(READ)["favored"] > shown["favored"]
    assert browser.said == []
    assert browser.requests == [pages["shipped"]]


@installed
def test_a_family_counts_by_its_draws_in_which_something_fits(browser, pages, limited):
    browser.open(pages["limited"])
    shown, found = agrees(browser, limited, None)
    own = list(found.by_exchange.values())
    even = sum(f.probability * f.deceptive_mass.mean for f in own)
    assert abs(even - found.deceptive_mass.mean) > 1e-4
    assert shown["mass"] == pytest.approx(bm.summarize(limited)["deceptive_mass"]["mean"], abs=0.02)
    slot = "steps.a"
    medians = {slot: browser.value(f"10 ** {move(browser, f'[data-slot="{slot}"]', 0.53)!r}")}
    agrees(browser, limited, medians)
    assert browser.said == []


def slots(tree):
    return [s["slot"] for s in explorer_data(tree)["sliders"]]


@pytest.mark.slow
@installed
@pytest.mark.parametrize("name", ["shipped", "forms"])
def test_every_slider_gives_pythons_numbers(browser, pages, request, name):
    tree = request.getfixturevalue(name)
    browser.open(pages[name])
    cost = cost_chosen(browser)
    start, _ = agrees(browser, tree, None)
    greyed = set()
    for slot in slots(tree):
        for fraction in (0.05, 0.42, 0.55, 0.97):
            exponent = move(browser, f'[data-slot="{slot}"]', fraction)
            medians = {slot: browser.value(f"10 ** {exponent!r}")}
            shown, _ = agrees(browser, tree, medians)
            phase_agrees(shown, tree, medians, cost)
            greyed.add(shown["greyed"])
            press(browser, "reset")
        assert browser.value(READ) == start
    assert greyed == {True, False}
    assert browser.said == []
    assert browser.requests == [pages[name]]


@pytest.mark.slow
@installed
@pytest.mark.parametrize("name", ["shipped", "forms", "limited"])
def test_all_sliders_together_give_pythons_numbers(browser, pages, request, name):
    tree = request.getfixturevalue(name)
    browser.open(pages[name])
    medians, weights = {}, {}
    for k, slot in enumerate(slots(tree)):
        exponent = move(browser, f'[data-slot="{slot}"]', 0.48 + 0.01 * (k % 5))
        medians[slot] = browser.value(f"10 ** {exponent!r}")
    for k, exchange in enumerate(f["name"] for f in explorer_data(tree)["families"]):
        weights[exchange] = move(browser, f'[data-family="{exchange}"]', 0.2 + 0.3 * k)
        shown, _ = agrees(browser, tree, medians, _weights(tree, weights))
    for cost in explorer_data(tree)["phase"]["costs"]:
        browser.value(
            f"""(() => {{
              const choice = document.getElementById("explorer-cost");
              choice.value = {json.dumps(cost)};
              choice.dispatchEvent(new Event("change", {{ bubbles: true }}));
            }})()"""
        )
        phase_agrees(browser.value(READ), tree, medians, cost)
    assert browser.said == []


def _weights(tree, moved):
    own = {f["name"]: f["weight"] for f in explorer_data(tree)["families"]}
    return own | moved


@pytest.mark.slow
@installed
def test_the_address_says_where_the_page_stands(browser, pages, shipped):
    medians = {"bits.get_base_obj": 3e4, "linear_rate": 12.5}
    browser.open(f"{pages['shipped']}#bits.get_base_obj=3e4&linear_rate=12.5&family=linear")
    agrees(browser, shipped, medians, {"linear": 1.0})
    assert browser.value('document.getElementById("explorer-family").value') == "linear"
    move(browser, '[data-slot="pressure"]', 0.55)
    kept = browser.value("location.hash")
    shown = browser.value(READ)
    browser.open(pages["shipped"] + kept)
    assert browser.value(READ) == shown
    browser.value("location.hash = '#figures'")
    assert browser.value("new Promise((r) => setTimeout(r, 50))") is None
    assert browser.value(READ) == shown
    press(browser, "reset")
    assert "pressure" not in browser.value("location.hash")
    browser.open(
        f"{pages['shipped']}#nothing=1&linear_rate=-3&pressure=x&weight.levin=-1&family=no"
    )
    agrees(browser, shipped, None)
    assert browser.said == []


LOST = """(() => {
  const line = document.getElementById("explorer-lost");
  return line.hidden ? null : line.textContent;
})()"""


@pytest.mark.slow
@installed
def test_what_the_address_names_in_vain_is_said(browser, pages, shipped):
    def lost(fragment):
        browser.open(f"{pages['shipped']}#{fragment}")
        return browser.value(LOST)

    # A name that nobody has, beside one that is understood: the rest is done.
    said = lost("bits.get_base_onj=3e4&linear_rate=12.5&cost=bits.nothing")
    assert said == (
        "Left out of the address, as it names nothing here or has no such value: "
        "bits.get_base_onj=3e4; cost=bits.nothing."
    )
    agrees(browser, shipped, {"linear_rate": 12.5})
    # Once something is moved, the address is written anew and holds no such name.
    move(browser, '[data-slot="pressure"]', 0.55)
    assert browser.value(LOST) is None
    assert "onj" not in browser.value("location.hash")
    for wrong in ("linear_rate=-3", "pressure=x", "pressure=", "weight.levin=2", "family=no"):
        assert wrong in lost(wrong)
    assert lost("a=1&b=1&c=1&d=1&e=1&f=1").endswith("e=1 and 1 more.")
    for right in ("", "figures", "explorer", "linear_rate=12.5&family=linear", "weight.levin=0"):
        assert lost(right) is None
    # An address that is changed in the page that is open.
    browser.value("location.hash = 'linear_rat=3'")
    assert browser.value("new Promise((r) => setTimeout(r, 50))") is None
    assert "linear_rat=3." in browser.value(LOST)
    hostile = lost("%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E=%E2%80%AE" + "y" * 500)
    assert "<img src=x onerror=alert(1)>=\ufffdyyy" in hostile
    assert len(hostile) < 200
    assert browser.value("document.querySelectorAll('#explorer img').length") == 0
    assert browser.said == []


HASHES = (
    "pressure=1e300",
    "pressure=1e-300&linear_rate=1e308&linear_rate=NaN",
    "bits.get_base_obj=5e-324",
    "weight.linear=1e308&weight.levin=1e308",
    "weight.linear=0&weight.levin=0&weight.power=0",
    "weight.linear=1e-320&weight.levin=0&weight.power=0",
    "__proto__=1&constructor=2&weight.__proto__=3&cost=__proto__&family=toString",
    "%E0%A4%A&cost=<img src=x onerror=alert(1)>",
    "explorer",
)


@pytest.mark.slow
@installed
@pytest.mark.parametrize("fragment", HASHES)
def test_no_address_makes_a_number_that_is_none(browser, pages, fragment):
    browser.open(f"{pages['shipped']}#{fragment}")
    shown = browser.value(READ)
    numbers = [shown[n] for n in ("favored", "mass", "error", "effective")]
    numbers += [x for own in shown["families"].values() for x in own]
    assert all(isinstance(x, int | float) and np.isfinite(x) for x in numbers)
    assert 0.0 <= shown["favored"] <= 1.0
    assert shown["effective"] <= 6000.0 + 1e-6
    assert sum(own[0] for own in shown["families"].values()) == pytest.approx(1.0)
    assert shown["greyed"] == shown["doubt"] == (shown["effective"] < 100.0)
    text = browser.value('document.getElementById("explorer").innerText')
    # What was asked for is said as it was asked for.
    text = text.replace(browser.value(LOST) or "", "")
    assert not re.search("NaN|Infinity|undefined", text)
    assert browser.value("document.querySelectorAll('#explorer img').length") == 0
    assert browser.said == []


@pytest.mark.slow
@installed
@pytest.mark.parametrize("end", [0.0, 1.0])
def test_sliders_at_their_ends_give_pythons_numbers(browser, pages, shipped, end):
    browser.open(pages["shipped"])
    for slider in explorer_data(shipped)["sliders"]:
        move(browser, f'[data-slot="{slider["slot"]}"]', end)
        agrees(browser, shipped, {slider["slot"]: slider["to" if end else "from"]})
        press(browser, "reset")
    assert browser.said == []


@pytest.mark.slow
@installed
def test_the_link_to_it_is_seen_and_leads_there(browser, pages):
    browser.open(pages["shipped"])
    link = "document.querySelector(\"nav a[href='#explorer']\")"
    assert browser.value(f"{link}.getClientRects().length") > 0
    browser.value(f"{link}.click()")
    top = browser.value('document.getElementById("explorer").getBoundingClientRect().top')
    assert abs(top) < 60
    assert browser.said == []


@pytest.mark.slow
@installed
@pytest.mark.parametrize("width", [320, 390])
def test_intervals_stay_on_one_line(browser, pages, width):
    browser.width(width)
    browser.open(pages["shipped"])
    broken = """[...document.querySelectorAll('.whole, #hangs small.whole')].filter(
      (e) => e.getClientRects().length > 1).map((e) => e.textContent)"""
    assert browser.value("document.querySelectorAll('#hangs .whole').length") > 0
    assert browser.value(broken) == []
    assert browser.value("document.documentElement.scrollWidth") <= width


@pytest.mark.slow
@installed
def test_medians_can_be_typed_and_families_chosen(browser, pages, shipped):
    browser.open(pages["shipped"])
    browser.value(
        """(() => {
          const text = document.querySelector('[data-slot="bits.combine"] input[type=text]');
          text.value = "4000";
          text.dispatchEvent(new Event("change", { bubbles: true }));
          const family = document.getElementById("explorer-family");
          family.value = "power";
          family.dispatchEvent(new Event("change", { bubbles: true }));
        })()"""
    )
    agrees(browser, shipped, {"bits.combine": 4000.0}, {"power": 1.0})
    label = browser.value('document.querySelector("#explorer-moved").textContent')
    assert "bits.combine 141 → 4000" in label


@pytest.mark.slow
@installed
def test_the_keyboard_moves_a_slider(browser, pages, shipped):
    browser.open(pages["shipped"])
    range_ = "document.querySelector('[data-slot=\"bits.get_base_obj\"] input[type=range]')"
    before = browser.value(f"{range_}.focus() || Number({range_}.value)")
    for kind in ("rawKeyDown", "keyUp"):
        browser.call(
            "Input.dispatchKeyEvent", type=kind, key="ArrowRight", windowsVirtualKeyCode=39
        )
    after = browser.value(f"Number({range_}.value)")
    assert before < after < before + 0.2
    agrees(browser, shipped, {"bits.get_base_obj": browser.value(f"10 ** {after!r}")})
    press(browser, "reset")
    assert browser.value(f"Number({range_}.value)") == pytest.approx(before)
    assert browser.value("new Promise((r) => setTimeout(r, 700))") is None
    said = browser.value('document.querySelector("[aria-live=polite]").textContent')
    assert "effective draws" in said


@pytest.mark.slow
@installed
def test_an_update_takes_less_than_a_twentieth_of_a_second(browser, pages):
    browser.open(pages["shipped"])
    times = browser.value(
        """Array.from({ length: 30 }, (_, k) => {
          const ranges = document.querySelectorAll(".explorer-slider[data-slot] input[type=range]");
          const range = ranges[k % ranges.length];
          range.value = Number(range.value) + 0.1;
          const start = performance.now();
          range.dispatchEvent(new Event("input", { bubbles: true }));
          return performance.now() - start;
        })"""
    )
    # The fifth slowest: on a busy machine the clock measures the neighbours as well.
    assert sorted(times)[25] < 50.0


@pytest.mark.slow
@installed
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [390, 800, 1400])
def test_nothing_sticks_out(browser, pages, width, dark):
    browser.width(width, dark)
    browser.open(pages["shipped"])
    browser.value("document.querySelectorAll('#explorer details').forEach((d) => (d.open = true))")
    assert browser.value("document.documentElement.scrollWidth") <= width
    inside = """[...document.querySelectorAll("#explorer *")].filter((e) => {
      const box = e.getBoundingClientRect();
      return box.right > innerWidth + 1 && !e.closest(".scroll") && !e.closest(".explorer-spoken");
    }).map((e) => e.tagName + "." + e.id)"""
    assert browser.value(inside) == []
    labelled = """[...document.querySelectorAll("#explorer input, #explorer select")].filter(
      (e) => !e.labels.length && !e.getAttribute("aria-label")).length"""
    assert browser.value(labelled) == 0
    assert browser.said == []


VISIBLE = """(name) => {
  const found = document.querySelector(name);
  return Boolean(found) && found.getClientRects().length > 0;
}"""


@pytest.mark.slow
@installed
def test_without_scripts_and_on_paper_the_page_reads_as_before(browser, pages):
    def visible(name):
        return browser.value(f"({VISIBLE})({json.dumps(name)})")

    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.open(pages["shipped"])
    assert not visible("#explorer")
    assert visible(".verdict")
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    browser.open(pages["shipped"])
    assert visible("#explorer")
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert not visible("#explorer")
    # What was moved by hand is printed, without the controls.
    browser.open(f"{pages['shipped']}#pressure=1.2")
    assert visible("#explorer-favored")
    assert visible("#explorer-moved")
    assert not visible("#explorer input")
    browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.slow
@installed
def test_a_script_that_is_not_ours_does_not_run(browser, pages):
    browser.open(pages["shipped"])
    browser.value(
        """(() => {
          const added = document.createElement("script");
          added.textContent = "window.ran = true";
          document.body.append(added);
        })()"""
    )
    assert browser.value("window.ran") is None
    assert any("Content Security Policy" in text for text in browser.said)
    asked = browser.value("fetch('https://example.org/').then(() => 'went', () => 'stopped')")
    assert asked == "stopped"
