"""Sums over all programs in JAX: against brute force, closed forms and the compiled sums."""

import functools
from dataclasses import replace
from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from small_grammars import POST_COSTS, catalan, chain, finite, post_like
from small_models import known_facts, lognormal, phi, theta_at

from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import CLASSES, Overlap, Selection
from bayes_mesa.errors import RefusedError
from bayes_mesa.grammars.inside import System
from bayes_mesa.grammars.inside_jax import stages
from bayes_mesa.grammars.program_sums import class_sums
from bayes_mesa.grammars.program_sums_jax import base_steps, grounds, log_class_weights
from bayes_mesa.inference.fitting import fit
from bayes_mesa.verdicts.log_mass import log_class_mass, log_mass

LN2 = np.log(2.0)
FAMILIES = ("linear", "levin", "power")
#: Compiling the power family takes long; one grammar shows it every time.
SOME = ("linear", "levin", pytest.param("power", marks=pytest.mark.slow))
THREE_FACTS = known_facts([3.0, 5.0, 1.0], [20.0, 7.0, 100.0])
#: Measured on these grammars: 1e-14.
TOLERANCE = 1e-12


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def at(model, family, values=None):
    """Theta in NumPy without draws."""
    return {k: np.asarray(x)[0] for k, x in theta_at(model, family, values).items()}


@functools.cache
def values_of(model, name):
    """Log class weights, and the steps of the base, as one jitted function of theta."""
    family = model.family(name)
    return jax.jit(lambda t: (log_class_weights(model, family, t), base_steps(model, t)))


@functools.cache
def slopes_of(model, name):
    """One class against the others, and its slopes."""
    family = model.family(name)

    def contrast(theta):
        found = log_class_weights(model, family, theta)
        present = jnp.array(grounds(model).present)
        return found[present] @ jnp.array([1.0, -0.4, 0.3])[: len(present)]

    return jax.jit(jax.value_and_grad(contrast))


def sums(model, name, theta):
    """Log of the total weight of every class, in full."""
    found, (shared, added) = values_of(model, name)(theta)
    parameters = parameters_of(model, name, theta)
    bits = grounds(model).system.mandatory_stores @ theta["bits"]
    return np.asarray(found) - theta["pressure"] * LN2 * phi(name, parameters, bits, shared + added)


def parameters_of(model, name, theta):
    return {k: theta[f"{name}_{k}"] for k in model.family(name).parameters}


def codes(grammar, symbol):
    for index in grammar.rules_of[symbol]:
        arguments = [list(codes(grammar, a)) for a in grammar.rules[index].args]
        for chosen in product(*arguments):
            yield (index, *sum(chosen, ()))


def one_by_one(model, name, theta):
    """Log of the total weight of every class: all trees × choices over facts."""
    weights = {name: [] for name in CLASSES}
    parameters = parameters_of(model, name, theta)
    for code in codes(model.grammar, model.grammar.start):
        found = interpret(model.grammar, code)
        if found.train != model.base_objective and found.train not in model.losses:
            continue
        index, names = model.component_index, list(model.losses)
        lost = theta["loss"][names.index(found.train)] if found.train in names else 0.0
        bits = found.rule_bits + sum(n * theta["bits"][index[k]] for k, n in found.stores.items())
        steps = sum(n * theta["steps"][index[k]] for k, n in found.runs.items())
        for choice in product([0.0, 1.0], repeat=len(model.facts)):
            stored = np.array(choice)
            cost = phi(
                name,
                parameters,
                bits + stored @ theta["fact_bits"],
                steps + (1.0 - stored) @ theta["fact_steps"],
            )
            honest = "honest" if found.deploy == model.base_objective else "deceptive"
            place = honest if found.train == model.base_objective else "misaligned"
            lost_in_all = model.selection.episodes * lost
            weights[place].append(-theta["pressure"] * LN2 * cost - lost_in_all)
    return np.array([logsumexp(weights[c]) if weights[c] else -np.inf for c in CLASSES])


