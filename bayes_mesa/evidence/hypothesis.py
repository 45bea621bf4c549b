"""What a likelihood may look at: one theta under one exchange family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.domain.model import Family, Model, Selection
from bayes_mesa.domain.site_distribution import site_distribution
from bayes_mesa.domain.slots import Slot, parameters


@dataclass(frozen=True, eq=False)
class Hypothesis:
    """One theta (JAX scalars and vectors, no leading dimension) under one family."""

    model: Model
    family: Family
    theta: Mapping[str, Any]

    @property
    def parameters(self) -> dict[str, Any]:
        """The family's parameters by the names of the model file."""
        return parameters(self.family, self.theta)

    def costs(self, axes: Iterable[str], components: Iterable[str]) -> Any:
        """Effective costs, heuristics included, of components on their axes, (rows,)."""
        import jax.numpy as jnp

        index, offset = self.model.component_index, {"bits": 0, "steps": len(self.model.components)}
        pairs = zip(axes, components, strict=True)
        places = [offset[str(axis)] + index[str(name)] for axis, name in pairs]
        # One look-up for all rows: a statement for each would be compiled one by one.
        return jnp.concatenate([self.theta["bits"], self.theta["steps"]])[jnp.array(places)]

    @cached_property
    def exponent(self) -> Any:
        """Exponent α of the power family, which the model must have, under whatever family.

        Families without an exponent of their own draw it from the power family's prior, at the
        NumPyro site ``power_exponent``: once, however many tables ask.
        """
        if "power_exponent" in self.theta:
            return self.theta["power_exponent"]
        belief = self.model.family("power").parameters["exponent"]
        if isinstance(belief, Known):
            return belief.value
        import numpyro

        site = site_distribution(Slot("power_exponent", belief))
        return numpyro.sample("power_exponent", site)

    def at(self, selection: Selection) -> Hypothesis:
        """The same theta where training selects differently; its pressure is theta's own."""
        selection = replace(selection, pressure=self.model.selection.pressure)
        return Hypothesis(replace(self.model, selection=selection), self.family, self.theta)

    @property
    def pressure(self) -> Any:
        """Pressure β."""
        return self.theta["pressure"]

    @cached_property
    def log_mass(self) -> Any:
        """Normalised log mass of every place of `Model.columns`, (S,)."""
        from bayes_mesa.verdicts.log_mass import log_mass

        return log_mass(self.model, self.family, self.theta)

    @cached_property
    def log_class_mass(self) -> Any:
        """Normalised log mass of every class, (3,)."""
        from bayes_mesa.verdicts.log_mass import log_class_mass

        return log_class_mass(self.model, self.family, self.theta)
