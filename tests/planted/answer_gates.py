"""Gates on what is known beforehand: answers, and that the same seed gives the same bytes."""

import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest

from bayes_mesa import fit, sample_programs

from .ranks import uncertain_structures


def known_answers(_):
    """tests/test_known_answers.py."""
    path = Path(__file__).parents[1] / "test_known_answers.py"
    with redirect_stdout(io.StringIO()) as said:
        code = pytest.main([str(path), "-q", "-x", "-p", "no:cacheprovider", "--tb=no"])
    if code == 0:
        return None
    failed = [line for line in said.getvalue().splitlines() if line.startswith("FAILED")]
    return (
        failed[0].partition("::")[2].partition(" - ")[0] if failed else f"pytest ended with {code}"
    )


def same_seed(draws):
    """The same seed the same bytes whatever the threads are, and other bytes in every chain."""
    for method, needs in (("exact", ((),) * 3), ("tempered", ((), (0,), ()))):
        model = uncertain_structures(needs)
        post = [fit(model, {}, num_samples=draws, num_chains=2, seed=5) for _ in range(2)]
        if _bytes(post[0]["posterior"]) != _bytes(post[1]["posterior"]):
            return "prior draws differ for one seed"
        found = [
            sample_programs(model, post[0], method=method, seed=7, num_chains=4, threads=threads)
            for threads in (1, 2, 4)
        ]
        if len({_bytes(x["programs"]) for x in found}) > 1:
            return f"{method} draws differ with the number of threads"
        # Chains 0 and 2 go through the same thetas.
        stored = np.asarray(found[0]["programs"]["stored"])
        if (stored[0] == stored[2]).all():
            return f"{method} draws of two chains are the same"
    return None


def _bytes(node):
    return b"".join(np.asarray(node[n]).tobytes() for n in sorted(node.data_vars))
