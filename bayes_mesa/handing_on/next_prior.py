"""A posterior as the next model's prior: a model file whose priors are fitted to the draws."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_mesa.domain.beliefs import Prior
from bayes_mesa.domain.model import Correlation, Model
from bayes_mesa.domain.slots import Slot, slots
from bayes_mesa.errors import InputError
from bayes_mesa.handing_on import model_text
from bayes_mesa.handing_on.belief_fit import BeliefFit, compared, fit_prior
from bayes_mesa.handing_on.conditioned_fit import ConditionedFit, condition
from bayes_mesa.handing_on.dependence import (
    Dependence,
    noise,
    on_the_family,
    score_correlations,
    stated,
    unstated,
)
from bayes_mesa.handing_on.reloaded import dumped, loaded, put_facts_file, put_placeholders
from bayes_mesa.handing_on.slot_draws import (
    draws_of,
    model_lines,
    model_table,
    slot_draws,
)
from bayes_mesa.results.result_tree import require_result
from bayes_mesa.storage.atomic_file import write_text

if TYPE_CHECKING:
    import xarray as xr

#: A fit farther from its draws than this is named in a warning.
BAD_KS = 0.05
#: Of good fits to N draws one in a hundred is farther off than this over √N.
_KS_OF_CHANCE = 1.63
#: A correlation that is lost is named in a warning from here on.
BAD_LOSS = 0.1
#: A share of the fitted priors that is worth a warning, when no more of it meets the constraints.
BAD_ACCEPTANCE = 0.1
#: What the name and the title of the next model end in, and how long a name may be.
_NEXT, _FITTED, _LONGEST_NAME = "_next", ", fitted to what came before", 100
#: Fewer draws say too little of a distribution.
LEAST_DRAWS = 50


@dataclass(frozen=True)
class NextPrior:
    """A model file made from a posterior, and how much of the posterior it holds.

    Parameters
    ----------
    text
        The model file.
    path
        Where it was written, or None.
    files
        Files that the text names, by the name it gives them: the facts, where they are in a file.
    fits
        One for each uncertain slot.
    correlations
        Those that the file states.
    acceptance
        Share of the fitted priors that satisfies the constraints, which condition them; 1 without.
    lost
        Dependence that a model file cannot state, strongest first.
    warnings
        In words, what the next model will not know.
    """

    text: str
    path: Path | None
    files: Mapping[str, str]
    fits: tuple[BeliefFit, ...]
    correlations: tuple[Correlation, ...]
    acceptance: float
    lost: tuple[Dependence, ...]
    warnings: tuple[str, ...]


def as_prior(post: xr.DataTree, path: str | os.PathLike[str] | None = None) -> NextPrior:
    """Make of a posterior the model file of the next model.

    The fitted model's own text, with every uncertain belief replaced by the distribution of the
    table that fits its posterior draws best (maximum likelihood, lowest AIC), family weights by
    posterior probabilities, and correlations by those of a Gaussian copula between the costs.
    Evidence is left out: what it said is in the priors now. Constraints stay, and their second
    conditioning is taken out of the fits (`conditioned_fit`). Costs and pressure are fitted to the
    average over families, exchange parameters to their own family's draws.

    Parameters
    ----------
    post
        From `fit` or `open_posterior`, of a model that came from a file.
    path
        File to write, replacing what is there; its model is called MODEL_next. Facts that were in
        a file go beside it, into ``STEM_facts.csv``. None: nothing is written.

    Returns
    -------
    NextPrior
        The text, and how well it fits.

    Raises
    ------
    InputError
        If the model was made in Python, or there are fewer than 50 draws.
    """
    require_result(post)
    _refuse_what_cannot_be_fitted(post)
    target = None if path is None else Path(path)
    stem = str(post.attrs["model"]) if target is None else target.stem
    document = model_text.parsed(model_lines(post))
    families = json.loads(post.attrs["families"])
    model_text.without_evidence(document, families)
    files = put_facts_file(post, document, f"{stem}_facts.csv")
    put_placeholders(post, document)
    model = loaded(document, files)
    found = {s.name: s for f in model.families for s in slots(model, f) if s.uncertain}
    draws = _draws(post, model, found)
    fitted = _fitted(model, found, draws, int(post.attrs["seed"]))
    fits = tuple(
        compared(n, fitted.priors[n], draws[n], fitted.held.get(n)) for n in found if n in draws
    )
    _write(document, model, post, fits, fitted.correlations)
    model_text.put_weights(document, {n: f["probability"] for n, f in families.items()})
    model_text.put_name(document, _next_name(model.name), _next_title(model))
    loaded(document, files)  # what is handed over has been read back
    text = f"{model_text.FITTED}{dumped(document).removeprefix(model_text.FITTED)}"
    lost = _lost(post, model, found, fitted)
    result = NextPrior(text, target, files, fits, fitted.correlations, fitted.acceptance, lost, ())
    result = replace(result, warnings=_warnings(post, result, _left_out(post)))
    if target is not None:
        for name, content in files.items():
            write_text(target.parent / name, content)
        write_text(target, text)
    return result


def _refuse_what_cannot_be_fitted(post: xr.DataTree) -> None:
    posterior = draws_of(post, "posterior")
    if not post.attrs["model_text"]:
        raise InputError(
            "the posterior must be that of a model file, whose text is changed; found one of a "
            "model made in Python (write it as a file, load_model it and fit again)"
        )
    count = posterior.sizes["chain"] * posterior.sizes["draw"]
    if count < LEAST_DRAWS:
        raise InputError(f"a prior is fitted to at least {LEAST_DRAWS} draws, found {count}")


def _draws(post: xr.DataTree, model: Model, found: Mapping[str, Slot]) -> dict[str, np.ndarray]:
    """Draws of every slot: a family's parameters from its own group, the rest from the average."""
    own = {
        name: f"posterior_{family.name}" for family in model.families for name in family.variables()
    }
    groups = {g: slot_draws(post, g) for g in {"posterior", *own.values()}}
    return {n: groups[own.get(n, "posterior")][n] for n in found}


