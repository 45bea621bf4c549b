"""A gate on the NumPyro program of a fit: its log density, by hand at a few points."""

import numpy as np
from exact_space import LN2
from scipy.special import expit
from scipy.stats import binom, lognorm
from small_models import at_least, family, lognormal, prior, two_sided

from bayes_mesa.domain.model import Selection
from bayes_mesa.domain.slots import slots
from bayes_mesa.inference.inference import Program, evidence_tables, touched

#: Location and scale of the logarithm of every uncertain quantity.
PRIORS = {
    "bits.a": (1.0, 1.0),
    "steps.a": (2.0, 1.0),
    "bits.b": (1.5, 0.7),
    "steps.b": (1.0, 1.0),
    "pressure": (0.0, 0.5),
    "power_rate": (4.0, 1.0),
    "power_exponent": (0.3, 0.3),
}
CHOICE = {
    "kind": "choice",
    "bits": [1.0, 2.5, 5.0],
    "steps": [30.0, 200.0, 60.0],
    "base_steps": [20.0, 40.0, 90.0],
    "trials": [10, 10, 10],
}
MEASURED = {
    "kind": "measurement",
    "component": ["a", "a", "b", "b"],
    "quantity": ["bits", "steps", "bits", "steps"],
    "log_sd": [0.6, 1.0, 0.5, 2.0],
}
DESIGN = {"measured": MEASURED, "chosen": CHOICE}


def small_fit(*, ordered):
    """Seven uncertain quantities: one prior is cut off below, and two may be in an order."""
    beliefs = {n: lognormal(*x) for n, x in PRIORS.items()}
    exponent = prior("LogNormal", *PRIORS["power_exponent"], low=1.0)
    return two_sided(
        *((beliefs[f"bits.{c}"], beliefs[f"steps.{c}"]) for c in "ab"),
        (family("power", rate=beliefs["power_rate"], exponent=exponent),),
        selection=Selection(beliefs["pressure"]),
        constraints=(at_least("bits.b", "bits.a"),) if ordered else (),
    )


def program_of(model, evidence):
    """The NumPyro program, its data, and the slots that it samples."""
    chosen, tables = model.families[0], evidence_tables(model, evidence)
    program = Program(model, chosen, tables, touched(model, chosen, tables))
    sampled = [s for s in slots(model, chosen) if s.name in program.sampled]
    return program, {t.name: t.numbers() for t in tables}, sampled


def log_likelihood(values, evidence):
    """By hand, at values of any shape: the sum over all rows."""
    chosen, measured = evidence["chosen"], evidence["measured"]
    at = {n: np.asarray(x)[..., None] for n, x in values.items()}
    base, more, bits = (np.array(chosen[n], float) for n in ("base_steps", "steps", "bits"))
    root = 1.0 / at["power_exponent"]
    derived = ((base + more) / at["power_rate"]) ** root - (base / at["power_rate"]) ** root
    stored = expit(at["pressure"] * LN2 * (derived - bits))
    rows = binom.logpmf(chosen["stored"], chosen["trials"], stored).sum(axis=-1)
    names = zip(measured["quantity"], measured["component"], strict=True)
    true = np.concatenate([at[f"{q}.{c}"] for q, c in names], axis=-1)
    return rows + lognorm.logpdf(measured["value"], measured["log_sd"], scale=true).sum(axis=-1)


def log_prior(values):
    """By hand, at one point, but for the constraint's share of the prior."""
    logs = [lognorm.logpdf(values[n], sd, scale=np.exp(loc)) for n, (loc, sd) in PRIORS.items()]
    loc, sd = PRIORS["power_exponent"]
    cut = lognorm.logsf(1.0, sd, scale=np.exp(loc))
    within = values["power_exponent"] >= 1.0 and values["bits.b"] >= values["bits.a"]
    return sum(logs) - cut if within else -np.inf


def densities(points):
    """The program's log density against prior and likelihood by hand, in and out of the support."""
    import jax
    from numpyro.infer.util import log_density

    rng = np.random.default_rng(points)
    evidence = {
        "chosen": CHOICE | {"stored": [3, 0, 7]},
        "measured": MEASURED | {"value": [2.0, 9.0, 6.0, 3.0]},
    }
    program, data, _ = program_of(small_fit(ordered=True), evidence)
    for k in range(points):
        at = {n: float(np.exp(loc + sd * rng.normal())) for n, (loc, sd) in PRIORS.items()}
        at["bits.b"] += at["bits.a"]
        at["power_exponent"] = 0.5 + (k + 1) % 2 * (0.5 + at["power_exponent"])
        wanted = log_prior(at) + log_likelihood(at, evidence)
        with jax.enable_x64(True):
            found = float(log_density(program, (data,), {}, dict(at))[0])
        if found != wanted and not abs(found - wanted) <= 1e-9 * abs(wanted):
            return f"log density {found:.6g} for {wanted:.6g}"
    return None