ALL = finite(facts=THREE_FACTS, losses={"own": 0.3})


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("pressure", [0.05, 0.7, 12.0])
def test_every_program_of_a_finite_grammar(name, pressure):
    theta = at(ALL, ALL.family(name)) | {"pressure": np.float64(pressure)}
    found, wanted = sums(ALL, name, theta), one_by_one(ALL, name, theta)
    np.testing.assert_allclose(found, wanted, rtol=TOLERANCE, atol=TOLERANCE)


def test_a_class_without_programs_has_no_weight():
    found = sums(NO_LOSS, "linear", at(NO_LOSS, NO_LOSS.family("linear")))
    assert found[2] == -np.inf
    assert np.isfinite(found[:2]).all()


NO_LOSS = finite()


@pytest.mark.parametrize("name", FAMILIES)
def test_costs_of_any_size(name):
    """No cost of the shipped priors is too large or too small."""
    rng = np.random.default_rng(42)
    for _ in range(20):
        theta = at(ALL, ALL.family(name))
        theta["bits"] = 10.0 ** rng.uniform(-2, 9, theta["bits"].shape)
        theta["steps"] = 10.0 ** rng.uniform(-2, 10, theta["steps"].shape)
        theta["fact_steps"] = 10.0 ** rng.uniform(-2, 8, theta["fact_steps"].shape)
        theta["pressure"] = rng.lognormal(0, 0.5)
        if name == "levin":
            theta["levin_kappa"] = rng.lognormal(0.35, 0.63)
        else:
            theta[f"{name}_rate"] = rng.lognormal(4.6, 5.6)
        if name == "power":
            theta["power_exponent"] = 1.0 + rng.lognormal(-1.3, 1.0)
        found, wanted = sums(ALL, name, theta), one_by_one(ALL, name, theta)
        # Against the best class: what is e^-100 of it decides nothing.
        seen = wanted > wanted.max() - 100.0
        scale = np.maximum(1.0, np.abs(wanted[seen]))
        assert np.all(np.abs(found - wanted)[seen] <= 1e-9 * scale)


def closed_form_of_pairs(model, theta):
    """F = p + q F², honest all of it; the leaf is stored once."""
    decay = theta["pressure"] * LN2 / theta["linear_rate"]
    bits = np.array(model.grammar.rule_bits)
    p = np.exp(-theta["pressure"] * LN2 * bits[0] - decay * theta["steps"][0])
    q = np.exp(-theta["pressure"] * LN2 * bits[1] - decay * theta["steps"][1])
    whole = (1.0 - np.sqrt(1.0 - 4.0 * p * q)) / (2.0 * q)
    return np.log(whole) - theta["pressure"] * LN2 * theta["bits"][0]


@pytest.mark.parametrize("pressure", [0.83, 1.0, 3.0])
def test_pairs_of_pairs(pressure):
    theta = at(PAIRS, PAIRS.family("linear")) | {"pressure": np.float64(pressure)}
    found = sums(PAIRS, "linear", theta)
    assert found[0] == pytest.approx(closed_form_of_pairs(PAIRS, theta), rel=1e-11)


PAIRS = catalan()


def test_where_the_sum_diverges_it_is_not_a_number():
    theta = at(PAIRS, PAIRS.family("linear")) | {"pressure": np.float64(0.3)}
    assert np.isnan(sums(PAIRS, "linear", theta)[0])
    post = post_like()
    theta = at(post, post.family("linear")) | {"pressure": np.float64(0.7)}
    assert np.isnan(sums(post, "linear", theta)[:2]).all()


@pytest.mark.parametrize("name", SOME)
def test_a_chain_is_a_geometric_series(name):
    model = chain()
    theta = at(model, model.family(name))
    parameters = parameters_of(model, name, theta)
    layers = np.arange(4000)
    wanted = []
    for leaf in (0, 1):
        bits = theta["bits"][leaf] + (layers + 1) * np.log2(3.0) + layers * theta["bits"][2]
        steps = theta["steps"][leaf] + layers * theta["steps"][2]
        wanted.append(logsumexp(-LN2 * phi(name, parameters, bits, steps)))
    found = sums(model, name, theta)
    np.testing.assert_allclose(found[:2], wanted, rtol=TOLERANCE, atol=TOLERANCE)


NESTED = post_like(losses={"simplest": 0.2}, facts=known_facts([3.0, 5.0], [20.0, 70.0]))


