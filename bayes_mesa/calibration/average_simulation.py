"""One simulation of the whole answer: a truth under a family drawn by its weight, and `fit` itself.

The truth is ranked among draws of the average over families, p(theta, F | D) ∝ w_F p(D | F)
p(theta | F, D). So the weights that the families get, and with them the log marginal likelihoods,
are calibrated too: the family is among the quantities.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.calibration.fit_simulation import (
    LONGER,
    VERDICT,
    Arrays,
    columns,
    has_cheap_verdict,
    number,
    said,
    stated,
)
from bayes_mesa.calibration.job import Job, ranked
from bayes_mesa.calibration.thinning import least_ess, thinned
from bayes_mesa.domain.model import Family
from bayes_mesa.domain.slots import slots
from bayes_mesa.handing_on.slot_draws import slot_draws
from bayes_mesa.inference.fitting import fit
from bayes_mesa.inference.likelihood import latent_sites, log_likelihood
from bayes_mesa.inference.simulation import Simulated, simulate_evidence

if TYPE_CHECKING:
    import xarray as xr

#: Decimals that log likelihoods are compared to: a fit tells equal rows apart by 1e-10 of them.
_DECIMALS = 7


def simulate_average(job: Job, index: int) -> Any:
    """Ranks of simulation ``index``: of the family, every slot that families share, ..."""
    rank_stream, evidence_stream, fit_stream = job.streams(index, 3)
    family = job.family(index)
    made = simulate_evidence(
        job.model, job.settings["design"], family=family.name, seed=number(evidence_stream)
    )
    seed = number(fit_stream)
    about: dict[str, float] = {}

    def run(size: int) -> tuple[Arrays, float]:
        post = fit(
            job.model,
            made.evidence,
            num_warmup=job.settings["num_warmup"],
            num_samples=size,
            num_chains=1,
            seed=seed,
        )
        about["divergences"] = _divergences(post)
        draws = _draws(job, post)
        return draws, least_ess({n: x for n, x in draws.items() if n not in VERDICT})

    draws, ess, size = thinned(run, job.settings["num_samples"], job.num_draws, **LONGER)
    about |= {"iterations": float(size), "ess": ess}
    truth = _truth(job, family, made)
    return ranked({n: np.append(truth[n], x) for n, x in draws.items()}, rank_stream, about)


def _draws(job: Job, post: xr.DataTree) -> Arrays:
    """The average's draws of one chain, (draws,) each."""
    posterior = post["posterior"].to_dataset().isel(chain=0)
    places = {f.name: k for k, f in enumerate(job.model.families)}
    verdict = {n: posterior[n].to_numpy() for n in VERDICT if has_cheap_verdict(job.model)}
    return {
        "family": np.array([places[n] for n in posterior["family"].to_numpy()], dtype=float),
        **columns({n: x[0] for n, x in slot_draws(post).items()}),
        "log_likelihood": _joint(
            np.asarray(x.isel(chain=0)) for x in post["log_likelihood"].data_vars.values()
        ),
        **verdict,
    }


def _truth(job: Job, family: Family, made: Simulated) -> Arrays:
    """The same at the truth, (1,) each."""
    program, data = stated(job.model, family, made)
    truth = {n: np.asarray(x, dtype=float)[None] for n, x in made.truth.items()}
    latent = {n: truth[n][None] for n in latent_sites(program, data)}
    rows = log_likelihood(program, data, latent, (1, 1), 0)
    return {
        "family": np.array([float(job.model.families.index(family))]),
        **columns(truth),
        "log_likelihood": _joint(x[0] for x in rows.values()),
        **said(job.model, family, {s.name: truth[s.name] for s in slots(job.model, family)}),
    }


def _joint(rows: Iterable[Any]) -> NDArray[np.float64]:
    """Sum of row-wise log likelihoods, (draws, rows) each."""
    return np.round(sum(np.asarray(x, dtype=float).sum(axis=-1) for x in rows), _DECIMALS)


def _divergences(post: xr.DataTree) -> float:
    found = [post[n]["diverging"] for n in post.children if n.startswith("sample_stats_")]
    return float(sum(x.sum() for x in found))
