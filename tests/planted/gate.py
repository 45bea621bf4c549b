"""``python -m planted.gate NAME ...``: gates on the package that is first on the path."""

import importlib
import json
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path

from .watching import watched


@dataclass(frozen=True)
class Gate:
    """A check by size, which returns None or what it found wrong, and the sizes.

    Its module is imported where it runs: what a gate loads says which bugs it can see.
    """

    module: str
    function: str
    sizes: tuple[int, ...]

    def check(self):
        """The function."""
        return getattr(importlib.import_module(f"planted.{self.module}"), self.function)


GATES = {
    "transition matrix": Gate("program_gates", "transition_matrix", (8, 32, 58, 232)),
    "final states": Gate("program_gates", "final_states", (300, 1000, 3000, 20_000)),
    "Geweke": Gate("program_gates", "joint_law", (100, 300, 1000)),
    "SBC of programs": Gate("rank_gates", "program_ranks", (100, 300, 1000, 3000)),
    "brute force": Gate("sum_gates", "brute_force", (1, 2, 4, 8)),
    "twins": Gate("sum_gates", "twins", (1, 10, 100)),
    "known answers": Gate("answer_gates", "known_answers", (100_000,)),
    "same seed": Gate("answer_gates", "same_seed", (10, 100)),
    "densities": Gate("density_gates", "densities", (1, 2, 10)),
    "SBC of the fit": Gate("fit_gates", "fit_ranks", (30, 100, 300)),
}


def judge(name, most=None):
    """Smallest size that catches something, and what; None and nothing where none does."""
    gate = GATES[name]
    for size in gate.sizes:
        if most is not None and size > most:
            break
        try:
            found = gate.check()(size)
        except Exception as error:
            # A bug that stops the package with an error has been noticed.
            traceback.print_exc()
            found = f"{type(error).__name__}: {error}".splitlines()[0]
        if found is not None:
            return size, found
    return None, ""


def main():
    """Print one line of JSON for every gate named, in turn."""
    site = Path(os.environ["BAYES_MESA_PLANTED"])
    with watched(site / "bayes_mesa") as ran:
        import bayes_mesa

        if site not in Path(bayes_mesa.__file__).parents:
            raise SystemExit(f"the package must come from {site}, found {bayes_mesa.__file__}")
        for name in sys.argv[1:]:
            size, what = judge(name)
            said = {"gate": name, "size": size, "what": what, "ran": sorted(ran)}
            print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
