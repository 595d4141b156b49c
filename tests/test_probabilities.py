"""The `.npz` of saved probabilities: what is in it, and that it is read back as it was written."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import CorruptError, DataError, ResourceError
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.probabilities import read_probabilities, write_probabilities

GRID = Geometry((5, 6, 7), (2.0, 1.0, 0.5), (1.0, -2.0, 3.0), (0, 0, 1, 0, -1, 0, 1, 0, 0))
ORGANS = Labels({"liver": (1,), "spleen": (5,)})
BOX = ((1, 4), (0, 2), (3, 7))


def fill(array):
    array[...] = np.random.default_rng(0).random(array.shape).astype(np.float16)


def write(path, labels=ORGANS, box=BOX):
    write_probabilities(path, GRID, box, labels, fill)
    return path


def test_a_reader_of_four_lines_puts_it_on_the_whole_grid(tmp_path):
    with np.load(write(tmp_path / "a.npz")) as saved:
        whole = np.empty((len(saved["channels"]), *saved["shape"]), np.float16)
        whole[...] = saved["outside"][:, None, None, None]
        (z0, z1), (y0, y1), (x0, x1) = saved["box"]
        whole[:, z0:z1, y0:y1, x0:x1] = saved["probabilities"]
    expected = np.zeros((3, 5, 6, 7), np.float16)
    expected[0] = 1
    fill(expected_box := np.empty((3, 3, 2, 4), np.float16))
    expected[:, 1:4, 0:2, 3:7] = expected_box
    assert np.array_equal(whole, expected)
    read = read_probabilities(tmp_path / "a.npz")
    assert np.array_equal(read.whole(), expected)
    assert (read.geometry, read.box) == (GRID, BOX)
    assert (read.channels, read.values) == (("background", "liver", "spleen"), (0, 1, 5))


def test_overlapping_targets_have_no_background_and_are_nowhere_outside(tmp_path):
    regions = Labels({"whole": (1, 2), "core": (2,)})
    read = read_probabilities(write(tmp_path / "a.npz", regions))
    assert read.channels == ("whole", "core")
    assert read.whole()[:, 0].max() == 0


def test_an_empty_box_is_background_everywhere(tmp_path):
    read = read_probabilities(write(tmp_path / "a.npz", box=((0, 0), (0, 0), (0, 0))))
    assert read.inside.shape == (3, 0, 0, 0)
    assert np.array_equal(read.whole().argmax(0), np.zeros(GRID.shape))


def test_same_probabilities_same_bytes_and_nothing_else_is_left(tmp_path):
    one, two = write(tmp_path / "a.npz"), write(tmp_path / "b.npz")
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "b.npz"]


def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ResourceError, match="the disk is full"):
        write(tmp_path / "a.npz")
    assert list(tmp_path.iterdir()) == []


def test_other_files_are_named_as_what_they_are(tmp_path):
    with pytest.raises(DataError, match="file not found"):
        read_probabilities(tmp_path / "gone.npz")
    np.savez(tmp_path / "nnunet.npz", probabilities=np.zeros((2, 1, 1, 1)))
    with pytest.raises(DataError, match=r"holds probabilities, expected the probabilities and box"):
        read_probabilities(tmp_path / "nnunet.npz")
    data = write(tmp_path / "a.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(CorruptError, match="is damaged"):
        read_probabilities(tmp_path / "cut.npz")
