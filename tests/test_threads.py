"""Same seed, same bytes: every kernel that lets go of the GIL, on any number of threads."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from small_grammars import post_like
from test_enumeration import listing_below
from test_program_draws import random_theta
from test_program_sums import FACTS, random_thetas
from test_programs import quick, uncertain
from test_tempering import space

from bayes_mesa import fit
from bayes_mesa.chains.tempered_walk import Settings
from bayes_mesa.chains.tempering import run_chains
from bayes_mesa.costing.fact_sums import draw_programs, log_fact_factor
from bayes_mesa.drawing.programs import sample_programs
from bayes_mesa.grammars.program_sums import class_sums
from bayes_mesa.grammars.tree_draws import draw_grammar_programs

MODEL = post_like(facts=FACTS)
FAMILIES = ("linear", "levin", "power")


def digest(*arrays):
    """SHA-256 of the bytes of some arrays."""
    whole = hashlib.sha256()
    for x in arrays:
        whole.update(np.ascontiguousarray(x).tobytes())
    return whole.hexdigest()


def exact_draws(seed):
    """Of structures with facts, at one theta each and many at one."""
    family = FAMILIES[seed % 3]
    many = random_theta(family, np.random.default_rng(seed), 40, 7)
    one = random_theta(family, np.random.default_rng(seed), 1, 7)
    return digest(
        *draw_programs(np.random.PCG64(seed), **many),
        *draw_programs(np.random.PCG64(seed), **one, num_draws=5000),
    )


def fact_sums(seed):
    """The sums over facts."""
    family = FAMILIES[seed % 3]
    theta = random_theta(family, np.random.default_rng(seed), 40, 7)
    found = log_fact_factor(
        family, **{n: x for n, x in theta.items() if n not in ("family", "mass")}
    )
    return digest(found.log_factor, found.error)


def grammar_sums(seed):
    """Of a grammar with facts, themselves in threads."""
    family = MODEL.family(FAMILIES[seed % 3])
    found = class_sums(MODEL, family, random_thetas(MODEL, family, 6, seed), 1.0, threads=2)
    return digest(found.log_weight, found.class_error)


def grammar_draws(seed):
    """Trees and what they store, at one theta each and many at one."""
    family = MODEL.family(FAMILIES[seed % 3])
    theta = random_thetas(MODEL, family, 6, seed)
    one = {n: x[:1] for n, x in theta.items()}
    parts = []
    for values, count in ((theta, None), (one, 2000)):
        drawn = draw_grammar_programs(np.random.PCG64(seed), MODEL, family, values, num_draws=count)
        parts += [drawn.flat, drawn.lengths, drawn.stored]
    return digest(*parts)


def tempered(seed):
    """Chains over programs, themselves in threads."""
    target, _ = space("post_like_facts")
    found = run_chains(
        target, num_draws=40, num_chains=2, threads=2, seed=seed, settings=Settings(warmup=20)
    )
    info = found.info
    return digest(found.codes, found.lengths, found.stored, found.energy, info.moves, info.ladder)


def enumeration(seed):
    """Programs listed in order of rule bits."""
    found = listing_below(MODEL, 11.0 + seed % 3)
    return digest(
        *(np.asarray(getattr(found, n)) for n in ("count", "rule_bits", "stores", "runs"))
    )


KERNELS = [exact_draws, fact_sums, grammar_sums, grammar_draws, tempered, enumeration]


def in_eight_threads(kernel, runs, seeds):
    alone = [kernel(seed) for seed in range(seeds)]
    assert len(set(alone)) == seeds
    order = np.random.default_rng(7).permutation(np.arange(runs) % seeds).tolist()
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(kernel, order))
    assert together == [alone[seed] for seed in order]


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_eight_threads(kernel):
    in_eight_threads(kernel, 16, 2)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.__name__)
def test_eight_threads_a_hundred_runs_each(kernel):
    in_eight_threads(kernel, 800, 3)


def prior_and_programs(model, seed, threads):
    """SHA-256 of prior draws and, given them, of program draws by either engine."""
    post = fit(model, {}, num_samples=20, num_chains=8, seed=seed)
    theta = post["posterior"].to_dataset()
    found = [digest(*(theta[n].to_numpy() for n in sorted(theta.data_vars)))]
    for method in ("exact", "tempered"):
        drawn = sample_programs(model, post, method=method, seed=seed, threads=threads)
        programs = drawn["programs"].to_dataset()
        found.append(digest(*(programs[n].to_numpy() for n in sorted(programs.data_vars))))
    return found


@pytest.mark.parametrize(
    "order", [(1, 2, 4, 8), pytest.param((8, 1, 4, 2), marks=pytest.mark.slow)]
)
def test_prior_and_program_draws_of_any_number_of_threads_in_any_order(order):
    model = uncertain("all")
    found = [prior_and_programs(model, 5, threads) for threads in order]
    assert all(other == found[0] for other in found)


@pytest.mark.slow
def test_fits_and_draws_at_the_same_time_do_not_meet():
    model = uncertain("all")
    alone = [prior_and_programs(model, seed, 1) for seed in (1, 2)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda k: prior_and_programs(model, 1 + k % 2, 2), range(8)))
    assert together == [alone[k % 2] for k in range(8)]


def test_quick_fits_are_the_same_as_ever():
    assert quick(uncertain()).identical(quick(uncertain()))
