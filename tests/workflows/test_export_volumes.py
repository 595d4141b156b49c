"""Labelled slices become volumes with shape and place of the scans they were cut from."""

import numpy as np
import pytest
from PIL import Image as Picture

from autoseg.cli import main
from autoseg.errors import DataError, UsageError
from autoseg.io import read_labels
from autoseg.label_table import TABLES
from autoseg.sharing.slices import Cut
from autoseg.workflows.export_slices import export_slices
from autoseg.workflows.export_volumes import export_volumes
from tests.workflows.test_export_slices import SHAPE, pixels, workspace

__all__ = ["workspace"]  # the fixture


def reference(workspace, case):
    return read_labels(workspace.raw("SEG THOR") / "labelsTr" / f"{case}.nii.gz")


@pytest.mark.parametrize("rows", ["x", "y"])
def test_at_native_size_nothing_is_lost(workspace, tmp_path, rows):
    tree, out = tmp_path / "tree", tmp_path / "volumes"
    export_slices(workspace, tree, cut=Cut(rows=rows))
    words = ["export", "--volumes", str(out), "-i", str(tree / "train" / "gt"), "--tree", str(tree)]
    assert main(words) == 0
    assert len(list(out.glob("*.nii.gz"))) == 5
    assert all((out / name).is_file() for name in TABLES)
    for number in range(1, 6):
        ours = read_labels(out / f"Patient_{number:02d}.nii.gz")
        theirs = reference(workspace, f"Patient_{number:02d}")
        assert np.array_equal(ours.array, theirs.array)
        assert ours.array.dtype == np.uint8
        np.testing.assert_allclose(ours.geometry.spacing, theirs.geometry.spacing, rtol=1e-6)
        np.testing.assert_allclose(ours.geometry.direction, theirs.geometry.direction, atol=1e-6)
        np.testing.assert_allclose(ours.geometry.origin, theirs.geometry.origin, atol=1e-5)


def test_small_pictures_are_enlarged_as_the_course_stitches_them(workspace, tmp_path):
    transform = pytest.importorskip("skimage.transform", reason="scikit-image is the oracle")
    export_slices(workspace, tmp_path / "tree", cut=Cut((4, 5)))
    folder = tmp_path / "tree" / "train" / "gt"
    export_volumes(tmp_path / "out", slices=folder, tree=tmp_path / "tree")
    ours = read_labels(tmp_path / "out" / "Patient_02.nii.gz")
    assert ours.array.shape == (1, *SHAPE)
    how = {"mode": "constant", "preserve_range": True, "anti_aliasing": False, "order": 0}
    for index in range(3):
        small = pixels(folder / f"Patient_02_{index:04d}.png") // 63
        theirs = transform.resize(small, (SHAPE[2], SHAPE[1]), **how)
        assert np.array_equal(ours.array[0, index], theirs.T)


def test_label_values_as_they_are_will_do(workspace, tmp_path):
    export_slices(workspace, tmp_path / "tree")
    (tmp_path / "plain").mkdir()
    for path in (tmp_path / "tree" / "train" / "gt").glob("Patient_03*"):
        Picture.fromarray(pixels(path) // 63).save(tmp_path / "plain" / path.name)
    assert export_volumes(tmp_path / "out", slices=tmp_path / "plain", tree=tmp_path / "tree") == 1
    ours = read_labels(tmp_path / "out" / "Patient_03.nii.gz")
    assert np.array_equal(ours.array, reference(workspace, "Patient_03").array)


def test_every_case_that_cannot_be_put_together_is_told(workspace, tmp_path):
    export_slices(workspace, tmp_path / "tree")
    folder = tmp_path / "tree" / "train" / "gt"
    (folder / "Patient_01_0001.png").unlink()
    Picture.fromarray(np.full((8, 10), 64, np.uint8)).save(folder / "Patient_02_0000.png")
    with pytest.raises(DataError) as error:
        export_volumes(tmp_path / "out", slices=folder, tree=tmp_path / "tree")
    assert [str(problem) for problem in error.value.problems] == [
        f"{folder}/Patient_01: 2 slices, from 0 to 2, expected every one of 0 to 2",
        f"{folder}: holds the value 64, expected 0, 63, 126, 189, 252",
    ]
    assert "2 of 5 cases cannot be put together, nothing was written" in str(error.value)
    assert not (tmp_path / "out").exists()


def test_wrong_folders_are_told(workspace, tmp_path):
    export_slices(workspace, tmp_path / "tree")
    (tmp_path / "empty").mkdir()
    for slices, tree, message in (
        ("nowhere", "tree", "nowhere: not found, expected a folder of pictures"),
        ("empty", "tree", "empty: holds no slices, expected <case>_<slice>.png of Patient_01"),
        ("empty", "empty", "empty: holds no slices that autoseg cut, expected slices.json in it"),
    ):
        with pytest.raises(UsageError, match=message):
            export_volumes(tmp_path / "out", slices=tmp_path / slices, tree=tmp_path / tree)
    with pytest.raises(UsageError, match="holds something else"):
        export_volumes(
            tmp_path / "raw", slices=tmp_path / "empty", tree=tmp_path / "tree", overwrite=True
        )
