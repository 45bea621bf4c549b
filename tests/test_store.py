"""Result files come back equal, are written whole or not at all, and damage never passes."""

import errno
import itertools
import os
import signal
import stat
import threading
import time

import h5py
import numpy as np
import pytest
import xarray as xr
from synthetic import family_dataset, posterior_tree

from bayes_mesa.errors import ResultFileError
from bayes_mesa.results.store import names_result, open_posterior, save_posterior
from bayes_mesa.storage import atomic_file, netcdf_file
from bayes_mesa.storage.atomic_file import write_bytes, write_text


def tricky_tree():
    """Booleans, names, infinities, NaN, integers, empty and one-valued things."""
    favored = np.tile([0, 1, -1], (2, 20))
    dataset = family_dataset(favored, facts=2, path=(0.2, 0.1))
    dataset["margin_bits"][0, :2] = [np.inf, -np.inf]
    dataset["rate_crossings"][0, 0] = 2**62
    dataset["pressure"].attrs["units"] = "none"
    tree = posterior_tree({"linear": dataset}, note="", model_text="é" * 70_000)
    tree["constant_data"] = xr.DataTree(
        xr.Dataset(
            {
                "structure_class": ("structure", np.array(["honest", "déceptive", ""])),
                "empty": ("nothing", np.zeros(0)),
                "scalar": 2.5,
            }
        )
    )
    return tree


def small_tree():
    return posterior_tree({"linear": family_dataset(np.tile([0, 1], (2, 10)))})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return save_posterior(small_tree(), tmp_path_factory.mktemp("whole") / "p.nc").read_bytes()


@pytest.fixture
def saved(tmp_path, whole):
    path = tmp_path / "posterior.nc"
    path.write_bytes(whole)
    return path


def test_round_trip_is_equal(tmp_path):
    tree = tricky_tree()
    opened = open_posterior(save_posterior(tree, tmp_path / "p.nc"))
    xr.testing.assert_identical(tree, opened)
    before, after = tree["posterior"].to_dataset(), opened["posterior"].to_dataset()
    for name in before.data_vars:
        assert after[name].dtype == before[name].dtype, name
    assert after["family"].dtype.kind == "U"
    assert opened.attrs["model_text"] == "é" * 70_000


def test_nothing_stays_open(saved):
    tree = open_posterior(saved)
    saved.unlink()
    assert float(tree["posterior"]["pressure"].sum()) > 0


def test_the_same_tree_gives_the_same_bytes(tmp_path, whole):
    assert save_posterior(small_tree(), tmp_path / "a.nc").read_bytes() == whole


def test_numbers_carry_their_own_checksums(saved):
    with h5py.File(saved) as file:
        posterior = file["posterior"]
        for name in ("bits", "structure_favored", "family", "rate_crossings"):
            assert posterior[name].fletcher32, name
            assert posterior[name].compression == "gzip", name


def test_other_readers_open_the_file(saved):
    with xr.open_datatree(saved, engine="h5netcdf") as tree:
        assert "posterior" in tree.children


