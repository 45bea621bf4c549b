"""Tempered chains over programs: the kernel's own transition matrix, the twin, brute force."""

import itertools
import math
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from types import MappingProxyType

import numpy as np
import pytest
from arviz_stats.base import array_stats
from reference import tempered as twin
from scipy.stats import chi2
from small_grammars import catalan, chain, finite, post_like
from small_models import component, family, known_facts, model, phi, structure, theta_at

from bayes_mesa._ext.tempered import Chain
from bayes_mesa.chains.ladder import adapted_ladder, first_ladder
from bayes_mesa.chains.tempered_masses import tempered_masses
from bayes_mesa.chains.tempered_meaning import Dictionary, describe
from bayes_mesa.chains.tempered_moves import MOVES
from bayes_mesa.chains.tempered_starts import starting_programs
from bayes_mesa.chains.tempered_target import Target
from bayes_mesa.chains.tempered_walk import Settings, StopFlag, Stopped, Walk
from bayes_mesa.chains.tempering import in_threads, run_chains
from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.interpreter import interpret
from bayes_mesa.domain.model import Overlap
from bayes_mesa.domain.slots import parameters
from bayes_mesa.errors import InputError, RefusedError

# Not the package's own: a wrong one there must show here.
LN2 = math.log(2.0)
NEEDY = known_facts([3, 1, 2], [5, 10, 4], needs=((), (0,), (0, 1)))


def trees(grammar, symbol, nodes):
    """Codes of all trees with exactly so many nodes."""

    @cache
    def of(symbol, nodes):
        return [
            (row, *itertools.chain(*parts))
            for row in grammar.rules_of[symbol]
            for parts in rows(grammar.rules[row].args, nodes - 1)
        ]

    def rows(args, nodes):
        if not args:
            return [()] if nodes == 0 else []
        return [
            (first, *rest)
            for k in range(1, nodes + 1)
            for first in of(args[0], k)
            for rest in rows(args[1:], nodes - k)
        ]

    return of(symbol, nodes)


def codes_of(target):
    grammar = target.tables.grammar
    return [c for n in range(1, target.max_nodes + 1) for c in trees(grammar, grammar.start, n)]


def choices_of(m):
    return list(itertools.product((True, False), repeat=len(m.facts)))


def fact_totals(m, theta, stored):
    needs = m.facts.needs or ((),) * len(m.facts)
    own = {}

    def derive(j):
        own[j] = theta["fact_steps"][j] + sum(derive(i) for i in needs[j] if not stored[i])
        return own[j]

    derived = sum(derive(j) for j, z in enumerate(stored) if not z)
    return float(np.dot(stored, theta["fact_bits"])) if len(stored) else 0.0, derived


def log_weight(target, code, stored):
    """Straight from the definition: no counter, no reference, nothing taken out."""
    m, theta, grammar = target.model, target.theta, target.tables.grammar
    found = interpret(grammar, code)
    index = m.component_index
    rule_bits = found.rule_bits if m.grammar else 0.0
    bits = rule_bits + sum(n * theta["bits"][index[c]] for c, n in found.stores.items())
    steps = sum(n * theta["steps"][index[c]] for c, n in found.runs.items())
    for k, o in enumerate(m.overlaps):
        both = min(found.runs.get(o.component, 0), found.runs.get(o.inside, 0))
        steps -= theta["overlap_fraction"][k] * theta["steps"][index[o.component]] * both
    uses = 1.0 if m.grammar else m.facts.uses.get(m.structures[code[0]].name, 1.0)
    fact_bits, derived = fact_totals(m, theta, stored)
    bits, steps = bits + fact_bits, steps + uses * derived
    if found.train != m.base_objective and found.train not in m.losses:
        return -math.inf
    if m.selection.cap is not None and steps > m.selection.cap:
        return -math.inf
    if m.selection.max_bits is not None and bits > m.selection.max_bits:
        return -math.inf
    loss = m.losses[found.train].value if found.train in m.losses else 0.0
    cost = phi(target.family.name, parameters(target.family, theta), bits, steps)
    multiplicity = 1.0 if m.grammar else m.structures[code[0]].multiplicity
    return math.log(multiplicity) - theta["pressure"] * LN2 * cost - m.selection.episodes * loss


