"""The closed set of kinds of evidence: a new kind is one small file, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from bayes_mesa.evidence.choice import Choice
from bayes_mesa.evidence.comparison import Comparison
from bayes_mesa.evidence.elicitation import Elicitation
from bayes_mesa.evidence.kind import EvidenceKind
from bayes_mesa.evidence.measurement import Measurement
from bayes_mesa.evidence.selection import Selection
from bayes_mesa.evidence.tradeoff import Tradeoff
from bayes_mesa.evidence.winrate import Winrate

_ALL: tuple[EvidenceKind, ...] = (
    *(Choice(), Selection(), Measurement(), Comparison(), Winrate(), Tradeoff()),
    Elicitation(),
)
KINDS: Mapping[str, EvidenceKind] = MappingProxyType({kind.name: kind for kind in _ALL})
