"""How often each move is proposed, and the programs that the structure jump proposes whole."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayes_mesa.domain.grammar import Code, Grammar
from bayes_mesa.domain.model import Model
from bayes_mesa.errors import InputError
from bayes_mesa.grammars.rule_tables import RuleTables

MOVES = ("regenerate", "insert", "delete", "swap", "flip", "exchange", "jump")
#: Of all moves that a model has; those that it lacks are left out.
_MOVE_SHARES = (0.35, 0.1, 0.1, 0.25, 0.1, 0.05, 0.05)
_FRESH_SHARE = 0.5


def is_program(grammar: Grammar, code: Sequence[int]) -> bool:
    """Whether a code is that of a whole, well-typed tree of the start symbol."""
    wanted = [grammar.start]
    for rule in code:
        if not wanted or rule not in grammar.rules_of[wanted.pop()]:
            return False
        wanted += reversed(grammar.rules[rule].args)
    return not wanted


def jump_table(
    model: Model,
    tables: RuleTables,
    arrays: Mapping[str, Any],
    jumps: Sequence[Code] | None,
    max_nodes: int,
) -> dict[str, Any]:
    """The table of whole programs, and log(proposal / base) of each and of any other."""
    if jumps is None:
        jumps = [s.code for s in model.structures] if model.grammar else ()
    kept = [c for c in dict.fromkeys(map(tuple, jumps)) if 0 < len(c) <= max_nodes]
    for code in kept:
        if not is_program(tables.grammar, code):
            raise InputError(f"jumps must be codes of whole programs, found {code}")
    fresh = _FRESH_SHARE if kept else 1.0
    share = (1.0 - fresh) / max(1, len(kept))
    other = math.log(fresh) - arrays["log_start"]
    excess = [
        float(np.logaddexp(other, math.log(share) - math.fsum(arrays["log_base"][list(code)])))
        for code in kept
    ]
    longest = max(map(len, kept), default=1)
    codes = np.zeros((max(1, len(kept)), longest), np.int16)
    for row, code in enumerate(kept):
        codes[row, : len(code)] = code
    cumulative = np.append(share * np.arange(1.0, len(kept) + 1), 1.0)
    return {
        "jump_count": len(kept),
        "jump_longest": longest,
        "jump_code": codes.ravel(),
        "jump_size": np.array([len(c) for c in kept] or [0], np.int32),
        "jump_cumulative": cumulative,
        "jump_log_excess": np.array([*excess, other]),
    }


def move_table(
    tables: RuleTables, arrays: Mapping[str, Any], given: Mapping[str, float] | None
) -> dict[str, Any]:
    """Cumulative probabilities of the moves, and log P(delete) − log P(insert)."""
    wraps = any(tables.wraps.values())
    facts = arrays["fact_count"]
    peers = bool(arrays["first_peer"][-1])
    possible = (True, wraps, wraps, peers, facts > 0, facts > 1, True)
    shares = np.array([p * x for p, x in zip(_MOVE_SHARES, possible, strict=True)])
    if given is not None:
        unknown = [name for name in given if name not in MOVES]
        if unknown:
            raise InputError(f"moves must be among {', '.join(MOVES)}, found {unknown[0]!r}")
        shares = np.array([float(given.get(name, 0.0)) for name in MOVES])
        if not (np.isfinite(shares).all() and (shares >= 0).all() and shares.sum() > 0):
            raise InputError(f"moves must have probabilities >= 0, not all 0, found {dict(given)}")
    cumulative = np.cumsum(shares / shares.sum())
    cumulative[np.flatnonzero(shares)[-1] :] = 1.0
    insert, delete = shares[MOVES.index("insert")], shares[MOVES.index("delete")]
    with np.errstate(divide="ignore", invalid="ignore"):
        back = float(np.log(delete) - np.log(insert))
    return {"move_cumulative": cumulative, "log_back": back}
