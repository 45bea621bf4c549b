"""Exact sums over every store-or-derive choice, and exact draws of whole programs.

With n facts a structure stands for 2^n programs. Under each exchange family the weight of a running
time is a mixture of linear rates, and given the rate the facts are independent: the sum is a short
one-dimensional sum of products, and a draw is a structure, a rate, then every fact by itself. The
kernels, and how their nodes are chosen, are in ``_ext/`` (``levin_rows.pxd``, ``power_rows.pxd``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_mesa._ext import fact_sums as sums
from bayes_mesa._ext import program_draws as draws
from bayes_mesa.errors import InputError, RefusedError

Floats = NDArray[np.float64]

_NUMBER = {"linear": 0, "levin": 1, "power": 2}
_PARAMETERS = {"linear": ("rate",), "levin": ("kappa",), "power": ("rate", "exponent")}
#: Programs drawn between two looks at an interrupt; the stream simply goes on.
_BLOCK = 1 << 17
#: Rows less probable than this are left out of a table: nobody will draw one.
_NEVER = 2.0**-64
#: Largest pressure times kappa whose sums are made; no published kappa is above 4.
MOST_POWER = 1e10
#: Largest exponent whose sums are made; those published lie between 0.5 and 2.
MOST_EXPONENT = 1e4
#: Below this, time costs less than a double holds beside 1, and the kernels' nodes run out.
LEAST_POWER = 1e-20


@dataclass(frozen=True, eq=False)
class FactSums:
    """Log of the sum over fact choices, with its error.

    Attributes
    ----------
    log_factor
        (N, S), natural log, relative to the program that derives nothing and stores nothing: 0
        without facts.
    error
        (N, S), bound or estimate of the absolute error of ``log_factor``.
    """

    log_factor: Floats
    error: Floats


@dataclass(frozen=True, eq=False)
class _Theta:
    """The arguments that sums and draws share, checked, contiguous and in double precision."""

    family: str
    pressure: Floats
    first: Floats
    second: Floats
    steps: Floats
    uses: Floats
    bits: Floats
    fact_steps: Floats

    @property
    def num_facts(self) -> int:
        return int(self.bits.shape[1])

    def rows_needed(self, group: NDArray[np.int64], group_uses: Floats) -> int:
        """Size of the work arrays: the most rows that any draw and structure (or group) needs."""
        step, cost = np.empty(self.num_facts), np.empty(self.num_facts)
        if self.family == "levin":
            return sums.levin_rows_needed(
                self.pressure, self.first, self.steps, group, group_uses, self.fact_steps, step
            )
        if self.family == "power":
            return sums.power_rows_needed(
                self.pressure, self.first, self.second, self.steps, self.uses, self.bits,
                self.fact_steps, cost, step,
            )  # fmt: skip
        return 1


def log_fact_factor(
    family: str,
    *,
    pressure: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    steps: ArrayLike,
    uses: ArrayLike,
    fact_bits: ArrayLike,
    fact_steps: ArrayLike,
) -> FactSums:
    r"""Log of the sum over all 2^n choices of what to store, for every draw and structure.

    .. math:: \log \sum_z \prod_j 2^{-\beta z_j b_j} \;
              2^{-\beta [\Phi(0, t_s + v_s \sum_j (1 - z_j) \tau_j) - \Phi(0, t_s)]}

    Parameters
    ----------
    family
        ``linear``, ``levin`` or ``power``.
    pressure
        beta >= 0, (N,).
    parameters
        ``rate`` > 0 (linear, power), ``kappa`` >= 0 (levin), ``exponent`` >= 1 (power), each (N,).
    steps
        t_s, the steps of a structure without its facts, in full, (N, S); > 0 under levin.
    uses
        v_s >= 0, how often a structure needs its facts in an episode, (S,).
    fact_bits, fact_steps
        b_j in bits and tau_j in steps, both >= 0, (N, n).

    Returns
    -------
    FactSums
        ``log_factor`` and ``error``, (N, S). linear is a closed form. levin is a trapezoid with a
        proved bound of its discretisation error. power is a trapezoid whose error is estimated from
        its own weights, which sum to 1 without facts.

    Raises
    ------
    InputError
        If a shape or a value is not as above.
    RefusedError
        If levin's pressure times kappa exceeds `MOST_POWER`, or an exponent `MOST_EXPONENT`.
    """
    theta = _theta(family, pressure, parameters, steps, uses, fact_bits, fact_steps)
    out, error = np.zeros(theta.steps.shape), np.zeros(theta.steps.shape)
    if theta.num_facts and out.size:
        _FACTORS[family](theta, out, error)
    return FactSums(out, error)


def _linear_factors(theta: _Theta, out: Floats, error: Floats) -> None:
    sums.linear_factors(
        theta.pressure, theta.first, theta.uses, theta.bits, theta.fact_steps,
        np.empty(theta.num_facts), out, error,
    )  # fmt: skip


def _levin_factors(theta: _Theta, out: Floats, error: Floats) -> None:
    group_uses, group = np.unique(theta.uses, return_inverse=True)
    group = np.ascontiguousarray(group, dtype=np.int64)
    work = np.empty((4, theta.rows_needed(group, group_uses)))
    sums.levin_factors(
        theta.pressure, theta.first, theta.steps, group, group_uses, theta.bits, theta.fact_steps,
        np.empty(theta.num_facts), np.empty(theta.num_facts), work, out, error,
    )  # fmt: skip


def _power_factors(theta: _Theta, out: Floats, error: Floats) -> None:
    work = np.empty((4, theta.rows_needed(np.empty(0, np.int64), theta.uses)))
    sums.power_factors(
        theta.pressure, theta.first, theta.second, theta.steps, theta.uses, theta.bits,
        theta.fact_steps, np.empty(theta.num_facts), np.empty(theta.num_facts),
        np.empty(sums.RULE_ROWS), work, out, error,
    )  # fmt: skip


_FACTORS: Mapping[str, Callable[[_Theta, Floats, Floats], None]] = {
    "linear": _linear_factors,
    "levin": _levin_factors,
    "power": _power_factors,
}


def draw_programs(
    bit_generator: np.random.BitGenerator,
    *,
    family: str,
    mass: ArrayLike,
    pressure: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    steps: ArrayLike,
    uses: ArrayLike,
    fact_bits: ArrayLike,
    fact_steps: ArrayLike,
    num_draws: int | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Independent exact draws of programs: a structure, and for every fact whether it is stored.

    Parameters
    ----------
    bit_generator
        NumPy bit generator, for example ``np.random.PCG64(seed)``. One chain per generator; the
        stream goes on, so drawing in pieces gives the same programs as drawing at once where theta
        varies. The GIL is released.
    family, pressure, parameters, steps, uses, fact_bits, fact_steps
        As for `log_fact_factor`.
    mass
        Normalised masses of the structures, the sums over facts included, (N, S). A row that begins
        with NaN says that nothing fits.
    num_draws
        None: one program per row of theta. A number: that many programs at the one row of theta,
        from a table made once.

    Returns
    -------
    structure
        (D,), int64; -1 where nothing fits.
    stored
        (D, n), bool; False where nothing fits.

    Raises
    ------
    InputError
        If a shape or a value is not as required, or ``num_draws`` is given with N > 1.
    """
    theta = _theta(family, pressure, parameters, steps, uses, fact_bits, fact_steps)
    mass = np.ascontiguousarray(mass, dtype=np.float64)
    _check_draws(bit_generator, mass, theta.steps, num_draws)
    if num_draws is None:
        return _draw_varying(bit_generator, theta, mass)
    return _draw_fixed(bit_generator, theta, mass[0], num_draws)