def _fitted(
    model: Model, found: Mapping[str, Slot], draws: Mapping[str, np.ndarray], seed: int
) -> ConditionedFit:
    """Every prior, and the correlations between costs."""
    priors = {n: fit_prior(draws[n], low=_low(s), within=_within(s)) for n, s in found.items()}
    costs = {n: x for n, x in draws.items() if _is_cost(n)}
    matrix, least = score_correlations(costs), noise(costs)
    if not model.constraints:
        return ConditionedFit(priors, stated(list(costs), matrix, least), {}, 1.0)
    helped = {n: x for n, x in draws.items() if n.startswith("heuristics_")}
    flat = {n: x.ravel() for n, x in (costs | helped).items()}
    tied = [s for s in slots(model) if _is_cost(s.name) or s.name.startswith("heuristics_")]
    conditioned = condition(model, tied, flat, {n: priors[n] for n in flat}, matrix, least, seed)
    return replace(conditioned, priors=priors | dict(conditioned.priors))


def _is_cost(name: str) -> bool:
    return name.startswith(("bits.", "steps."))


def _low(slot: Slot) -> float:
    """Where the loader truncates a slot's prior, whatever its form."""
    return slot.belief.low if isinstance(slot.belief, Prior) else -np.inf


def _within(slot: Slot) -> tuple[float, float]:
    """Where a slot's fit must stay: shares between the ends that their prior had."""
    low, high = slot.belief.support
    is_share = slot.name.startswith(("overlap_fraction.", "path_"))
    return (max(low, 0.0), high) if is_share else (0.0, np.inf)


def _write(
    document: Any,
    model: Model,
    post: xr.DataTree,
    fits: tuple[BeliefFit, ...],
    correlations: tuple[Correlation, ...],
) -> None:
    """Priors, correlations, and where they come from."""
    origin = _origin(post)
    said: dict[str, list[str]] = {}
    for fit in fits:
        place = model_text.place_of(fit.slot, model)
        model_text.put_prior(document, place, fit.prior, f"fitted: KS distance {fit.ks:.3f}")
        if place[0] == "components":
            said.setdefault(str(place[1]), []).append(f"{place[2]} {fit.ks:.3f}")
    for component, distances in said.items():
        note = f"Fitted to {origin}; KS distance: {', '.join(distances)}."
        model_text.add_note(document, ("components", component), note)
    model_text.put_correlations(document, correlations)
    model_text.add_note(document, ("model",), f"Priors and family weights are those of {origin}.")