def target_of(m, family_name="linear", **kwargs):
    chosen = m.family(family_name)
    return Target.of(m, chosen, theta_at(m, chosen), **kwargs)


def structures_only(**kwargs):
    """Multiplicities, counts, a loss, uses and an overlap; facts and limits as given."""
    parts = (component("a", 5, 40), component("b", 2, 90), component("c", 9, 10))
    shapes = (
        structure("one", ["a", "a"], ["a", "b"], multiplicity=3.0),
        structure("two", ["b", "c"], ["b", "b", "a"], deploy="other"),
        structure("three", {"c": 2}, {"c": 3}, train="near"),
        structure("four", ["a", "c"], ["c", "b"], deploy="other", multiplicity=0.5),
        structure("never", [], ["c"], train="far"),
    )
    overlaps = (Overlap("a", "b", Known(0.25)),)
    families = (
        family("linear", rate=30.0),
        family("levin", kappa=1.4),
        family("power", rate=3.0, exponent=1.5),
    )
    kwargs.setdefault("overlaps", overlaps)
    return model(parts, shapes, families, losses={"near": Known(0.7)}, **kwargs)


def limited(m, cap=None, max_bits=None):
    return replace(m, selection=replace(m.selection, cap=cap, max_bits=max_bits))


LONE = known_facts([3.0, 1.0], [50.0, 20.0], uses={"two": 2.0, "four": 0.0})
USED = replace(NEEDY, uses=MappingProxyType({"two": 2.0, "four": 0.0}))

#: name → model, largest number of nodes
SPACES = {
    "post_like": (post_like(), 7),
    "post_like_misaligned_paid": (post_like(losses={"simplest": 0.3}, unshared=("search",)), 6),
    "post_like_limits": (post_like(cap=170.0, max_bits=40.0, pressure=1.2), 6),
    "post_like_facts": (post_like(facts=NEEDY, cap=120.0), 5),
    "finite_facts": (finite(facts=NEEDY, losses={"own": 0.5}), 3),
    "chain": (chain(facts=known_facts([2.0], [9.0])), 16),
    "catalan": (catalan(), 11),
    "structures": (structures_only(), 1),
    "structures_facts": (limited(structures_only(facts=USED), cap=230.0), 1),
    "structures_bits": (limited(structures_only(facts=LONE), max_bits=16.0), 1),
}


def space(name, family_name="linear", **kwargs):
    m, nodes = SPACES[name]
    target = target_of(m, family_name, max_nodes=nodes, **kwargs)
    every = [(c, z) for c in codes_of(target) for z in choices_of(m)]
    return target, every


@pytest.mark.parametrize("family_name", ["linear", "levin", "power"])
@pytest.mark.parametrize("name", SPACES)
def test_energies_are_those_of_the_definition(name, family_name):
    target, every = space(name, family_name)
    mine = np.array([target.log_base(c) - target.energy(c, z) for c, z in every])
    wanted = np.array([log_weight(target, c, z) for c, z in every])
    np.testing.assert_array_equal(np.isfinite(mine), np.isfinite(wanted))
    fits = np.isfinite(wanted)
    assert 1 < fits.sum() <= 500
    np.testing.assert_allclose((mine - mine[fits][0])[fits], (wanted - wanted[fits][0])[fits],
                               rtol=1e-12, atol=1e-10)  # fmt: skip


def test_what_every_program_pays_is_left_out():
    # Costs of 1e15 steps and bits shared by all, 1 apart: doubles would keep 1 / 8 of a bit.
    m = finite(facts=known_facts([1.0], [1.0]))
    huge = tuple(replace(c, steps=Known(1e16)) if c.name == "plan" else c for c in m.components)
    small, large = target_of(m), target_of(replace(m, components=huge))
    assert large.arrays["mandatory_steps"] == 1e16
    for code in codes_of(small):
        assert small.energy(code, (True,)) == large.energy(code, (True,))


def outcomes(target, kit, s, which, code, stored, room):
    """Distribution of one step from a program, by program."""
    codes, sizes, choices, probability = room
    choice = np.zeros(max(1, len(stored)), np.uint8)
    choice[: len(stored)] = stored
    count = kit.outcomes(s, which, np.array(code, np.int16), choice, *room)
    found = {}
    for k in range(count):
        key = (tuple(codes[k, : sizes[k]].tolist()), tuple(choices[k, : len(stored)].astype(bool)))
        found[key] = found.get(key, 0.0) + probability[k]
    return found