def test_saving_leaves_one_file(tmp_path):
    save_posterior(small_tree(), tmp_path / "p.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["p.nc"]


def test_no_single_bit_flip_passes(whole, tmp_path):
    rng = np.random.default_rng(42)
    damaged = tmp_path / "damaged.nc"
    for place in rng.integers(0, len(whole) * 8, size=300):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << (place % 8)
        damaged.write_bytes(flipped)
        with pytest.raises(ResultFileError, match="damaged.nc"):
            open_posterior(damaged)


def test_no_truncation_passes(whole, tmp_path):
    cut = tmp_path / "cut.nc"
    for size in (
        0,
        1,
        8,
        100,
        len(whole) // 2,
        len(whole) - netcdf_file.SEAL_BYTES,
        len(whole) - 1,
    ):
        cut.write_bytes(whole[:size])
        with pytest.raises(ResultFileError, match="cut.nc: (is not a netCDF-4|does not end in)"):
            open_posterior(cut)


def test_something_appended_is_noticed(saved):
    with saved.open("ab") as file:
        file.write(b"more")
    with pytest.raises(ResultFileError, match="does not end in the checksum"):
        open_posterior(saved)


@pytest.mark.parametrize("content", [b"", b"CDF\x01 old netCDF", b"{}", b"\x89HDF\r\n\x1a\n"])
def test_a_foreign_file(tmp_path, content):
    path = tmp_path / "foreign.nc"
    path.write_bytes(content)
    with pytest.raises(ResultFileError, match="foreign.nc"):
        open_posterior(path)


def test_a_missing_file_and_a_folder(tmp_path):
    with pytest.raises(ResultFileError, match="none.nc: cannot be opened: No such file"):
        open_posterior(tmp_path / "none.nc")
    with pytest.raises(ResultFileError, match="found a folder without it$"):
        open_posterior(tmp_path)
    (tmp_path / "partial.nc").write_bytes(b"")
    with pytest.raises(ResultFileError, match=r"partial\.nc of an interrupted run is there"):
        open_posterior(tmp_path)


def test_a_runs_folder_is_its_posterior(tmp_path, monkeypatch):
    folder = tmp_path / "discussion"  # a shipped model's name
    folder.mkdir()
    save_posterior(small_tree(), folder / "posterior.nc")
    for path in (folder, str(folder), f"{folder}/"):
        assert open_posterior(path).identical(open_posterior(folder / "posterior.nc"))
        assert names_result(path)
    monkeypatch.chdir(tmp_path)
    assert names_result("./discussion")
    assert not names_result("discussion")
    assert not names_result("nothing_here")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.nc")
    with pytest.raises(ResultFileError, match="is not a regular file"):
        open_posterior(tmp_path / "pipe.nc")


def sealed(path):
    """Give a hostile file the seal that it would have if it were ours."""
    data = path.read_bytes()
    path.write_bytes(data + netcdf_file.seal(data))
    return path


def external_link(file, folder):
    file["posterior"] = h5py.ExternalLink(str(folder / "secret.nc"), "/")


def soft_link(file, _):
    file["posterior"] = h5py.SoftLink("/posterior_linear")


def external_storage(file, folder):
    (folder / "secret").write_bytes(b"12345678")
    group = file.create_group("posterior")
    group.create_dataset("a", (1,), "f8", external=[(str(folder / "secret"), 0, 8)])


def virtual_dataset(file, folder):
    layout = h5py.VirtualLayout((1,), "f8")
    layout[:] = h5py.VirtualSource(str(folder / "secret.nc"), "x", (1,))
    file.create_group("posterior").create_virtual_dataset("a", layout)


def huge_and_empty(file, _):
    file.create_group("posterior").create_dataset("a", (1 << 50,), "f8", chunks=(1 << 10,))


def resizable(file, _):
    file.create_group("posterior").create_dataset("a", data=[1.0], maxshape=(None,))


def unlisted_filter(file, _):
    file.create_group("posterior").create_dataset("a", data=np.arange(99.0), compression="lzf")


def text_in_a_heap(file, _):
    file.create_group("posterior").create_dataset("a", data=["x"], dtype=h5py.string_dtype())


def reference(file, _):
    group = file.create_group("posterior")
    group.create_dataset("a", data=[group.ref], dtype=h5py.ref_dtype)


def loop(file, _):
    file.create_group("posterior")["posterior"] = file["/"]


def two_places(file, _):
    group = file.create_group("posterior")
    group["b"] = group.create_dataset("a", data=[1.0])


def deep(file, _):
    file.create_group("posterior/inner")


def named_type(file, _):
    file["posterior"] = np.dtype("f8")


HOSTILE = {
    external_link: "is a link to another place",
    soft_link: "is a link to another place",
    external_storage: "keeps its values in another file",
    virtual_dataset: "keeps its values in another file",
    huge_and_empty: "declares 9007199254740992 bytes and stores 0",
    resizable: "can be resized",
    unlisted_filter: "filters that are not used here",
    text_in_a_heap: "not numbers or text",
    reference: "not numbers or text",
    loop: "stands in two places at once",
    two_places: "stands in two places at once",
    deep: "is a group inside a group",
    named_type: "is neither a group nor a dataset",
}


@pytest.mark.parametrize("attack", HOSTILE, ids=lambda f: f.__name__)
def test_hostile_files_are_refused(tmp_path, attack):
    path = tmp_path / "hostile.nc"
    with h5py.File(path, "w") as file:
        file.attrs["model"] = "x"
        attack(file, tmp_path)
    with pytest.raises(ResultFileError, match=HOSTILE[attack]) as caught:
        open_posterior(sealed(path))
    assert str(path) in str(caught.value)


def test_a_netcdf_file_of_something_else(tmp_path):
    path = tmp_path / "weather.nc"
    xr.Dataset({"rain": ("day", [1.0, 2.0])}).to_netcdf(path, engine="h5netcdf")
    with pytest.raises(ResultFileError, match="holds no draws of bayes_mesa"):
        open_posterior(sealed(path))


def test_a_full_disk_is_told_with_path_and_bytes(tmp_path, monkeypatch):
    path = write_text(tmp_path / "summary.json", "before")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic_file.os, "fsync", full)
    with pytest.raises(ResultFileError, match=r"summary.json: no room: No space .* after 5 bytes"):
        write_text(path, "after")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


