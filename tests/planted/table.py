"""docs/planted_bugs.md: which gate catches which bug, at the smallest size."""

from .copies import ROOT

PAGE = ROOT / "docs" / "planted_bugs.md"

#: What a gate does, and what its sizes count.
ABOUT = {
    "transition matrix": (
        "programs",
        "The kernel's own transition matrix P of every move and of the mixture, at two "
        "temperatures: the largest difference of πP and π is at most 1e-12. π is weighed by the "
        "definition, program by program.",
    ),
    "final states": (
        "chains",
        "Chains with two temperatures begin at exact draws and make ten rounds; exact χ² of where "
        "they are then.",
    ),
    "Geweke": (
        "chains",
        "Geweke's joint test, move by move: program given theta by the move, theta given the "
        "program from its exact law, 20 turns a chain.",
    ),
    "SBC of programs": (
        "simulations",
        "Rank of an exactly drawn program among seven that `sample_programs` draws at the same "
        "theta, by bits, steps, log weight, deceptive and every fact; exact draws, then tempered "
        "ones.",
    ),
    "brute force": (
        "facts",
        "Sums over facts, least costs and the masses of structures against all choices one by one.",
    ),
    "twins": (
        "draws",
        "Native code against its slow Python twin, bit for bit: sums over facts, exact draws, "
        "tempered chains.",
    ),
    "known answers": ("draws", "tests/test_known_answers.py: figures known beforehand."),
    "same seed": (
        "draws",
        "The same seed gives the same bytes for 1, 2 and 4 threads, and every chain other ones.",
    ),
    "densities": (
        "points",
        "Log density of the NumPyro program of a fit, against prior times likelihood by hand.",
    ),
    "SBC of the fit": (
        "simulations",
        "Rank of the truth among 15 thinned draws of NUTS, evidence from `simulate_evidence`: "
        "seven quantities and the joint log likelihood.",
    ),
}

HEAD = """# Planted bugs: can the checks fail?

<!-- Made by `make planted`; do not edit by hand. -->

A check that never fails shows nothing. Twelve bugs are planted, one at a time, into copies of the
sources, and every gate is run on each copy. The table says at which size a gate first sees the
bug: the smaller, the sooner a fault like it would be found. `make planted` makes this page; the
slow tests plant every bug again and run one cheap gate on each.

A gate runs its sizes in turn and stops at the first that fails. All checks of chance are set to
the false-alarm rate of five standard errors, and every seed is fixed.

- a number: the smallest size that catches the bug;
- –: the gate runs the function with the bug (or, for native code, its extension), and misses it at
  all sizes;
- a blank: the gate never runs that function, and so cannot see the bug.

What a miss means: a gate that weighs by a constant or a function of the package cannot see a fault
in it, a twin cannot see one in what both sides are given, and a check of chance sees what shifts
the draws a little only with many simulations: of the bugs that 300 simulations of the fit miss, the
density by hand sees each at one point.
"""


def write(bugs, gates, outcomes):
    """The page, from outcomes by bug and gate."""
    PAGE.write_text(page(bugs, gates, outcomes))


def page(bugs, gates, outcomes):
    """Its text."""
    return "\n".join(
        [HEAD, *_summary(bugs, gates, outcomes), *_table(bugs, gates, outcomes),
         *_gates(gates), *_bugs(bugs, gates, outcomes)]
    )  # fmt: skip


def _summary(bugs, gates, outcomes):
    caught = [b for b in bugs if any(_size(outcomes, b, g) is not None for g in gates)]
    return [f"**{len(caught)} of {len(bugs)} bugs are caught** by at least one gate.\n"]


def _table(bugs, gates, outcomes):
    rows = ["## Which gate catches what", ""]
    rows.append("| bug | " + " | ".join(gates) + " | gates |")
    rows.append("|---" * (len(gates) + 2) + "|")
    for bug in bugs:
        cells = [_cell(outcomes, bug, gate) for gate in gates]
        hits = sum(_size(outcomes, bug, gate) is not None for gate in gates)
        rows.append(f"| {_title(bug)} | " + " | ".join(cells) + f" | {hits} |")
    hits = [sum(_size(outcomes, b, gate) is not None for b in bugs) for gate in gates]
    rows.append("| **bugs caught** | " + " | ".join(map(str, hits)) + " | |")
    clean = [_cell(outcomes, None, gate) for gate in gates]
    return [*rows, "| nothing planted | " + " | ".join(clean) + " | |", ""]


def _gates(gates):
    rows = ["## The gates", "", "| gate | what it does | sizes |", "|---|---|---|"]
    for name, gate in gates.items():
        unit, what = ABOUT[name]
        rows.append(f"| {name} | {what} | {', '.join(map(str, gate.sizes))} {unit} |")
    return [*rows, ""]


def _bugs(bugs, gates, outcomes):
    rows = ["## The bugs", ""]
    for bug in bugs:
        files = ", ".join(dict.fromkeys(f"`{e.file}`" for e in bug.edits))
        rows.append(f"- **{_title(bug)}** ({files}): {bug.what}.")
        for gate in gates:
            if (size := _size(outcomes, bug, gate)) is not None:
                unit, _ = ABOUT[gate]
                said = outcomes[bug.name][gate].what
                unit = unit[:-1] if size == 1 else unit
                rows.append(f"  - {gate}, {size} {unit}: {said}.")
    return [*rows, ""]


def _title(bug):
    return bug.name.replace("_", " ")


def _size(outcomes, bug, gate):
    return outcomes[bug.name][gate].size


def _cell(outcomes, bug, gate):
    name = "clean" if bug is None else bug.name
    found, clean = outcomes[name][gate], outcomes["clean"][gate]
    if found.size is not None:
        return str(found.size)
    return "–" if bug is None or bug.runs() & clean.ran else ""
