"""The closed set of kinds of evidence: a new kind is one small file, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bayes_mesa.evidence.choice import Choice
from bayes_mesa.evidence.kind import EvidenceKind
from bayes_mesa.evidence.measurement import Measurement
from bayes_mesa.evidence.selection import Selection

KINDS: Mapping[str, EvidenceKind] = MappingProxyType(
    {kind.name: kind for kind in (Choice(), Selection(), Measurement())}
)

#: Part of the contract, but not of this version.
LATER_KINDS = ("comparison", "winrate", "tradeoff", "elicitation")
