"""Program draws: three structures, 50 facts, levin, pressure 1, kappa 1.3.

The peer's target is p(structure, z) ∝ 2^-penalty with one categorical site and 50 binary ones. It
must have a continuous site for its inner kernel: at fixed costs a normal that nothing depends on,
moved by one leapfrog step without adaptation, which is the cheapest there is.

With new costs for each program we draw the costs, sum over all 2^50 choices for every structure,
and draw one program. The peer cannot draw costs anew and stay in equilibrium. Two figures bound
what it can do: (a) the joint of costs and programs by DiscreteHMCGibbs, p(costs) 2^-penalty, which
is *not* our target but a cheaper one (ours divides by Z(costs), which the peer would have to
compute); (b) its sweeps per second at fixed costs, as though a single sweep were enough to forget
the start: no sampler that sweeps by single sites is faster.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_mesa.exchange import LN2
from bayes_mesa.fact_sums import draw_programs, log_fact_factor
from benchmarks.peer import Peer
from benchmarks.timing import Row, agree, by_turns, effective, timed

FACTS = 50
KAPPA = 1.3
#: Log medians of structure bits and steps; the structures differ by a few bits.
STRUCTURE_BITS = np.log([6.0, 5.0, 7.0])
STRUCTURE_STEPS = np.log([1e3, 3e3, 5e2])
USES = np.array([1.0, 1.0, 2.0])
#: (log median, log sd) of a fact's bits and of its steps.
FACT_BITS = (0.0, 1.0)
FACT_STEPS = (6.0, 1.5)
STRUCTURE_SD = 0.3

FIXED_DRAWS = 1_000_000
FIXED_SWEEPS = 20_000
VARYING_DRAWS = 10_000
VARYING_SWEEPS = 1_500
CHAINS = 4


@dataclass(frozen=True, eq=False)
class Costs:
    """Bits and steps of structures (N, 3) and facts (N, 50), for N thetas."""

    bits: np.ndarray
    steps: np.ndarray
    fact_bits: np.ndarray
    fact_steps: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, size: int) -> Costs:
        """Independent draws of the prior."""
        structures, facts = (size, len(USES)), (size, FACTS)
        return cls(
            rng.lognormal(STRUCTURE_BITS, STRUCTURE_SD, structures),
            rng.lognormal(STRUCTURE_STEPS, STRUCTURE_SD, structures),
            rng.lognormal(*FACT_BITS, facts),
            rng.lognormal(*FACT_STEPS, facts),
        )

    def exchange(self) -> dict[str, Any]:
        """The arguments that the sums and the draws share."""
        size = len(self.bits)
        return {
            "pressure": np.ones(size),
            "parameters": {"kappa": np.full(size, KAPPA)},
            "steps": self.steps,
            "uses": USES,
            "fact_bits": self.fact_bits,
            "fact_steps": self.fact_steps,
        }

    def masses(self) -> np.ndarray:
        """Normalised mass of every structure, facts summed out, (N, 3)."""
        penalty = self.bits + KAPPA * np.log2(self.steps)
        log_weight = -LN2 * penalty + log_fact_factor("levin", **self.exchange()).log_factor
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)


def fixed_arguments() -> dict[str, Any]:
    """The one theta of the benchmarks at fixed costs, as `draw_programs` takes it."""
    costs = Costs.drawn(np.random.default_rng(1), 1)
    return {"family": "levin", "mass": costs.masses(), **costs.exchange()}


def rows() -> list[Row]:
    """Exact draws against the peer, at fixed costs and with new costs for every program."""
    fixed = by_turns(ours_fixed(), fixed_peer := peer_fixed(), 5)
    varying = by_turns(ours_varying, peer_varying(), 3)
    bound = by_turns(ours_varying, fixed_peer, 3)
    ours, peer = varying["effective draws"]
    unit = "effective draws of total bits / s"
    return [
        Row("draws, fixed costs (DiscreteHMCGibbs)", unit, *fixed["effective draws"], 1000.0),
        Row("draws, new costs (a): peer's joint, without Z", unit, ours, peer, 10.0),
        Row(
            "draws, new costs (b): peer as if 1 sweep forgot all",
            "programs / s",
            bound["sweeps"][0],
            bound["sweeps"][1],
        ),
    ]


def ours_fixed() -> Callable[[int], Mapping[str, float]]:
    """Many programs at one theta, the table included."""
    arguments = fixed_arguments()
    bits = arguments["fact_bits"][0]

    def run(seed: int) -> dict[str, float]:
        bit_generator = np.random.PCG64(seed)
        (_, stored), wall = timed(
            lambda: draw_programs(bit_generator, **arguments, num_draws=FIXED_DRAWS)
        )
        # The total is the same product for both sides and left out of both times.
        kept = effective((stored[:200_000] @ bits).reshape(CHAINS, -1)) / 200_000
        return {"effective draws": kept * FIXED_DRAWS / wall, "sweeps": FIXED_DRAWS / wall}

    return run


def peer_fixed() -> Callable[[int], Mapping[str, float]]:
    """DiscreteHMCGibbs at the same theta; modified Gibbs, one leapfrog step for the dummy site."""
    costs = Costs.drawn(np.random.default_rng(1), 1)
    bits, steps = costs.bits[0], costs.steps[0]
    fact_bits, fact_steps = costs.fact_bits[0], costs.fact_steps[0]

    def model() -> None:
        import numpyro
        import numpyro.distributions as dist

        numpyro.sample("idle", dist.Normal())
        s, z = _program_sites()
        numpyro.factor("weight", _log_weight(bits, steps, fact_bits, fact_steps, s, z))

    def collect(sites: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"total": sites["stored"] @ fact_bits, "structure": sites["structure"]}

    from numpyro.infer import HMC, DiscreteHMCGibbs

    inner = HMC(model, step_size=1.0, num_steps=1, trajectory_length=None,
                adapt_step_size=False, adapt_mass_matrix=False)  # fmt: skip
    kernel = DiscreteHMCGibbs(inner, modified=True)
    peer = Peer(kernel, collect, num_warmup=0, num_samples=FIXED_SWEEPS)
    _, stored = draw_programs(np.random.PCG64(9), **fixed_arguments(), num_draws=100_000)
    agree((stored @ fact_bits)[None], peer.run(99)["total"][:, 1000:], "draws at fixed costs")
    return _rates(peer, FIXED_SWEEPS)


def ours_varying(seed: int) -> dict[str, float]:
    """Costs from the prior, all masses, one program each."""
    bit_generator = np.random.PCG64(seed)
    rng = np.random.Generator(bit_generator)

    def draw() -> tuple[Costs, np.ndarray]:
        costs = Costs.drawn(rng, VARYING_DRAWS)
        arguments = {"family": "levin", "mass": costs.masses(), **costs.exchange()}
        return costs, draw_programs(bit_generator, **arguments)[1]

    (costs, stored), wall = timed(draw)
    total = (stored * costs.fact_bits).sum(axis=1).reshape(CHAINS, -1)
    return {"effective draws": effective(total) / wall, "sweeps": VARYING_DRAWS / wall}


def peer_varying() -> Callable[[int], Mapping[str, float]]:
    """DiscreteHMCGibbs over 106 costs and the program."""

    def model() -> None:
        import jax.numpy as jnp
        import numpyro
        import numpyro.distributions as dist

        def cost(name: str, loc: Any, scale: float, size: int) -> Any:
            # In logs and centred: the geometry that suits NUTS best.
            unit = numpyro.sample(name, dist.Normal().expand([size]).to_event(1))
            return jnp.exp(loc + scale * unit)

        bits = cost("bits", STRUCTURE_BITS, STRUCTURE_SD, len(USES))
        steps = cost("steps", STRUCTURE_STEPS, STRUCTURE_SD, len(USES))
        fact_bits = cost("fact_bits", *FACT_BITS, FACTS)
        fact_steps = cost("fact_steps", *FACT_STEPS, FACTS)
        s, z = _program_sites()
        numpyro.factor("weight", _log_weight(bits, steps, fact_bits, fact_steps, s, z))

    def collect(sites: Mapping[str, Any]) -> Mapping[str, Any]:
        import jax.numpy as jnp

        fact_bits = jnp.exp(FACT_BITS[0] + FACT_BITS[1] * sites["fact_bits"])
        return {"total": sites["stored"] @ fact_bits}

    from numpyro.infer import NUTS, DiscreteHMCGibbs

    kernel = DiscreteHMCGibbs(NUTS(model), modified=True)
    peer = Peer(kernel, collect, num_warmup=500, num_samples=VARYING_SWEEPS)
    # Warm-up is given to the peer for nothing here, as to a chain that runs for very long.
    return _rates(peer, 500 + VARYING_SWEEPS, VARYING_SWEEPS)


def _rates(
    peer: Peer, sweeps: int, kept: int | None = None
) -> Callable[[int], Mapping[str, float]]:
    def run(seed: int) -> dict[str, float]:
        draws, wall = timed(lambda: peer.run(seed))
        wall *= (kept or sweeps) / sweeps
        return {
            "effective draws": effective(draws["total"]) / wall,
            "sweeps": draws["total"].size / wall,
        }

    return run


def _program_sites() -> tuple[Any, Any]:
    import numpyro
    import numpyro.distributions as dist

    structure = numpyro.sample("structure", dist.Categorical(logits=np.zeros(len(USES))))
    with numpyro.plate("fact", FACTS):
        stored = numpyro.sample("stored", dist.Bernoulli(0.5))
    return structure, stored


def _log_weight(bits: Any, steps: Any, fact_bits: Any, fact_steps: Any, s: Any, z: Any) -> Any:
    import jax.numpy as jnp

    time = jnp.asarray(steps)[s] + jnp.asarray(USES)[s] * ((1 - z) @ jnp.asarray(fact_steps))
    return -LN2 * (jnp.asarray(bits)[s] + z @ jnp.asarray(fact_bits)) - KAPPA * jnp.log(time)
