"""``python -m tests.planted``: plant bugs, run every gate on each, write docs/planted_bugs.md.

``--resume`` goes on from the outcomes in build/planted/outcomes.json, of a run that was ended.
"""

import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from planted import table  # noqa: E402
from planted.bugs import BUGS, NO_BUG  # noqa: E402
from planted.copies import BUILD, make_copy  # noqa: E402
from planted.gate import GATES  # noqa: E402
from planted.running import Outcome, run_gate, run_gates  # noqa: E402

KEPT = BUILD / "outcomes.json"


def judged(bug, clean):
    """Outcomes of all gates on one bug; those that cannot see it are not run."""
    if bug is NO_BUG:
        site = make_copy(bug)
        return {gate: run_gate(site, gate) for gate in GATES}
    runs = bug.runs()
    seeing = [gate for gate in GATES if runs & clean[gate].ran]
    blind = {gate: Outcome(None, "", frozenset()) for gate in GATES}
    return blind | run_gates(make_copy(bug), seeing)


def kept():
    """Outcomes by bug of a run that was ended."""
    if not KEPT.exists():
        return {}
    return {
        name: {g: Outcome(x["size"], x["what"], frozenset(x["ran"])) for g, x in of.items()}
        for name, of in json.loads(KEPT.read_text()).items()
    }


def keep(outcomes):
    """Write them down."""
    plain = {
        name: {g: asdict(x) | {"ran": sorted(x.ran)} for g, x in of.items()}
        for name, of in outcomes.items()
    }
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    KEPT.write_text(json.dumps(plain))


def main():
    """Plant, judge, write."""
    outcomes = kept() if "--resume" in sys.argv else {}
    for bug in (NO_BUG, *BUGS):
        if bug.name in outcomes:
            continue
        start = time.perf_counter()
        found = outcomes[bug.name] = judged(bug, outcomes.get("clean"))
        keep(outcomes)
        caught = {gate: x.size for gate, x in found.items() if x.size is not None}
        print(f"{bug.name} ({time.perf_counter() - start:.0f} s): {caught}", flush=True)
    table.write(BUGS, GATES, outcomes)
    print(f"written: {table.PAGE}")
    false_alarms = [gate for gate, x in outcomes["clean"].items() if x.size is not None]
    if false_alarms:
        raise SystemExit(f"gates that fail where nothing is planted: {', '.join(false_alarms)}")


if __name__ == "__main__":
    main()
