"""A model at every point of a grid over fields of its file, on one machine or on many."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_mesa.domain.model import Model
from bayes_mesa.errors import InputError, ResultFileError
from bayes_mesa.inference.family_fit import Settings
from bayes_mesa.model_file import load_model
from bayes_mesa.parallel.dask_cluster import LOCAL
from bayes_mesa.parallel.outcome import Outcome
from bayes_mesa.parallel.tasks import run_tasks
from bayes_mesa.storage.atomic_file import shown_path
from bayes_mesa.storage.netcdf_file import open_tree, save_tree
from bayes_mesa.storage.segments import Segments, differences
from bayes_mesa.sweeps.field_range import FieldRange, field_ranges, literal
from bayes_mesa.sweeps.grid import ERROR, POINT, as_grid, block_dataset, joined
from bayes_mesa.sweeps.point import Study, compute
from bayes_mesa.sweeps.study import attributes, check_names, job_of, study_of
from bayes_mesa.text.wording import shown

if TYPE_CHECKING:
    import xarray as xr

Progress = Callable[[str, int, int], None]

SWEEP_FILE, PARTS = "sweep.nc", "sweep.parts"
#: Points in a part. A fit to evidence takes so long that each is one of its own.
_BLOCK, _BLOCK_WITH_EVIDENCE = 16, 1
#: How many points that failed a warning names.
_NAMED = 5


def sweep(
    model: Model | str | os.PathLike[str],
    over: Mapping[str, Any],
    *,
    out: str | os.PathLike[str] | None = None,
    evidence: Any = None,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: int = 0,
    workers: int | None = None,
    scheduler: str | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Fit a model at every point of a grid over fields of its file.

    At each point the fields are set in the file's text, and the model is read anew with all its
    checks. Every point is fitted from the same seed with the same random numbers, so that curves
    are smooth where their Monte Carlo error is not small.

    Parameters
    ----------
    model
        A model, or what `load_model` takes.
    over
        Field → values: ``FROM:TO:log:N``, ``FROM:TO:lin:N``, a text of values parted by commas, or
        a list of numbers, texts or booleans. Fields are dotted names of the model file, such as
        ``exchange.linear.rate``, ``components.combine.bits.q95``, ``structures.*.multiplicity``
        (every entry) or ``correlations[0].rho``. The last one runs fastest.
    out
        Folder in which points are kept as they finish, and ``sweep.nc`` is written at the end.
    evidence
        None: the model's own. ``{}``: none. A path: a file of `load_evidence`, besides the model's
        own.
    num_warmup, num_samples, num_chains, seed
        As for `fit`.
    workers
        Threads, or processes of the local cluster; by default one for each processor.
    scheduler
        None: threads. ``"local"``: a Dask cluster of processes on this machine (call `sweep` under
        ``if __name__ == "__main__":`` in a script). Else the address of a Dask scheduler, whose
        workers have the same versions installed. None of this changes the result.
    resume
        Go on from the points that are in ``out``.
    force
        Replace what is in ``out``.
    progress
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    xarray.Dataset
        One dimension for each field, and: ``deceptive_favored`` and ``deceptive_mass`` (figure:
        mean, mcse, lower, upper; 90 %), ``class_mass`` (class, figure), ``family_probability``
        (family), ``family_deceptive_favored`` and ``family_deceptive_mass`` (family, figure),
        ``structure_favored`` and ``structure_mass`` (structure, figure), ``critical_rate`` and
        ``critical_kappa`` (critical), ``nothing_fits``; with evidence ``r_hat_max``,
        ``ess_bulk_min``, ``divergences`` and the number of ``warnings``. ``error`` says why a point
        has no figures (NaN), and is empty elsewhere. Units are attributes of the variables.
        Without evidence the same bytes for any ``workers`` and ``scheduler``.

    Raises
    ------
    InputError
        For a field that the model file does not know, values that cannot be, a folder in use, a
        scheduler that cannot be reached; or if every point fails.
    KeyboardInterrupt
        On Ctrl-C; its text says what is kept.
    """
    settings = Settings(num_warmup, num_samples, num_chains, seed)
    fields = field_ranges(over)
    loaded = model if isinstance(model, Model) else load_model(model)
    study = study_of(loaded, fields, evidence, settings, travels=scheduler not in (None, LOCAL))
    check_names(study, fields)
    if out is None and (resume or force):
        raise InputError("out must name a folder where resume or force is given, found none")
    job = job_of(loaded, study, fields)
    said = attributes(loaded, study, fields, job)
    informed = bool(study.evidence or loaded.evidence) and not study.prior_only
    points = _Points(study, fields, _BLOCK_WITH_EVIDENCE if informed else _BLOCK)
    run = partial(points.run, workers=workers, scheduler=scheduler, progress=progress)
    if out is None:
        blocks: dict[int, xr.Dataset] = {}
        run(blocks, blocks.__setitem__)
        return _finished(blocks.values(), fields, said)
    if not force and (earlier := _earlier(Path(out), job, resume)) is not None:
        return earlier
    with _Folder(Path(out), job, resume=resume, force=force) as folder:
        folder.collect(run, len(points))
        return folder.finish(_finished(folder.blocks.values(), fields, said))