@pytest.mark.parametrize("name", SOME)
def test_slopes(name):
    theta = at(NESTED, NESTED.family(name)) | {"pressure": np.float64(1.2)}
    _, slopes = slopes_of(NESTED, name)(theta)
    for key, value in theta.items():
        for index in np.ndindex(value.shape):
            if value[index] == 0.0:
                continue
            step = 1e-5 * max(1.0, value[index])

            def moved(by, key=key, value=value, index=index):
                changed = np.array(value, dtype=float)
                changed[index] += by
                return float(slopes_of(NESTED, name)(theta | {key: changed})[0])

            wanted = (moved(step) - moved(-step)) / (2.0 * step)
            assert float(slopes[key][index]) == pytest.approx(wanted, rel=1e-6, abs=1e-8), key


def test_slopes_where_a_component_is_free():
    theta = at(NESTED, NESTED.family("linear")) | {"pressure": np.float64(1.2)}
    theta["bits"] = theta["bits"] * (np.array(list(POST_COSTS)) != "combine")
    _, slopes = slopes_of(NESTED, "linear")(theta)
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(slopes))
    cheap = theta | {"bits": np.where(theta["bits"] > 0.0, theta["bits"], 1e-9)}
    found, wanted = (sums(NESTED, "linear", t) for t in (theta, cheap))
    np.testing.assert_allclose(found, wanted, atol=1e-8)


@pytest.mark.parametrize("name", SOME)
def test_equal_to_the_compiled_sums(name):
    rng = np.random.default_rng(42)
    base = at(NESTED, NESTED.family(name))
    for _ in range(10):
        theta = base | {
            "pressure": np.float64(0.95 + rng.lognormal(-1, 1)),
            "bits": base["bits"] * rng.lognormal(0, 2, base["bits"].shape),
            "steps": base["steps"] * rng.lognormal(0, 3, base["steps"].shape),
        }
        found, (_, added) = values_of(NESTED, name)(theta)
        draws = {k: np.asarray(x)[None] for k, x in theta.items()}
        wanted = class_sums(NESTED, NESTED.family(name), draws, np.asarray(added)[None])
        scale = np.maximum(1.0, np.abs(wanted.log_weight[0]))
        assert np.all(np.abs(found - wanted.log_weight[0]) <= 1e-9 * scale)


def test_states_share_a_stage_unless_one_needs_another():
    system = System.of(post_like())
    order = stages(system)
    assert [s.size for s in order] == [3, 4, 2]
    assert [s.recursive for s in order] == [False, True, True]
    assert [s.linear for s in order] == [True, False, True]
    assert [s.timed for s in order] == [False, False, True]
    assert sum(len(s.terms) for s in order) == len(system.target)
    # What is known of the objectives alone: each of two is there or not, and never neither.
    assert len(order[0].cases) < len(system.cases)


# --- masses ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["linear", *(pytest.param(n, marks=pytest.mark.slow) for n in ("levin", "power"))]
)
def test_masses_of_all_columns_sum_to_one(name):
    model = post_like(losses={"simplest": 0.2}, pressure=1.1)
    family = model.family(name)
    theta = at(model, family)
    masses = np.exp(jax.jit(lambda t: log_mass(model, family, t))(theta))
    log_weights = sums(model, name, theta)
    classes = np.exp(log_weights - logsumexp(log_weights))
    assert len(masses) == len(model.columns)
    assert masses.sum() == pytest.approx(1.0, abs=1e-12)
    place = np.array([CLASSES.index(c.class_name) for c in model.columns])
    for k in range(len(CLASSES)):
        assert masses[place == k].sum() == pytest.approx(classes[k], abs=1e-12)
    bits = model.structures[0].rule_bits + sum(POST_COSTS[n][0] for n in ("search", "base"))
    log_weight = -1.1 * LN2 * phi(name, parameters_of(model, name, theta), bits, 43.0)
    assert masses[0] == pytest.approx(np.exp(log_weight - logsumexp(log_weights)), rel=1e-9)


