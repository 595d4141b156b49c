"""Label maps on their own grid come back as they were, or are named."""

import numpy as np
import pytest

from autoseg.errors import CorruptError, DataError
from autoseg.preprocessing.native import read_native, write_native


def test_native_labels_come_back_as_they_were(tmp_path, rng):
    label_map = rng.integers(0, 900, (5, 6, 7)).astype(np.uint16)
    write_native(tmp_path, "patient.01", label_map)
    found = read_native(tmp_path, "patient.01")
    np.testing.assert_array_equal(found, label_map)
    assert found.dtype == np.uint16
    assert (tmp_path / "labels" / "patient.01.npz").exists()


def test_native_labels_are_small_on_disk(tmp_path):
    label_map = np.zeros((40, 128, 128), np.uint8)
    label_map[10:20, 30:60, 30:60] = 1
    write_native(tmp_path, "a", label_map)
    assert (tmp_path / "labels" / "a.npz").stat().st_size < label_map.nbytes / 50


def test_damaged_and_missing_native_labels_are_named(tmp_path):
    with pytest.raises(DataError, match=r"a\.npz: file not found"):
        read_native(tmp_path, "a")
    write_native(tmp_path, "a", np.arange(27, dtype=np.uint8).reshape(3, 3, 3))
    path = tmp_path / "labels" / "a.npz"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(CorruptError, match="is damaged"):
        read_native(tmp_path, "a")
