"""Power-scaling sensitivities of a result's verdict and beliefs, by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_mesa.handing_on.slot_draws import slot_draws
from bayes_mesa.sensitivity.crux_sample import CruxSample, one_number
from bayes_mesa.sensitivity.power_scaling import (
    likelihood_sensitivities,
    prior_noise,
    prior_sensitivity,
)
from bayes_mesa.sensitivity.rejudging import VARIABLES

Draws = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CruxSensitivity:
    """ArviZ's, on the draws of the average over families.

    Attributes
    ----------
    y
        The verdict, (chain, draw).
    log_prior
        Slot → log density of its prior, (chain, draw), nats.
    likelihood
        Slot → sensitivity to all the evidence; the verdict's under "". Empty without any.
    """

    sample: CruxSample
    y: Draws
    log_prior: Mapping[str, Draws]
    likelihood: Mapping[str, float | None]

    @classmethod
    def of(cls, sample: CruxSample) -> CruxSensitivity:
        """Read the densities that a tree holds."""
        tree = sample.tree
        asked = "deceptive_favored" if sample.of == "margin" else sample.of
        group = tree["posterior"].to_dataset()
        y = group[VARIABLES.get(asked, asked)].transpose("chain", "draw").to_numpy().astype(float)
        if "path_lock_in" in group:
            locked, then = (
                group[f"path_{n}"].transpose("chain", "draw").to_numpy()
                for n in ("lock_in", "deceptive")
            )
            y = locked * then + (1.0 - locked) * y
        densities = {}
        if "log_prior" in tree.children:
            found = tree["log_prior"].to_dataset().data_vars.items()
            densities = {str(n): x.transpose("chain", "draw").to_numpy() for n, x in found}
        likelihood: dict[str, float | None] = {}
        if "log_likelihood" in tree.children:
            rows = tree["log_likelihood"].to_dataset()
            draws = slot_draws(tree, "posterior")
            shared = {n: _by_place(x) for n, x in draws.items()}
            likelihood = likelihood_sensitivities({"": y, **shared}, rows)
            for f in sample.families:
                own = {
                    n: x
                    for n, x in slot_draws(tree, f"posterior_{f.name}").items()
                    if sample.family_of(n) == f.name
                }
                if own:
                    rows = tree[f"log_likelihood_{f.name}"].to_dataset().astype(float)
                    likelihood |= likelihood_sensitivities(own, rows)
        return cls(sample, y, densities, likelihood)

    def prior(self, name: str) -> float | None:
        """Of the verdict, to the prior of one belief."""
        density = self._density(name)
        return None if density is None else prior_sensitivity(self.y, density)

    def noise(self, name: str, seed: int) -> float | None:
        """What an idle belief with this one's density would show (`power_scaling.prior_noise`)."""
        density = self._density(name)
        if density is None:
            return None
        inflation = max(f.inflation for f in self.sample.families)
        return prior_noise(self.y, density, seed=seed, inflation=inflation)

    def _density(self, name: str) -> Draws | None:
        if name in self.log_prior:
            return self.log_prior[name]
        own = self.sample.family_of(name)
        if own is None or self.sample.judge is None or "updates" in self.sample.tree.attrs:
            return None
        return self._of_parameter(name, own)

    def _of_parameter(self, name: str, own: str) -> Draws | None:
        """The density counts where the family is the one; its mean is taken out, which keeps π."""
        judge, tree = self.sample.judge, self.sample.tree
        assert judge is not None  # noqa: S101 - asked by the only caller
        here = tree["posterior"]["family"].transpose("chain", "draw").to_numpy() == own
        if not here.any():
            return None
        values = tree[f"posterior_{own}"][name].transpose("chain", "draw").to_numpy()
        density = judge.model.family(own).variables()[name].logpdf(values)  # type: ignore[union-attr]
        return np.where(here, density - density[here].mean(), 0.0)


def _by_place(x: Draws) -> Draws:
    return x if x.ndim == 2 else one_number(x.reshape(-1, x.shape[-1])).reshape(x.shape[:2])