def transition_matrix(target, every, s, which, most=200_000):
    """P of one step of the kernel itself, over the programs that have weight."""
    kit = Chain(target.kernel, 1)
    room = (
        np.empty((most, target.max_nodes), np.int16), np.empty(most, np.int32),
        np.empty((most, max(1, len(target.model.facts))), np.uint8), np.empty(most),
    )  # fmt: skip
    place = {program: k for k, program in enumerate(every)}
    matrix = np.zeros((len(every), len(every)))
    for k, (code, stored) in enumerate(every):
        for other, p in outcomes(target, kit, s, which, code, stored, room).items():
            matrix[k, place[other]] += p
    return matrix


def shares(logs):
    weight = np.exp(logs - np.max(logs))
    return weight / weight.sum()


def assert_reversible(target, every, s, which):
    every = [e for e in every if math.isfinite(target.energy(*e))]
    pi = shares(np.array([target.log_base(c) - s * target.energy(c, z) for c, z in every]))
    matrix = transition_matrix(target, every, s, which)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-12)
    assert matrix.min() >= 0.0
    flow = pi[:, None] * matrix
    assert np.abs(flow - flow.T).max() <= 1e-14
    assert np.abs(pi @ matrix - pi).max() <= 1e-12
    return matrix


WRAPPED = {"insert": 0.5, "delete": 0.5}


@pytest.mark.parametrize("name", SPACES)
def test_every_move_by_itself_leaves_the_target_unchanged(name):
    for k, which in enumerate(MOVES):
        pair = which in WRAPPED
        target, every = space(name, "levin", moves=WRAPPED if pair else None)
        moved = assert_reversible(target, every, 0.7, -1 if pair else k)
        possible = {
            "insert": any(target.tables.wraps.values()),
            "delete": any(target.tables.wraps.values()),
            "swap": bool(target.arrays["first_peer"][-1]),
            "flip": len(target.model.facts) > 0,
            "exchange": len(target.model.facts) > 1,
        }.get(which, True)
        # A move that goes nowhere would pass everything above.
        assert (np.diag(moved).min() < 1.0 - 1e-9) == possible, which


@pytest.mark.parametrize("s", [1.0, 0.4, 0.0])
@pytest.mark.parametrize("name", SPACES)
def test_the_mixture_leaves_the_target_unchanged(name, s):
    target, every = space(name)
    matrix = assert_reversible(target, every, s, -1)
    # Every program can be reached from every other.
    reached = np.linalg.matrix_power((matrix > 0).astype(float) + np.eye(len(matrix)), 2)
    for _ in range(6):
        reached = np.minimum(reached @ reached, 1.0)
    assert reached.min() > 0.0 or "limits" in name or "bits" in name


@pytest.mark.slow
def test_the_mixture_on_the_largest_space():
    target = target_of(post_like(losses={"simplest": 0.2}), "power", max_nodes=8)
    every = [(code, ()) for code in codes_of(target)]
    assert 400 < len(every) <= 500
    assert_reversible(target, every, 1.0, -1)


def test_unequal_probabilities_of_insert_and_delete_are_paid_back():
    target, every = space("chain", moves={"insert": 0.7, "delete": 0.1, "flip": 0.2})
    assert_reversible(target, every, 0.5, -1)


def test_a_jump_with_no_named_program_is_a_fresh_tree():
    target, every = space("post_like", jumps=())
    matrix = assert_reversible(target, every, 0.0, MOVES.index("jump"))
    # Wherever the chain is, a program is as probable.
    np.testing.assert_allclose(matrix[2:, 0], matrix[1, 0], rtol=1e-12)
    assert matrix[1, 0] > 0.01


# --- the twin and the incremental costs ---


def begin(target, starts):
    """A chain with one replica on each start."""
    walk = Chain(target.kernel, len(starts))
    for k, (code, stored) in enumerate(starts):
        choice = np.zeros(max(1, len(stored)), np.uint8)
        choice[: len(stored)] = stored
        assert math.isfinite(walk.place(k, np.array(code, np.int16), choice))
    return walk


