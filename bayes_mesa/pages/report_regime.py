"""The regime window in a report: the curves over k, where the results alone suffice for them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from bayes_mesa.errors import InputError
from bayes_mesa.handing_on.reloaded import reloaded_model
from bayes_mesa.regimes.regime_summary import summarize_regime
from bayes_mesa.regimes.regimes import default_draws, regime, regime_grid

if TYPE_CHECKING:
    import xarray as xr

    from bayes_mesa.domain.model import Model

#: Draws of each chain, and where verdicts are slow none: the page is written in seconds.
_DRAWS, _QUICK = 250, 1000


@dataclass(frozen=True)
class RegimeSection:
    """Figures of `summarize_regime`, or why there are none."""

    summary: dict[str, Any] | None
    why_not: str = ""


def regime_section(tree: xr.DataTree) -> RegimeSection | None:
    """The section of a model with a ``[regime]``; None for any other.

    The model is read again from the text and the draws that the results hold.
    """
    if "regime" not in tree.attrs:
        return None
    model = _model(tree)
    if model is None:
        return RegimeSection(None, "the model cannot be read again from what the results hold")
    if default_draws(model) < _QUICK:
        return RegimeSection(None, "every verdict of this model takes a search over programs")
    grid = [k for k in regime_grid(model) if not k & (k - 1) or k == model.regime.rollouts]  # type: ignore[union-attr]
    draws = min(_DRAWS, int(tree.attrs["num_samples"]))
    try:
        curves = regime(model, tree, rollouts=grid, num_draws=draws)
    except InputError as error:
        return RegimeSection(None, str(error))
    return RegimeSection(summarize_regime(curves))


def _model(tree: xr.DataTree) -> Model | None:
    """The model as its text stands in the results, so that it answers for their draws."""
    try:
        model = reloaded_model(tree)
    except InputError:
        return None
    return replace(model, name=str(tree.attrs["model"]), sha256=str(tree.attrs["model_sha256"]))
