"""One chain of independent exact draws of programs, from streams of its own."""

from __future__ import annotations

import numpy as np

from bayes_mesa.chains.tempered_walk import StopFlag, Stopped
from bayes_mesa.domain.model import Family, Model
from bayes_mesa.drawing.grammar_programs import Arrays, Register, draw_from_grammar
from bayes_mesa.drawing.structure_programs import draw_from_structures


class ExactChain:
    """Draws programs at one theta after another; with a grammar it registers those it met."""

    def __init__(self, model: Model, number: int, stream: np.random.SeedSequence, flag: StopFlag):
        self.model, self.number, self.flag = model, number, flag
        # One for each family, so that programs taken in pieces are those taken at once.
        streams = [stream, *stream.spawn(len(model.families) - 1)]
        self.bit_generators = {
            family.name: np.random.PCG64(own)
            for family, own in zip(model.families, streams, strict=True)
        }
        self.register = Register(model)

    def draw(self, family: Family, theta: Arrays, count: int | None) -> Arrays:
        """One program per theta, or ``count`` at a single one."""
        if self.flag.raised[0]:
            raise Stopped
        stream = self.bit_generators[family.name]
        if self.model.grammar is None:
            return draw_from_structures(self.model, family, theta, stream, count)
        return draw_from_grammar(self.model, family, theta, stream, count, self.register)
