"""Finished parts in a folder: whole, of one job, one process at a time; a full disk is told."""

import errno
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr

from bayes_mesa.domain.beliefs import Known
from bayes_mesa.errors import InputError, ResultFileError
from bayes_mesa.storage import atomic_file
from bayes_mesa.storage.atomic_file import remove_leftovers
from bayes_mesa.storage.fingerprint import fingerprint
from bayes_mesa.storage.folder_lock import FolderLock
from bayes_mesa.storage.packed_arrays import pack, unpack
from bayes_mesa.storage.segments import Segments, clear_parts, holds_parts

JOB = {"kind": "test", "seed": 1, "model": {"name": "a", "content": "0" * 64}}


def part(value=1.0):
    return xr.Dataset({"x": ("place", np.array([value, np.nan, -0.0]))})


def opened(folder, job=JOB, *, resume=True, force=False):
    return Segments.open(folder, job, resume=resume, force=force)


def test_a_part_comes_back_equal(tmp_path):
    with opened(tmp_path / "parts") as segments:
        assert segments.load("a") is None
        segments.save("a", part())
        segments.save("b", xr.DataTree.from_dict({"/": part(), "inner": part(2.0)}))
    with opened(tmp_path / "parts") as segments:
        assert segments.names() == ["a", "b"] == list(segments.found)
        assert "a" in segments
        assert "c" not in segments
        assert segments.load("a").to_dataset().identical(part())
        assert segments.load("b")["inner"].to_dataset().identical(part(2.0))


def test_the_same_part_has_the_same_bytes(tmp_path):
    with opened(tmp_path) as segments:
        segments.save("a", part())
        segments.save("b", part())
    assert (tmp_path / "a.nc").read_bytes() == (tmp_path / "b.nc").read_bytes()


def test_parts_are_neither_dropped_nor_taken_unasked(tmp_path):
    with opened(tmp_path, resume=False) as segments:
        segments.save("a", part())
    with pytest.raises(InputError, match="--resume goes on from them, --force starts anew"):
        opened(tmp_path, resume=False)
    with opened(tmp_path, force=True, resume=False) as segments:
        assert segments.names() == []


def test_parts_of_another_job_are_refused_by_what_differs(tmp_path):
    with opened(tmp_path) as segments:
        segments.save("a", part())
    other = {"kind": "test", "seed": 2, "model": {"name": "a", "content": "1" * 64}, "more": None}
    with pytest.raises(InputError) as caught:
        opened(tmp_path, other)
    assert "now model.content differs; seed is 2 where it was 1: name another" in str(caught.value)
    with opened(tmp_path) as segments:  # nothing of it is lost, and the lock is free
        assert segments.names() == ["a"]


def test_a_damaged_description_is_told(tmp_path):
    opened(tmp_path).close()
    (tmp_path / "job.json").write_text("{")
    with pytest.raises(ResultFileError, match="job.json: is damaged.*--force starts anew"):
        opened(tmp_path)
    opened(tmp_path, force=True).close()


def test_a_damaged_part_is_set_aside_and_told(tmp_path):
    with opened(tmp_path) as segments:
        segments.save("a", part())
        path = tmp_path / "a.nc"
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=r"a.nc: is damaged.*a.nc.damaged and is computed"):
            assert segments.load("a") is None
        assert segments.names() == []
        assert (tmp_path / "a.nc.damaged").read_bytes() == content
        segments.save("a", part())
        segments.clear()
    assert not tmp_path.exists()


def test_clearing_takes_the_description_first(tmp_path, monkeypatch):
    with opened(tmp_path) as segments:
        segments.save("a", part())
        removed = []

        def unlink(path, missing_ok=False):
            removed.append(path.name)
            if len(removed) == 2:
                raise KeyboardInterrupt  # as good as a kill

        monkeypatch.setattr(type(tmp_path), "unlink", unlink)
        with pytest.raises(KeyboardInterrupt):
            segments.clear()
    assert removed[:2] == ["job.json", "a.nc"]


def test_parts_without_a_description_are_what_a_clearing_left(tmp_path):
    with opened(tmp_path) as segments:
        segments.save("a", part())
    (tmp_path / "job.json").unlink()
    assert not holds_parts(tmp_path)
    with opened(tmp_path, resume=False) as segments:
        assert segments.names() == []


def test_whatever_is_there_can_be_cleared(tmp_path):
    with opened(tmp_path / "parts") as segments:
        segments.save("a", part())
    clear_parts(tmp_path / "parts")
    clear_parts(tmp_path / "parts")
    assert list(tmp_path.iterdir()) == []


