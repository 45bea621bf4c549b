"""Points of a sweep each second: two workers beside one, by turns.

A point is one fit of `speed_simplicity` without evidence, 4 chains of 1000 draws, and its figures;
one field is swept. Starting the workers and their first blocks, in which they load their
libraries, are left out.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

from benchmarks.timing import Row

_POINTS, _BLOCK, _PAIRS = 96, 4, 3
#: Blocks of each worker that are not timed.
_WARM = 3


def rows() -> list[Row]:
    """Threads, and processes of a local cluster."""
    found = []
    for kind, scheduler in (("processes (Dask)", "local"), ("threads", None)):
        pairs = [(rate(2, scheduler), rate(1, scheduler)) for _ in range(_PAIRS)]
        two, one = zip(*pairs, strict=True)
        found.append(Row(f"sweep: 2 {kind} beside 1", "points/s", two, one))
    return found


def rate(workers: int, scheduler: str | None) -> float:
    """Points that a sweep finishes in a second of the clock, once its workers are warm."""
    import bayes_mesa as bm
    from bayes_mesa.inference.family_fit import Settings
    from bayes_mesa.parallel.outcome import Outcome
    from bayes_mesa.parallel.tasks import run_tasks
    from bayes_mesa.sweeps.field_range import field_ranges, literal
    from bayes_mesa.sweeps.point import compute
    from bayes_mesa.sweeps.study import study_of

    fields = field_ranges({"exchange.linear.rate": f"1e-2:1e8:log:{_POINTS}"})
    model = bm.load_model("speed_simplicity")
    study = study_of(model, fields, {}, Settings(), travels=False)
    seen: list[float] = []

    def on_block(_: int, outcomes: list[Outcome]) -> None:
        if any(outcome.error for outcome in outcomes):
            raise SystemExit(outcomes[0].error)
        seen.append(perf_counter())

    run_tasks(
        partial(compute, study),
        [(literal(value),) for value in fields[0].values],
        block=_BLOCK,
        on_block=on_block,
        workers=workers,
        scheduler=scheduler,
    )
    timed = seen[_WARM * workers :]
    return _BLOCK * (len(timed) - 1) / (timed[-1] - timed[0])
