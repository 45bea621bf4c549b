"""How the cost of the main job grows: ``python -m benchmarks growth``, minutes.

Each kind is measured in a process of its own, sizes rising, after a small job of the same kind that
takes the imports. Times are processor times of all threads, because on a machine with other work
the clock says little; but for workers, which are there to save time on the clock. The exponent b of
cost ~ size^b is the slope of a line through the logarithms of the upper sizes, by least squares,
with the standard error of that slope; a cost that does not grow has exponent 0, one that workers
share evenly -1.

Run by itself, ``python -m benchmarks.growth KIND`` gives the measurements of a kind as JSON.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.timing import Limit

Stages = dict[str, float]

#: Sizes measured, and how many of the upper ones the exponent is taken of.
SIZES = {
    "structures": (3, 30, 300, 1500, 3000, 5500, 10000),
    "facts": (10, 100, 1000, 3000, 10000),
    "prior draws": (1000, 3000, 10000, 30000, 100000, 300000),
    "program draws": (1000, 10000, 100000, 1000000, 10000000),
    "workers": (1, 2),
}
UPPER = {"structures": 4, "facts": 3, "prior draws": 3, "program draws": 3, "workers": 2}
#: What was aimed at.
LIMITS = dict.fromkeys(SIZES, 1.1) | {"workers": -0.8}
#: Where all else is processor seconds.
UNITS = {"workers": "seconds for 100 points of a sweep"}
COMPONENTS = 20
#: Where memory is large, the system takes as long to hand it out as the fit itself takes.
OWN = "fit, without the system's share"
PLOT = Path(__file__).resolve().parent.parent / "docs" / "growth.png"


@dataclass(frozen=True)
class Growth:
    """One stage's cost over sizes, and the exponent of its upper end with its error."""

    kind: str
    stage: str
    sizes: tuple[int, ...]
    seconds: tuple[float, ...]
    exponent: float
    error: float

    @property
    def slope(self) -> str:
        """The exponent with its error, if there is one."""
        error = "" if np.isnan(self.error) else f" ± {self.error:.2f}"
        return f"{self.exponent:.2f}{error}"


def fitted(sizes: Sequence[float], costs: Sequence[float]) -> tuple[float, float]:
    """Slope of log cost over log size by least squares, and its standard error (two sizes: NaN)."""
    x, y = np.log(sizes), np.log(np.maximum(costs, 1e-6))
    x = x - x.mean()
    slope = float(x @ y / (x @ x))
    rest = y - y.mean() - slope * x
    if len(x) < 3:
        return slope, np.nan
    return slope, float(np.sqrt(rest @ rest / (len(x) - 2) / (x @ x)))


def model_text(structures: int, *, known: bool = False, facts: str = "", seed: int = 0) -> str:
    """A model file with random structures of 20 components, of all three classes."""
    rng = np.random.default_rng(seed)

    def cost(low: float) -> str:
        return f"{low:.3g}" if known else f"{{q05={low:.3g},q95={4 * low:.3g}}}"

    parts = ['[model]\nname="many"\n']
    parts += [
        f"[components.c{k}]\nbits={cost(rng.lognormal(3, 0.5))}\n"
        f"steps={cost(rng.lognormal(6, 0.5))}\n"
        for k in range(COMPONENTS)
    ]
    for s in range(structures):
        size = rng.integers(2, 6)
        stores, runs = (
            ",".join(f'"c{i}"' for i in rng.choice(COMPONENTS, size, replace=False))
            for _ in range(2)
        )
        train, deploy = (("base", "base"), ("base", "x"), ("x", "x"))[s % 3]
        parts.append(
            f"[structures.s{s}]\nstores=[{stores}]\nruns=[{runs}]\n"
            f'train="{train}"\ndeploy="{deploy}"\n'
        )
    rate, kappa = ("1e2", "1") if known else ("{q05=1,q95=1e4}", "{q05=0.5,q95=2}")
    parts.append(f"[objectives.x]\nloss=1e-3\n{facts}")
    parts.append(f"[exchange.linear]\nrate={rate}\n[exchange.levin]\nkappa={kappa}\n")
    parts.append(f"[exchange.power]\nrate={rate}\nexponent=1.5\n")
    return "".join(parts)


