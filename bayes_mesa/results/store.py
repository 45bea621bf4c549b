"""Result files: written whole or not at all, and checked to the last bit when opened.

A posterior is a netCDF-4 file whose numbers and names are compressed and carry HDF5's Fletcher-32
sums, followed by one line with the SHA-256 of everything before it. HDF5 ignores what stands after
its end, so any netCDF reader opens the file; we read the line first, and hand nothing to the HDF5
library (which may crash or hang on damaged metadata) that is not byte for byte what was written.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bayes_mesa.errors import ResultFileError
from bayes_mesa.results.screening import screen

if TYPE_CHECKING:
    import xarray as xr

ENGINE: Final = "h5netcdf"
MAGIC = b"\x89HDF\r\n\x1a\n"
SEAL = b"\nbayes_mesa-sha256 "
SEAL_BYTES = len(SEAL) + 64 + 1
COMPRESSION = {"zlib": True, "complevel": 4, "fletcher32": True}


def save_posterior(tree: xr.DataTree, path: str | os.PathLike[str]) -> Path:
    """Write a result tree as netCDF, atomically; the same tree gives the same bytes.

    Parameters
    ----------
    tree
        What `fit` or `sample_programs` returned.
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
    return write_bytes(path, (data, _seal(data)))


def open_posterior(path: str | os.PathLike[str]) -> xr.DataTree:
    """Read a result file into memory, after checking that it is whole, unchanged and harmless.

    Parameters
    ----------
    path
        A file written by `save_posterior`.

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
        tree = _read(data)
    except Exception as error:  # HDF5 reports damage as OSError, KeyError, RuntimeError, ...
        raise ResultFileError(f"{path}: cannot be read as a result file: {error}") from error
    if "model" not in tree.attrs or not any(_holds_draws(name) for name in tree.children):
        raise ResultFileError(f"{path}: holds no draws of bayes_mesa")
    return tree


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write UTF-8 text atomically; see `write_bytes`."""
    return write_bytes(path, (text.encode(),))


def write_bytes(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> Path:
    """Write a file so that its name holds either what stood there before or all of ``chunks``.

    The bytes go to a temporary file in the same folder, which is flushed to disk, renamed onto
    ``path``, and the folder flushed. A link is followed. On any failure, an interrupt included,
    the temporary file is removed.

    Raises
    ------
    ResultFileError
        If the operating system refuses; names the path, the bytes written so far and the reason.
    """
    target = _target(path)
    if target.exists() and not target.is_file():
        raise ResultFileError(f"{path}: cannot be written: it is not a regular file")
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    written = 0
    try:
        with open(temporary, "xb") as file:
            for chunk in chunks:
                file.write(chunk)
                written += len(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
        _sync_folder(target.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ResultFileError(_refusal(path, written, error)) from error
        raise
    return Path(path)


def _target(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(os.path.realpath(os.fspath(path)))
    except (TypeError, ValueError, OSError) as error:
        raise ResultFileError(f"{_shown(path)}: is not a usable path: {error}") from error


def _shown(path: object) -> str:
    text = str(path)
    return text if text.isprintable() else repr(text)


def _refusal(path: str | os.PathLike[str], written: int, error: OSError) -> str:
    reason = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{path}: no room: {reason} after {written} bytes; nothing was left behind"
    return f"{path}: cannot be written: {reason} ({written} bytes were ready)"


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _seal(data: bytes) -> bytes:
    return SEAL + hashlib.sha256(data).hexdigest().encode() + b"\n"


def _unsealed(path: Path) -> bytes:
    """The netCDF part of a result file whose seal agrees with it."""
    try:
        # A pipe or a device would be read for ever.
        mode = path.stat().st_mode
        content = path.read_bytes() if stat.S_ISREG(mode) else b""
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ResultFileError(f"{_shown(path)}: cannot be opened: {reason}") from error
    if not stat.S_ISREG(mode):
        name_it = ", but a folder: name the posterior.nc in it" if stat.S_ISDIR(mode) else ""
        raise ResultFileError(f"{_shown(path)}: is not a regular file{name_it}")
    if not content.startswith(MAGIC):
        raise ResultFileError(
            f"{path}: is not a netCDF-4 file, as posterior.nc of `bayes-mesa run` is"
        )
    data, seal = content[:-SEAL_BYTES], content[-SEAL_BYTES:]
    if not seal.startswith(SEAL):
        raise ResultFileError(
            f"{path}: does not end in the checksum that bayes_mesa writes: "
            "it was cut short, or changed or made by another program"
        )
    if seal != _seal(data):
        raise ResultFileError(f"{path}: is damaged: its content does not match its SHA-256")
    return data


def _read(data: bytes) -> xr.DataTree:
    import h5py
    import xarray as xr

    with h5py.File(BytesIO(data), "r") as file:
        screen(file, len(data))
    # No decoding of dates: a unit in an attribute must not change a number.
    with xr.open_datatree(
        BytesIO(data), engine=ENGINE, decode_times=False, decode_timedelta=False
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


def _holds_draws(group: str) -> bool:
    return group.split("_")[0] in ("posterior", "prior", "programs")


def _encodings(tree: xr.DataTree) -> Mapping[str, Mapping[str, dict[str, Any]]]:
    return {
        node.path: {
            str(name): _encoding(v) for name, v in node.to_dataset(inherit=False).variables.items()
        }
        for node in tree.subtree
    }


def _encoding(variable: Any) -> dict[str, Any]:
    # Characters, not variable-length strings: those lie in a heap that has no checksum.
    text = {"dtype": "S1"} if variable.dtype.kind in "OU" else {}
    return text | (COMPRESSION if variable.ndim and variable.size else {})
