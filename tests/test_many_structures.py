"""Very many structures: results name the heaviest and sum the others by class, and lose nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest

import bayes_mesa as bm
from bayes_mesa.costing import critical
from bayes_mesa.costing.critical import critical_exchange
from bayes_mesa.domain.model import CLASSES, Overlap
from bayes_mesa.inference.warning_texts import model_warnings
from bayes_mesa.pages.checkup import checkup
from bayes_mesa.pages.recount import recount
from bayes_mesa.results.restored import restored_model
from bayes_mesa.sensitivity.rejudging import Judge
from bayes_mesa.verdicts import heaviest, verdict
from bayes_mesa.verdicts.dominance import dominance, never_favored
from bayes_mesa.verdicts.heaviest import with_heaviest
from bayes_mesa.verdicts.theta_at import theta_at
from bayes_mesa.verdicts.verdict import verdicts
from tests.small_models import (
    belief,
    component,
    family,
    known_facts,
    lognormal,
    model,
    structure,
)

NUMBER, KEPT, NAMES = 60, 10, 8
OTHERS = tuple(f"other_{name}" for name in CLASSES)
FAMILIES = (
    family("linear", 0.4, rate=lognormal(4.0, 2.0)),
    family("levin", 0.3, kappa=lognormal(0.0, 0.5)),
    family("power", 0.3, rate=lognormal(4.0, 2.0), exponent=1.5),
)


def many(number=NUMBER, **parts):
    """Structures of random components; those that pursue ``lost`` have no declared loss."""
    rng = np.random.default_rng(3)
    components = [
        component(f"c{k}", lognormal(rng.normal(2.0, 1.0), 0.7), lognormal(rng.normal(6, 1), 0.7))
        for k in range(NAMES)
    ]
    structures = []
    for s in range(number):
        stores, runs = (
            {f"c{i}": int(rng.integers(1, 3)) for i in rng.choice(NAMES, 3, replace=False)}
            for _ in range(2)
        )
        train = ("base", "base", "drifted", "lost")[s % 4]
        deploy = "base" if s % 4 == 0 else "other"
        structures.append(structure(f"s{s}", stores, runs, deploy, train, 1.0 + s % 3))
    losses = {"drifted": belief(1e-3)}
    return model(components, structures, FAMILIES, losses=losses, sha256="many", **parts)


def facts(count):
    rng = np.random.default_rng(4)
    uses = {f"s{s}": 2.0 for s in range(0, NUMBER, 5)}
    return known_facts(rng.lognormal(1.0, 1.0, count), rng.lognormal(5.0, 1.5, count), uses)


MODELS = {
    "plain": {},
    "overlaps": {"overlaps": (Overlap("c0", "c1", belief(0.3)),)},
    "facts": {"facts": facts(5)},
}


@pytest.fixture
def few_named(monkeypatch):
    """As though 60 structures were too many to name them all, and blocks of draws tiny."""
    monkeypatch.setattr(heaviest, "MOST", KEPT)
    monkeypatch.setattr(heaviest, "KEPT", KEPT)
    monkeypatch.setattr(verdict, "MOST", KEPT)
    monkeypatch.setattr(verdict, "_CELLS", 7 * NUMBER)


@pytest.fixture(scope="module", params=MODELS)
def pair(request):
    """A fit that names all structures, and one that names ten."""
    given = many(**MODELS[request.param])
    whole = bm.fit(given, num_samples=40, num_chains=2, seed=5)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heaviest, "MOST", KEPT)
        patch.setattr(heaviest, "KEPT", KEPT)
        patch.setattr(verdict, "MOST", KEPT)
        patch.setattr(verdict, "_CELLS", 7 * NUMBER)
        reduced = bm.fit(given, num_samples=40, num_chains=2, seed=5)
    return given, whole, reduced


def members(tree):
    """Names of the structures that each place of a reduced result stands for."""
    record = json.loads(tree.attrs["structures"])
    named = {record["structures"][row]["name"] for row in record["named"]}
    found = {name: [name] for name in named}
    for place, kind in zip(OTHERS, range(3), strict=True):
        found[place] = [
            f"s{s}" for s in range(NUMBER) if f"s{s}" not in named and (0, 1, 2, 2)[s % 4] == kind
        ]
    return found


def test_every_place_is_the_sum_of_its_structures(pair):
    _, whole, reduced = pair
    stands_for = members(reduced)
    assert sum(map(len, stands_for.values())) == NUMBER
    for group in ("posterior", "posterior_levin", "prior"):
        names = reduced[group]["structure"].to_numpy().tolist()
        assert names[KEPT:] == list(OTHERS)
        assert names[:KEPT] == sorted(names[:KEPT], key=lambda n: int(n[1:]))
        for variable in ("structure_mass", "structure_favored"):
            for name in names:
                found = reduced[group][variable].sel(structure=name).to_numpy()
                expected = whole[group][variable].sel(structure=stands_for[name]).sum("structure")
                np.testing.assert_allclose(found, expected.to_numpy(), rtol=1e-13, atol=0.0)
        for variable in ("structure_bits", "structure_steps"):
            found = reduced[group][variable]
            np.testing.assert_array_equal(
                found.sel(structure=names[:KEPT]),
                whole[group][variable].sel(structure=names[:KEPT]),
            )
            assert np.isnan(found.sel(structure=list(OTHERS))).all()


def test_nothing_else_changes_by_a_bit(pair):
    _, whole, reduced = pair
    for group in ("posterior", "posterior_linear", "posterior_power", "prior"):
        for name, found in whole[group].data_vars.items():
            if "structure" not in found.dims:
                np.testing.assert_array_equal(found, reduced[group][name], err_msg=name)
    one, other = bm.summarize(whole), bm.summarize(reduced)
    for name in ("deceptive_favored", "deceptive_mass", "class_mass", "margin_bits", "by_exchange"):
        assert one[name] == other[name]
    assert set(other["structures"]) == set(members(reduced))


def test_the_heaviest_at_the_medians_are_named(few_named):
    given = many()
    chosen = with_heaviest(given)
    theta = theta_at(given, {}).theta
    masses = [f.weight * verdicts(given, f, theta[f.name])["structure_mass"][0] for f in FAMILIES]
    mean = np.sum(masses, axis=0)
    assert set(chosen.named) == set(np.argsort(-mean)[:KEPT].tolist())
    assert with_heaviest(chosen) is chosen
    assert not any(given.structures[row].train == "lost" for row in chosen.named)


def test_a_thousand_structures_are_all_named():
    exactly = many(heaviest.MOST)
    assert with_heaviest(exactly) is exactly
    one_more = with_heaviest(many(heaviest.MOST + 1))
    assert len(one_more.named) == heaviest.KEPT == 100
    assert len(one_more.columns) == 103


def test_the_results_say_what_was_done(pair, few_named):
    given, _, reduced = pair
    note = [w for w in json.loads(reduced.attrs["warnings"]) if "other_CLASS" in w]
    assert len(note) == 1
    assert f"Of {NUMBER} structures, results name the {KEPT}" in note[0]
    assert any("'lost'" in w for w in model_warnings(with_heaviest(given)))
    found = checkup(given)
    assert len(found["structures"]) == KEPT
    assert any("other_CLASS" in w for w in found["warnings"])
    assert "very many" in recount(reduced).why_not


def test_programs_are_the_same_and_named_by_their_structure(pair):
    given, whole, reduced = pair
    expected = bm.sample_programs(given, whole, seed=6, num_draws=40)["programs"]
    for own in (given, restored_model(reduced)):
        found = bm.sample_programs(own, reduced, seed=6, num_draws=40)["programs"]
        for name, values in expected.data_vars.items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)
    names = found["structure_name"].to_numpy()
    assert names.tolist() == [s.name for s in given.structures]
    drawn = set(names[np.unique(found["structure"].to_numpy())])
    assert drawn - set(reduced["posterior"]["structure"].to_numpy())


def test_a_reduced_result_survives_its_file(tmp_path):
    given = many()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heaviest, "MOST", KEPT)
        reduced = bm.fit(given, num_samples=5, num_chains=1)
    tree = bm.open_posterior(bm.save_posterior(reduced, tmp_path / "reduced.nc"))
    found = restored_model(tree)
    assert [s.name for s in found.structures] == [s.name for s in given.structures]
    assert found.columns == with_named(given, found.named).columns
    assert found.classes == given.classes


def with_named(given, rows):
    return replace(given, named=rows)


def test_tied_facts_are_summed_too(few_named):
    selection = replace(many().selection, cap=2e4)
    given = many(facts=facts(3), selection=selection)
    theta = theta_at(given, {}).theta["levin"]
    whole, reduced = (verdicts(m, FAMILIES[1], theta) for m in (given, with_heaviest(given)))
    np.testing.assert_array_equal(whole["class_mass"], reduced["class_mass"])
    np.testing.assert_allclose(reduced["structure_mass"].sum(), 1.0, rtol=1e-13)
    assert whole["structure_mass"].max() < 1.0


def test_nothing_fits_in_any_place(few_named):
    given = many(selection=replace(many().selection, cap=1e-3))
    found = verdicts(with_heaviest(given), FAMILIES[0], theta_at(given, {}).theta["linear"])
    assert np.isnan(found["structure_mass"]).all()
    assert not found["structure_favored"].any()


def test_dominance_is_told_of_named_structures_only(few_named):
    given = many()
    best = given.structures[with_heaviest(given).named[0]]
    # One that stores more is dominated, and another twin is too light to be named.
    cheapest = min(given.components, key=lambda c: c.bits.median).name
    stores = dict(best.stores) | {cheapest: best.stores.get(cheapest, 0) + 1}
    twin = replace(best, name="twin", stores=stores, multiplicity=1e20)
    light = replace(best, name="light", stores=stores, multiplicity=1e-20)
    given = replace(given, structures=(*given.structures, twin, light))
    chosen = with_heaviest(given)
    assert NUMBER in chosen.named
    told, every = ({(s.winner, s.loser) for s in dominance(m)} for m in (chosen, given))
    kept = {given.structures[row].name for row in chosen.named}
    assert told == {p for p in every if kept.issuperset(p)}
    assert {(best.name, "twin"), (best.name, "light")} <= every
    assert "light" not in kept
    assert never_favored(chosen) <= never_favored(given) | set(OTHERS)


def test_the_rest_of_a_class_that_is_empty_is_never_favored(few_named):
    given = many()
    honest = tuple(s for s in given.structures if s.train == "base" and s.deploy == "base")
    chosen = with_heaviest(replace(given, structures=honest))
    assert {"other_deceptive", "other_misaligned"} <= never_favored(chosen)
    assert "other_honest" not in never_favored(chosen)


@pytest.mark.parametrize("of", ["deceptive_favored", "deceptive_mass", "margin"])
def test_judging_in_blocks_changes_nothing(few_named, of, monkeypatch):
    given, rng = many(), np.random.default_rng(7)
    chosen = FAMILIES[1]
    draws = bm.fit(given, num_samples=30, num_chains=1, seed=8)["posterior_levin"].isel(chain=0)
    values = {"pressure": np.ones(30), "levin_kappa": draws["levin_kappa"].to_numpy()}
    values["loss.drifted"] = rng.uniform(size=30)
    for axis in ("bits", "steps"):
        for k, name in enumerate(draws["component"].to_numpy()):
            values[f"{axis}.{name}"] = draws[axis].to_numpy()[:, k]
    small = Judge(given)(chosen, values, of)
    monkeypatch.setattr(verdict, "MOST", 1000)
    np.testing.assert_array_equal(small, Judge(given)(chosen, values, of))


@pytest.mark.parametrize("family_name", ["linear", "levin"])
def test_leaving_out_what_is_undercut_changes_no_bit(family_name, monkeypatch):
    rng = np.random.default_rng(9)
    size = 300
    bits, steps = rng.gamma(2.0, 10.0, (50, size)), 1.0 + rng.gamma(2.0, 100.0, (50, size))
    # Whole numbers make ties, equals and lines that touch; some draws have one side only.
    bits[::2], steps[::2] = np.ceil(bits[::2] / 8.0), np.ceil(steps[::2] / 64.0)
    eligible = rng.uniform(size=(50, size)) < 0.7
    deceptive = rng.uniform(size=size) < 0.5
    eligible[3], eligible[5, deceptive], eligible[7, ~deceptive] = False, False, False
    given = {
        "bits": bits, "steps": steps, "eligible": eligible, "deceptive": deceptive,
        "uses": rng.integers(0, 3, size).astype(float),
        "fact_bits": rng.gamma(1.0, 3.0, (50, 2)), "fact_steps": rng.gamma(1.0, 30.0, (50, 2)),
    }  # fmt: skip
    pruned = critical_exchange(family_name, **given)
    monkeypatch.setattr(critical, "_FEW", size)
    for found, expected in zip(pruned, critical_exchange(family_name, **given), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert np.unique(pruned[1]).size > 2


def test_names_of_the_rests_are_refused_among_very_many(tmp_path):
    entries = [
        f'[structures.{name}]\nstores = ["a"]\nruns = ["a"]\ntrain = "base"\ndeploy = "base"\n'
        for name in (*(f"s{s}" for s in range(heaviest.MOST)), "other_honest")
    ]
    head = (
        '[model]\nname = "many"\n[components.a]\nbits = 1\nsteps = 2\n[exchange.linear]\nrate = 1\n'
    )
    path = tmp_path / "many.toml"
    path.write_text(head + "".join(entries))
    with pytest.raises(bm.ModelFileError, match="other_honest.*must be another name"):
        bm.load_model(path)
    path.write_text(head + "".join(entries[1:]))
    assert len(bm.load_model(path).structures) == heaviest.MOST
