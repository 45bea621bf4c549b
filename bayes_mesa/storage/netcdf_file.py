"""netCDF files that damage and malice do not get past.

A tree is a netCDF-4 file whose numbers and names are compressed and carry HDF5's Fletcher-32 sums,
followed by one line with the SHA-256 of everything before it. HDF5 ignores what stands after its
end, so any netCDF reader opens the file; we read the line first, and hand nothing to the HDF5
library (which may crash or hang on damaged metadata) that is not byte for byte what was written.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bayes_mesa.errors import ResultFileError
from bayes_mesa.storage.atomic_file import shown_path, write_bytes
from bayes_mesa.storage.global_heaps import check_heaps
from bayes_mesa.storage.screening import screen

if TYPE_CHECKING:
    import xarray as xr

ENGINE: Final = "h5netcdf"
MAGIC = b"\x89HDF\r\n\x1a\n"
SEAL = b"\nbayes_mesa-sha256 "
SEAL_BYTES = len(SEAL) + 64 + 1
COMPRESSION = {"zlib": True, "complevel": 4, "fletcher32": True}


def save_tree(tree: xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Write a tree of data sets as sealed netCDF, atomically; the same tree gives the same bytes.

    Parameters
    ----------
    tree
        At most one level of groups below the root; numbers, booleans and text.
    path
        File to write; an existing regular file is replaced once the new one is safely on disk.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    ResultFileError
        If the folder cannot be written or the disk is full; names path and bytes.
    """
    buffer = BytesIO()
    tree.to_netcdf(buffer, engine=ENGINE, encoding=_encodings(tree))
    data = buffer.getvalue()
    return write_bytes(path, (data, seal(data)))


def open_tree(path: str | os.PathLike[str]) -> xr.DataTree:
    """Read a sealed netCDF file into memory, after checking that it is whole and harmless.

    Parameters
    ----------
    path
        A file written by `save_tree`.

    Returns
    -------
    xarray.DataTree
        Equal to the tree that was saved; nothing stays open.

    Raises
    ------
    ResultFileError
        If the file is missing, cut short, changed, not ours, or holds anything but plain data.
    """
    data = _unsealed(Path(path))
    try:
        return _read(data)
    except Exception as error:  # HDF5 reports damage as OSError, KeyError, RuntimeError, ...
        raise ResultFileError(
            f"{shown_path(path)}: cannot be read as a result file: {error}"
        ) from error


def seal(data: bytes) -> bytes:
    """The line that ends a file whose other bytes are ``data``."""
    return seal_line(hashlib.sha256(data).hexdigest())


def seal_line(digest: str) -> bytes:
    """The line that ends a file whose other bytes have this SHA-256."""
    return SEAL + digest.encode() + b"\n"


def _unsealed(path: Path) -> bytes:
    """The netCDF part of a file whose seal agrees with it."""
    shown = shown_path(path)
    try:
        # A pipe or a device would be read for ever.
        mode = path.stat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else b""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ResultFileError(f"{shown}: cannot be opened: {reason}") from error
    if not stat.S_ISREG(mode):
        name_it = ", but a folder: name the posterior.nc in it" if stat.S_ISDIR(mode) else ""
        raise ResultFileError(f"{shown}: is not a regular file{name_it}")
    if not content.startswith(MAGIC):
        raise ResultFileError(
            f"{shown}: is not a netCDF-4 file, as posterior.nc of `bayes-mesa run` is"
        )
    data, end = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if not end.startswith(SEAL):
        raise ResultFileError(
            f"{shown}: does not end in the checksum that bayes_mesa writes: "
            "it was cut short, or changed or made by another program"
        )
    if end != seal(data):
        raise ResultFileError(f"{shown}: is damaged: its content does not match its SHA-256")
    return data


def _read(data: bytes) -> xr.DataTree:
    import h5py
    import xarray as xr

    check_heaps(data)
    with h5py.File(BytesIO(data), "r") as file:
        screen(file, len(data))
    # No decoding of dates: a unit in an attribute must not change a number.
    with xr.open_datatree(
        BytesIO(data),
        engine=ENGINE,
        decode_times=False,
        decode_timedelta=False,
        phony_dims="access",  # h5netcdf warns where it must choose itself
    ) as tree:
        loaded = tree.load()
    return loaded.map_over_datasets(_with_fixed_width_text)


def _with_fixed_width_text(dataset: xr.Dataset) -> xr.Dataset:
    """Text back as NumPy strings: it is stored as characters and arrives as Python objects."""
    if not any(v.dtype.kind == "O" for v in dataset.variables.values()):
        return dataset
    coords = {n: c.astype(str) for n, c in dataset.coords.items() if c.dtype.kind == "O"}
    data = {n: v.astype(str) for n, v in dataset.data_vars.items() if v.dtype.kind == "O"}
    return dataset.assign_coords(coords).assign(data)


def _encodings(tree: xr.DataTree) -> Mapping[str, Mapping[str, dict[str, Any]]]:
    return {
        node.path: {
            str(name): _encoding(v) for name, v in node.to_dataset(inherit=False).variables.items()
        }
        for node in tree.subtree
    }


def _encoding(variable: Any) -> dict[str, Any]:
    return text_encoding(variable) | (COMPRESSION if variable.ndim and variable.size else {})


def text_encoding(variable: Any) -> dict[str, Any]:
    """How a variable's text is stored; nothing for numbers."""
    # Characters, not variable-length strings: those lie in a heap that has no checksum.
    return {"dtype": "S1"} if variable.dtype.kind in "OU" else {}
