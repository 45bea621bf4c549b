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
    "fit": "fitting",
    "numpyro_model": "inference",
    "sample_programs": "programs",
    "enumerate_programs": "enumeration",
    "summarize": "summary",
    "by_family": "families",
    "family_table": "families",
    "prior_and_posterior": "families",
    "simulate_evidence": "simulation",
    "simulate_judgements": "simulation",
    "regime": "regimes",
    "summarize_regime": "regime_summary",
    "update": "updating",
    "reweigh": "reweighing",
    "cruxes": "crux",
    "Decision": "partial_information",
    "compare": "comparing",
    "episodes_curve": "episodes",
    "episodes_summary": "episodes",
    "ponder_rate": "ponder",
    "save_posterior": "store",
    "open_posterior": "store",
    "write_report": "report",
    "show": "notebook",
    "plot_costs": "cost_plot",
    "plot_margin": "margin_plot",
    "plot_probability": "probability_plot",
    "plot_masses": "probability_plot",
    "plot_critical": "critical_plot",
    "plot_phase": "phase_plot",
    "plot_ranks": "rank_plot",
    "plot_regime": "regime_plot",
    "as_prior": "next_prior",
    "to_pandas": "hand_over",
    "to_numpyro": "hand_over",
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