def written(folder: Path, structures: int, *, known: bool = False, facts: int = 0) -> Path:
    """The model file, and beside it the CSV of its facts."""
    if facts:
        rng = np.random.default_rng(1)
        # All facts together stay of one size: more of them are finer ones.
        bits, steps = rng.lognormal(4, 1, facts) / facts**0.5, rng.lognormal(8, 1, facts) / facts
        rows = [f"f{j},{b!r},{t!r}" for j, (b, t) in enumerate(zip(bits, steps, strict=True))]
        lines = [row.replace("np.float64(", "").replace(")", "") for row in rows]
        (folder / "facts.csv").write_text("\n".join(["name,bits,steps", *lines, ""]))
    named = '[facts]\nfile="facts.csv"\n' if facts else ""
    path = folder / "model.toml"
    path.write_text(model_text(structures, known=known, facts=named))
    return path


def of_structures(size: int, folder: Path) -> Stages:
    """The main job on so many structures: read, check, fit 4 × 100 draws, say, draw programs."""
    return _main_job(written(folder, size), folder, 100)


def of_facts(size: int, folder: Path) -> Stages:
    """The main job with three structures and so many facts: 4 × 25 draws."""
    return _main_job(written(folder, 3, facts=size), folder, 25)


def _main_job(path: Path, folder: Path, draws: int) -> Stages:
    import bayes_mesa as bm
    from bayes_mesa.pages.checkup import checkup

    done: dict[str, Any] = {}

    def keep(name: str, made: Any) -> None:
        done[name] = made

    stages: dict[str, Callable[[], Any]] = {
        "load": lambda: keep("model", bm.load_model(path)),
        "check": lambda: checkup(done["model"]),
        "fit": lambda: keep("post", bm.fit(done["model"], num_samples=draws)),
        "save": lambda: bm.save_posterior(done["post"], folder / "posterior.nc"),
        "report": lambda: bm.write_report(done["post"], folder / "report.html"),
        "programs": lambda: bm.sample_programs(done["model"], done["post"]),
    }
    return _timed(stages)


