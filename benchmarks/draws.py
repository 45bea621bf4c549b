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

from bayes_mesa.costing.exchange import LN2
from bayes_mesa.costing.fact_sums import draw_programs, log_fact_factor
from benchmarks.peer import Peer
from benchmarks.timing import Row, agree, busy, by_turns, effective

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

#: Programs in one call, as `sample_programs` asks for them, and calls.
FIXED_DRAWS, FIXED_CALLS = 200_000, 10
FIXED_SWEEPS = 10_000
VARYING_DRAWS = 10_000
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
    ours = ours_fixed()
    plain, modified = peer_fixed(modified=False), peer_fixed(modified=True)
    found = [
        _row("draws, fixed costs: DiscreteHMCGibbs as it comes", by_turns(ours, plain, 4), 1000.0),
        _row("draws, fixed costs: its modified=True", by_turns(ours, modified, 4), 1000.0),
    ]
    same = by_turns(ours_varying, peer_varying(with_z=True, sweeps=150, warmup=100), 2)
    other = by_turns(ours_varying, peer_varying(with_z=False, sweeps=1500, warmup=500), 3)
    found.append(_row("draws, new costs: DiscreteHMCGibbs, same target", same, 10.0))
    found.append(_row("draws, new costs (a): it leaves out Z, another target", other))
    mine, its = by_turns(ours_varying, plain, 3)["sweeps"]
    what = "draws, new costs (b): its sweeps, one for each theta"
    found.append(Row(what, "programs / s", mine, its))
    return found


def _row(what: str, rates: Mapping[str, Any], target: float | None = None) -> Row:
    ours, peer = rates["effective draws"]
    return Row(what, "effective draws / s", ours, peer, target)


def ours_fixed() -> Callable[[int], Mapping[str, float]]:
    """Many programs at one theta, the table included."""
    arguments = fixed_arguments()
    bits = arguments["fact_bits"][0]

    def run(seed: int) -> dict[str, float]:
        bit_generator = np.random.PCG64(seed)

        def draw() -> np.ndarray:
            for _ in range(FIXED_CALLS):
                _, stored = draw_programs(bit_generator, **arguments, num_draws=FIXED_DRAWS)
            return stored

        stored, seconds = busy(draw)
        # The totals are the same product for both sides, and left out of both times.
        kept = effective((stored @ bits).reshape(CHAINS, -1)) / FIXED_DRAWS
        rate = FIXED_CALLS * FIXED_DRAWS / seconds
        return {"effective draws": kept * rate, "sweeps": rate}

    return run


def peer_fixed(*, modified: bool) -> Callable[[int], Mapping[str, float]]:
    """DiscreteHMCGibbs at the same theta; one leapfrog step for the dummy site."""
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
    kernel = DiscreteHMCGibbs(inner, modified=modified)
    peer = Peer(kernel, collect, num_warmup=0, num_samples=FIXED_SWEEPS)
    _, stored = draw_programs(np.random.PCG64(9), **fixed_arguments(), num_draws=100_000)
    agree((stored @ fact_bits)[None], peer.first["total"][:, 1000:], "draws at fixed costs")
    return _rates(peer, FIXED_SWEEPS)


def ours_varying(seed: int) -> dict[str, float]:
    """Costs from the prior, all masses, one program each."""
    total, seconds = ours_totals(np.random.PCG64(seed))
    return {"effective draws": effective(total) / seconds, "sweeps": total.size / seconds}


def ours_totals(bit_generator: np.random.PCG64) -> tuple[np.ndarray, float]:
    """Total bits of one program for each of many costs, as chains; and the seconds it took."""

    def draw() -> tuple[Costs, np.ndarray]:
        costs = Costs.drawn(np.random.Generator(bit_generator), VARYING_DRAWS)
        arguments = {"family": "levin", "mass": costs.masses(), **costs.exchange()}
        return costs, draw_programs(bit_generator, **arguments)[1]

    (costs, stored), seconds = busy(draw)
    return (stored * costs.fact_bits).sum(axis=1).reshape(CHAINS, -1), seconds


def peer_varying(*, with_z: bool, sweeps: int, warmup: int) -> Callable[[int], Mapping[str, float]]:
    """DiscreteHMCGibbs over 106 costs and the program."""

    def model() -> None:
        import jax
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
        if with_z:
            numpyro.factor("1/Z", -jax.jit(_log_z)(bits, steps, fact_bits, fact_steps))

    def collect(sites: Mapping[str, Any]) -> Mapping[str, Any]:
        import jax.numpy as jnp

        fact_bits = jnp.exp(FACT_BITS[0] + FACT_BITS[1] * sites["fact_bits"])
        return {"total": sites["stored"] @ fact_bits}

    from numpyro.infer import NUTS, DiscreteHMCGibbs

    kernel = DiscreteHMCGibbs(NUTS(model), modified=True)
    peer = Peer(kernel, collect, num_warmup=warmup, num_samples=sweeps)
    if with_z:
        agree(ours_totals(np.random.PCG64(9))[0], peer.first["total"], "draws with new costs")
    # Warm-up is not counted against the peer here, as of a chain that runs for very long.
    return _rates(peer, warmup + sweeps, sweeps)


def _rates(
    peer: Peer, sweeps: int, kept: int | None = None
) -> Callable[[int], Mapping[str, float]]:
    def run(seed: int) -> dict[str, float]:
        draws, wall = busy(lambda: peer.run(seed))
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


def _log_z(bits: Any, steps: Any, fact_bits: Any, fact_steps: Any) -> Any:
    """Our own sum over all programs, which the peer has no way to make."""
    import jax.numpy as jnp
    from jax.scipy.special import logsumexp

    from bayes_mesa.costing.fact_sums_jax import log_fact_factor

    factor = log_fact_factor(
        "levin", pressure=1.0, parameters={"kappa": KAPPA}, steps=steps, uses=USES,
        fact_bits=fact_bits, fact_steps=fact_steps,
    )  # fmt: skip
    return logsumexp(-LN2 * bits - KAPPA * jnp.log(steps) + factor)


def _log_weight(bits: Any, steps: Any, fact_bits: Any, fact_steps: Any, s: Any, z: Any) -> Any:
    import jax.numpy as jnp

    time = jnp.asarray(steps)[s] + jnp.asarray(USES)[s] * ((1 - z) @ jnp.asarray(fact_steps))
    return -LN2 * (jnp.asarray(bits)[s] + z @ jnp.asarray(fact_bits)) - KAPPA * jnp.log(time)