def _check_draws(
    bit_generator: np.random.BitGenerator, mass: Floats, steps: Floats, num_draws: int | None
) -> None:
    _require(
        isinstance(bit_generator, np.random.BitGenerator),
        "bit_generator must be a NumPy BitGenerator",
        type(bit_generator).__name__,
    )
    _require(
        mass.shape == steps.shape,
        "mass must have the shape of steps",
        f"{mass.shape} and {steps.shape}",
    )
    negative = mass < 0
    if negative.any():
        _require(False, "mass must be >= 0, or NaN where nothing fits", str(mass[negative][0]))
    if (mass.max(axis=1, initial=0.0) == 0).any():
        _require(False, "every row of mass must have a positive entry", "0.0")
    if num_draws is not None:
        _require(len(mass) == 1, "num_draws needs one row of theta", f"{len(mass)} rows")
        _require(num_draws >= 0, "num_draws must be >= 0", str(num_draws))


def _work_arrays(theta: _Theta) -> tuple[Floats, Floats, Floats]:
    group = np.arange(len(theta.uses), dtype=np.int64)
    rows = theta.rows_needed(group, theta.uses) if theta.num_facts else 1
    # A pointer to the first element is taken even where there are no facts.
    facts = np.zeros((2, max(1, theta.num_facts)))
    return facts, np.zeros((4, rows)), np.empty(sums.RULE_ROWS)