def open_sweep(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a ``sweep.nc``, or that in a folder, after checking that it is whole and unchanged.

    Raises
    ------
    ResultFileError
        If it is missing, damaged, not ours or no sweep; gives path and reason.
    """
    place = Path(path)
    place = place / SWEEP_FILE if place.is_dir() else place
    found = open_tree(place).to_dataset()
    if "sweep" not in found.attrs or ERROR not in found:
        raise ResultFileError(f"{shown_path(place)}: holds no sweep of bayes_mesa")
    return found


def failed_points(sweep: xr.Dataset) -> list[tuple[dict[str, Any], str]]:
    """Values and reason of every point that failed, in the order of the grid."""
    errors = sweep[ERROR]
    found = errors.to_numpy()
    return [
        (
            {str(d): sweep[d].to_numpy()[k].item() for d, k in zip(errors.dims, at, strict=True)},
            str(found[at]),
        )
        for at in zip(*found.nonzero(), strict=True)
    ]


class _Points:
    """The points of a sweep in their order, computed in fixed blocks."""

    def __init__(self, study: Study, fields: Sequence[FieldRange], block: int):
        self._study, self._block = study, block
        written = [[literal(value) for value in field.values] for field in fields]
        self._literals = list(itertools.product(*written))

    def __len__(self) -> int:
        return len(self._literals)

    def run(
        self,
        done: Container[int],
        keep: Callable[[int, xr.Dataset], None],
        *,
        workers: int | None,
        scheduler: str | None,
        progress: Progress | None,
    ) -> None:
        """Compute the blocks that are not done; each is kept as soon as it is finished."""

        def on_block(number: int, outcomes: list[Outcome]) -> None:
            keep(number, block_dataset(number * self._block, outcomes))

        run_tasks(
            partial(compute, self._study),
            self._literals,
            block=self._block,
            done=done,
            on_block=on_block,
            workers=workers,
            scheduler=scheduler,
            progress=progress,
        )


class _Folder:
    """Where a sweep is kept: its parts while it runs, then the whole; a context manager."""

    def __init__(self, folder: Path, job: Mapping[str, Any], *, resume: bool, force: bool):
        self._target = folder / SWEEP_FILE
        self._parts = Segments.open(folder / PARTS, job, resume=resume, force=force)
        self.blocks: dict[int, xr.Dataset] = {}

    def collect(self, run: Callable[..., None], size: int) -> None:
        """Compute what the folder lacks, and keep it part by part."""
        for name in self._parts.names():
            if (tree := self._parts.load(name)) is not None:
                self.blocks[int(name.removeprefix("block-"))] = tree.to_dataset()
        try:
            run(set(self.blocks), self._keep)
        except KeyboardInterrupt as signal:
            kept = sum(block.sizes[POINT] for block in self.blocks.values())
            raise KeyboardInterrupt(
                f"{kept} of {size} points are in {self._target.parent}: --resume goes on from them"
            ) from signal

    def finish(self, whole: xr.Dataset) -> xr.Dataset:
        """Write the whole, and then remove its parts."""
        import xarray as xr

        save_tree(xr.DataTree(whole), self._target)
        self._parts.clear()
        return whole

    def _keep(self, number: int, block: xr.Dataset) -> None:
        self._parts.save(f"block-{number:06d}", block)
        self.blocks[number] = block

    def __enter__(self) -> _Folder:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._parts.names():  # nothing to go on from: the next run need not say what it does
            self._parts.clear()
        self._parts.close()


def _earlier(folder: Path, job: Mapping[str, Any], resume: bool) -> xr.Dataset | None:
    """The finished sweep of a folder: with ``resume`` nothing is left to do, if it is the same."""
    target = folder / SWEEP_FILE
    if not target.exists():
        return None
    if not resume:
        raise InputError(f"{folder}: must hold no sweep, found {SWEEP_FILE}; --force replaces it")
    found = open_sweep(target)
    now = json.loads(json.dumps(job))
    if differing := differences(json.loads(found.attrs["sweep"]), now):
        raise InputError(
            f"{target}: can go on only with the sweep that was begun, but now "
            f"{'; '.join(differing)}: name another folder, or start anew with --force"
        )
    if (folder / PARTS).exists():  # the run was killed before it had cleared up
        with Segments.open(folder / PARTS, job, resume=True) as parts:
            parts.clear()
    return found


def _finished(
    blocks: Iterable[xr.Dataset], fields: Sequence[FieldRange], said: Mapping[str, Any]
) -> xr.Dataset:
    whole = as_grid(joined(blocks), fields).assign_attrs(said)
    failed = failed_points(whole)
    if len(failed) == whole[ERROR].size:
        raise InputError(f"every point of the sweep failed, the first of them so: {failed[0][1]}")
    if failed:
        warnings.warn(_failures(failed, whole[ERROR].size), stacklevel=3)
    return whole


def _failures(failed: Sequence[tuple[Mapping[str, Any], str]], size: int) -> str:
    """The points that failed, by their values, one line each."""
    lines = [
        f"  {', '.join(f'{name} = {shown(value)}' for name, value in values.items())}: "
        f"{'; '.join(reason.splitlines())}"
        for values, reason in failed[:_NAMED]
    ]
    more = [f"  and {len(failed) - _NAMED} more"] if len(failed) > _NAMED else []
    head = f"{len(failed)} of {size} points of the sweep have no figures (variable {ERROR!r}):"
    return "\n".join([head, *lines, *more])