@pytest.mark.skipif(os.name != "posix", reason="needs limits on the size of a file")
def test_a_real_lack_of_room(tmp_path, saved):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        with pytest.raises(ResultFileError, match=r"posterior.nc: no room: File too large"):
            save_posterior(small_tree(), saved)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert open_posterior(saved).identical(small_tree())
    assert [p.name for p in tmp_path.iterdir()] == ["posterior.nc"]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_two_hundred_kills_lose_nothing(tmp_path, saved):
    trees = [small_tree(), posterior_tree({"linear": family_dataset(np.ones((2, 30), int))})]
    rng = np.random.default_rng(42)
    for _ in range(200):
        child = os.fork()
        if child == 0:
            for k in itertools.count():
                save_posterior(trees[k % 2], saved)
        time.sleep(rng.uniform(0.0, 0.3))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        opened = open_posterior(saved)
        assert any(opened.identical(tree) for tree in trees)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_real_full_device(tmp_path):
    with pytest.raises(ResultFileError, match="is not a regular file"):
        write_text("/dev/full", "text")


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ResultFileError, match="nowhere.*cannot be written: No such file"):
        write_text(tmp_path / "nowhere" / "x.json", "text")


def test_an_interrupt_leaves_the_old_file(tmp_path):
    path = write_text(tmp_path / "x.csv", "before")

    def interrupted():
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bytes(path, interrupted())
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv"]


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path):
    path = write_text(tmp_path / "x", "0" * 100_000)
    seen = set()
    done = threading.Event()

    def read():
        while not done.is_set():
            text = path.read_text()
            seen.add((len(text), text[:1], text[-1:]))

    reader = threading.Thread(target=read)
    reader.start()
    for k in range(1, 30):
        write_text(path, str(k % 10) * 100_000)
    done.set()
    reader.join()
    assert seen
    assert all(size == 100_000 and first == last for size, first, last in seen)


def test_a_link_is_followed(tmp_path):
    target = write_text(tmp_path / "real", "before")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_text(link, "after")
    assert link.is_symlink()
    assert target.read_text() == "after"


def test_the_usual_permissions(tmp_path):
    old = os.umask(0o027)
    try:
        path = write_text(tmp_path / "x", "text")
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
