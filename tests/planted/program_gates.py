"""Gates on the tempered sampler: transition matrices, final states, and the joint law."""

import numpy as np
import test_tempering as matrices
from exact_space import FALSE_ALARM, Space, level_grammar, level_structures
from geweke import LADDER, MOVES, THETAS, Mover, worst
from scipy.stats import chi2

#: Programs → the space that holds so many.
SPACES = {
    8: lambda: Space.of(level_structures(1), 1),
    32: lambda: Space.of(level_structures(3), 1),
    58: lambda: Space.of(level_grammar(0), 4),
    232: lambda: Space.of(level_grammar(2), 4),
}
WITHIN = 1e-12
#: Of two rounds each, with one exchange of the two temperatures.
TURNS = 5


def transition_matrix(programs):
    """Largest difference of πP and π over all moves and two temperatures; π by the definition."""
    space = SPACES[programs]()
    assert len(space.programs) == programs
    mixtures = {name: moves for name, (moves, *_) in MOVES.items() if moves} | {"mixture": None}
    for s in (1.0, LADDER[1]):
        share = space.share(1.3, 25.0, s)
        for name, moves in mixtures.items():
            target = space.target(1.3, 25.0, moves=moves)
            matrix = matrices.transition_matrix(target, space.programs, s, -1)
            away = np.abs(share @ matrix - share).max()
            if not away <= WITHIN:
                return f"{name}: πP is {away:.1g} from π"
    return None


def final_states(chains):
    """Exact chi² of where chains that began at exact draws are after `TURNS` turns."""
    for space in (SPACES[32](), SPACES[232]()):
        mover = Mover(space, "whole round", 42)
        rng = np.random.default_rng(42)
        shares = [space.share(*THETAS[0], s) for s in LADDER]
        starts = [rng.choice(len(x), chains, p=x) for x in shares]
        pairs = [[int(p) for p in pair] for pair in zip(*starts, strict=True)]
        for _ in range(TURNS):
            pairs = [mover.turn(0, pair) for pair in pairs]
        ends = np.array(pairs)
        for seen, share in zip(ends.T, shares, strict=True):
            if (p := _chi2(np.bincount(seen, minlength=len(share)), chains * share)) < FALSE_ALARM:
                return f"chi²: p = {p:.1g}"
    return None


def _chi2(seen, wanted):
    common = wanted >= 5.0
    seen, wanted = (np.append(x[common], x[~common].sum()) for x in (seen, wanted))
    kept = wanted > 0.0
    if seen[~kept].any():
        return 0.0
    seen, wanted = seen[kept], wanted[kept]
    return float(chi2.sf(np.sum((seen - wanted) ** 2 / wanted), len(seen) - 1))


def joint_law(chains):
    """Geweke's test of every move, chains of 20 turns."""
    for name, space in (("structures", SPACES[32]()), ("grammar", SPACES[232]())):
        for move in MOVES:
            found = worst(space, move, chains, 20, 42)
            if found > 1.0:
                return f"{move}, {name}: {found:.2g} times what chance allows"
    return None
