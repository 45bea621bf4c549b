"""Arrays of any names, types and shapes as one variable of bytes, and back, bit for bit.

A netCDF variable costs milliseconds to make and to read, whatever it holds; what is only written to
be read back by us, and often, is better packed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from bayes_mesa.errors import ResultFileError

if TYPE_CHECKING:
    import xarray as xr

_KINDS = "biufUS"


def pack(arrays: Mapping[str, np.ndarray]) -> xr.Dataset:
    """A data set with the bytes of all arrays one after another, and an index of them.

    Raises
    ------
    TypeError
        For an array of other things than numbers, booleans and text.
    """
    import xarray as xr

    index, content = [], []
    for name, given in arrays.items():
        array = np.asarray(given)
        if array.dtype.kind not in _KINDS:
            raise TypeError(f"{name}: must hold numbers or text, found {array.dtype}")
        index.append([name, array.dtype.str, list(array.shape)])
        content.append(array.tobytes())
    whole = np.frombuffer(b"".join(content), dtype=np.uint8)
    return xr.Dataset({"bytes": ("byte", whole)}, attrs={"index": json.dumps(index)})


def unpack(packed: xr.Dataset) -> dict[str, np.ndarray]:
    """The arrays of `pack`, by name and in their order, each its own and contiguous.

    Raises
    ------
    ResultFileError
        If the data set is none that `pack` made.
    """
    try:
        content = packed["bytes"].to_numpy().tobytes()
        index, found, start = json.loads(packed.attrs["index"]), {}, 0
        for name, kind, shape in index:
            dtype = np.dtype(kind)
            size = int(np.prod(shape, dtype=np.int64))
            if dtype.kind not in _KINDS:
                raise ValueError(f"{name} is of type {kind}")
            found[name] = np.frombuffer(content, dtype, size, start).reshape(shape).copy()
            start += size * dtype.itemsize
    except (KeyError, TypeError, ValueError) as error:
        raise ResultFileError(f"not a part that bayes_mesa wrote: {error}") from error
    return found
