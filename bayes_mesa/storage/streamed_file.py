"""A sealed netCDF file that is written a stretch at a time, and never held in memory.

What a stretch looks like on disk (names, types, attributes) is asked of xarray: it writes each one
to memory, uncompressed, and what it wrote is copied to its place in the file.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO

from bayes_mesa.storage.atomic_file import replacing
from bayes_mesa.storage.netcdf_file import COMPRESSION, ENGINE, seal_line, text_encoding

if TYPE_CHECKING:
    import h5netcdf
    import xarray as xr

_PIECE = 1 << 20


@contextmanager
def streamed_file(
    path: str | os.PathLike[str], dimension: str, length: int, stretch: int
) -> Iterator[StreamedFile]:
    """A file to write data sets into; it takes its name, sealed, when the block ends.

    Parameters
    ----------
    path
        File to write; an existing regular file is replaced once the new one is safely on disk.
    dimension, length
        What grows, and how long it will be: whatever has this dimension is written in stretches.
    stretch
        Length of all stretches but the last: of every variable, one is compressed as one piece.

    Raises
    ------
    ResultFileError
        If the folder cannot be written or the disk is full; names path and bytes. Nothing is left.
    """
    import h5netcdf

    # HDF5 runs in a thread of its own. An interrupt comes in the main one: within HDF5 it would
    # leave a file that the library crashes on.
    with replacing(path) as file, ThreadPoolExecutor(1) as writer:
        disk = _Disk(file)
        container = writer.submit(h5netcdf.File, disk, "w").result()
        streamed = StreamedFile(container, disk, writer, dimension, length, stretch)
        try:
            yield streamed
        finally:
            try:
                streamed.close()
            except Exception:
                disk.check()  # HDF5 missed what the disk refused: that is the fault to tell
                raise
        disk.check()
        _seal(file)


class StreamedFile:
    """What `streamed_file` gives: data sets go into it, group by group and stretch by stretch."""

    def __init__(
        self,
        container: h5netcdf.File,
        disk: _Disk,
        writer: ThreadPoolExecutor,
        dimension: str,
        length: int,
        stretch: int,
    ):
        self.container, self.disk, self.writer = container, disk, writer
        self.dimension, self.length, self.stretch = dimension, length, stretch
        self.interrupted = False

    def close(self) -> None:
        """End the HDF5 file; the writer does nothing after that."""
        self.writer.submit(self.container.close).result()

    def attributes(self, group: str, attributes: Mapping[str, Any]) -> None:
        """Set attributes of a group; of the whole file where ``group`` is empty."""
        self._wait_for(self._attributes, group, attributes)

    def _wait_for(self, work: Callable[..., None], *arguments: Any) -> None:
        future = self.writer.submit(work, *arguments)
        try:
            future.result()
        except BaseException:
            self.interrupted = True
            wait([future])
            raise

    def _attributes(self, group: str, attributes: Mapping[str, Any]) -> None:
        target = self.container.groups[group] if group else self.container
        for name, value in attributes.items():
            target.attrs[name] = value
        self.disk.check()

    def write(self, group: str, dataset: xr.Dataset, start: int = 0) -> None:
        """Write a data set into a group: a stretch from ``start`` on, and what does not grow once.

        Parameters
        ----------
        group
            Made where there is none of this name.
        dataset
            Its variables may differ from call to call; a variable must always have the same
            dimensions, type and attributes.
        start
            A multiple of the stretch.
        """
        self._wait_for(self._write, group, dataset, start)

    def _write(self, group: str, dataset: xr.Dataset, start: int) -> None:
        import h5netcdf

        buffer = BytesIO()
        encodings = {str(name): text_encoding(v) for name, v in dataset.variables.items()}
        dataset.to_netcdf(buffer, engine=ENGINE, encoding=encodings)
        target = (
            self.container.groups[group]
            if group in self.container.groups
            else self.container.create_group(group)
        )
        with h5netcdf.File(buffer, "r") as written:
            for name, variable in written.variables.items():
                if self.interrupted:
                    return
                if name not in target.variables:
                    self._create(target, name, variable)
                elif self.dimension not in variable.dimensions:
                    continue
                self._copy(target.variables[name], variable, start)
                self.disk.check()

    def _create(self, target: h5netcdf.Group, name: str, variable: h5netcdf.Variable) -> None:
        shape = tuple(
            self.length if dimension == self.dimension else size
            for dimension, size in zip(variable.dimensions, variable.shape, strict=True)
        )
        for dimension, size in zip(variable.dimensions, shape, strict=True):
            if dimension not in target.dimensions:
                target.dimensions[dimension] = size
        how: dict[str, Any] = {}
        if shape and 0 not in shape:
            how = {
                "compression": "gzip",
                "compression_opts": COMPRESSION["complevel"],
                "fletcher32": COMPRESSION["fletcher32"],
            }
            if self.dimension in variable.dimensions:
                how["chunks"] = self._piece(variable.dimensions, shape)
        attributes = dict(variable.attrs)
        made = target.create_variable(
            name,
            dimensions=variable.dimensions,
            dtype=variable.dtype,
            fillvalue=attributes.pop("_FillValue", None),
            **how,
        )
        for key, value in attributes.items():
            made.attrs[key] = value

    def _piece(self, dimensions: tuple[str, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
        """One row of each dimension before the one that grows, and all of those behind it."""
        axis = dimensions.index(self.dimension)
        return (*(1,) * axis, min(self.stretch, self.length), *shape[axis + 1 :])

    def _copy(self, target: h5netcdf.Variable, variable: h5netcdf.Variable, start: int) -> None:
        if self.dimension not in variable.dimensions:
            target[...] = variable[...]
            return
        axis = variable.dimensions.index(self.dimension)
        part = slice(start, start + variable.shape[axis])
        if axis == 0:
            target[part] = variable[...]
            return
        # Row by row: an interrupt waits for one native call at most.
        for row in range(variable.shape[0]):
            if not self.interrupted:
                target[(row, *(slice(None),) * (axis - 1), part)] = variable[row]


class _Disk:
    """The file that HDF5 writes to. HDF5 may crash on leaving after a failed write: it sees none.

    What the system refused is kept instead, for `check` to raise; what HDF5 writes after that is
    lost, and the file with it. Nothing is buffered, so that it is refused where it is written.
    """

    def __init__(self, file: BinaryIO):
        self.file, self.number = file, file.fileno()
        self.place = self.size = 0
        self.error: OSError | None = None

    def check(self) -> None:
        """Raise what the system answered to the first write that failed."""
        if self.error is not None:
            self.file.seek(0, os.SEEK_END)  # how much was written is asked of the file
            raise self.error

    def write(self, data: Any) -> int:
        """Write at the place that was sought."""
        view, written = memoryview(data).cast("B"), 0
        while self.error is None and written < len(view):
            try:
                written += os.pwrite(self.number, view[written:], self.place + written)
            except OSError as error:
                self.error = error
        self.place += len(view)
        self.size = max(self.size, self.place)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Read from the place that was sought."""
        view = memoryview(buffer).cast("B")
        found = os.pread(self.number, len(view), self.place)
        view[: len(found)] = found
        self.place += len(found)
        return len(found)

    def read(self, size: int) -> bytes:
        """Read so many bytes from the place that was sought."""
        found = os.pread(self.number, size, self.place)
        self.place += len(found)
        return found

    def truncate(self, size: int) -> int:
        """End the file there."""
        try:
            os.ftruncate(self.number, size)
        except OSError as error:
            self.error = self.error or error
        self.size = size
        return size

    def flush(self) -> None:
        """Do nothing: nothing is held back."""

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Where to write or read next."""
        self.place = place + {os.SEEK_SET: 0, os.SEEK_CUR: self.place}.get(whence, self.size)
        return self.place

    def tell(self) -> int:
        """The place that was sought."""
        return self.place


def _seal(file: BinaryIO) -> None:
    """End a file with the line that names the SHA-256 of what it holds."""
    digest = hashlib.sha256()
    file.seek(0)
    while piece := file.read(_PIECE):
        digest.update(piece)
    file.write(seal_line(digest.hexdigest()))