def advance(target, walk, ladder, rounds, proposals, seed, records=0, scan=True):
    """Run; what was recorded, and info as plain lists."""
    kept = (
        np.zeros((records, target.max_nodes), np.int16), np.zeros(records, np.int32),
        np.zeros((records, max(1, len(target.model.facts))), np.uint8), np.zeros(records),
    )  # fmt: skip
    moves = np.zeros((len(ladder), 7, 4), np.int64)
    tried, swapped = np.zeros((2, max(1, len(ladder) - 1)), np.int64)
    walk.run(
        np.random.PCG64(seed), np.array(ladder), rounds, proposals, scan, *kept,
        np.zeros(1, np.int32), moves, tried, swapped, np.zeros(len(tried)),
    )  # fmt: skip
    n = len(target.model.facts)
    drawn = [
        (tuple(code[:size].tolist()), tuple(z[:n].astype(bool).tolist()), float(e))
        for code, size, z, e in zip(*kept, strict=True)
    ]
    return drawn, moves.tolist(), swapped[: len(ladder) - 1].tolist()


@pytest.mark.parametrize("family_name", ["linear", "levin", "power"])
@pytest.mark.parametrize("name", SPACES)
def test_the_chain_equals_its_twin(name, family_name):
    m, _ = SPACES[name]
    target = target_of(m, family_name, max_nodes=14)
    starts = starting_programs(target)
    starts = [starts[k % len(starts)] for k in range(3)]
    ladder = [1.0, 0.45, 0.0]
    native = advance(target, begin(target, starts), ladder, 25, 6, 42, 25)
    wanted = twin.run(target, np.random.PCG64(42), ladder, starts, 25, 6, True)
    assert native == wanted


@pytest.mark.parametrize("name", SPACES)
def test_costs_kept_by_increments_equal_those_computed_afresh(name):
    m, _ = SPACES[name]
    target = target_of(m, "power", max_nodes=60)
    starts = starting_programs(target)[:1]
    walk = begin(target, starts * 2)
    _, moves, _ = advance(target, walk, [0.5, 0.0], 1, 50_000, 3)
    assert np.sum(moves) >= 100_000
    for k in range(2):
        code, stored, *kept = walk.state(k)
        assert begin(target, [(code, stored)]).state(0) == (code, stored, *kept)
    assert len(walk.state(0)[0]) <= 60


# --- laws against brute force ---


def effective(draws):
    """Mean over all draws and its Monte Carlo standard error; draws (chain, draw)."""
    draws = np.asarray(draws, dtype=float)
    if np.ptp(draws) == 0.0:
        return float(draws.flat[0]), 0.0
    ess = array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean")
    return float(draws.mean()), float(draws.std() / math.sqrt(ess))


def assert_means(found, wanted, worst=5.0):
    """Every mean within 5 of its own errors, or 3 / size where nothing was seen."""
    for name, draws in found.items():
        mean, error = effective(draws)
        assert abs(mean - wanted[name]) <= worst * error + 5.0 / draws.size, (name, mean, wanted)


def brute_force(target):
    """Exact share of every column, of the deceptive, and of storing each fact."""
    every = [(c, z) for c in codes_of(target) for z in choices_of(target.model)]
    share = shares(np.array([log_weight(target, c, z) for c, z in every]))
    meant = Dictionary(target.model)
    number = np.array(
        [meant.numbers(np.array([c], np.int16), np.array([len(c)]))[0] for c, _ in every]
    )
    column, kind = np.array(meant.columns)[number], np.array(meant.classes)[number]
    found = {f"column {k}": share[column == k].sum() for k in range(len(target.model.columns))}
    found["deceptive"] = share[kind == 1].sum()
    stored = np.array([z for _, z in every]).reshape(len(every), -1)
    return found | {f"fact {j}": share @ stored[:, j] for j in range(stored.shape[1])}


def estimands(target, draws):
    meant = describe(target, draws.codes, draws.lengths, draws.stored, draws.energy)
    found = {f"column {k}": meant.column == k for k in range(len(target.model.columns))}
    found["deceptive"] = meant.deceptive
    return found | {f"fact {j}": draws.stored[:, :, j] for j in range(draws.stored.shape[2])}


