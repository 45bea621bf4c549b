"""What explains the difference of two verdicts: it adds up, and it is what was changed."""

import itertools
import json
from dataclasses import replace

import numpy as np
import pytest
from small_models import (
    at_least,
    component,
    correlation,
    family,
    known_facts,
    lognormal,
    model,
    prior,
    structure,
    two_sided,
)

import bayes_mesa as bm
from bayes_mesa.comparison.attribution import attribute
from bayes_mesa.comparison.differences import differences, groups
from bayes_mesa.comparison.in_between import between
from bayes_mesa.comparison.paired_verdicts import ESTIMANDS
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Heuristics, Overlap, Path, Selection
from bayes_mesa.domain.slots import slots
from bayes_mesa.interface.comparison_text import comparison_text
from bayes_mesa.results.store import save_posterior
from bayes_mesa.verdicts.common_draws import CommonDraws
from bayes_mesa.verdicts.prior_draws import draw_prior

SIZE = {"num_samples": 250, "num_chains": 2}


def small(**parts):
    """Two programs, ln(bits of one) and ln(steps of the other) both Normal."""
    settled = {
        "components": (
            component("goal", bits=lognormal(4.0, 1.0)),
            component("search", steps=lognormal(4.0, 1.0)),
            component("think", steps=50.0),
        ),
        "structures": (
            structure("honest", ["goal"], ["think"]),
            structure("deceiver", [], ["search", "think"], deploy="other"),
        ),
        "families": (
            family("linear", 0.5, rate=lognormal(0.0, 1.0)),
            family("levin", 0.5, kappa=lognormal(0.0, 0.5)),
        ),
    }
    return model(**{**settled, **parts})


def dearer(by, name="goal"):
    """`small` with a component's median multiplied by e^by."""
    first = small()
    axis = "bits" if name == "goal" else "steps"
    return replace(
        first,
        components=tuple(
            replace(c, **{axis: lognormal(4.0 + by, 1.0)}) if c.name == name else c
            for c in first.components
        ),
    )


def compared(first, second, **settings):
    found = bm.compare(first, second, **SIZE | settings)
    (pair,) = found.differences
    return found, pair


def share(pair, key, estimand=ESTIMANDS[0]):
    return next(c for c in pair.contributions if key in c.keys).changes[estimand]


def adds_up(found, pair):
    for e in ESTIMANDS:
        shares = [c.changes[e].mean for c in pair.contributions]
        assert sum(shares) == pytest.approx(pair.changes[e].mean, abs=1e-12)
        one, two = (s.figures[e]["mean"] for s in found.sides)
        assert two - one == pytest.approx(pair.changes[e].mean, abs=1e-12)


def test_equal_models_differ_in_nothing():
    found, pair = compared(small(), small())
    assert pair.contributions == ()
    assert [pair.changes[e].mean for e in ESTIMANDS] == [0.0, 0.0]
    assert "Nothing that the verdict depends on differs" in str(found)


def test_one_belief_explains_all():
    found, pair = compared(small(), dearer(1.0))
    assert [c.keys for c in pair.contributions] == [("bits.goal",)]
    adds_up(found, pair)
    assert share(pair, "bits.goal").mean == pair.changes[ESTIMANDS[0]].mean > 0.05
    only = share(pair, "bits.goal")
    assert only.alone == only.last == pytest.approx(only.mean, abs=1e-12)
    said = pair.contributions[0].beliefs["bits.goal"]
    assert said[1]["median"] / said[0]["median"] == pytest.approx(np.e)


def test_the_share_is_the_known_answer():
    # Under the linear rate P(A) = Φ(μ / √3): from μ = 0 to μ = 1.
    from scipy.stats import norm

    families = (family("linear", rate=lognormal(0.0, 1.0)),)
    first, second = (replace(m, families=families) for m in (small(), dearer(1.0)))
    _, pair = compared(first, second, num_samples=4000, seed=42)
    change = share(pair, "bits.goal")
    assert abs(change.mean - (norm.cdf(1 / np.sqrt(3)) - 0.5)) < 5 * change.error
    # Common random numbers: the error is that of the draws that changed sides alone.
    assert change.error < np.sqrt(2 * 0.25 / 8000) / 1.5


def test_two_beliefs_that_cancel():
    found, pair = compared(small(), between(dearer(1.0), dearer(1.0, "search"), {"steps.search"}))
    adds_up(found, pair)
    one, two = share(pair, "bits.goal"), share(pair, "steps.search")
    assert one.mean > 0.05
    assert two.mean < -0.05
    assert one.alone > 0.0 > two.alone


