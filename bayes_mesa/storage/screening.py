"""What an HDF5 container may hold before its values are read: a result file is only ever data.

HDF5 lets a small file name other files (external and soft links, external storage, virtual
datasets), declare arrays far larger than itself, or ask for filter plug-ins. None of that is
needed to store a posterior, so all of it is refused here, before xarray allocates anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import h5py

#: DEFLATE packs at most 1032 bytes into one; a chunk of constants comes close to it.
MAX_RATIO = 1100
#: Bytes that may be declared without being backed by the size of the file.
FREE_BYTES = 1 << 20
MAX_OBJECTS = 10_000
#: Attributes by which a reader computes other values than those stored; none is written here.
_COMPUTED = ("scale_factor", "add_offset", "missing_value", "_Unsigned")


def screen(file: h5py.File, stored_bytes: int) -> None:
    """Raise ValueError, naming the object and the reason, unless ``file`` is plain data.

    Parameters
    ----------
    file
        The open container.
    stored_bytes
        Its size in bytes, against which declared sizes are weighed.
    """
    import h5py

    declared = _attribute_bytes(file)
    for count, (name, item) in enumerate(_objects(file), start=1):
        if count > MAX_OBJECTS:
            raise ValueError(f"it holds more than {MAX_OBJECTS} objects")
        declared += _attribute_bytes(item)
        if isinstance(item, h5py.Dataset):
            _screen_dataset(name, item)
            declared += _declared_bytes(item)
        if declared > MAX_RATIO * stored_bytes + FREE_BYTES:
            raise ValueError(f"{name} declares far more data than the file's {stored_bytes} bytes")


def _objects(file: h5py.File) -> Iterator[tuple[str, Any]]:
    """Every object below the root, two levels deep, each reached by one hard link only."""
    import h5py

    seen = {_address(file)}
    pending = [("", file, 0)]
    while pending:
        prefix, group, depth = pending.pop()
        for key in group:
            name = f"{prefix}/{key}"
            kind = group.get(key, getlink=True)
            if not isinstance(kind, h5py.HardLink):
                raise ValueError(f"{name} is a link to another place, not data")
            item = group[key]
            if (address := _address(item)) in seen:
                raise ValueError(f"{name} stands in two places at once")
            seen.add(address)
            if isinstance(item, h5py.Group):
                if depth == 1:
                    raise ValueError(f"{name} is a group inside a group")
                pending.append((name, item, depth + 1))
            elif not isinstance(item, h5py.Dataset):
                raise ValueError(f"{name} is neither a group nor a dataset")
            yield name, item


def _address(item: Any) -> int:
    import h5py

    return h5py.h5o.get_info(item.id).addr


def _screen_dataset(name: str, item: h5py.Dataset) -> None:
    import h5py

    properties = item.id.get_create_plist()
    if item.is_virtual or properties.get_external_count():
        raise ValueError(f"{name} keeps its values in another file")
    if item.dtype.kind not in "iufbS":
        raise ValueError(f"{name} has values of type {item.dtype}, not numbers or text")
    if item.shape is None:
        raise ValueError(f"{name} has no shape")
    filters = [properties.get_filter(k)[0] for k in range(properties.get_nfilters())]
    allowed = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
    if set(filters) - allowed or len(filters) != len(set(filters)):
        raise ValueError(f"{name} is stored through filters that are not used here: {filters}")
    for length, limit in zip(item.shape, item.maxshape, strict=True):
        # A resizable axis would be padded to whatever length its dimension declares.
        if limit is None and length > 0:
            raise ValueError(f"{name} can be resized")
    if (
        item.chunks
        and item.size
        and any(c > n for c, n in zip(item.chunks, item.shape, strict=True))
    ):
        raise ValueError(f"{name} has chunks larger than itself")
    if computed := [name for name in _COMPUTED if name in item.attrs]:
        raise ValueError(f"{name} has the attribute {computed[0]}, which would change its values")
    stored = item.id.get_storage_size()
    if not _is_bare_dimension(item) and item.nbytes > MAX_RATIO * stored + 64:
        raise ValueError(f"{name} declares {item.nbytes} bytes and stores {stored}")


def _is_bare_dimension(item: h5py.Dataset) -> bool:
    """Whether the dataset only gives a dimension its length; nobody reads its values."""
    label = item.attrs.get("NAME", b"")
    return isinstance(label, bytes) and label.startswith(b"This is a netCDF dimension but not")


def _declared_bytes(item: h5py.Dataset) -> int:
    return 0 if _is_bare_dimension(item) else item.nbytes


def _attribute_bytes(item: Any) -> int:
    """Bytes of text in the attributes (many of them may point to one long string)."""
    total = 0
    for name in item.attrs:
        value = item.attrs[name]
        total += len(value) if isinstance(value, str | bytes) else getattr(value, "nbytes", 64)
        if total > 1 << 28:
            raise ValueError(f"attribute {name} and those before it exceed {1 << 28} bytes")
    return total