@pytest.mark.parametrize("family_name", ["linear", "levin", "power"])
@pytest.mark.parametrize("name", ["post_like", "post_like_limits", "post_like_facts", "chain",
                                  "structures_facts", "structures_bits"])  # fmt: skip
def test_draws_follow_the_posterior_of_a_small_space(name, family_name):
    target, _ = space(name, family_name)
    draws = run_chains(
        target, num_draws=2500, settings=Settings(replicas=4, warmup=200, proposals=8), seed=42
    )
    assert_means(estimands(target, draws), brute_force(target))


def test_twelve_facts_that_need_one_another():
    rng = np.random.default_rng(7)
    needs = tuple(tuple(i for i in range(j) if rng.random() < 0.3) for j in range(12))
    assert sum(map(len, needs)) > 10
    facts = known_facts(rng.uniform(0.5, 3, 12), rng.uniform(5, 60, 12), {"two": 2.0}, needs)
    target = target_of(structures_only(facts=facts), "levin")
    draws = run_chains(target, num_draws=4000, seed=42, settings=Settings(replicas=4, warmup=300))
    wanted = brute_force(target)
    assert 0.02 < wanted["fact 3"] < 0.98
    assert_means(estimands(target, draws), wanted)


def test_bits_steps_and_weights_of_draws_are_those_of_the_definition():
    for name in ("post_like_facts", "structures_facts"):
        target, _ = space(name, "power")
        draws = run_chains(target, num_draws=50, num_chains=2, settings=Settings(warmup=20))
        meant = describe(target, draws.codes, draws.lengths, draws.stored, draws.energy)
        wanted = []
        for index in np.ndindex(2, 50):
            code = tuple(draws.codes[index][: draws.lengths[index]].tolist())
            wanted.append(log_weight(target, code, draws.stored[index]))
            chosen = parameters(target.family, target.theta)
            cost = phi("power", chosen, meant.bits[index], meant.steps[index])
            multiplicity = (
                1.0 if target.model.grammar else target.model.structures[code[0]].multiplicity
            )
            loss = {"near": 0.7}.get(interpret(target.tables.grammar, code).train, 0.0)
            same = math.log(multiplicity) - target.theta["pressure"] * LN2 * cost - loss
            assert same == pytest.approx(wanted[-1], rel=1e-10)
        np.testing.assert_allclose(
            meant.log_weight.ravel() - meant.log_weight.flat[0], np.array(wanted) - wanted[0],
            atol=1e-9,
        )  # fmt: skip


def far_apart():
    """Honest with all facts derived, or deceptive with all stored: 70 bits of barrier between."""
    facts = known_facts([6.0] * 12, [12.0] * 12, uses={"honest": 0.0})
    shapes = (
        structure("honest", ["a"], ["b"]), structure("deceptive", ["c"], ["b"], deploy="other")
    )  # fmt: skip
    parts = (component("a", 72.0), component("b", 0, 5.0), component("c", 1.0))
    families = (family("linear", rate=1.0),)
    return target_of(model(parts, shapes, families, facts=facts))


HONEST_SIDE, DECEPTIVE_SIDE = ((0,), (False,) * 12), ((1,), (True,) * 12)


@pytest.mark.parametrize("side", [HONEST_SIDE, DECEPTIVE_SIDE])
def test_tempering_crosses_a_barrier_from_both_sides(side):
    target = far_apart()
    draws = run_chains(target, num_draws=2000, starts=[side], settings=Settings(warmup=400))
    wanted = brute_force(target)
    assert wanted["deceptive"] == pytest.approx(1 / 3, abs=0.01)
    assert draws.info.swapped.min() > 0
    found = estimands(target, draws)
    assert effective(found["deceptive"])[1] < 0.05
    assert_means(found, wanted)


def test_without_tempering_the_diagnostics_say_so():
    target, cold = far_apart(), Settings(ladder=(1.0,), warmup=400)
    for side, mean in ((HONEST_SIDE, 0.0), (DECEPTIVE_SIDE, 1.0)):
        draws = run_chains(target, num_draws=500, starts=[side], settings=cold)
        assert estimands(target, draws)["deceptive"].mean() == mean
    # Chains begin far apart unless told otherwise, so they are seen to disagree.
    for settings, agree in ((cold, False), (Settings(warmup=400), True)):
        draws = run_chains(target, num_draws=2000, settings=settings)
        stored = draws.stored.sum(axis=2).astype(float)
        assert (array_stats.rhat(stored, chain_axis=0, draw_axis=1) < 1.05) == agree


