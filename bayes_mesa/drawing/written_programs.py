"""Programs drawn and written to a file as they come: memory does not grow with their number."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from bayes_mesa.domain.model import Model
from bayes_mesa.drawing.grammar_programs import in_one_order
from bayes_mesa.drawing.program_chains import ProgramChains
from bayes_mesa.drawing.program_groups import (
    Diagnosed,
    by_chain,
    counts_group,
    errors_group,
    programs_group,
)
from bayes_mesa.drawing.structure_programs import place_classes, place_names
from bayes_mesa.drawing.thetas import Arrays
from bayes_mesa.storage.streamed_file import StreamedFile, streamed_file

if TYPE_CHECKING:
    import xarray as xr

#: Bytes of programs that are held at a time, over all chains, and the fewest draws of a stretch.
_HELD, _LEAST = 1 << 22, 256
#: Bytes of a program beside its facts: eight-byte numbers, the family's name.
_BYTES = 96


@dataclass(frozen=True, eq=False)
class WrittenPrograms:
    """What `write_programs` has written.

    Attributes
    ----------
    path
        The file.
    structures
        Share of the programs of each structure, by name, and of places where ``nothing fits``, if
        there are any.
    classes
        Share of the programs of each class.
    attributes
        Those of the group ``programs``: which engine drew and why and, for tempered draws, how the
        chains mixed.
    """

    path: Path
    structures: dict[str, float]
    classes: dict[str, float]
    attributes: dict[str, Any]


def write_programs(
    model: Model,
    post: xr.DataTree,
    path: str | os.PathLike[str],
    *,
    method: str = "auto",
    seed: int = 0,
    num_draws: int | None = None,
    num_chains: int | None = None,
    threads: int | None = None,
) -> WrittenPrograms:
    """Draw programs as `sample_programs` does, the same ones, and write them to a file.

    They are never in memory together, so that their number is limited by the disk alone; with a
    grammar, every *different* program that was met is kept in memory. The file holds the groups
    ``programs``, ``programs_stats`` and ``constant_data``; it is sealed, `open_posterior` and any
    netCDF reader open it, and the same seed gives the same bytes, whatever ``threads`` is.

    Parameters
    ----------
    path
        File to write; an existing regular file is replaced once the new one is safely on disk.
    model, post, method, seed, num_draws, num_chains, threads
        As of `sample_programs`.

    Returns
    -------
    WrittenPrograms
        The file, and how often each structure was drawn.

    Raises
    ------
    InputError, RefusedError
        As `sample_programs`.
    ResultFileError
        If the folder cannot be written or the disk is full; names path and bytes.
    """
    drawing = ProgramChains.of(
        model,
        post,
        method=method,
        seed=seed,
        num_draws=num_draws,
        num_chains=num_chains,
        threads=threads,
    )
    counts = np.zeros(1 + len(place_names(drawing.model)), np.int64)
    diagnosed, stretch = Diagnosed(drawing), _stretch(drawing)
    with (
        streamed_file(path, "draw", drawing.draws, stretch) as file,
        tempfile.TemporaryFile(dir=Path(path).parent) as spool,
    ):
        file.attributes("", {str(name): x for name, x in post.attrs.items()})
        file.write("constant_data", post["constant_data"].to_dataset())
        for start in range(0, drawing.draws, stretch):
            arrays = by_chain(drawing.take(min(stretch, drawing.draws - start)))
            diagnosed.add(arrays, start)
            counts += np.bincount(arrays["structure"].ravel() + 1, minlength=len(counts))
            _write(file, drawing, post, arrays, start, spool)
        if drawing.model.grammar is not None:
            _number(file, drawing, stretch, spool)
        if (counted := counts_group(drawing)) is not None:
            file.write("programs_stats", counted)
        attributes = diagnosed.attributes()
        file.attributes("programs", attributes)
    return WrittenPrograms(Path(path), *_shares(drawing.model, counts), attributes)


def _shares(model: Model, counts: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """By structure and by class, from counts (1 + S,) of nothing and of every structure."""
    shares = (counts / counts.sum()).tolist()
    structures = dict(zip(place_names(model), shares[1:], strict=True))
    classes: dict[str, float] = {}
    for name, share in zip(place_classes(model), shares[1:], strict=True):
        classes[name] = classes.get(name, 0.0) + share
    if counts[0]:
        structures["nothing fits"] = shares[0]
    return structures, classes


def _stretch(drawing: ProgramChains) -> int:
    """Draws of each chain that are held at a time: the same for any number of draws."""
    row = len(drawing.chains) * (_BYTES + len(drawing.model.facts))
    return max(_LEAST, _HELD // row)


def _write(
    file: StreamedFile,
    drawing: ProgramChains,
    post: xr.DataTree,
    arrays: Arrays,
    start: int,
    spool: BinaryIO,
) -> None:
    """A stretch of all chains; programs of a grammar have their last number only at the end."""
    if drawing.model.grammar is not None:
        spool.write(arrays.pop("program").tobytes())
    file.write("programs", programs_group(drawing, arrays, start), start)
    if not drawing.tempered:
        draws = arrays["family"].shape[1]
        file.write("programs_stats", errors_group(drawing, post, start, draws), start)


def _number(file: StreamedFile, drawing: ProgramChains, stretch: int, spool: BinaryIO) -> None:
    """The variable ``program``: every program's place in the one order of all that were met."""
    import xarray as xr

    names, places = in_one_order(drawing.model, drawing.registers())
    file.write("programs", xr.Dataset(coords={"program_name": names}))
    spool.seek(0)
    for start in range(0, drawing.draws, stretch):
        shape = len(places), min(stretch, drawing.draws - start)
        met = np.frombuffer(spool.read(8 * shape[0] * shape[1]), np.int64).reshape(shape)
        number = np.stack([place[own] for place, own in zip(places, met, strict=True)])
        file.write("programs", xr.Dataset({"program": (("chain", "draw"), number)}), start)
