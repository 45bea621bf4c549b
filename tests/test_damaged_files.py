"""Damaged, foreign and hostile result files: no silent change, no crash, one error with a reason.

Each file is read in a process of its own kind, so that a crash or a hang in the HDF5 library counts
as a failure instead of ending the tests.
"""

import os

import h5py
import numpy as np
import pytest
from fuzzing.result_campaign import run_results
from fuzzing.result_files import DAMAGES, SEAL_BYTES, result_case, sealed
from synthetic import family_dataset, posterior_tree

from bayes_mesa import ResultFileError, open_posterior, save_posterior

SEED = int(os.environ.get("BAYES_MESA_FUZZ_SEED", "42"))


@pytest.fixture
def folder(tmp_path):
    tree = posterior_tree({"linear": family_dataset(np.tile([0, 1], (2, 10)))}, model_text="é" * 99)
    save_posterior(tree, tmp_path / "whole.nc")
    return tmp_path


def shown(tally):
    kinds = "\n".join(f"{count:6} {kind}" for kind, count in sorted(tally.counts.items()))
    return f"seed {SEED}\n{kinds}\n" + "\n".join(tally.failures)


def checked(tally, count):
    print(shown(tally))
    assert sum(tally.counts.values()) == count
    assert not tally.failures, shown(tally)
    assert tally.counts["foreign: refused"] > 0
    assert tally.counts["hostile: refused"] > 0


def test_three_hundred_damaged_files(folder):
    checked(run_results(folder, SEED, 300), 300)


@pytest.mark.slow
def test_ten_thousand_damaged_files(folder):
    checked(run_results(folder, SEED, 10_000, processes=2), 10_000)


def swept(folder):
    import bayes_mesa as bm

    over = {"exchange.linear.rate": [1.0, 10.0, 100.0], "selection.pressure.loc": [0.0, 1.0]}
    bm.sweep("speed_simplicity", over, out=folder / "out", num_samples=10, num_chains=1, workers=1)
    (folder / "out" / "sweep.nc").rename(folder / "whole.nc")
    return folder


def test_fifty_damaged_sweeps(tmp_path):
    checked(run_results(swept(tmp_path), SEED, 50, reader="open_sweep"), 50)


@pytest.mark.slow
def test_a_thousand_damaged_sweeps(tmp_path):
    checked(run_results(swept(tmp_path), SEED, 1000, processes=2, reader="open_sweep"), 1000)


def test_the_same_number_is_the_same_file(folder):
    whole = (folder / "whole.nc").read_bytes()
    for number in range(100):
        case = result_case(SEED, number, whole)
        again = result_case(SEED, number, whole)
        assert case.kind == again.kind
        assert case.content != whole
        # HDF5 writes the time into what it creates.
        assert "hostile" in case.kind or case.sealed or case.content == again.content
    assert len({result_case(SEED, n, whole).kind for n in range(400)}) > len(set(DAMAGES))


def test_a_change_that_passes_would_be_seen(folder, monkeypatch):
    """The campaign's own check: a reader that trusted every seal would let changes through."""
    from bayes_mesa.storage import netcdf_file

    whole = (folder / "whole.nc").read_bytes()
    monkeypatch.setattr(netcdf_file, "_unsealed", lambda path: path.read_bytes()[:-SEAL_BYTES])
    text = b"speed_simplicity"
    changed = whole.replace(text, b"speed_SIMPLICITY", 1)
    assert changed != whole
    (folder / "changed.nc").write_bytes(changed)
    assert open_posterior(folder / "changed.nc").attrs["model"] != text.decode()


def test_a_circle_in_a_heap_is_refused_before_hdf5_follows_it(folder):
    """HDF5 goes round for ever where a heap's free space says that it has 0 bytes."""
    whole = (folder / "whole.nc").read_bytes()[:-SEAL_BYTES]
    at = whole.index(b"GCOL\x01")
    hostile = sealed(whole[: at + 16] + bytes(16) + whole[at + 32 :])
    (folder / "heap.nc").write_bytes(hostile)
    with pytest.raises(ResultFileError, match="the heap at byte .* holds a value of 0 bytes"):
        open_posterior(folder / "heap.nc")


@pytest.mark.parametrize("name", ["scale_factor", "add_offset", "missing_value", "_Unsigned"])
def test_an_attribute_that_would_change_values_is_refused(folder, name):
    with h5py.File(folder / "new.nc", "w") as file:
        file.attrs["model"] = "x"
        values = file.create_group("posterior").create_dataset("a", data=np.arange(3.0))
        values.attrs[name] = 2.0
    (folder / "new.nc").write_bytes(sealed((folder / "new.nc").read_bytes()))
    with pytest.raises(ResultFileError, match=f"attribute {name}, which would change its values"):
        open_posterior(folder / "new.nc")
