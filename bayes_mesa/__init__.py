"""How probable it is that training favours a deceptive program, and what that hangs on.

A face only: every name is looked up in its module when it is first used, so that importing the
package loads none of the heavy libraries and changes no setting of theirs.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOME = {
    "load_model": "model_file",
    "load_evidence": "model_file",
    "shipped_models": "model_file",
    "fit": "inference.fitting",
    "numpyro_model": "inference.inference",
    "sample_programs": "drawing.programs",
    "write_programs": "drawing.written_programs",
    "enumerate_programs": "verdicts.enumeration",
    "summarize": "results.summary",
    "sweep": "sweeps.sweeping",
    "open_sweep": "sweeps.sweeping",
    "by_family": "results.families",
    "family_table": "results.families",
    "prior_and_posterior": "results.families",
    "simulate_evidence": "inference.simulation",
    "simulate_judgements": "inference.simulation",
    "regime": "regimes.regimes",
    "summarize_regime": "regimes.regime_summary",
    "update": "regimes.updating",
    "reweigh": "reweighting.reweighing",
    "cruxes": "sensitivity.crux",
    "calibrate": "calibration.calibrating",
    "Decision": "sensitivity.partial_information",
    "compare": "comparison.comparing",
    "episodes_curve": "regimes.episodes",
    "episodes_summary": "regimes.episodes",
    "ponder_rate": "costing.ponder",
    "save_posterior": "results.store",
    "open_posterior": "results.store",
    "write_report": "pages.report",
    "show": "interface.notebook",
    "plot_costs": "plots.cost_plot",
    "plot_margin": "plots.margin_plot",
    "plot_probability": "plots.probability_plot",
    "plot_masses": "plots.probability_plot",
    "plot_critical": "plots.critical_plot",
    "plot_phase": "plots.phase_plot",
    "plot_ranks": "plots.rank_plot",
    "plot_regime": "plots.regime_plot",
    "plot_calibration": "plots.calibration_plot",
    "plot_sweep": "plots.sweep_plot",
    "as_prior": "handing_on.next_prior",
    "to_pandas": "handing_on.hand_over",
    "to_numpyro": "handing_on.hand_over",
    "BayesMesaError": "errors",
    "InputError": "errors",
    "ModelFileError": "errors",
    "RefusedError": "errors",
    "ResultFileError": "errors",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
