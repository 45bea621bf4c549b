"""The bugs: what each is, and the substitution that plants it."""

from dataclasses import dataclass
from pathlib import Path

from .watching import function_at

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Edit:
    """``old``, which stands exactly once in ``file``, becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Bug:
    """One planted bug.

    ``extension`` must be built again, where the edit is in native code; ``gate`` is a cheap one
    that catches it.
    """

    name: str
    what: str
    edits: tuple[Edit, ...]
    gate: str
    extension: str | None = None

    def runs(self):
        """What runs the bug, as `watching.watched` names it."""
        if self.extension:
            return {f"bayes_mesa._ext.{self.extension}"}
        found = set()
        for edit in self.edits:
            source = (ROOT / edit.file).read_text()
            found.add(f"{edit.file}:{function_at(source, source.index(edit.old))}")
        return found


NO_BUG = Bug("clean", "nothing planted", (), "")

BUGS = (
    Bug(
        "hastings",
        "the number of nodes is left out of the acceptance of a fresh subtree",
        (
            Edit(
                "_ext/tree_moves.pxd",
                "judge(kit, s, kit.log_whole[tree.size] - kit.log_whole[kit.proposal.size], state)",
                "judge(kit, s, 0.0, state)",
            ),
        ),
        "transition matrix",
        "tempered",
    ),
    Bug(
        "prior_twice",
        "the prior of every uncertain quantity is counted twice in a fit",
        (
            Edit(
                "bayes_mesa/inference/inference.py",
                "        values[name] = numpyro.sample(name, site_distribution(slot, low))\n",
                "        values[name] = numpyro.sample(name, site_distribution(slot, low))\n"
                "        again = site_distribution(slot, low).log_prob(values[name])\n"
                '        numpyro.factor(f"{name} again", again)\n',
            ),
        ),
        "densities",
    ),
    Bug(
        "off_by_one",
        "the sum over fact choices ends before the last fact (linear exchange)",
        (
            Edit(
                "_ext/fact_sums.pyx",
                "    for j in range(n):\n        x = slope * (uses * steps[j])\n",
                "    for j in range(n - 1):\n        x = slope * (uses * steps[j])\n",
            ),
        ),
        "brute force",
        "fact_sums",
    ),
    Bug(
        "shared_stream",
        "all chains over programs draw from one stream of random numbers",
        (
            Edit(
                "bayes_mesa/drawing/program_chains.py",
                "np.random.SeedSequence(seed).spawn(chains)",
                "[np.random.SeedSequence(seed) for _ in range(chains)]",
            ),
        ),
        "same seed",
    ),
    Bug(
        "bits_and_steps",
        "what a structure stores is paid in steps, and what it runs in bits",
        (
            Edit(
                "bayes_mesa/costing/costs.py",
                "        bits, steps = np.zeros(shape), np.zeros(shape)\n",
                "        steps, bits = paid = np.zeros(shape), np.zeros(shape)\n",
            ),
            Edit(
                "bayes_mesa/costing/costs.py",
                "        component = np.array([index[o.component]",
                "        bits, steps = paid\n        component = np.array([index[o.component]",
            ),
        ),
        "brute force",
    ),
    Bug(
        "ln2",
        "ln 2 is 0.69",
        (Edit("bayes_mesa/costing/exchange.py", "LN2 = math.log(2.0)", "LN2 = 0.69"),),
        "brute force",
    ),
    Bug(
        "exchange_sign",
        "neighbouring temperatures exchange by the inverse of the right ratio",
        (
            Edit(
                "_ext/tempered.pyx",
                "(ladder[k] - ladder[k + 1]) * (states[k].energy - states[k + 1].energy)",
                "(ladder[k] - ladder[k + 1]) * (states[k + 1].energy - states[k].energy)",
            ),
        ),
        "final states",
        "tempered",
    ),
    Bug(
        "never_derived",
        "a fact is proposed to be stored, but never to be derived",
        (
            Edit(
                "_ext/tree_moves.pxd",
                "    state.stored[fact] ^= 1\n    return judge_facts(kit, s, state, fact, fact)\n",
                "    state.stored[fact] |= 1\n    return judge_facts(kit, s, state, fact, fact)\n",
            ),
        ),
        "transition matrix",
        "tempered",
    ),
    Bug(
        "least_cost",
        "the least cost leaves out the fact with the fewest bits per step",
        (
            Edit(
                "bayes_mesa/costing/least.py",
                "    none = np.zeros((len(bits), 1))\n",
                "    none = np.zeros((len(bits), 1))\n    bits[:, -1:] = steps[:, -1:] = 0.0\n",
            ),
        ),
        "brute force",
    ),
    Bug(
        "truncation",
        "a prior that is cut off below is sampled whole in a fit",
        (
            Edit(
                "bayes_mesa/domain/site_distribution.py",
                "if belief.share_cut > 0.0:",
                "if belief.share_cut > 1.0:",
            ),
        ),
        "densities",
    ),
    Bug(
        "row_twice",
        "the first row of counted choices enters the likelihood twice",
        (
            Edit(
                "bayes_mesa/evidence/choice.py",
                'obs=columns["stored"] if observed else None)\n',
                'obs=columns["stored"] if observed else None)\n'
                "        if observed:\n"
                '            again = rows.log_prob(columns["stored"])[0]\n'
                '            numpyro.factor(f"{name} again", again)\n',
            ),
        ),
        "densities",
    ),
    Bug(
        "seed_twice",
        "simulated evidence uses one seed for the values and for the noise around them",
        (
            Edit(
                "bayes_mesa/inference/simulation.py",
                "values_stream, rows_stream = np.random.SeedSequence(checked_seed(seed)).spawn(2)",
                "values_stream = rows_stream = np.random.SeedSequence(checked_seed(seed))",
            ),
        ),
        "SBC of the fit",
    ),
)
