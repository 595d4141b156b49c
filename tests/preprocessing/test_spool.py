"""Scans that wait between their check and their preparation."""

import contextlib
import os

import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.image import Geometry, Image
from autoseg.preprocessing.spool import drop, put, spool, take

GEOMETRY = Geometry((3, 4, 5), (3.0, 0.7, 0.7), (-1.0, 2.5, 7.0))


@pytest.fixture
def kept(tmp_path):
    source = tmp_path / "scan.nii.gz"
    source.write_bytes(b"scan")
    case = Case("patient.01", (source,))
    array = np.random.default_rng(0).integers(-1000, 1000, (2, 3, 4, 5)).astype(np.int16)
    labels = (array[:1] > 0).astype(np.uint8)
    folder = tmp_path / "decoded"
    put(folder, case, Image(array, GEOMETRY), Image(labels, GEOMETRY))
    return folder, case, array, labels


def test_what_is_put_is_taken_as_it_was(kept):
    folder, case, array, labels = kept
    image, label_map = take(folder, case)
    assert image.array.dtype == np.int16
    np.testing.assert_array_equal(image.array, array)
    np.testing.assert_array_equal(label_map.array, labels)
    assert image.geometry == label_map.geometry == GEOMETRY


def test_a_file_that_changed_since_is_read_again(kept):
    folder, case, *_ = kept
    os.utime(case.images[0], ns=(1, 1))
    assert take(folder, case) is None


def test_what_is_damaged_missing_or_not_wanted_is_read_again(kept):
    folder, case, *_ = kept
    path = folder / "patient.01.npz"
    path.write_bytes(path.read_bytes()[:-1])
    assert take(folder, case) is None
    assert take(folder, Case("other", case.images)) is None
    assert take(None, case) is None


def test_a_dropped_scan_leaves_nothing(kept):
    folder, case, *_ = kept
    drop(folder, case)
    drop(folder, case)
    drop(None, case)
    assert list(folder.iterdir()) == []


def test_the_folder_is_gone_afterwards_and_what_a_killed_run_left_before(tmp_path):
    folder = tmp_path / "decoded"
    folder.mkdir()
    (folder / "old.npz").touch()
    with spool(folder, wanted=True) as place:
        assert place == folder
        assert not folder.exists()
        folder.mkdir()
    assert not folder.exists()
    with contextlib.suppress(KeyError), spool(folder, wanted=True):
        folder.mkdir()
        raise KeyError
    assert not folder.exists()
    with spool(folder, wanted=False) as place:
        assert place is None
