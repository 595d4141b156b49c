"""`.npz` files that are read in place."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import CorruptError
from autoseg.preprocessing import npz

MEMBERS = {
    "image": np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4),
    "flags": np.asarray([[True], [False]]),
    "nothing": np.zeros((0, 3), np.int32),
    "turned": np.asfortranarray(np.arange(6, dtype=np.int16).reshape(2, 3)),
}


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_numpy_reads_what_is_written_whatever_its_size(tmp_path, monkeypatch, large, compress):
    monkeypatch.setattr(npz, "LARGE", 0 if large else 1 << 30)
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        checksums = npz.write_npz(stream, MEMBERS, compress)
    assert checksums.keys() == MEMBERS.keys()
    with np.load(path, allow_pickle=False) as archive:
        for name, array in MEMBERS.items():
            np.testing.assert_array_equal(archive[name], array)


@pytest.mark.parametrize("large", [False, True])
def test_members_are_mapped_aligned_and_read_only(tmp_path, monkeypatch, large):
    monkeypatch.setattr(npz, "LARGE", 0 if large else 1 << 30)
    path = tmp_path / "a.npz"
    with path.open("wb") as stream:
        npz.write_npz(stream, MEMBERS)
    found = npz.map_npz(path, path.stat().st_size)
    for name, array in MEMBERS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    assert found["image"].ctypes.data % npz.ALIGNMENT == 0
    with pytest.raises(ValueError, match="read-only"):
        found["image"][0] = 1


def test_objects_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, evil=np.asarray([{}], dtype=object))
    with pytest.raises(CorruptError, match="array of objects"):
        npz.map_npz(path, path.stat().st_size)