def test_two_alike_share_alike():
    # Twice the bits as two equal terms: by symmetry each explains half.
    def twins(one, two):
        goals = (component("left", bits=one), component("right", bits=two))
        return small(
            components=(*goals, *small().components[1:]),
            structures=(
                structure("honest", ["left", "right"], ["think"]),
                structure("deceiver", [], ["search", "think"], deploy="other"),
            ),
        )

    found, pair = compared(twins(20.0, 20.0), twins(60.0, 60.0))
    adds_up(found, pair)
    one, two = share(pair, "bits.left"), share(pair, "bits.right")
    assert one.mean == pytest.approx(two.mean, abs=1e-12)
    assert one.alone != pytest.approx(one.last, abs=1e-3)


def pointed():
    first = small()
    extra = structure("pointer", ["address"], ["think"])
    return replace(
        first,
        components=(*first.components, component("address", bits=lognormal(3.0, 1.0))),
        structures=(*first.structures, extra),
    )


def test_a_structure_brings_its_components_along():
    found, pair = compared(small(), pointed())
    (only,) = pair.contributions
    assert only.keys == ("structure pointer",)
    adds_up(found, pair)
    assert only.changes[ESTIMANDS[0]].mean < -0.05
    (sentence,) = pair.sentences[1:]
    assert "adds the structure pointer (honest; stores address; runs think)" in sentence
    assert "and with it address (" in sentence
    assert "−" in sentence


def many(first):
    """A model that differs in nearly every way that there is."""
    return replace(
        pointed(),
        families=(
            family("levin", 0.25, kappa=lognormal(0.2, 0.5)),
            family("power", 0.75, rate=lognormal(0.0, 1.0), exponent=1.3),
        ),
        constraints=(at_least("steps.search", "bits.goal"),),
        correlations=(correlation("bits.goal", "steps.search", 0.6),),
        overlaps=(Overlap("search", "goal", prior("Beta", 1.0, 1.0)),),
        heuristics=Heuristics(("search",), lognormal(0.1, 0.1), lognormal(0.1, 0.1)),
        facts=known_facts([3.0, 9.0], [20.0, 4.0]),
        selection=Selection(lognormal(0.0, 0.3), max_bits=1e9, cap=1e9),
        path_dependence=Path(prior("Beta", 1.0, 2.0), prior("Beta", 1.0, 2.0)),
    )


def test_exchanging_the_two_changes_the_signs():
    there, pair = compared(small(), many(small()), num_samples=40)
    back, reverse = compared(many(small()), small(), num_samples=40)
    adds_up(there, pair)
    adds_up(back, reverse)
    assert not pair.exact
    assert len(pair.contributions) > 6
    for one in pair.contributions:
        for e in ESTIMANDS:
            other = share(reverse, one.keys[0], e)
            assert one.changes[e].mean == pytest.approx(-other.mean, abs=1e-12)
            assert one.changes[e].error == pytest.approx(other.error, abs=1e-12)
    assert any("path dependence" in x for x in pair.unseen)


@pytest.mark.parametrize("second", [pointed(), many(small()), dearer(2.0)])
def test_the_ends_of_the_way_are_the_two_models(second):
    first = small()
    keys = frozenset(d.key for d in differences(first, second) if d.seen)
    for taken, end in ((frozenset(), first), (keys, second)):
        reached = between(first, second, taken)
        assert [d for d in differences(reached, end) if d.seen] == []
        assert {c.name for c in reached.components} == {c.name for c in end.components}


def test_every_model_in_between_has_all_that_it_mentions():
    first, second = small(), many(small())
    keys = [d.key for d in differences(first, second) if d.seen]
    for taken in itertools.combinations(keys, 2):
        found = between(first, second, frozenset(taken))
        names = {c.name for c in found.components}
        for s in found.structures:
            assert {*s.stores, *s.runs} <= names


def test_models_without_a_common_structure_change_all_at_once():
    other = replace(
        small(), structures=tuple(replace(s, name=f"{s.name}_2") for s in small().structures)
    )
    (group,) = groups(small(), other, differences(small(), other))
    assert len(group) == 4
    found, pair = compared(small(), other)
    adds_up(found, pair)
    assert pair.changes[ESTIMANDS[0]].mean == 0.0