def test_chains_that_begin_at_the_target_stay_there():
    target, every = space("post_like_facts", "power")
    share = shares(np.array([log_weight(target, c, z) for c, z in every]))
    stream = np.random.default_rng(42)
    place = {program: k for k, program in enumerate(every)}
    seen = np.zeros(len(every))
    bit_generator = np.random.PCG64(stream.integers(2**63))
    none = np.zeros(1, np.int32)
    kept = (np.zeros((1, 5), np.int16), none.copy(), np.zeros((1, 3), np.uint8), np.zeros(1))
    counts = np.zeros((1, 7, 4), np.int64), *np.zeros((2, 1), np.int64), np.zeros(1)
    walk = begin(target, [every[int(share.argmax())]])
    for first in stream.choice(len(every), 20_000, p=share):
        code, stored = every[first]
        walk.place(0, np.array(code, np.int16), np.array(stored, np.uint8))
        walk.run(bit_generator, np.ones(1), 1, 6, True, *kept, none, *counts)
        size = int(kept[1][0])
        seen[place[tuple(kept[0][0, :size].tolist()), tuple(kept[2][0].astype(bool).tolist())]] += 1
    wanted = 20_000 * share
    common = wanted >= 5.0
    seen, wanted = (np.append(x[common], x[~common].sum()) for x in (seen, wanted))
    assert seen.sum() == 20_000
    assert len(seen) > 20
    assert chi2.sf(np.sum((seen - wanted) ** 2 / wanted), len(seen) - 1) > 1e-6


# --- streams, threads, interrupts ---


def same(left, right):
    return all(
        getattr(left, n).tobytes() == getattr(right, n).tobytes()
        for n in ("codes", "lengths", "stored", "energy")
    ) and all(
        getattr(left.info, n).tobytes() == getattr(right.info, n).tobytes()
        for n in ("ladder", "moves", "tried", "swapped")
    )


def test_same_seed_same_bytes_for_any_number_of_threads():
    target, _ = space("post_like_facts")
    draws = [
        run_chains(target, num_draws=300, threads=threads, seed=5, settings=Settings(warmup=100))
        for threads in (1, 2, 4)
    ]
    assert same(draws[0], draws[1])
    assert same(draws[0], draws[2])
    other = run_chains(target, num_draws=300, seed=6, settings=Settings(warmup=100))
    assert not same(draws[0], other)
    assert len({draws[0].energy[c].tobytes() for c in range(4)}) == 4


def test_identical_and_impossible_proposals_are_counted_apart():
    target, _ = space("post_like_facts")
    draws = run_chains(target, num_draws=200, num_chains=2, settings=Settings(warmup=10))
    moves = draws.info.moves
    assert moves.shape == (2, 8, 7, 4)
    # 200 rounds of 32 moves, 3 facts and a jump; nothing of the warm-up.
    assert (moves.sum(axis=(2, 3)) == 200 * 36).all()
    index = {name: k for k, name in enumerate(MOVES)}
    assert (moves[:, :, index["regenerate"], 2] > 0).all()
    assert (moves[:, :, index["insert"], 3] > 0).all()
    assert (moves[:, :, index["flip"], 2:] == 0).all()
    assert (draws.info.tried == 100).all()
    assert (draws.info.swapped <= draws.info.tried).all()
    rates = draws.info.acceptance()["jump"]
    assert rates[:, -1] == pytest.approx(rates[:, -1].mean(), abs=0.3)
    assert (rates[:, -1] > rates[:, 0]).all()


