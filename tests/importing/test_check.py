"""The check of a case: every fault of the files named, with place, found, expected and remedy."""

import json

import numpy as np
import pytest

from autoseg.dataset import find_dataset
from autoseg.image import Geometry, Image
from autoseg.importing.check import conclude, inspect_case
from autoseg.io import write_image, write_labels

RNG = np.random.default_rng(0)
GRID = Geometry((4, 5, 6), (2.0, 1.0, 1.0))
LABELS = np.zeros((4, 5, 6), np.uint8)
LABELS[1:3, 1:3, 1:3] = 1
LABELS[2, 3, 3] = 2


def make(folder, cases=2, entries=None, **keys):
    for number in range(cases):
        image = 200 * RNG.normal(size=(1, 4, 5, 6)).astype(np.float32)
        write_image(folder / "imagesTr" / f"c{number}_0000.nii.gz", Image(image, GRID))
        write_labels(folder / "labelsTr" / f"c{number}.nii.gz", LABELS, GRID)
    labels = {"background": 0, "liver": 1, "spleen": 2}
    text = {"channel_names": {"0": "CT"}, "labels": labels, "file_ending": ".nii.gz", **keys}
    text |= {"cases": entries} if entries else {}
    (folder / "dataset.json").write_text(json.dumps(text))
    return folder


def report(folder):
    found = find_dataset(folder)
    return conclude(found, (inspect_case(case, found.dataset) for case in found.dataset.cases))


def problems(folder):
    return [str(problem) for problem in report(folder).problems]


def test_a_good_case_is_handed_on_with_its_arrays(tmp_path):
    dataset = find_dataset(make(tmp_path)).dataset
    inspected = inspect_case(dataset.cases[0], dataset)
    assert inspected.problems == inspected.warnings == ()
    assert inspected.image.array.shape == (1, 4, 5, 6)
    assert inspected.image.array.dtype == np.float32
    assert np.array_equal(inspected.labels.array[0], LABELS)
    assert inspected.values == {0: 111, 1: 8, 2: 1}
    assert inspected.without_arrays().image is None
    assert report(tmp_path).problems == report(tmp_path).warnings == ()


def test_all_problems_of_all_cases_come_at_once(tmp_path):
    make(tmp_path, cases=4)
    (tmp_path / "imagesTr" / "c0_0000.nii.gz").write_bytes(b"")
    (tmp_path / "labelsTr" / "c0.nii.gz").write_bytes(b"version https://git-lfs.github.com")
    moved = Geometry((4, 5, 6), (2.0, 1.0, 1.5), (0.0, 3.0, 0.0))
    write_labels(tmp_path / "labelsTr" / "c1.nii.gz", LABELS + np.uint8(7) * (LABELS == 1), moved)
    image = RNG.normal(size=(1, 4, 5, 6)).astype(np.float32)
    image[0, 0, 0, 1], image[0, 1, 2, 3] = np.nan, np.inf
    write_image(tmp_path / "imagesTr" / "c2_0000.nii.gz", Image(image, GRID))
    assert problems(tmp_path) == [
        "imagesTr/c0_0000.nii.gz: is empty (0 bytes) -> copy or download it again",
        "labelsTr/c0.nii.gz: is a Git-LFS pointer, not the image -> run git lfs pull",
        "labelsTr/c1.nii.gz: spacing (2, 1, 1.5), origin (0, 3, 0), expected spacing (2, 1, 1) "
        "to 0.1 %, origin (0, 0, 0) to 0.01 mm as in imagesTr/c1_0000.nii.gz -> if the voxels do "
        f"match: autoseg check -d {tmp_path.name} --fix-geometry image",
        "labelsTr/c1.nii.gz: label value 8 in 8 voxels (slices 1 to 2), expected the declared "
        "values 0, 1, 2 -> declare it in dataset.json, or correct the file",
        "imagesTr/c2_0000.nii.gz: 1 voxels are NaN, the first at (z, y, x) = (0, 0, 1), expected "
        "finite numbers -> replace them in the file, or remove the case",
        "imagesTr/c2_0000.nii.gz: 1 voxels are infinite, the first at (z, y, x) = (1, 2, 3), "
        "expected finite numbers -> replace them in the file, or remove the case",
    ]


def test_a_label_map_of_another_shape_is_named(tmp_path):
    make(tmp_path)
    write_labels(tmp_path / "labelsTr" / "c1.nii.gz", LABELS[:3], Geometry((3, 5, 6), (2, 1, 1)))
    assert problems(tmp_path) == [
        "labelsTr/c1.nii.gz: shape 3x5x6, expected shape 4x5x6 as in imagesTr/c1_0000.nii.gz -> "
        "resample the labels to the image (nearest neighbour), or remove the case"
    ]


def test_grids_that_differ_by_rounding_are_one(tmp_path):
    make(tmp_path)
    near = Geometry((4, 5, 6), (2.0002, 1.0, 1.0), (3e-4, 0.0, 0.0))
    write_labels(tmp_path / "labelsTr" / "c1.nii.gz", LABELS, near)
    assert problems(tmp_path) == []


