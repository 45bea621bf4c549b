"""A NumPyro program as jitted functions, compiled once per model and shapes, not per data set."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayes_mesa.evidence.replicate import SAMPLERS
from bayes_mesa.inference.inference import Data, Program

#: Iterations of NUTS between two looks at the stop flag; sums over facts make each one long.
_CHUNK, _CHUNK_OF_SUMS = 25, 1
#: Kinds whose noise is a funnel with the costs that it blurs. With four rows of 40 trials by two
#: experts, 10 of 1000 transitions diverge at NUTS's usual acceptance of 0.8, but 0.2 at 0.98, for
#: twice the steps.
_FUNNELS = ("comparison",)
#: Draws whose likelihoods are computed at once.
_BATCH = 500


@dataclass(frozen=True, eq=False)
class Compiled:
    """Functions of one program; all take the evidence's numbers ``data`` as their last argument.

    ``chunk`` is how many iterations one call of ``advance`` makes.
    ``start(key, values, data)`` is an unconstrained point at the values of some sites;
    ``initial(num_warmup, key, z, data)`` and ``advance(num_warmup, state, data)`` are NUTS, and
    come first; ``constrain(z, data)`` and ``potential(z, data)`` map batches of unconstrained
    sites; ``log_likelihood(keys, values, data)`` and ``row_parameters(keys, values, data)`` map
    batches of sites in their own units, with sites that ``values`` lacks drawn by ``keys``. The
    last gives the parameters of every row's distribution, table → distribution → parameter →
    (batch, ...).
    """

    chunk: int
    start: Callable[..., Any]
    initial: Callable[..., Any]
    advance: Callable[..., Any]
    constrain: Callable[..., Any]
    potential: Callable[..., Any]
    log_likelihood: Callable[..., Any]
    row_parameters: Callable[..., Any]


def compiled(program: Program, data: Data) -> Compiled:
    """The jitted functions of a program; the same ones for equal parts and shapes."""
    shapes = tuple(
        (table, name, np.shape(x)) for table, found in data.items() for name, x in found.items()
    )
    return _compile(_Identity(program), shapes)


class _Identity:
    """Programs are alike when model, family, sampled slots and the evidence's words are."""

    def __init__(self, program: Program):
        self.program = program
        words = tuple(
            (table.name, table.kind, name, tuple(map(str, column)))
            for table in program.tables
            for name, column in table.columns.items()
            if name not in table.numbers()
        )
        # The program is kept, so that its model's id cannot pass to another object.
        self._key = (id(program.model), program.family.name, program.sampled, words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@functools.lru_cache(maxsize=32)
def _compile(identity: _Identity, shapes: Any) -> Compiled:
    del shapes  # part of the key only: a kernel is bound to the shapes it was initialised with
    import jax

    program = identity.program
    # NumPyro binds a kernel to the length of the warm-up that it is initialised with. One kernel
    # for all would go on adapting, while it draws, as long as the first warm-up was.
    kernels: dict[int, Any] = {}

    def kernel_of(num_warmup: int) -> Any:
        return kernels.setdefault(num_warmup, nuts_kernel(program))

    def any_kernel() -> Any:
        return next(iter(kernels.values()))

    sums = len(program.model.facts) or program.model.grammar is not None
    chunk = _CHUNK_OF_SUMS if sums else _CHUNK

    @jax.jit
    def start(key: Any, values: Any, data: Data) -> Any:
        return _start(program, key, values, data)

    @functools.partial(jax.jit, static_argnums=0)
    def initial(num_warmup: int, key: Any, z: Any, data: Data) -> Any:
        kernel = kernel_of(num_warmup)
        return kernel.init(key, num_warmup, init_params=z, model_args=(data,), model_kwargs={})

    @functools.partial(jax.jit, static_argnums=0)
    def advance(num_warmup: int, state: Any, data: Data) -> tuple[Any, dict[str, Any]]:
        kernel = kernel_of(num_warmup)

        def body(carry: Any, _: None) -> tuple[Any, dict[str, Any]]:
            after = kernel.sample(carry, (data,), {})
            return after, _collect(after)

        return jax.lax.scan(body, state, None, length=chunk)

    @jax.jit
    def constrain(z: Any, data: Data) -> Any:
        return jax.vmap(any_kernel().get_constrain_fn((data,), {}))(z)

    @jax.jit
    def potential(z: Any, data: Data) -> Any:
        return jax.vmap(any_kernel().get_potential_fn((data,), {}))(z)

    @jax.jit
    def log_likelihood(keys: Any, values: Any, data: Data) -> Any:
        return _mapped(lambda k, v: _row_log_likelihood(program, k, v, data), keys, values)

    @jax.jit
    def row_parameters(keys: Any, values: Any, data: Data) -> Any:
        return _mapped(lambda k, v: _row_parameters(program, k, v, data), keys, values)

    return Compiled(
        chunk, start, initial, advance, constrain, potential, log_likelihood, row_parameters
    )


def _mapped(of_one: Callable[..., Any], *batches: Any) -> Any:
    """Map over the first axis in parts: with facts a draw needs nodes × facts numbers at once."""
    import jax

    return jax.lax.map(lambda each: of_one(*each), batches, batch_size=_BATCH)


def nuts_kernel(program: Program) -> Any:
    """A kernel of a program, not yet initialised."""
    from numpyro.infer import NUTS

    # Pressure and exchange are known by their product: a dense mass matrix doubles the ESS.
    funnel = any(table.kind in _FUNNELS for table in program.tables)
    return NUTS(program, dense_mass=True, target_accept_prob=0.98 if funnel else 0.8)


def _start(program: Program, key: Any, values: Any, data: Data) -> Any:
    """Unconstrained ``values``, with the sites they lack at the medians of a few prior draws.

    NumPyro's own search for a starting point would compile the gradient a second time.
    """
    from numpyro.handlers import seed, substitute, trace
    from numpyro.infer import init_to_median
    from numpyro.infer.util import unconstrain_fn

    near = substitute(seed(program, key), substitute_fn=init_to_median(num_samples=15))
    sites = trace(substitute(near, values)).get_trace(data)
    found = {
        n: s["value"] for n, s in sites.items() if s["type"] == "sample" and not s["is_observed"]
    }
    return unconstrain_fn(program, (data,), {}, found)


def _collect(state: Any) -> dict[str, Any]:
    return {
        "z": state.z,
        "diverging": state.diverging,
        "energy": state.energy,
        "lp": -state.potential_energy,
        "acceptance_rate": state.accept_prob,
        "n_steps": state.num_steps,
        "step_size": state.adapt_state.step_size,
    }


def _row_log_likelihood(program: Program, key: Any, values: Any, data: Data) -> dict[str, Any]:
    from numpyro.handlers import seed, substitute, trace

    sites = trace(seed(substitute(program, values), key)).get_trace(data)
    named = {t.name: sites[t.name] for t in program.tables}
    return {n: s["fn"].log_prob(s["value"]) for n, s in named.items()}


def _row_parameters(program: Program, key: Any, values: Any, data: Data) -> dict[str, Any]:
    from numpyro.handlers import seed, substitute, trace

    sites = trace(seed(substitute(program, values), key)).get_trace(data)
    found = {}
    for table in program.tables:
        rows = sites[table.name]["fn"]
        distribution = type(rows).__name__
        names, _ = SAMPLERS[distribution]
        found[table.name] = {distribution: {name: getattr(rows, name) for name in names}}
    return found