def test_differences_that_contradict_each_other_go_together():
    # The constraint holds for what the second believes, and never for what the first does.
    rule = at_least("steps.search", "bits.goal")
    first = small(
        components=(
            component("goal", bits=1e6),
            component("search", steps=lognormal(0.0, 0.1)),
            component("think", steps=50.0),
        )
    )
    second = small(
        components=(component("goal", bits=1e-3), *first.components[1:]),
        constraints=(rule,),
        selection=Selection(lognormal(0.0, 0.3)),
    )
    found, pair = compared(first, second, num_samples=20)
    adds_up(found, pair)
    joined = next(c for c in pair.contributions if len(c.keys) > 1)
    assert set(joined.keys) >= {"bits.goal", f"constraint {rule}"}
    assert "taken together" in pair.notes[0]


def test_differences_between_which_nothing_fits_go_together():
    # The first takes 1e6 steps without a cap, the second 50 under one of 100.
    slow, quick = (
        small(
            components=(
                *small().components[:1],
                component("search", steps=steps),
                component("think", steps=steps),
            ),
            selection=Selection(lognormal(0.0, 0.3), cap=cap),
        )
        for steps, cap in ((1e6, None), (40.0, 100.0))
    )
    found, pair = compared(slow, quick, num_samples=20)
    adds_up(found, pair)
    (only,) = pair.contributions
    assert set(only.keys) == {"steps.search", "steps.think", "cap"}
    assert "no program that fits" in pair.notes[0]


def test_a_cap_that_nothing_fits_under_is_no_number():
    none = small(selection=Selection(lognormal(0.0, 0.3), cap=1.0))
    found, pair = compared(small(selection=Selection(lognormal(0.0, 0.3))), none, num_samples=20)
    assert found.as_dict()["differences"][0]["changes"]["deceptive_mass"]["mean"] is None
    assert "–" in str(found)
    assert found.sides[1].figures["nothing_fits"] == 1.0
    json.dumps(found.as_dict(), allow_nan=False)
    comparison_text(found)


def test_the_shipped_pair():
    found = bm.compare("speed_simplicity", "discussion", num_samples=150)
    (pair,) = found.differences
    adds_up(found, pair)
    assert pair.exact
    assert [k for c in pair.contributions for k in c.keys][0] == "structure pointer_honest"
    assert share(pair, "structure unshared_deceptive").mean == 0.0
    assert share(pair, "structure pointer_honest").mean < -0.3
    assert share(pair, "structure checked_deceptive").mean > 0.1
    page = comparison_text(found)
    for said in ("speed_simplicity", "discussion adds the structure pointer_honest", "together"):
        assert said in page
    whole = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert whole["sides"][0]["figures"]["by_exchange"]["levin"]["deceptive_favored"]["mcse"] > 0
    assert whole["differences"][0]["sentences"] == pair.sentences


def test_a_change_is_said_with_what_it_is_a_change_of():
    _, pair = compared(small(), dearer(1.0))
    change = replace(pair.changes[ESTIMANDS[0]], mean=-0.38, error=0.004)
    changes = {ESTIMANDS[0]: change, ESTIMANDS[1]: replace(change, mean=0.25)}
    apart = replace(pair.contributions[0], changes=changes)
    does = "P(deceptive favored) changes by −0.380 ± 0.004, deceptive mass by +0.250 ± 0.004"
    several = replace(pair, contributions=(apart, apart), changes=changes)
    assert several.sentences[1].endswith(f": {does} (all differences together: −0.380 and +0.250).")
    alike = replace(apart, changes=dict.fromkeys(ESTIMANDS, change))
    several = replace(several, contributions=(alike, alike), changes=alike.changes)
    does = "P(deceptive favored) and deceptive mass both change by −0.380 ± 0.004"
    assert several.sentences[1].endswith(f": {does} (all differences together: −0.380).")
    alone = replace(several, contributions=(alike,))
    assert alone.sentences[1].endswith(f": {does}.")


def test_a_notebook_is_shown_tables():
    found = bm.compare(small(), dearer(1.0), pointed(), **SIZE)
    page = found._repr_html_()
    assert page.count("<table>") == 3
    assert page.count("<p>") == sum(1 + len(p.notes) for p in found.differences)
    assert "<td>bits.goal</td>" in page
    assert "<th>small (2)</th>" in page
    first = f"{found.sides[0].figures['deceptive_favored']['mean']:.3f}"
    assert repr(found).startswith(f'<Comparison of P(deceptive favored): "small (1)" {first}, "')
    assert len(repr(found)) < 150