def test_labels_that_are_no_labels_are_told_apart(tmp_path):
    make(tmp_path, cases=3)
    floats = LABELS.astype(np.float32)
    floats[0, 0, :2] = 0.4
    write_image(tmp_path / "labelsTr" / "c0.nii.gz", Image(floats[None], GRID))
    grid = Geometry((4, 30, 30))
    write_image(
        tmp_path / "labelsTr" / "c1.nii.gz",
        Image(RNG.permutation(3600).reshape(1, 4, 30, 30).astype(np.int16), grid),
    )
    write_image(tmp_path / "labelsTr" / "c2.nii.gz", Image(-LABELS[None].astype(np.int16), GRID))
    text = "\n".join(problems(tmp_path))
    assert "c0.nii.gz: 2 voxels are not whole numbers: 0.4, expected integer label values" in text
    assert "c1.nii.gz: 3,600 distinct values" in text
    assert "is it the image?" in text
    assert "c2.nii.gz: label value -1 in 8 voxels" in text


def test_the_ignored_value_is_declared(tmp_path):
    make(tmp_path, labels={"background": 0, "liver": 1, "spleen": 2, "ignore": 9})
    write_labels(tmp_path / "labelsTr" / "c0.nii.gz", np.where(LABELS, LABELS, 9), GRID)
    assert problems(tmp_path) == []


@pytest.mark.parametrize("group", [None, "patient"])
def test_identical_images_are_a_leak_unless_grouped(tmp_path, group):
    cases = {f"c{number}": {"group": group} for number in range(2)}
    make(tmp_path, cases=3)
    text = json.loads((tmp_path / "dataset.json").read_text())
    (tmp_path / "dataset.json").write_text(json.dumps({**text, "cases": cases}))
    first, second = (tmp_path / "imagesTr" / f"c{number}_0000.nii.gz" for number in range(2))
    second.write_bytes(first.read_bytes())
    found = report(tmp_path)
    listed = found.warnings if group else found.problems
    assert str(listed[0]).startswith(
        "imagesTr/c1_0000.nii.gz: the same voxels as imagesTr/c0_0000.nii.gz"
    )
    assert len(found.problems) + len(found.warnings) == 1


def test_a_file_with_too_few_channels_says_how_to_name_them(tmp_path):
    make(tmp_path, channel_names={"0": "T1", "1": "T2"})
    for number in range(2):
        path = tmp_path / "imagesTr" / f"c{number}_0000.nii.gz"
        path.rename(tmp_path / "imagesTr" / f"c{number}.nii.gz")
    assert problems(tmp_path)[0].startswith("imagesTr/c0.nii.gz: holds 1 channel, expected 2")


def test_odd_but_usable_cases_are_warnings(tmp_path):
    make(tmp_path, cases=3)
    constant = np.zeros((1, 4, 5, 6), np.int16)
    write_image(tmp_path / "imagesTr" / "c0_0000.nii.gz", Image(constant, GRID))
    for number in range(3):
        label_map = (LABELS == 1) * np.uint8(number != 2)
        write_labels(tmp_path / "labelsTr" / f"c{number}.nii.gz", label_map, GRID)
    found = report(tmp_path)
    text = "\n".join(map(str, found.warnings))
    assert found.problems == ()
    assert "imagesTr/c0_0000.nii.gz: every voxel has the same value" in text
    assert "'spleen' (value 2) occurs in no case" in text
    assert "1 case with background only: c2" in text


def test_a_dataset_without_foreground_is_refused(tmp_path):
    make(tmp_path)
    for number in range(2):
        write_labels(tmp_path / "labelsTr" / f"c{number}.nii.gz", LABELS * 0, GRID)
    assert problems(tmp_path) == [
        "labelsTr: no voxel of any label map is labelled, expected at least one target"
    ]


# --- ignored and unannotated ---------------------------------------------------------------------

SPARSE = {"background": 0, "liver": 1, "spleen": 2, "ignore": 9}


def test_a_case_of_nothing_but_ignored_voxels_is_a_problem(tmp_path):
    make(tmp_path, labels=SPARSE)
    write_labels(tmp_path / "labelsTr" / "c1.nii.gz", np.full((4, 5, 6), 9, np.uint8), GRID)
    assert problems(tmp_path) == [
        "labelsTr/c1.nii.gz: every voxel is ignored, expected voxels to learn from -> annotate "
        "something in it, or move the image to imagesTs"
    ]


def test_ignored_voxels_are_no_foreground(tmp_path):
    make(tmp_path, cases=1, labels=SPARSE)
    write_labels(tmp_path / "labelsTr" / "c0.nii.gz", np.where(LABELS, 9, 0).astype("u1"), GRID)
    assert problems(tmp_path) == [
        "labelsTr: no voxel of any label map is labelled, expected at least one target"
    ]


def test_voxels_of_a_target_that_is_not_annotated_there_are_pointed_out(tmp_path):
    make(tmp_path, entries={"c0": {"annotated": ["liver"]}, "c1": {"annotated": ["spleen"]}})
    write_labels(tmp_path / "labelsTr" / "c1.nii.gz", LABELS // 2 * 2, GRID)
    found = report(tmp_path)
    assert found.problems == ()
    assert [str(warning) for warning in found.warnings] == [
        "labelsTr/c0.nii.gz: 'spleen' has 1 voxels, expected none: it is not among the annotated "
        "targets (liver) -> add it to cases.c0.annotated; else they count as background or spleen"
    ]


def test_a_value_that_also_stands_for_an_annotated_region_is_no_contradiction(tmp_path):
    regions = {"background": 0, "organ": [1, 2], "tumour": 2}
    entries = {f"c{number}": {"annotated": ["organ"]} for number in range(2)}
    make(tmp_path, entries=entries, labels=regions, regions_class_order=[1, 2])
    assert [str(warning) for warning in report(tmp_path).warnings] == [
        "dataset.json: 'tumour' is annotated in no case: it cannot be learnt -> remove it from "
        "labels, or add it to the annotated targets of a case"
    ]
