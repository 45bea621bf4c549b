"""The fit with evidence, against DiscreteHMCGibbs on the same target with programs left explicit.

Three structures, levin, every cost uncertain. We sum programs out; the peer samples them. Its
target needs Z(theta) all the same: with six facts it lists all 3 x 2^6 programs in one vectorised
expression; with fifty it is given our own sum.

* ``choice``: p(theta | D) w(program | theta) / Z(theta), one program. The likelihood does not read
  the program, and the peer samples it jointly, as it must to know whether it is deceptive.
* ``selection``: every one of the 24 trained networks has a program of its own, with its structure
  observed and its facts latent; one more program says whether the next one would be deceptive.

Both sides: 4 chains in threads, warm-up within the time and as long as the draws, double precision,
all compiled before the clock. Ours is the whole of `bayes_mesa.fit`, marginal likelihood and
predictive draws included.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bayes_mesa.costing.exchange import LN2
from benchmarks.peer import Peer
from benchmarks.timing import Row, agree, by_turns, effective, timed

CHAINS = 4
#: (kind, facts, our iterations of warm-up and again of draws, the peer's, repeats, target)
CASES = (
    ("choice", 6, 1000, 1000, 3, 10.0),
    ("choice", 50, 1000, 150, 2, 10.0),
    ("selection", 6, 300, 300, 2, 3.0),
)
#: As many facts as the peer can list.
LISTED = 8
#: (log median, log sd)
BITS = {"honest_goal": (2.3, 0.5), "simple_goal": (1.0, 0.4), "check": (1.2, 0.4)}
STEPS = {"lookup": (4.0, 0.5), "find": (5.5, 0.8), "plan": (6.0, 0.7)}
FACT_BITS, FACT_STEPS = (0.7, 0.5), (5.0, 1.0)
PRESSURE, KAPPA = (0.0, 0.5), (0.2, 0.5)
STORES = {
    "fast_honest": ["honest_goal"],
    "slow_deceptive": ["simple_goal", "check"],
    "fast_deceptive": ["honest_goal", "check"],
}
RUNS = {
    "fast_honest": ["lookup", "plan"],
    "slow_deceptive": ["find", "plan"],
    "fast_deceptive": ["lookup", "plan"],
}
DECEPTIVE = np.array([False, True, True])
COUNTS = np.array([9, 12, 3])


def model_text(facts: int) -> str:
    """The model file."""
    lines = ['[model]\nname = "benchmark"']
    lines += [f"[components.{c}]\nbits = {_belief(*x)}" for c, x in BITS.items()]
    lines += [f"[components.{c}]\nsteps = {_belief(*x)}" for c, x in STEPS.items()]
    for name in STORES:
        deploy = "base" if name.endswith("honest") else "other"
        lines.append(
            f"[structures.{name}]\nstores = {STORES[name]}\nruns = {RUNS[name]}\n"
            f'train = "base"\ndeploy = "{deploy}"'
        )
    lines.append(
        f"[facts]\ncount = {facts}\nbits = {_belief(*FACT_BITS)}\nsteps = {_belief(*FACT_STEPS)}"
    )
    lines.append(f"[exchange.levin]\nkappa = {_belief(*KAPPA)}")
    lines.append(f"[selection]\npressure = {_belief(*PRESSURE)}")
    return "\n".join(lines).replace("'", '"')


def choice() -> dict[str, np.ndarray]:
    """Ten rows of ten networks from pressure 0.8, kappa 1.3."""
    rng = np.random.default_rng(3)
    base, steps = rng.lognormal(6.0, 0.5, 10), rng.lognormal(6.0, 1.0, 10)
    bits = 1.3 * np.log2(1 + steps / base) + rng.normal(0, 1.0, 10)
    bits = np.abs(bits)
    logit = 0.8 * LN2 * (1.3 * np.log2(1 + steps / base) - bits)
    stored = rng.binomial(10, 1 / (1 + np.exp(-logit)))
    trials = np.full(10, 10)
    return {"bits": bits, "steps": steps, "base_steps": base, "stored": stored, "trials": trials}


def rows() -> list[Row]:
    """Effective draws per second, warm, and the first call of each (compilation included)."""
    found = []
    for kind, facts, mine, its, repeats, target in CASES:
        ours, peer, first = _sides(kind, facts, mine, its)
        case = f"fit, {kind}, {facts} facts"
        for name, (a, b) in by_turns(ours, peer, repeats).items():
            unit = "1 / s" if "error" in name else "effective draws / s"
            found.append(Row(f"{case}: {name}", unit, a, b, target))
        found.append(
            Row(
                f"{case}: first call, compilation included",
                "calls / s",
                (1.0 / first[0],),
                (1.0 / first[1],),
            )
        )
    return found


def _sides(
    kind: str, facts: int, mine: int, its: int
) -> tuple[Callable, Callable, tuple[float, float]]:
    import bayes_mesa

    with TemporaryDirectory() as folder:
        path = Path(folder) / "benchmark.toml"
        path.write_text(model_text(facts))
        model = bayes_mesa.load_model(path)
    columns = choice()
    if kind == "selection":
        columns = {"structure": np.array(list(STORES)), "count": COUNTS}
    evidence = {"seen": {"kind": kind, **{n: list(x) for n, x in columns.items()}}}
    settings = {"num_warmup": mine, "num_samples": mine, "num_chains": CHAINS}

    def fit(seed: int) -> Any:
        return bayes_mesa.fit(model, evidence, seed=seed, **settings)["posterior_levin"]

    post, first = timed(lambda: fit(100))
    peer = Peer(
        _kernel(kind, facts, columns),
        _collect,
        num_warmup=its,
        num_samples=its,
        num_chains=CHAINS,
    )
    other = peer.first
    agree(np.log(np.asarray(post["pressure"])), other["log_pressure"], f"{kind}: pressure")
    agree(np.log(np.asarray(post["levin_kappa"])), other["log_kappa"], f"{kind}: kappa")
    agree(np.asarray(post["deceptive_mass"]), other["deceptive"], f"{kind}: deceptive mass")

    def ours(seed: int) -> dict[str, float]:
        post, wall = timed(lambda: fit(seed))
        return _rates(post["pressure"], post["levin_kappa"], post["deceptive_mass"], wall)

    def theirs(seed: int) -> dict[str, float]:
        draws, wall = timed(lambda: peer.run(seed))
        return _rates(draws["log_pressure"], draws["log_kappa"], draws["deceptive"], wall)

    return ours, theirs, (first, peer.first_call)


def _rates(pressure: Any, kappa: Any, deceptive: Any, wall: float) -> dict[str, float]:
    least = min(effective(np.asarray(pressure)), effective(np.asarray(kappa)))
    share = np.asarray(deceptive, dtype=float)
    return {
        "pressure and kappa, the lesser": least / wall,
        # Ours averages masses, the peer zeros and ones: only the errors of the mean compare.
        "P(deceptive), as 1 / error^2": effective(share) / share.var() / wall,
    }


def _collect(sites: Mapping[str, Any]) -> Mapping[str, Any]:
    import jax.numpy as jnp

    return {
        "log_pressure": sites["pressure"],
        "log_kappa": sites["kappa"],
        "deceptive": jnp.asarray(DECEPTIVE)[sites["structure"]],
    }


def _kernel(kind: str, facts: int, columns: Mapping[str, np.ndarray]) -> Any:
    from numpyro.infer import NUTS, DiscreteHMCGibbs

    model = _choice_model(facts, columns) if kind == "choice" else _selection_model(facts)
    return DiscreteHMCGibbs(NUTS(model), modified=True)


def _choice_model(facts: int, columns: Mapping[str, np.ndarray]) -> Callable[[], None]:
    def model() -> None:
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        theta = _theta(facts)
        growth = jnp.log1p(columns["steps"] / columns["base_steps"]) / LN2
        logit = theta["pressure"] * LN2 * (theta["kappa"] * growth - columns["bits"])
        rows = dist.Binomial(columns["trials"], logits=logit)
        numpyro.sample("seen", rows, obs=columns["stored"])
        numpyro.factor("program", _next_program(theta) - _log_z(theta))

    return model


def _selection_model(facts: int) -> Callable[[], None]:
    networks = int(COUNTS.sum())
    structure = np.repeat(np.arange(len(COUNTS)), COUNTS)

    def model() -> None:
        import numpyro
        import numpyro.distributions as dist

        theta = _theta(facts)
        with numpyro.plate("network", networks, dim=-2), numpyro.plate("of", facts, dim=-1):
            stored = numpyro.sample("network_stored", dist.Bernoulli(0.5))
        weights = _log_weight(theta, structure, stored).sum() + _next_program(theta)
        numpyro.factor("programs", weights - (networks + 1) * _log_z(theta))

    return model


def _theta(facts: int) -> dict[str, Any]:
    """Costs and exchange; the sites are logs, so that NUTS moves on the whole line."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def cost(name: str, loc: float, scale: float, size: int | None = None) -> Any:
        prior = dist.Normal(loc, scale)
        return jnp.exp(numpyro.sample(name, prior.expand([size]).to_event(1) if size else prior))

    bits = {c: cost(f"bits.{c}", *x) for c, x in BITS.items()}
    steps = {c: cost(f"steps.{c}", *x) for c, x in STEPS.items()}
    return {
        "bits": jnp.stack([sum(bits[c] for c in of) for of in STORES.values()]),
        "steps": jnp.stack([sum(steps[c] for c in of) for of in RUNS.values()]),
        "fact_bits": cost("fact_bits", *FACT_BITS, facts),
        "fact_steps": cost("fact_steps", *FACT_STEPS, facts),
        "pressure": cost("pressure", *PRESSURE),
        "kappa": cost("kappa", *KAPPA),
    }