def test_a_notebook_obeys_no_name():
    hostile = '</td><script>alert(1)</script>\u202e"' + "x" * 300
    found = bm.compare(replace(small(), name=hostile), replace(dearer(1.0), name="other"), **SIZE)
    page = found._repr_html_()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert "x" * 80 not in page.split("</table>")[0]
    assert len(repr(found)) < 200


def test_more_than_two_are_compared_with_the_first():
    found = bm.compare(small(), dearer(1.0), pointed(), **SIZE)
    assert [s.name for s in found.sides] == ["small (1)", "small (2)", "small (3)"]
    assert [(d.first, d.second) for d in found.differences] == [
        ("small (1)", "small (2)"),
        ("small (1)", "small (3)"),
    ]


def test_same_seed_same_numbers():
    assert compared(small(), many(small()), num_samples=20) == compared(
        small(), many(small()), num_samples=20
    )


def test_bad_input():
    with pytest.raises(bm.InputError, match="at least two models or posteriors, found 1"):
        bm.compare(small())
    with pytest.raises(bm.InputError, match="num_samples must be a whole number >= 1, found 0"):
        bm.compare(small(), small(), num_samples=0)
    with pytest.raises(bm.InputError, match="did you mean discussion"):
        bm.compare("speed_simplicity", "discusion")


