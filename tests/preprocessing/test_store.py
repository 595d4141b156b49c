"""Prepared cases on disk."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest

from autoseg.errors import CorruptError, DataError
from autoseg.labels import Labels
from autoseg.preprocessing.foreground import foreground_positions
from autoseg.preprocessing.store import open_prepared, read_sidecar, write_prepared


def test_what_is_written_is_what_is_opened(stored):
    folder, case, image, indices, frame, _, _ = stored
    found = open_prepared(folder, case.id)
    assert np.abs(found.image - image).max() <= 1e-3 * image.std()
    np.testing.assert_array_equal(found.labels, indices)
    assert found.frame == frame
    assert (found.id, found.group, found.tags) == ("patient.01", "patient", ("control", "site-A"))
    assert found.annotated is None
    assert not found.image.flags.writeable


def test_numpy_opens_the_file_too(stored):
    folder, case, _, indices, _, _, _ = stored
    found = open_prepared(folder, case.id)
    with np.load(folder / "patient.01.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {"image", "labels", "foreground", "foreground_offsets"}
        np.testing.assert_array_equal(archive["labels"], indices)
        np.testing.assert_array_equal(archive["image"], found.image)


def test_arrays_are_mapped_where_they_lie_and_aligned(stored):
    folder, case, *_ = stored
    found = open_prepared(folder, case.id)
    for array in (found.image, found.labels, found.foreground[0]):
        assert not array.flags.owndata
        assert array.flags.aligned
    assert found.image.ctypes.data % 64 == 0
    with zipfile.ZipFile(folder / "patient.01.npz") as archive:
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_case_is_pickled_as_its_path(stored):
    folder, case, _, indices, _, _, _ = stored
    sent = pickle.dumps(open_prepared(folder, case.id))
    assert len(sent) < 1000
    np.testing.assert_array_equal(pickle.loads(sent).labels, indices)


def test_half_precision_only_where_it_is_exact_enough(stored, rng):
    folder, case, image, indices, frame, plan, _ = stored
    calm = np.clip(image, -2, 2)
    wide = image.copy()
    wide[0, 0, 0, 0] = 6.001  # float16 has steps of 0.004 there
    huge = image.copy()
    huge[0, 0, 0, 0] = 1e6  # beyond float16
    for array, dtype in ((calm, np.float16), (wide, np.float32), (huge, np.float32)):
        write_prepared(folder, case, array, indices, frame, plan.labels)
        found = open_prepared(folder, case.id).image
        assert found.dtype == dtype
        assert np.abs(found.astype(float) - array).max() <= 1e-3 * array.std()


def test_the_same_case_gives_the_same_bytes(stored):
    folder, case, image, indices, frame, plan, _ = stored
    files = [folder / "patient.01.npz", folder / "patient.01.json"]
    recipe = read_sidecar(folder, case.id).recipe
    before = [path.read_bytes() for path in files]
    write_prepared(folder, case, image, indices, frame, plan.labels, recipe)
    assert [path.read_bytes() for path in files] == before


def test_the_sidecar_is_readable_and_counts_labels(stored):
    folder, _, _, indices, _, _, _ = stored
    sidecar = json.loads((folder / "patient.01.json").read_text())
    assert sidecar["label_counts"] == {
        str(value): int((indices == value).sum()) for value in np.unique(indices)
    }
    assert sidecar["frame"]["source"]["shape"] == [13, 17, 11]
    assert sidecar["sources"][0]["path"] == "scan.nii.gz"


# --- foreground ----------------------------------------------------------------------------------


def test_foreground_positions_are_every_targets_voxels(stored):
    folder, case, _, indices, _, plan, _ = stored
    found = open_prepared(folder, case.id)
    for target, positions in enumerate(found.foreground):
        expected = np.argwhere(plan.labels.membership[target][indices])
        np.testing.assert_array_equal(positions, expected)
        assert positions.dtype == np.int32
    assert found.labelled.shape == (0, 3)


def test_foreground_of_overlapping_absent_and_ignored_targets():
    labels = Labels({"organ": (1, 2), "tumour": (2,), "absent": (3,)}, ignore=9)
    indices = np.full((4, 5, 6), 255, np.uint8)
    indices[1, 1:4, 2] = 1
    indices[3, 2, 5] = 2
    indices[0, 0, 0] = 0
    organ, tumour, absent, labelled = foreground_positions(indices, labels)
    assert organ.tolist() == [[1, 1, 2], [1, 2, 2], [1, 3, 2], [3, 2, 5]]
    assert tumour.tolist() == [[3, 2, 5]]
    assert absent.shape == (0, 3)
    assert labelled.tolist() == [[0, 0, 0], [1, 1, 2], [1, 2, 2], [1, 3, 2], [3, 2, 5]]


def test_large_targets_keep_ten_thousand_distinct_positions_spread_over_them():
    indices = np.zeros((60, 60, 60), np.uint8)
    indices[10:50, 10:50, 10:50] = 1
    labels = Labels({"organ": (1,)})
    found = foreground_positions(indices, labels)[0]
    assert found.shape == (10_000, 3)
    assert len(np.unique(found, axis=0)) == 10_000
    assert (indices[tuple(found.T)] == 1).all()
    assert np.abs(found.mean(0) - 29.5).max() < 0.5
    np.testing.assert_array_equal(found, foreground_positions(indices, labels)[0])


# --- damage --------------------------------------------------------------------------------------


def test_a_file_cut_short_is_named(stored):
    folder, case, *_ = stored
    path = folder / "patient.01.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(CorruptError, match=f"{len(content) - 100} bytes, expected {len(content)}"):
        open_prepared(folder, case.id)


def test_a_missing_file_is_named(stored):
    folder, case, *_ = stored
    with pytest.raises(DataError, match="file not found"):
        open_prepared(folder, "nobody")
    (folder / "patient.01.npz").unlink()
    with pytest.raises(DataError, match=r"patient\.01\.npz: file not found.*autoseg_plan"):
        open_prepared(folder, case.id)


def test_a_file_that_is_no_archive_is_corrupt(stored):
    folder, case, *_ = stored
    path = folder / "patient.01.npz"
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(CorruptError, match="is damaged"):
        open_prepared(folder, case.id)


def test_another_versions_sidecar_is_refused(stored):
    folder, case, *_ = stored
    path = folder / "patient.01.json"
    path.write_text(path.read_text().replace("autoseg-prepared-1", "autoseg-prepared-0"))
    with pytest.raises(CorruptError, match="another version"):
        open_prepared(folder, case.id)


# --- resuming ------------------------------------------------------------------------------------