def _next_program(theta: Mapping[str, Any]) -> Any:
    import numpyro
    import numpyro.distributions as dist

    structure = numpyro.sample("structure", dist.Categorical(logits=np.zeros(len(STORES))))
    with numpyro.plate("fact", len(theta["fact_bits"])):
        stored = numpyro.sample("stored", dist.Bernoulli(0.5))
    return _log_weight(theta, structure, stored)


def _log_weight(theta: Mapping[str, Any], structure: Any, stored: Any) -> Any:
    """Log weight of programs, (...,), for structure (...,) and stored (..., facts)."""
    import jax.numpy as jnp

    bits = theta["bits"][structure] + stored @ theta["fact_bits"]
    steps = theta["steps"][structure] + (1 - stored) @ theta["fact_steps"]
    return -theta["pressure"] * LN2 * (bits + theta["kappa"] * jnp.log2(steps))


def _log_z(theta: Mapping[str, Any]) -> Any:
    """Log of the sum over every program: each listed, or by our own sum where they are too many."""
    import jax
    from jax.scipy.special import logsumexp

    facts = len(theta["fact_bits"])
    if facts > LISTED:
        return jax.jit(_log_z_summed)(theta)
    choices = np.array(list(itertools.product((0, 1), repeat=facts)))
    structure = np.arange(len(STORES))[:, None]
    return logsumexp(_log_weight(theta, structure, choices[None]))


def _log_z_summed(theta: Mapping[str, Any]) -> Any:
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    from bayes_mesa.costing.fact_sums_jax import log_fact_factor

    factor = log_fact_factor(
        "levin",
        pressure=theta["pressure"],
        parameters={"kappa": theta["kappa"]},
        steps=theta["steps"],
        uses=np.ones(len(STORES)),
        fact_bits=theta["fact_bits"],
        fact_steps=theta["fact_steps"],
    )
    penalty = theta["bits"] + theta["kappa"] * jnp.log2(theta["steps"])
    return logsumexp(factor - theta["pressure"] * LN2 * penalty)


def _belief(loc: float, scale: float) -> str:
    return f'{{ dist = "LogNormal", loc = {loc}, scale = {scale} }}'
