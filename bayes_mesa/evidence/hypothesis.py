"""What a likelihood may look at: one theta under one exchange family."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from bayes_mesa.model import Family, Model
from bayes_mesa.slots import parameters


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

    @property
    def pressure(self) -> Any:
        """Pressure β."""
        return self.theta["pressure"]

    @cached_property
    def log_mass(self) -> Any:
        """Normalised log mass of every place of `Model.columns`, (S,)."""
        from bayes_mesa.log_mass import log_mass

        return log_mass(self.model, self.family, self.theta)

    @cached_property
    def log_class_mass(self) -> Any:
        """Normalised log mass of every class, (3,)."""
        from bayes_mesa.log_mass import log_class_mass

        return log_class_mass(self.model, self.family, self.theta)
