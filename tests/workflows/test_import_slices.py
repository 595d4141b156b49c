"""Volumes that are kept slice by slice become volumes again."""

import json

import numpy as np
import pytest

from autoseg.errors import DataError
from autoseg.image import Geometry
from autoseg.io import read_image, read_labels
from autoseg.workflows.check import check
from autoseg.workflows.import_data import import_data
from autoseg.workspace import Workspace
from tests.workflows.as_downloaded import brought, write_slices, write_spacing


@pytest.mark.parametrize("number", [float, np.float32, np.float64])
def test_sliced_trees_become_volumes_with_their_voxel_size(tmp_path, number):
    root = write_slices(tmp_path / "slices")
    write_spacing(root, {"Patient_01": (number(0.5), number(0.5), number(2.5))})
    dataset = brought(tmp_path, "segthor", root)
    image = read_image(dataset.cases[0].images[0])
    assert image.array.shape == (1, 3, 4, 4)
    assert image.geometry.spacing == (2.5, 64.0, 64.0)  # 512 pixels of 0.5 mm, now 4
    second = read_image(root / "train" / "img" / "Patient_01_0001.png").array[0, 0]
    assert np.array_equal(image.array[0, 1], second.T)  # their pictures have x down
    drawn = read_image(root / "train" / "gt" / "Patient_01_0002.png").array[0, 0]
    labels = read_labels(dataset.cases[0].labels)
    assert np.array_equal(labels.array[0, 2], drawn.T // 63)
    assert check(Workspace(tmp_path), "D").problems == ()


def test_a_missing_slice_and_other_slices_are_found(tmp_path):
    root = write_slices(tmp_path / "slices")
    (root / "train" / "img" / "Patient_01_0001.png").unlink()
    with pytest.raises(DataError, match="case Patient_01 misses slice 1, expected all from 0 to 2"):
        brought(tmp_path, "segthor", root)
    (root / "train" / "img" / "Patient_01_0002.png").unlink()
    with pytest.raises(DataError, match="different slices: 1 from 0 and 3 from 0"):
        brought(tmp_path, "segthor", root)


def test_a_table_that_lacks_a_case_is_refused(tmp_path):
    root = write_slices(tmp_path / "slices")
    write_spacing(root, {"Patient_02": (0.5, 0.5, 2.5)})
    with pytest.raises(DataError, match=r"spacing\.pkl: says nothing of Patient_01, expected"):
        brought(tmp_path, "segthor", root)


def test_patterns_of_slices_need_no_layout(tmp_path):
    root = write_slices(tmp_path / "slices", first=7)
    grid = {"shape": [3, 4, 4], "spacing": [2.0, 1.0, 1.0], "origin": [1.0, 2.0, 3.0]}
    (tmp_path / "grids.json").write_text(json.dumps({"Patient_01": grid}))
    dataset = import_data(
        Workspace(tmp_path),
        "D",
        images=f"{root}/train/img/{{case}}_{{slice}}.png",
        labels=f"{root}/train/gt/{{case}}_{{slice}}.png",
        channels=["CT"],
        classes=["a", "b", "c", "d"],
        label_map=["63:1,126:2,189:3,252:4"],
        spacings=tmp_path / "grids.json",
    )
    expected = Geometry((3, 4, 4), (2.0, 1.0, 1.0), (1.0, 2.0, 3.0))
    assert read_image(dataset.cases[0].images[0]).geometry == expected


def test_what_runs_down_a_picture_is_x_or_y(tmp_path):
    root = write_slices(tmp_path / "slices")
    grid = {"shape": [3, 4, 4], "spacing": [2.0, 1.0, 1.0], "rows": "z"}
    (root / "spacing.json").write_text(json.dumps({"Patient_01": grid}))
    with pytest.raises(DataError, match='rows \'z\', expected "x" or "y"'):
        brought(tmp_path, "segthor", root)
    (root / "spacing.json").write_text(json.dumps({"Patient_01": grid | {"rows": "x"}}))
    drawn = read_image(root / "train" / "img" / "Patient_01_0001.png").array[0, 0]
    image = read_image(brought(tmp_path, "segthor", root).cases[0].images[0])
    assert np.array_equal(image.array[0, 1], drawn.T)
    assert image.geometry.spacing == (2.0, 1.0, 1.0)