@pytest.mark.slow
def test_a_raised_flag_ends_all_chains_within_a_fifth_of_a_second():
    target, _ = space("post_like")
    flag, settings = StopFlag(), Settings(proposals=1_000_000_000)
    walks = [
        Walk(target, settings, starting_programs(target), stream, flag)
        for stream in np.random.SeedSequence(1).spawn(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(walk.draw, 10) for walk in walks]
        time.sleep(0.3)
        start = time.perf_counter()
        flag.stop()
        for future in waiting:
            assert isinstance(future.exception(), Stopped)
        assert time.perf_counter() - start < 0.2


@pytest.mark.slow
def test_an_interrupt_ends_a_run_within_a_fifth_of_a_second():
    target, _ = space("post_like")
    sent = []

    def interrupt():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Timer(0.5, interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run_chains(target, num_draws=10, num_chains=8, settings=Settings(proposals=10**9))
    assert time.perf_counter() - sent[0] < 0.2


def test_a_chain_refuses_buffers_of_another_model():
    walk = begin(*(lambda t: (t, starting_programs(t)[:1]))(space("post_like")[0]))
    with pytest.raises(ValueError, match="other numbers of the same model"):
        walk.retarget(space("chain")[0].kernel)
    with pytest.raises(ValueError, match="1 .. max_nodes rules"):
        walk.place(0, np.zeros(8, np.int16), np.zeros(1, np.uint8))
    with pytest.raises(ValueError, match="another shape"):
        advance(space("post_like")[0], walk, [1.0, 0.0], 1, 1, 1)


def test_an_error_in_one_chain_stops_the_others():
    target, _ = space("post_like")
    flag = StopFlag()
    streams = np.random.SeedSequence(1).spawn(2)
    walks = [
        Walk(target, Settings(proposals=1_000_000_000), starting_programs(target), s, flag)
        for s in streams
    ]

    def work(k):
        if k == 0:
            time.sleep(0.05)
            raise KeyboardInterrupt
        walks[k].draw(3)

    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        in_threads(work, [0, 1], 2, flag)
    assert time.perf_counter() - start < 5.0


# --- the ladder ---


def test_an_adapted_ladder_exchanges_evenly():
    draws = run_chains(far_apart(), num_draws=3000, settings=Settings(warmup=2000))
    ladder = draws.info.ladder
    assert (ladder[:, 0] == 1.0).all()
    assert (ladder[:, -1] == 0.0).all()
    assert (np.diff(ladder, axis=1) < 0).all()
    rates = draws.info.swapped / draws.info.tried
    assert np.ptp(rates, axis=1).max() < 0.35
    assert rates.min() > 0.15


def test_a_ladder_is_moved_where_exchanges_fail():
    ladder = first_ladder(5, np.array([0.0, 100.0]))
    assert ladder[0] == 1.0
    assert ladder[-1] == 0.0
    assert ladder[-2] == pytest.approx(1 / 80)
    moved = adapted_ladder(ladder, np.array([0.9, 0.05, 0.9, 0.9]))
    assert (np.diff(moved) < 0).all()
    # Most rungs now stand in the gap between the second and the third.
    assert np.sum((moved > ladder[2]) & (moved < ladder[1])) >= 2


# --- masses at many thetas ---


@pytest.mark.parametrize("family_name", ["linear", "levin"])
def test_masses_at_many_thetas(family_name):
    m, nodes = SPACES["post_like_facts"]
    chosen = m.family(family_name)
    rates = np.array([5.0, 20.0, 80.0]) if family_name == "linear" else np.array([0.3, 1.5, 3.0])
    name = next(iter(chosen.variables()))
    theta = theta_at(m, chosen, {name: rates}, shape=(3,))
    found = tempered_masses(m, chosen, theta, num_inner=3000, max_nodes=nodes, seed=42)
    assert found.mass.shape == found.error.shape == (3, len(m.columns))
    np.testing.assert_allclose(found.mass.sum(axis=1), 1.0)
    for row in range(3):
        target = Target.of(m, chosen, theta, row, max_nodes=nodes)
        wanted = brute_force(target)
        exact = np.array([wanted[f"column {k}"] for k in range(len(m.columns))])
        assert (np.abs(found.mass[row] - exact) <= 5 * found.error[row] + 2e-3).all()
        assert (found.error[row] < 0.05).all()
        every = [(c, z) for c in codes_of(target) for z in choices_of(m)]
        logs = np.array([log_weight(target, c, z) for c, z in every])
        kinds = [interpret(m.grammar, c) for c, _ in every]
        least = -logs / (target.theta["pressure"] * LN2)
        honest = np.array([k.train == "base" and k.deploy == "base" for k in kinds])
        other = np.array([k.train == "base" and k.deploy != "base" for k in kinds])
        classes = np.array([c.class_name for c in m.columns])
        met = [found.least_cost[row, classes == c].min() for c in ("honest", "deceptive")]
        gap = met[1] - met[0]
        assert gap == pytest.approx(least[other].min() - least[honest].min(), abs=1e-9)


def test_masses_do_not_depend_on_threads():
    m, nodes = SPACES["structures_facts"]
    chosen = m.family("linear")
    theta = theta_at(m, chosen, {"linear_rate": np.linspace(5, 50, 70)}, shape=(70,))
    kept = [
        tempered_masses(m, chosen, theta, num_inner=40, threads=threads, seed=3)
        for threads in (1, 2)
    ]
    assert kept[0].mass.tobytes() == kept[1].mass.tobytes()
    assert kept[0].error.tobytes() == kept[1].error.tobytes()


# --- bad input ---


def test_where_nothing_fits():
    target = target_of(post_like(cap=1.0, facts=NEEDY))
    draws = run_chains(target, num_draws=3, num_chains=2)
    assert (draws.lengths == 0).all()
    assert draws.stored.shape == (2, 3, 3)
    meant = describe(target, draws.codes, draws.lengths, draws.stored, draws.energy)
    assert (meant.column == -1).all()
    assert not meant.deceptive.any()
    for x in (meant.bits, meant.steps, meant.log_weight, draws.energy):
        assert np.isnan(x).all()
    m = target.model
    chosen = m.family("linear")
    theta = theta_at(m, chosen, shape=(2,))
    assert np.isnan(tempered_masses(m, chosen, theta, num_inner=5).mass).all()


def test_a_start_is_found_under_both_limits():
    facts = known_facts([4.0, 9.0, 2.0, 6.0], [40.0, 20.0, 30.0, 80.0])
    m = limited(structures_only(facts=facts), cap=220.0, max_bits=26.0)
    target = target_of(m)
    draws = run_chains(target, num_draws=2000, settings=Settings(warmup=300))
    wanted = brute_force(target)
    assert 0 < wanted["fact 0"] < 1
    assert_means(estimands(target, draws), wanted)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda: target_of(post_like(), max_nodes=0), "max_nodes must be >= 1, found 0"),
        (lambda: target_of(post_like(), moves={"hop": 1.0}), "moves must be among .*, found 'hop'"),
        (lambda: target_of(post_like(), moves={"swap": -1.0}), "probabilities >= 0"),
        (lambda: target_of(post_like(), jumps=[(0, 4), (1,)]), r"whole programs, found \(1,\)"),
        (lambda: target_of(post_like(), jumps=[(0, 0, 4)]), r"whole programs, found \(0, 0, 4\)"),
        (lambda: target_of(post_like(), jumps=[(4,)]), r"whole programs, found \(4,\)"),
        (lambda: target_of(catalan(1, 1, pressure=0.9)), "critical pressure"),
        (lambda: chains(num_draws=0), "num_draws must be a whole number >= 1, found 0"),
        (lambda: chains(num_chains=0), "num_chains must be a whole number >= 1, found 0"),
        (lambda: chains(threads=0), "threads must be a whole number >= 1, found 0"),
        (lambda: chains(settings=Settings(replicas=0)), "replicas must be .* found 0"),
        (lambda: chains(settings=Settings(ladder=(0.5, 0.1))), "ladder must fall from 1"),
        (lambda: chains(settings=Settings(ladder=(1.0, 1.0))), "ladder must fall from 1"),
        (lambda: chains(settings=Settings(warmup=-1)), "warmup must be >= 0, found -1"),
        (lambda: chains(starts=[((0, 5), ())]), "starts must be programs with weight"),
    ],
)
def test_bad_input_is_named(what, message):
    with pytest.raises(InputError, match=message):
        what()


def chains(num_draws=1, **kwargs):
    return run_chains(target_of(post_like()), num_draws=num_draws, **kwargs)


def test_levin_needs_steps():
    m = finite()
    free = tuple(replace(c, steps=Known(0.0)) for c in m.components)
    with pytest.raises(RefusedError, match="more than 0 steps"):
        target_of(replace(m, components=free), "levin")