def _next_name(name: str) -> str:
    return name if name.endswith(_NEXT) else f"{name[: _LONGEST_NAME - len(_NEXT)]}{_NEXT}"


def _next_title(model: Model) -> str:
    title = model.title or model.name
    return title if title.endswith(_FITTED) else f"{title}{_FITTED}"


def _origin(post: xr.DataTree) -> str:
    attrs = post.attrs
    draws = int(attrs["num_samples"]) * int(attrs["num_chains"])
    evidence = ", ".join(t["name"] for t in json.loads(attrs["evidence"])) or "none"
    for update in json.loads(attrs.get("updates", "[]")):
        evidence += f", then a likelihood ratio of {update['likelihood_ratio']:g} ({update['of']})"
    sha = str(attrs["model_sha256"])[:12]
    return (
        f"{draws} draws of the posterior of {attrs['model']} (sha256 {sha}, evidence: {evidence})"
    )


def _lost(
    post: xr.DataTree, model: Model, found: Mapping[str, Slot], fitted: ConditionedFit
) -> tuple[Dependence, ...]:
    """What no model file states: each pair where it is strongest, and what hangs on the family."""
    scalars = {n for n, s in found.items() if s.size is None}
    costs = frozenset(n for n in scalars if _is_cost(n))
    strongest: dict[tuple[str, str], Dependence] = {}
    for family in model.families:
        own = slot_draws(post, f"posterior_{family.name}")
        group = {n: x for n, x in own.items() if n in scalars}
        for one in unstated(group, fitted.held, costs, family.name):
            if abs(one.rho) > abs(strongest.get(one.between, replace(one, rho=0.0)).rho):
                strongest[one.between] = one
    average = {n: x for n, x in slot_draws(post).items() if n in scalars}
    labels = post["posterior"].to_dataset()["family"].transpose("chain", "draw").to_numpy()
    everything = [*strongest.values(), *on_the_family(average, labels)]
    return tuple(sorted(everything, key=lambda d: -abs(d.rho)))


def _warnings(post: xr.DataTree, result: NextPrior, left_out: tuple[str, ...]) -> tuple[str, ...]:
    """What the next model will not know, in words."""
    size = post["posterior"].sizes["chain"] * post["posterior"].sizes["draw"]
    allowed = max(BAD_KS, _KS_OF_CHANCE / size**0.5)
    said = [
        f"{fit.slot}: the posterior is no distribution of the table: {fit.prior} is at a "
        f"Kolmogorov-Smirnov distance of {fit.ks:.3f} (look at the quantiles, or write a prior of "
        "your own)"
        for fit in result.fits
        if fit.ks > allowed
    ]
    said += [
        f"the posterior correlation {d.rho:+.2f} of {d.between[0]} and {d.between[1]} "
        f"({d.family}) cannot be written: the next model takes them as independent"
        if d.between[1] != "family"
        else f"{d.between[0]} differs between exchange families (correlation ratio {d.rho:.2f}): "
        "the next model gives all families the average"
        for d in result.lost
        if abs(d.rho) >= BAD_LOSS
    ]
    if result.acceptance < BAD_ACCEPTANCE:
        said.append(
            f"the constraints hold in {result.acceptance:.2%} of the fitted priors only, which "
            "they condition again: compare the fitted quantiles"
        )
    return (*said, *left_out)


def _left_out(post: xr.DataTree) -> tuple[str, ...]:
    """Parts of the file that the fit did not use, or that are no prior of the model."""
    table = model_table(post)
    used = {t["name"] for t in json.loads(post.attrs["evidence"])}
    unused = sorted(set(table.get("evidence", {})) - used)
    families = sorted(set(table["exchange"]) - set(json.loads(post.attrs["families"])))
    said = []
    if unused:
        said.append(
            f"evidence that this posterior did not use is left out too: {', '.join(unused)} "
            "(give it to the next run with --evidence)"
        )
    if families:
        said.append(f"families that were not fitted are left out: {', '.join(families)}")
    return tuple(said)