def of_prior_draws(size: int, folder: Path) -> Stages:
    """A fit of three structures without evidence: so many draws of each family, in four chains."""
    import bayes_mesa as bm

    model = bm.load_model(written(folder, 3))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_stime
    found = _timed({"fit": lambda: bm.fit(model, num_samples=size // 4)})
    system = resource.getrusage(resource.RUSAGE_SELF).ru_stime - before
    return found | {OWN: found["fit"] - system}


def of_program_draws(size: int, folder: Path) -> Stages:
    """So many programs with ten facts at known costs, streamed to a file."""
    import bayes_mesa as bm
    from bayes_mesa.drawing.written_programs import write_programs

    model = bm.load_model(written(folder, 3, known=True, facts=10))
    post = bm.fit(model, num_samples=100)

    def draw() -> None:
        write_programs(model, post, folder / "programs.nc", num_draws=size // 4, num_chains=4)

    return _timed({"programs": draw})


def of_workers(size: int, folder: Path) -> Stages:
    """Seconds of the clock for 100 points of a sweep by warm workers: the median of three runs."""
    from benchmarks.sweeps import rate

    kinds = {"processes (Dask)": "local", "threads": None}
    return {
        name: 100.0 / median(rate(size, scheduler) for _ in range(3))
        for name, scheduler in kinds.items()
    }


JOBS: Mapping[str, Callable[[int, Path], Stages]] = {
    "structures": of_structures,
    "facts": of_facts,
    "prior draws": of_prior_draws,
    "program draws": of_program_draws,
    "workers": of_workers,
}


def _timed(stages: Mapping[str, Callable[[], Any]]) -> Stages:
    """Processor seconds of every stage."""
    found = {}
    for name, run in stages.items():
        start = time.process_time()
        run()
        found[name] = time.process_time() - start
    return found


def measured(kind: str) -> list[Stages]:
    """Processor seconds by stage, and ``memory`` in GiB, at every size: one process for each kind.

    Sizes rise, so that the most memory ever held is that of the size at hand.
    """
    command = [sys.executable, "-m", "benchmarks.growth", kind]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def alone(kind: str) -> list[Stages]:
    """The measurements of a kind in this process, after a small one that warms up."""
    found = []
    for size in (SIZES[kind][0], *SIZES[kind]):
        with tempfile.TemporaryDirectory() as folder:
            at = JOBS[kind](size, Path(folder))
        if "report" in at:
            at["all"] = sum(at.values())
        at["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{kind} {size}: {at}", file=sys.stderr, flush=True)
        found.append(at)
    return found[1:]


def measure(kinds: Sequence[str] = tuple(SIZES)) -> list[Growth]:
    """Every kind at every size, with the exponents of all stages and of the memory."""
    found = []
    for kind in kinds:
        at = measured(kind)
        upper = slice(-UPPER[kind], None)
        for stage in at[0]:
            costs = tuple(x[stage] for x in at)
            exponent, error = fitted(SIZES[kind][upper], costs[upper])
            found.append(Growth(kind, stage, SIZES[kind], costs, exponent, error))
    return found


def plot(found: Sequence[Growth], path: Path = PLOT) -> None:
    """One panel for each kind: cost over size on log scales, with the exponents."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(g.kind for g in found))
    figure = Figure(figsize=(9.5, 4.4 * -(-len(kinds) // 2)), layout="constrained")
    panels = figure.subplots(-(-len(kinds) // 2), 2, squeeze=False).ravel()
    colours = mpl.color_sequences["tab10"]
    for panel, kind in zip(panels, kinds, strict=False):
        stages = [g for g in found if g.kind == kind and g.stage != "memory"]
        for colour, g in zip(colours, stages, strict=False):
            wide = 2.2 if g.stage == "all" else 1.2
            label = f"{g.stage}: {g.slope}"
            panel.plot(g.sizes, g.seconds, "o-", ms=3, lw=wide, color=colour, label=label)
        last = max(stages, key=lambda g: g.seconds[-1])
        ends = np.array([last.sizes[-UPPER[kind]], last.sizes[-1]], float)
        ideal = -1.0 if kind == "workers" else 1.0
        line = last.seconds[-1] * (ends / ends[-1]) ** ideal
        label = "shared evenly" if kind == "workers" else "linear"
        panel.plot(ends, 1.6 * line, "k:", lw=1, label=label)
        panel.set(xscale="log", yscale="log", xlabel=kind)
        panel.set_ylabel(UNITS.get(kind, "processor seconds"))
        if kind == "workers":
            panel.set_xticks(SIZES[kind], labels=map(str, SIZES[kind]))
            panel.minorticks_off()
        panel.legend(
            fontsize=7,
            title="exponent of the upper sizes",
            title_fontsize=7,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
            ncols=3,
        )
    for panel in panels[len(kinds) :]:
        panel.remove()
    figure.savefig(path, dpi=130)


def sizes_table(found: Sequence[Growth]) -> str:
    """Costs by size as Markdown tables, one for each kind."""
    tables = []
    for kind in dict.fromkeys(g.kind for g in found):
        own = [g for g in found if g.kind == kind]
        names = [g.stage if g.stage != "memory" else "memory, GiB" for g in own]
        lines = [f"| {kind} | {' | '.join(names)} |", f"|{' --- |' * (len(own) + 1)}"]
        for k, size in enumerate(own[0].sizes):
            cells = " | ".join(f"{g.seconds[k]:.3g}" for g in own)
            lines.append(f"| {size:,} | {cells} |")
        slopes = " | ".join(g.slope for g in own)
        lines.append(f"| exponent | {slopes} |")
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def rows() -> list[Limit]:
    """The exponents, each with the limit that it was to stay under; plot and tables besides."""
    found = measure()
    plot(found)
    print(sizes_table(found), end="\n\n")
    last = {"structures": "all", "facts": "all", "prior draws": "fit", "program draws": "programs"}
    return [
        Limit(f"cost ~ {g.kind}^b: {g.stage}", "b", (g.exponent,), LIMITS[g.kind])
        for g in found
        if g.stage in (last.get(g.kind, g.stage), "fit", OWN) and g.stage != "memory"
    ]


if __name__ == "__main__":
    print(json.dumps(alone(" ".join(sys.argv[1:]))))