def _draw_varying(
    bit_generator: np.random.BitGenerator, theta: _Theta, mass: Floats
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    n = theta.num_facts
    structure, stored = np.empty(len(mass), np.int64), np.zeros((len(mass), n), np.bool_)
    work = _work_arrays(theta)
    lanes, thresholds = np.empty((2, n + 4), np.uint16), np.empty(n + 1, np.uint64)
    for start in range(0, len(mass), _BLOCK):
        part = slice(start, start + _BLOCK)
        draws.draw_varying(
            bit_generator, _NUMBER[theta.family], mass[part], theta.pressure[part],
            theta.first[part], theta.second[part], theta.steps[part], theta.uses,
            theta.bits[part], theta.fact_steps[part], *work, lanes, thresholds,
            structure[part], stored[part].view(np.uint8),
        )  # fmt: skip
    return structure, stored


@dataclass(frozen=True, eq=False)
class _Table:
    """Rows of (structure, rate) at one theta, and what each fact's words are compared with."""

    share: Floats
    structure: NDArray[np.int64]
    top: NDArray[np.uint16]
    threshold: NDArray[np.uint64]


def _structure_table(
    theta: _Theta, s: int, mass: float, work: tuple[Floats, Floats, Floats]
) -> _Table:
    facts, rows, rule = work
    n, count, rates, share = theta.num_facts, 1, np.zeros(1), np.ones(1)
    if n:
        count = draws.fill_shares(
            _NUMBER[theta.family], theta.pressure[0], theta.first[0], theta.second[0],
            theta.steps[0, s], theta.uses[s], theta.bits[0], theta.fact_steps[0], facts, rows, rule,
        )  # fmt: skip
        rates, share = rows[0, :count].copy(), rows[1, :count].copy()
    share *= mass / sum(share.tolist())
    kept = share > _NEVER
    rates = rates[kept]
    top, threshold = np.empty((len(rates), n), np.uint16), np.empty((len(rates), n), np.uint64)
    if n:
        draws.fill_thresholds(rates, facts, rows, rule, top, threshold)
    return _Table(share[kept], np.full(len(rates), s, np.int64), top, threshold)


def _draw_fixed(
    bit_generator: np.random.BitGenerator, theta: _Theta, mass: Floats, num_draws: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    n = theta.num_facts
    structure, stored = np.full(num_draws, -1, np.int64), np.zeros((num_draws, n), np.bool_)
    if np.isnan(mass[0]):
        return structure, stored
    work = _work_arrays(theta)
    parts = [_structure_table(theta, s, mass[s], work) for s in range(len(mass)) if mass[s] > 0]
    table = _Table(
        np.concatenate([p.share for p in parts]),
        np.concatenate([p.structure for p in parts]),
        np.concatenate([p.top for p in parts]),
        np.concatenate([p.threshold for p in parts]),
    )
    guide_bits = max(4, int(np.ceil(np.log2(4 * len(table.share)))))
    cumulative = np.empty(len(table.share), np.uint64)
    guide = np.empty(1 << guide_bits, np.int64)
    draws.fill_cumulative(table.share, cumulative, guide, guide_bits)
    lane = np.empty(n + 4, np.uint16)
    for start in range(0, num_draws, _BLOCK):
        part = slice(start, start + _BLOCK)
        draws.draw_fixed(
            bit_generator, cumulative, guide, guide_bits, table.structure, table.top,
            table.threshold, lane, structure[part], stored[part].view(np.uint8),
        )  # fmt: skip
    return structure, stored


def refuse_beyond(what: str, value: Floats, most: float, remedy: str) -> None:
    """Refuse a value (any shape) so large that sums over it would take for ever, or be wrong.

    Raises
    ------
    RefusedError
        If any value is above ``most``; names ``what`` it is, and whose belief is the ``remedy``.
    """
    if value.size and (found := value.max()) > most:
        raise RefusedError(
            f"exact sums need {what} of at most {most:g}, found {found:g} in a draw; "
            f"give {remedy} a narrower belief"
        )


def _theta(
    family: str,
    pressure: ArrayLike,
    parameters: Mapping[str, ArrayLike],
    steps: ArrayLike,
    uses: ArrayLike,
    fact_bits: ArrayLike,
    fact_steps: ArrayLike,
) -> _Theta:
    _require(family in _PARAMETERS, "family must be linear, levin or power", repr(family))
    names = _PARAMETERS[family]
    _require(
        set(names) == set(parameters),
        f"{family} needs the parameters {', '.join(names)}",
        ", ".join(parameters),
    )
    chosen = [_array(name, parameters[name], 1) for name in names]
    theta = _Theta(
        family,
        _array("pressure", pressure, 1),
        chosen[0],
        chosen[-1],
        _array("steps", steps, 2),
        _array("uses", uses, 1),
        _array("fact_bits", fact_bits, 2),
        _array("fact_steps", fact_steps, 2),
    )
    rows, structures = theta.steps.shape
    shapes = {
        "pressure": (theta.pressure.shape, (rows,)),
        **{name: (x.shape, (rows,)) for name, x in zip(names, chosen, strict=True)},
        "uses": (theta.uses.shape, (structures,)),
        "fact_bits": (theta.bits.shape, (rows, theta.num_facts)),
        "fact_steps": (theta.fact_steps.shape, (rows, theta.num_facts)),
    }
    for name, (found, required) in shapes.items():
        _require(found == required, f"{name} must have shape {required}", str(found))
    _at_least("pressure", theta.pressure, 0.0)
    for name, x in zip(names, chosen, strict=True):
        _at_least(name, x, 1.0 if name == "exponent" else 0.0, strict=name == "rate")
    _at_least("steps", theta.steps, 0.0, strict=family == "levin")
    _at_least("uses", theta.uses, 0.0)
    _at_least("fact_bits", theta.bits, 0.0)
    _at_least("fact_steps", theta.fact_steps, 0.0)
    return _within_reach(theta) if theta.num_facts else theta


def _within_reach(theta: _Theta) -> _Theta:
    """The same, with kappa 0 where time costs less than a double holds; what is too steep refused.

    Raises
    ------
    RefusedError
        Beyond `MOST_POWER` or `MOST_EXPONENT`.
    """
    if theta.family == "levin":
        power = theta.pressure * theta.first
        refuse_beyond("levin's pressure times kappa", power, MOST_POWER, "kappa or the pressure")
        return replace(theta, first=np.where(power < LEAST_POWER, 0.0, theta.first))
    if theta.family == "power":
        refuse_beyond("an exponent", theta.second, MOST_EXPONENT, "the exponent")
    return theta


def _array(name: str, value: ArrayLike, ndim: int) -> Floats:
    array = np.ascontiguousarray(value, dtype=np.float64)
    _require(array.ndim == ndim, f"{name} must have {ndim} dimensions", str(array.ndim))
    return array


def _at_least(name: str, array: Floats, low: float, *, strict: bool = False) -> None:
    fine = np.isfinite(array) & ((array > low) if strict else (array >= low))
    if not fine.all():
        _require(
            False, f"{name} must be finite and {'>' if strict else '>='} {low:g}",
            f"{array[~fine].flat[0]}",
        )  # fmt: skip


def _require(holds: bool, required: str, found: str) -> None:
    if not holds:
        raise InputError(f"{required}; got {found}")