def test_nothing_is_left_where_every_program_is_listed():
    # Two names of one program, which is taken out of its class once.
    programs = {"one": "follow(base)", "same": "follow(base)", "two": "fake(base, base)"}
    programs |= {"three": "fake(near, base)"}
    model = finite(programs=programs)
    family = model.family("linear")
    theta = at(model, family)
    both = jax.jit(lambda t: (log_mass(model, family, t), log_class_mass(model, family, t)))
    masses, classes = (np.exp(x) for x in both(theta))
    assert masses[0] == masses[1]
    assert masses[1:4].sum() == pytest.approx(classes[0], rel=1e-12)
    assert masses[4] == 0.0
    assert masses[5] == pytest.approx(classes[1], rel=1e-12)


# --- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"selection": Selection(cap=10.0)}, "a cap"),
        ({"selection": Selection(max_bits=10.0)}, "a capacity"),
        ({"overlaps": (Overlap("plan", "check", lognormal(-1, 0.1)),)}, "overlaps"),
        ({"facts": replace(THREE_FACTS, needs=((), (0,), ()))}, "facts that need"),
    ],
)
def test_what_does_not_factorise_is_refused(change, what):
    with pytest.raises(RefusedError, match=f"does not factorise with {what}"):
        grounds(replace(finite(), **change))


def test_sums_that_are_too_large_are_refused(monkeypatch):
    monkeypatch.setattr("bayes_mesa.grammars.program_sums_jax.MAX_COINS", 3)
    with pytest.raises(RefusedError, match=r"at most 3 components .* found 4"):
        grounds(post_like())
    monkeypatch.setattr("bayes_mesa.grammars.program_sums_jax.MAX_COINS", 8)
    monkeypatch.setattr("bayes_mesa.grammars.program_sums_jax.MAX_SIZE", 1000)
    with pytest.raises(RefusedError, match="at most 1000 numbers"):
        grounds(post_like())


# --- a fit ----------------------------------------------------------------------------------


def with_uncertain_bits(model, name, belief):
    parts = [replace(c, bits=belief) if c.name == name else c for c in model.components]
    return replace(model, components=tuple(parts))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["structure", "class"])
def test_posterior_under_selection_evidence_is_that_of_a_grid(kind):
    programs = {"plain": "follow(base)", "sly": "fake(base, near)"}
    known = finite(families=("levin",), losses={"own": 0.3}, programs=programs)
    model = with_uncertain_bits(known, "base", lognormal(1.0, 1.0))
    names, counts = (["plain", "sly"], [3, 5]) if kind == "structure" else (CLASSES, [4, 9, 2])
    evidence = {"s": {"kind": "selection", kind: list(names), "count": counts}}
    post = fit(model, evidence, num_warmup=300, num_samples=500, num_chains=2, seed=42)
    drawn = post["posterior_levin"]["bits"].sel(component="base").values.ravel()
    grid = np.linspace(-3.0, 5.0, 401)
    log_posterior, family = [], model.families[0]
    for x in grid:
        theta = at(model, family, {"bits.base": np.exp(x)})
        weights = one_by_one(model, "levin", theta)
        if kind == "structure":
            parameters = parameters_of(model, "levin", theta)
            listed = [weight_of(model, s, theta, parameters) for s in model.structures]
            weights = np.append(listed, np.log(np.exp(logsumexp(weights)) - np.exp(listed).sum()))
        masses = weights - logsumexp(weights)
        log_posterior.append(np.array(counts) @ masses[: len(counts)] - 0.5 * (x - 1.0) ** 2)
    density = np.exp(log_posterior - np.max(log_posterior))
    density /= density.sum()
    mean = density @ grid
    sd = np.sqrt(density @ (grid - mean) ** 2)
    error = 5.0 * sd / np.sqrt(150.0)  # two chains of 500: an ESS of 150 at the very least
    assert np.log(drawn).mean() == pytest.approx(mean, abs=error)
    assert np.log(drawn).std() == pytest.approx(sd, rel=0.3)
    assert post["log_likelihood"]["s"].shape[-1] == len(counts)
    assert post["posterior_predictive"]["s"].shape[-1] == len(counts)


def weight_of(model, structure, theta, parameters):
    index = model.component_index
    bits = sum(n * theta["bits"][index[k]] for k, n in structure.stores.items())
    steps = sum(n * theta["steps"][index[k]] for k, n in structure.runs.items())
    return -LN2 * phi("levin", parameters, bits + structure.rule_bits, steps)
