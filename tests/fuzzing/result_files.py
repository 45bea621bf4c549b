"""Damaged, foreign and hostile result files, each from a seed and a number."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Any

SEAL = b"\nbayes_mesa-sha256 "
SEAL_BYTES = len(SEAL) + 65
Damage = Callable[[bytes, Random], bytes]


@dataclass(frozen=True)
class ResultCase:
    """Bytes of a file, how they came about, and whether they carry a seal that agrees with them.

    ``sealed`` files may open: someone who can write a seal can write a result. Others never may.
    """

    kind: str
    content: bytes
    sealed: bool


def sealed(data: bytes) -> bytes:
    """The bytes with the line that a result file ends in."""
    return data + SEAL + hashlib.sha256(data).hexdigest().encode() + b"\n"


# Damage -------------------------------------------------------------------------------------------


def _cut(data: bytes, rng: Random) -> bytes:
    """Cut short: anywhere, at a block of the disk, at a structure of HDF5, within the seal."""
    marks = [data.find(m, rng.randrange(len(data))) for m in (b"TREE", b"SNOD", b"FRHP", b"GCOL")]
    blocks = [k for k in (512, 4096, 65536) if k < len(data)]
    ends = (
        rng.randrange(len(data)),
        rng.choice(blocks) * rng.randrange(1, 8),
        len(data) - rng.randrange(1, 120),
        rng.randrange(100),
        max(marks),
    )
    return data[: max(0, rng.choice(ends)) % len(data)]


def _flip(data: bytes, rng: Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 16))):
        low = rng.choice((0, 0, 0, len(data) - SEAL_BYTES, len(data) // 2))
        changed[rng.randrange(low, len(data))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _swap(data: bytes, rng: Random) -> bytes:
    """Two blocks of the same size in each other's place."""
    size = min(rng.choice((1, 8, 64, 512, 4096)), len(data) // 3)
    first, second = sorted(rng.sample(range(len(data) // size), 2))
    a, b = data[first * size :][:size], data[second * size :][:size]
    return (
        data[: first * size]
        + b
        + data[first * size + size : second * size]
        + a
        + data[second * size + size :]
    )


def _blank(data: bytes, rng: Random) -> bytes:
    """A block never written, or written with something else."""
    size = min(rng.choice((1, 4, 64, 512, 4096)), len(data))
    at = rng.randrange(len(data) - size + 1)
    new = rng.choice((b"\0" * size, b"\xff" * size, rng.randbytes(size)))
    return data[:at] + new + data[at + size :]


def _add(data: bytes, rng: Random) -> bytes:
    more = rng.choice((b"\n", b"\0", b"\0" * 512, rng.randbytes(30), data[-SEAL_BYTES:], data))
    at = rng.choice((len(data), len(data), 0, rng.randrange(len(data))))
    return data[:at] + more + data[at:]


def _leave_out(data: bytes, rng: Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.choice((1, 8, 512)) :]


def _wrong_seal(data: bytes, rng: Random) -> bytes:
    body, line = data[:-SEAL_BYTES], data[-SEAL_BYTES:]
    wrong = (
        line.upper(),
        SEAL + hashlib.sha256(data).hexdigest().encode() + b"\n",
        SEAL + hashlib.sha512(body).hexdigest()[:64].encode() + b"\n",
        SEAL + b"0" * 64 + b"\n",
        line.replace(b"\n", b"\r"),
        line[1:],
        b"",
        line + line,
    )
    return body + rng.choice(wrong)


def _stale(data: bytes, rng: Random) -> bytes:
    """A seal that was right before the content changed."""
    return _blank(data[:-SEAL_BYTES], rng) + data[-SEAL_BYTES:]


DAMAGES: tuple[Damage, ...] = (
    *(_cut, _cut, _flip, _flip, _flip, _swap, _blank, _add, _leave_out, _wrong_seal, _stale),
)


# Foreign ------------------------------------------------------------------------------------------


def _foreign(data: bytes, rng: Random) -> bytes:
    """A file of another kind, whole or cut, with a seal or without."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("posterior.nc", data[:1000])
    kinds = (
        b"",
        b"\0" * 5000,
        b"CDF\x01" + b"\0" * 28,
        b"CDF\x02" + rng.randbytes(200),
        archive.getvalue(),
        gzip.compress(data),
        data.hex().encode(),
        json.dumps({"model": "x"}).encode(),
        b"<!doctype html><title>not found</title>",
        b'[model]\nname = "x"\n',
        b"\x80\x04\x95\x1f\x00\x00\x00\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        rng.randbytes(rng.randrange(5000)),
        data[:8] + rng.randbytes(rng.randrange(3000)),
    )
    return rng.choice(kinds)


# Hostile: HDF5 whose seal is right ----------------------------------------------------------------


def _hostile(_: bytes, rng: Random) -> bytes:
    """A container with one to three things that a result never holds."""
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=rng.choice(("earliest", "latest", None))) as file:
        file.attrs["model"] = "x"
        for attack in rng.sample(ATTACKS, rng.choice((1, 1, 2, 3))):
            # HDF5 itself refuses to write some of it.
            with suppress(ValueError, TypeError, OSError, RuntimeError, KeyError):
                attack(file, rng)
    return buffer.getvalue()


def _group(file: Any, rng: Random) -> Any:
    return file.require_group(rng.choice(("posterior", "prior", "posterior_linear")))


def _links(file: Any, rng: Random) -> None:
    import h5py

    target = rng.choice(("/etc/passwd", "posterior.nc", "../x.nc", "", "\u202e"))
    links = (
        h5py.ExternalLink(target, "/"),
        h5py.SoftLink("/posterior"),
        h5py.SoftLink(target or "/"),
    )
    _group(file, rng)[f"link{rng.random()}"] = rng.choice(links)


def _external(file: Any, rng: Random) -> None:
    name = rng.choice(("/etc/passwd", "/dev/zero", "other.bin"))
    _group(file, rng).create_dataset(f"e{rng.random()}", (8,), "u1", external=[(name, 0, 8)])


def _virtual(file: Any, rng: Random) -> None:
    import h5py

    layout = h5py.VirtualLayout((4,), "f8")
    layout[:] = h5py.VirtualSource(rng.choice(("other.nc", ".")), "x", (4,))
    _group(file, rng).create_virtual_dataset(f"v{rng.random()}", layout)


def _declared(file: Any, rng: Random) -> None:
    """Far more than is stored: one array, or very many that are each just bearable."""
    size = rng.choice((1 << 20, 1 << 40, 1 << 50))
    group = _group(file, rng)
    for k in range(rng.choice((1, 20))):
        kwargs: dict[str, Any] = rng.choice(({"chunks": (1 << 10,)}, {}))
        group.create_dataset(f"d{k}-{rng.random()}", (size,), "f8", **kwargs)


def _filters(file: Any, rng: Random) -> None:
    import numpy as np

    chosen: dict[str, Any] = rng.choice(
        ({"compression": "lzf"}, {"scaleoffset": 2}, {"compression": "gzip", "shuffle": True})
    )
    _group(file, rng).create_dataset(f"f{rng.random()}", data=np.arange(99), **chosen)


def _bomb(file: Any, rng: Random) -> None:
    """Zeros: a thousand bytes out of one."""
    import numpy as np

    size = rng.choice((10**5, 10**6))
    _group(file, rng).create_dataset(
        f"b{rng.random()}", data=np.zeros(size), compression="gzip", chunks=(size // 10,)
    )


def _circle(file: Any, rng: Random) -> None:
    group = _group(file, rng)
    group[f"c{rng.random()}"] = rng.choice((file["/"], group))


def _deep(file: Any, rng: Random) -> None:
    file.require_group("posterior/" + "/".join("g" * rng.choice((1, 50, 500))))


def _attributes(file: Any, rng: Random) -> None:
    import h5py
    import numpy as np

    group = rng.choice((file, _group(file, rng)))
    value = rng.choice(
        (
            "x" * 60_000,
            b"\xff\xfe",
            np.zeros(7000),
            h5py.Empty("f8"),
            np.array([file.ref, file.ref], dtype=h5py.ref_dtype),
            np.array([("a", 1.0)], dtype=[("x", "S1"), ("y", "f8")]),
            np.array(["é", "y"], dtype=h5py.string_dtype()),
        )
    )
    names = ("_FillValue", "scale_factor", "add_offset", "dtype", "units", "coordinates", "CLASS")
    more = ("DIMENSION_LIST", "REFERENCE_LIST", "_Netcdf4Dimid", "_Netcdf4Coordinates", "NAME", "é")
    for name in rng.sample((*names, *more), rng.choice((1, 3))):
        group.attrs[name] = value


def _coded(file: Any, rng: Random) -> None:
    """Attributes that tell xarray to compute something else from the values."""
    import numpy as np

    item = _group(file, rng).create_dataset(f"x{rng.random()}", data=np.arange(4.0))
    given: dict[str, Any] = {
        "scale_factor": rng.choice((0.0, float("nan"), "text", 1e308)),
        "add_offset": "x",
        "_FillValue": rng.choice((1.0, "x", b"ab")),
        "units": "days since 0000-00-00",
        "calendar": "none",
        "coordinates": "a b c /x ../y",
        "_Unsigned": "true",
        "dtype": rng.choice(("bool", "object", "O", "datetime64[ns]")),
        "NAME": rng.choice(
            ("This is a netCDF dimension but not a netCDF variable. 7", "x", b"\xff")
        ),
        "CLASS": "DIMENSION_SCALE",
        "_Netcdf4Dimid": rng.choice((0, -1, 2**31 - 1, "x")),
    }
    for name in rng.sample(sorted(given), rng.choice((1, 2, 4))):
        item.attrs[name] = given[name]


def _types(file: Any, rng: Random) -> None:
    import h5py
    import numpy as np

    group = _group(file, rng)
    values = (
        np.array([group.ref], dtype=h5py.ref_dtype),
        np.array(["x"], dtype=h5py.string_dtype()),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([b"raw"], dtype="V3"),
        np.array([1 + 2j]),
        np.array([1, 0], dtype=h5py.enum_dtype({"NO": 0, "YES": 1}, basetype="i1")),
        np.zeros((1,) * 32),
    )
    group.create_dataset(f"t{rng.random()}", data=rng.choice(values))


def _named(file: Any, rng: Random) -> None:
    """A committed type, or very many groups, or names that no one would write."""
    import numpy as np

    if rng.randrange(2):
        file[f"type{rng.random()}"] = np.dtype("f8")
    for name in rng.choice((["\u202e", "a\nb"], [f"posterior_{k}" for k in range(50)], ["\ud7ff"])):
        file.require_group(name)


def _scales(file: Any, rng: Random) -> None:
    """Dimensions that contradict one another."""
    import numpy as np

    group = _group(file, rng)
    long = group.create_dataset(f"s{rng.random()}", data=np.arange(rng.choice((0, 3))))
    long.make_scale("This is a netCDF dimension but not a netCDF variable.        77")
    item = group.create_dataset(f"y{rng.random()}", data=np.arange(5.0))
    for _ in range(rng.choice((1, 2))):
        item.dims[0].attach_scale(long)


ATTACKS = (
    *(_links, _external, _virtual, _declared, _filters, _bomb, _circle, _deep, _attributes),
    *(_coded, _types, _named, _scales),
)


def result_case(seed: int, number: int, whole: bytes) -> ResultCase:
    """The file of this number, made out of a sound one; never equal to it."""
    rng = Random(f"{seed}/result/{number}")
    chosen = rng.random()
    if chosen < 0.55:
        damage = rng.choice(DAMAGES)
        content = damage(whole, rng)
        if content == whole:  # two equal blocks in each other's place, say
            content = whole[:-1]
        return ResultCase(damage.__name__.strip("_"), content, sealed=False)
    if chosen < 0.65:
        content = _foreign(whole, rng)
        return ResultCase("foreign", content, sealed=False)
    if chosen < 0.85:
        return ResultCase("hostile", sealed(_hostile(whole, rng)), sealed=True)
    # Damage under a right seal: nothing but HDF5's own checks, and ours, stand before it.
    damage = rng.choice((_flip, _flip, _swap, _blank, _cut, _leave_out))
    body = whole[:-SEAL_BYTES] if rng.random() < 0.7 else _hostile(whole, rng)
    changed = damage(body, rng)
    if changed == body:
        changed = body[:-1]
    return ResultCase(f"resealed {damage.__name__.strip('_')}", sealed(changed), sealed=True)