def test_what_killed_writers_left_is_removed(tmp_path):
    left = tmp_path / ".a.nc.0123456789ab.tmp"
    others = [tmp_path / name for name in (".b.nc.0123456789ab.tmp", "a.nc", ".a.nc.tmp", "x.tmp")]
    for path in (left, *others):
        path.write_text("")
    remove_leftovers(tmp_path, ["a.nc"])
    assert sorted(tmp_path.iterdir()) == sorted(others)
    remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others[1:])


@pytest.mark.parametrize("name", ["", ".hidden", "../a", "a/b", "a\nb", "a" * 151])
def test_a_name_that_is_no_file_of_the_folder(tmp_path, name):
    with opened(tmp_path) as segments, pytest.raises(InputError, match="a part's name must be"):
        segments.save(name, part())


# --- one process at a time -------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from bayes_mesa.storage.folder_lock import FolderLock
with FolderLock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_refused_by_the_first_ones_number(tmp_path):
    with opened(tmp_path), pytest.raises(InputError) as caught:
        opened(tmp_path)
    assert f"{tmp_path}: must be used by one run at a time, but process {os.getpid()} is" in str(
        caught.value
    )
    opened(tmp_path).close()


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_a_lock_ends_with_its_process(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(InputError, match=f"process {holder.pid} is at work"):
                FolderLock(tmp_path).take()
        finally:
            holder.send_signal(signal.SIGKILL)
        holder.wait()
    with FolderLock(tmp_path) as lock:
        assert lock.held
    assert list(tmp_path.iterdir()) == []


# --- disks that are full or refuse -----------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, code):
    with opened(tmp_path) as segments:
        segments.save("a", part())
        with monkeypatch.context() as patched:

            def full(_):
                raise OSError(code, os.strerror(code))

            patched.setattr(atomic_file.os, "fsync", full)
            for name in ("a", "b"):
                with pytest.raises(ResultFileError, match=rf"{name}.nc: no room: .* \d+ bytes"):
                    segments.save(name, part(2.0))
        assert segments.names() == ["a"]
        assert segments.load("a").to_dataset().identical(part())
    assert {path.name for path in tmp_path.iterdir()} == {"a.nc", "job.json"}


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with monkeypatch.context() as patched:  # the superuser may write anywhere
        patched.setattr(os, "open", refuse)
        with pytest.raises(ResultFileError, match="lock: cannot be written: Permission denied"):
            opened(tmp_path)
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(ResultFileError, match="lock: cannot be written: Permission denied"):
            opened(tmp_path)
        tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultFileError, match="file/parts: must be a folder that can be made"):
        opened(tmp_path / "file" / "parts")


# --- arrays in a part, and digests -----------------------------------------------------------


def test_packed_arrays_come_back_bit_for_bit():
    nan = np.frombuffer(b"\x01\x02\x03\x04\x05\x06\xf8\x7f", dtype="f8")
    arrays = {
        "of/any name, é": np.arange(6.0).reshape(2, 3).T,
        "": np.array(7, dtype=np.int64),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "nan": nan,
        "flags": np.array([True, False]),
        "words": np.array([["a", "déf"]]),
    }
    found = unpack(pack(arrays))
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert found[name].flags.c_contiguous
        assert found[name].flags.writeable
    with pytest.raises(TypeError, match="x: must hold numbers or text, found object"):
        pack({"x": np.array([None])})
    with pytest.raises(ResultFileError, match="not a part that bayes_mesa wrote"):
        unpack(part())


def test_a_digest_tells_values_apart():
    values = [
        None, False, 0, 0.0, -0.0, "", (), {}, frozenset(), "0", (0,), (0, 0), ((0,), 0),
        {"a": 1, "b": 2}, {"b": 2, "a": 1}, frozenset({1, 2}), Known(1.0), Known(1.0 + 2**-52),
        np.array([0.0]), np.array([0]), np.array([[0.0]]), np.array([-0.0]), np.array(["0"]),
    ]  # fmt: skip
    digests = [fingerprint(value) for value in values]
    assert len(set(digests)) == len(values)
    assert fingerprint(np.float64(2.5)) == fingerprint(2.5)
    assert fingerprint(frozenset("abcdef")) == fingerprint(frozenset("fedcba"))
    assert fingerprint(Known(1.0), without=["value"]) == fingerprint(Known(2.0), without=["value"])
    with pytest.raises(TypeError, match="no digest of a object"):
        fingerprint(object())


def test_a_digest_is_the_same_in_another_process():
    code = (
        "from bayes_mesa.model_file import load_model as m;"
        "from bayes_mesa.storage.fingerprint import fingerprint as f;"
        "print(f(m('program_space')))"
    )
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    from bayes_mesa.model_file import load_model

    assert done.stdout.strip() == fingerprint(load_model("program_space"))


def test_a_description_is_readable(tmp_path):
    opened(tmp_path).close()
    assert json.loads((tmp_path / "job.json").read_text()) == JOB