TWO = """
[model]
name = "two"
[components.goal]
bits = {{ q05 = 10, q95 = {most} }}
[components.search]
steps = {{ q05 = 10, q95 = 1000 }}
[structures.honest]
stores = ["goal"]
runs = []
train = "base"
deploy = "base"
[structures.deceiver]
stores = []
runs = ["search"]
train = "base"
deploy = "other"
[exchange.linear]
rate = 1.0
"""
MEASURED = """
[evidence.measured]
kind = "measurement"
file = "measured.csv"
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "measured.csv").write_text("component,quantity,value,log_sd\ngoal,bits,400,0.5\n")
    (tmp_path / "before.toml").write_text(TWO.format(most=1000))
    (tmp_path / "after.toml").write_text(TWO.format(most=5000))
    (tmp_path / "informed.toml").write_text(TWO.format(most=5000) + MEASURED)
    return tmp_path


def test_a_posterior_without_evidence_is_its_model(files):
    tree = bm.fit(bm.load_model(files / "after.toml"), num_samples=20, num_chains=2)
    path = save_posterior(tree, files / "after.nc")
    found = bm.compare(files / "before.toml", path, **SIZE)
    again = bm.compare(files / "before.toml", files / "after.toml", **SIZE)
    assert [s.name for s in found.sides] == ["before.toml", "after.nc"]
    assert found.differences[0].changes == again.differences[0].changes
    assert [c.keys for c in found.differences[0].contributions] == [("bits.goal",)]


def test_what_does_not_fit_counts_as_in_the_figures():
    """A family counts by the share of its draws in which any program fits."""

    def at(most, honest):
        sides = (lognormal(honest, 1.0), 1.0), (lognormal(3.0, 1.0), lognormal(1.0, 1.0))
        families = (
            family("linear", 0.2, rate=lognormal(0.0, 1.0)),
            family("levin", 0.8, kappa=lognormal(0.0, 1.0)),
        )
        capacity = Selection(Known(1.0), max_bits=most)
        return two_sided(*sides, families=families, selection=capacity)

    found, pair = compared(at(20.0, 3.0), at(30.0, 4.0))
    assert found.sides[0].figures["nothing_fits"] > 0.1
    for e in ESTIMANDS:
        own, others = (s.figures[e]["mean"] for s in found.sides)
        assert pair.changes[e].mean == pytest.approx(others - own, abs=1e-12)


def test_an_update_is_evidence_too(files):
    tree = bm.fit(bm.load_model(files / "after.toml"), num_samples=250, num_chains=2)
    after = bm.update(tree, likelihood_ratio=20.0)
    found, pair = compared(files / "after.toml", after)
    assert found.sides[1].evidence == ("likelihood ratio 20",)
    assert [c.label for c in pair.contributions] == ["evidence"]
    for e in ESTIMANDS:
        own, others = (s.figures[e] for s in found.sides)
        assert others["mean"] == bm.summarize(after)[e]["mean"] > own["mean"]
        assert pair.changes[e].mean == pytest.approx(others["mean"] - own["mean"])
        # What both say of the prior cancels, and is no error of the difference.
        wanted = np.hypot(own["mcse"], others["mcse"])
        assert pair.changes[e].error == pytest.approx(wanted)


def test_a_result_is_itself_again(files):
    tree = bm.fit(bm.load_model(files / "after.toml"), num_samples=250, num_chains=2)
    path = save_posterior(bm.update(tree, likelihood_ratio=2.0), files / "updated.nc")
    _, pair = compared(path, path)
    assert pair.contributions == ()
    assert "again" in pair.sentences[0]
    drawn = bm.fit(small(), num_samples=50, num_chains=2)
    _, other = compared(drawn, drawn)
    assert "made in Python" in other.notes[0]
    for e in ESTIMANDS:
        assert (pair.changes[e].mean, pair.changes[e].error) == (0.0, 0.0)
        assert (other.changes[e].mean, other.changes[e].error) == (0.0, 0.0)


@pytest.mark.slow
def test_evidence_is_counted_last(files):
    model = bm.load_model(files / "informed.toml")
    tree = bm.fit(model, num_warmup=200, num_samples=250, num_chains=2)
    path = save_posterior(tree, files / "posterior.nc")
    found = bm.compare(files / "before.toml", path, **SIZE)
    (pair,) = found.differences
    adds_up(found, pair)
    assert {c.label for c in pair.contributions} == {"bits.goal", "evidence"}
    assert found.sides[1].evidence == ("measured",)
    assert "bits.goal" in pair.parameters
    assert "measured moves" in str(found)
    for e in ESTIMANDS:
        said = bm.summarize(tree)[e]["mean"]
        assert found.sides[1].figures[e]["mean"] == pytest.approx(said)
    assert "Parameters that are not alike" in comparison_text(found)
    # A model with evidence is fitted: beliefs as in its posterior, evidence the only difference.
    own = bm.compare(files / "after.toml", files / "informed.toml", **SIZE).differences[0]
    assert [c.label for c in own.contributions] == ["evidence"]


@pytest.mark.slow
def test_a_posterior_of_a_model_made_in_python_is_not_explained():
    table = {"kind": "measurement", "component": ["goal"], "quantity": ["bits"]}
    table |= {"value": [400.0], "log_sd": [0.5]}
    tree = bm.fit(small(), {"measured": table}, num_warmup=200, num_samples=250, num_chains=2)
    found, pair = compared(small(), tree)
    assert pair.contributions is None
    assert "cannot be told" in pair.notes[0]
    assert "bits.goal" in pair.parameters
    assert pair.changes[ESTIMANDS[0]].error > 0.0
    assert "cannot be told" in comparison_text(found)
    json.dumps(found.as_dict(), allow_nan=False)


def test_experts_judgements_come_back_from_a_posterior(files):
    (files / "judged.csv").write_text(
        "expert,component,quantity,q05,q50,q95\nann,goal,bits,10,50,900\nbob,goal,bits,20,90,300\n"
    )
    text = TWO.format(most=1).replace("bits = { q05 = 10, q95 = 1 }\n", "")
    evidence = '[evidence.judged]\nkind = "elicitation"\nfile = "judged.csv"\n'
    (files / "asked.toml").write_text(text + evidence)
    tree = bm.fit(bm.load_model(files / "asked.toml"), num_samples=20, num_chains=2)
    _, pair = compared(files / "asked.toml", tree)
    assert pair.contributions == ()


def test_a_grammar_is_one_difference_with_its_pressure():
    first, second = (bm.load_model(n) for n in ("speed_simplicity", "program_space"))
    found = groups(first, second, differences(first, second))
    (joined,) = [g for g in found if any(d.key == "programs" for d in g)]
    assert {d.key for d in joined} == {"programs", "pressure"}
    for taken, grammar in ((frozenset(), False), (frozenset(d.key for d in joined), True)):
        assert (between(first, second, taken).grammar is not None) == grammar


def test_beliefs_of_a_grammar_are_differences_like_any():
    first = bm.load_model("program_space")
    second = replace(
        first,
        components=(replace(first.components[0], bits=lognormal(1.0, 0.1)), *first.components[1:]),
    )
    found, pair = compared(first, second, num_samples=2)
    adds_up(found, pair)
    assert [c.keys for c in pair.contributions] == [(f"bits.{first.components[0].name}",)]


# Shares of any value


def table_value(table, size=5):
    def value(thrown):
        return np.full((2, size), table[thrown])

    return value


def test_shapley_by_hand():
    names = [frozenset(s) for k in range(3) for s in itertools.combinations(range(2), k)]
    table = dict(zip(names, (1.0, 3.0, 2.0, 10.0), strict=True))
    found = attribute(table_value(table), 2, np.random.default_rng(0))
    # Switch 0: (3 − 1 and 10 − 2)/2 = 5; switch 1: (2 − 1 and 10 − 3)/2 = 4.
    assert found.shares[:, 0, 0].tolist() == [5.0, 4.0]
    assert found.alone[:, 1, 3].tolist() == [2.0, 1.0]
    assert found.last[:, 1, 3].tolist() == [8.0, 7.0]
    assert found.by_order is None


@pytest.mark.parametrize("most_exact", [0, 6])
@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_shares_add_up_whatever_the_value(n, most_exact):
    def value(thrown):
        return np.random.default_rng(sorted(thrown)).standard_normal((3, 4))

    found = attribute(value, n, np.random.default_rng(1), most_exact=most_exact)
    np.testing.assert_allclose(found.shares.sum(axis=0), found.end - found.start, atol=1e-12)
    assert found.shares.shape == (n, 3, 4)


def test_sampled_orders_agree_with_all_of_them():
    table = {
        frozenset(s): np.random.default_rng(k).normal() + sum(s)
        for n in range(6)
        for k, s in enumerate(itertools.combinations(range(5), n), 100 * n)
    }
    exact = attribute(table_value(table), 5, np.random.default_rng(0))
    rng = np.random.default_rng(42)
    sampled = attribute(table_value(table), 5, rng, most_exact=0, num_orders=200)
    off = (sampled.shares - exact.shares).mean(axis=-1)
    assert (np.abs(off) < 5 * sampled.order_error + 1e-12).all()
    assert (exact.order_error == 0.0).all()


def test_a_switch_that_does_nothing_has_no_share():
    found = attribute(lambda s: np.full(3, float(len(s - {1}))), 3, np.random.default_rng(0))
    assert found.shares[:, 0].tolist() == pytest.approx([1.0, 0.0, 1.0])
    assert found.alone[1].tolist() == found.last[1].tolist() == [0.0] * 3


# Draws on common random numbers


def test_models_that_believe_the_same_draw_the_same():
    draws = CommonDraws(500, 7)
    first, second = (draws.of(m, slots(m, m.families[0]), "linear") for m in (small(), dearer(1.0)))
    np.testing.assert_array_equal(first["steps.search"], second["steps.search"])
    np.testing.assert_allclose(second["bits.goal"], np.e * first["bits.goal"])
    other = draws.of(small(), slots(small(), small().families[0]), "levin")
    assert abs(np.corrcoef(np.log([other["bits.goal"], first["bits.goal"]]))[0, 1]) < 0.3


def test_constrained_draws_keep_their_place_and_their_law():
    free = small(correlations=(correlation("bits.goal", "steps.search", -0.5),))
    tied = replace(free, constraints=(at_least("steps.search", "bits.goal"),))
    draws = CommonDraws(20_000, 3)
    own, others = (draws.of(m, slots(m), "x") for m in (free, tied))
    assert (others["steps.search"] >= others["bits.goal"]).all()
    kept = own["steps.search"] >= own["bits.goal"]
    for name in ("steps.search", "bits.goal"):
        np.testing.assert_array_equal(own[name][kept], others[name][kept])
    rng = np.random.default_rng(4)
    reference = draw_prior(tied, slots(tied), 20_000, rng).values
    for name in ("steps.search", "bits.goal"):
        a, b = np.log(others[name]), np.log(reference[name])
        assert abs(a.mean() - b.mean()) < 5 * np.hypot(a.std(), b.std()) / np.sqrt(20_000)


def test_rare_constraints_still_hold_and_impossible_ones_are_refused():
    # About one draw in 1,500 holds: the late rounds serve several missing draws at once.
    rare = small(
        components=(
            component("goal", bits=lognormal(4.5, 1.0)),
            component("search", steps=lognormal(0.0, 1.0)),
            component("think", steps=50.0),
        ),
        constraints=(at_least("steps.search", "bits.goal"),),
    )
    found = CommonDraws(300, 1).of(rare, slots(rare), "x")
    assert (found["steps.search"] >= found["bits.goal"]).all()
    assert len(np.unique(found["bits.goal"])) == 300
    never = replace(
        rare, components=(component("goal", bits=1e9), component("search", steps=lognormal(0, 0.1)))
    )
    with pytest.raises(bm.InputError, match="must hold for at least 0.0001 of the prior"):
        CommonDraws(300, 1).of(never, slots(never), "x")
