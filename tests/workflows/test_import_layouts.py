"""Data sets as people download them become raw/<NAME> by the name of their layout alone."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.files import read_json, sha256
from autoseg.image import Geometry, Image
from autoseg.io import read_header, read_image, read_labels, write_image, write_labels
from autoseg.workflows.check import check
from autoseg.workflows.import_data import import_data
from autoseg.workspace import Workspace

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
GRID = Geometry((3, 4, 5), (2.5, 1.0, 1.0), (5.0, 6.0, 7.0))


def write_scan(path, grid=GRID, channels=1):
    array = RNG.integers(-99, 99, (channels, *grid.shape)).astype(np.int16)
    write_image(path, Image(array, grid))


def write_map(path, values, grid=GRID):
    """Write a label map in which each of `values` has one voxel."""
    array = np.zeros(grid.shape, np.uint8)
    array.flat[: len(values)] = values
    write_labels(path, array, grid)


def write_mask(path, *voxels):
    array = np.zeros(GRID.shape, np.float32)
    array.flat[list(voxels)] = 1
    write_image(path, Image(array[None], GRID))


def brought(tmp_path, layout, source, **options):
    return import_data(Workspace(tmp_path), "D", layout=layout, source=source, **options)


def same_voxels(path, other):
    one, two = read_image(path), read_image(other)
    return np.array_equal(one.array, two.array) and one.geometry == two.geometry


# --- segthor ------------------------------------------------------------------------------------


def write_segthor(root, trains="train/", tests="test"):
    for number in (1, 2):
        name = f"Patient_{number:02d}"
        write_scan(root / f"{trains}{name}" / f"{name}.nii.gz")
        write_map(root / f"{trains}{name}" / "GT.nii.gz", [1, 2, 3, 4])
    write_scan(root / tests / "Patient_41.nii.gz")
    return root


@pytest.mark.parametrize("trains", ["train/", ""])
def test_segthor_in_a_train_folder_or_flat(tmp_path, trains):
    root = write_segthor(tmp_path / "src", trains)
    dataset = brought(tmp_path, "segthor", root)
    assert [case.id for case in dataset.cases] == ["Patient_01", "Patient_02"]
    names = {"oesophagus": (1,), "heart": (2,), "trachea": (3,), "aorta": (4,)}
    assert dataset.labels.targets == names
    raw = tmp_path / "raw" / "D"
    assert [path.name for path in (raw / "imagesTs").iterdir()] == ["Patient_41_0000.nii.gz"]
    patient = root / f"{trains}Patient_01"
    copy = raw / "imagesTr" / "Patient_01_0000.nii.gz"
    assert sha256(copy) == sha256(patient / "Patient_01.nii.gz")
    assert sha256(raw / "labelsTr" / "Patient_01.nii.gz") == sha256(patient / "GT.nii.gz")


def test_segthor_finds_its_tests_in_the_other_archive(tmp_path):
    root = write_segthor(tmp_path / "segthor_train", tests="../segthor_test/test")
    brought(tmp_path, "segthor", root)
    assert (tmp_path / "raw" / "D" / "imagesTs" / "Patient_41_0000.nii.gz").exists()


def test_another_label_file_is_taken_by_name_and_hinted_at(tmp_path, caplog):
    root = write_segthor(tmp_path / "src")
    write_map(root / "train" / "Patient_01" / "GT_fixed.nii.gz", [4, 3, 2, 1])
    brought(tmp_path, "segthor", root)
    assert "beside the labels of Patient_01 lies GT_fixed.nii.gz; --gt GT_fixed" in caplog.text
    dataset = brought(tmp_path, "segthor", root, label_file="GT_fixed.nii.gz", overwrite=True)
    assert [case.id for case in dataset.cases] == ["Patient_01"]
    fixed = root / "train" / "Patient_01" / "GT_fixed.nii.gz"
    assert same_voxels(dataset.cases[0].labels, fixed)
    with pytest.raises(UsageError, match="no file fits"):
        brought(tmp_path, "segthor", root, label_file="GT3.nii.gz")


# --- slices -------------------------------------------------------------------------------------


def write_slices(root, size=4, first=0, depth=3, case="Patient_01"):
    for number in range(first, first + depth):
        for kind, most in (("img", 255), ("gt", 5)):
            array = RNG.integers(0, most, (size, size)).astype(np.uint8)
            path = root / "train" / kind / f"{case}_{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array * (63 if kind == "gt" else 1)), str(path))
    return root


def write_spacing(root, table):
    (root / "spacing.pkl").write_bytes(pickle.dumps(table, pickle.HIGHEST_PROTOCOL))


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


# --- one mask per structure -----------------------------------------------------------------------


def write_totalsegmentator(root):
    for case in ("s0000", "s0001", "s0009"):
        write_scan(root / case / "ct.nii.gz")
        for number, name in enumerate(("spleen", "aorta", "liver")):
            voxels = () if (case, name) == ("s0000", "liver") else (number,)
            write_mask(root / case / "segmentations" / f"{name}.nii.gz", *voxels)
    return root


def test_masks_become_one_label_map_with_values_by_name(tmp_path, caplog):
    caplog.set_level("INFO")
    root = write_totalsegmentator(tmp_path / "src")
    dataset = brought(tmp_path, "totalsegmentator", root, subjects="s0000-s0001")
    assert [case.id for case in dataset.cases] == ["s0000", "s0001"]
    assert dataset.labels.targets == {"aorta": (1,), "liver": (2,), "spleen": (3,)}
    assert read_labels(dataset.cases[1].labels).array.reshape(-1)[:4].tolist() == [3, 1, 2, 0]
    raw = tmp_path / "raw" / "D"
    order = {"aorta.nii.gz": 0, "liver.nii.gz": 1, "spleen.nii.gz": 2}
    assert read_json(raw / "label_map.json") == order
    record = read_json(raw / "conversion.json")
    assert record["cases"]["s0000"]["empty"] == ["liver"]
    assert "no voxel belongs to two structures" in caplog.text
    mask = root / "s0001" / "segmentations" / "aorta.nii.gz"
    stored = record["cases"]["s0001"]["labels"]["s0001/segmentations/aorta.nii.gz"]
    assert stored == sha256(mask)


def test_a_mask_that_is_missing_is_not_annotated_and_overlaps_are_told(tmp_path, caplog):
    caplog.set_level("INFO")
    root = write_totalsegmentator(tmp_path / "src")
    (root / "s0001" / "segmentations" / "aorta.nii.gz").unlink()
    write_mask(root / "s0009" / "segmentations" / "aorta.nii.gz", 0, 1)
    dataset = brought(tmp_path, "totalsegmentator", root)
    assert [case.annotated for case in dataset.cases] == [None, ("liver", "spleen"), None]
    assert "s0001: no file for aorta: not annotated there" in caplog.text
    assert (
        "1 voxel belongs to two structures, 1 of them to aorta, spleen: the smaller" in caplog.text
    )
    warnings = read_json(tmp_path / "raw" / "D" / "conversion.json")["warnings"]
    assert "s0001: no file for aorta: not annotated there" in warnings


def test_cases_that_a_table_keeps_for_tests_are_kept_out_of_training(tmp_path, caplog):
    caplog.set_level("INFO")
    root = write_totalsegmentator(tmp_path / "src")
    rows = "image_id;age;split\ns0000;60;train\ns0001;70;test\ns0009;80;val\n"
    (root / "meta.csv").write_text(rows)
    dataset = brought(tmp_path, "totalsegmentator", root)
    assert [case.id for case in dataset.cases] == ["s0000", "s0009"]
    raw = tmp_path / "raw" / "D"
    assert (raw / "imagesTs" / "s0001_0000.nii.gz").exists()
    assert read_labels(raw / "labelsTs" / "s0001.nii.gz").array.any()
    assert "D: 1 cases for tests only, in imagesTs and labelsTs" in caplog.text
    meta = {case: entry["meta"] for case, entry in read_json(raw / "dataset.json")["cases"].items()}
    assert meta["s0009"] == {"age": "80", "split": "val"}


def test_the_order_of_classes_may_come_from_a_file(tmp_path):
    root = write_totalsegmentator(tmp_path / "src")
    listed = tmp_path / "label_map.json"
    listed.write_text(json.dumps({"spleen.nii.gz": 0, "aorta.nii.gz": 1}))
    dataset = brought(tmp_path, "totalsegmentator", root, classes=[str(listed)])
    assert dataset.labels.targets == {"spleen": (1,), "aorta": (2,)}
    with pytest.raises(UsageError, match="no case has a file for 'livre' -> did you mean 'liver'"):
        brought(tmp_path, "totalsegmentator", root, classes=["livre"], overwrite=True)


def test_what_does_not_occur_may_be_said_to_be_unannotated(tmp_path):
    root = write_totalsegmentator(tmp_path / "src")
    dataset = brought(tmp_path, "totalsegmentator", root, absent=["liver"])
    assert [case.annotated for case in dataset.cases] == [("aorta", "spleen"), None, None]


def test_a_single_subject_and_a_bad_range(tmp_path):
    root = write_totalsegmentator(tmp_path / "src")
    dataset = brought(tmp_path, "totalsegmentator", root, subjects="s0001")
    assert [case.id for case in dataset.cases] == ["s0001"]
    with pytest.raises(UsageError, match="--subjects a-b-c, expected FIRST-LAST"):
        brought(tmp_path, "totalsegmentator", root, subjects="a-b-c")
    with pytest.raises(UsageError, match="no case from s0002 to s0008"):
        brought(tmp_path, "totalsegmentator", root, subjects="s0002-s0008", overwrite=True)


# --- the others -----------------------------------------------------------------------------------


def test_kits19_with_regions_records_and_unlabelled_cases(tmp_path):
    root = tmp_path / "data"
    wide = Geometry((3, 4, 9), (3.0, 0.75, 0.75))
    for case, grid in (("case_00000", GRID), ("case_00160", wide), ("case_00210", GRID)):
        write_scan(root / case / "imaging.nii.gz", grid)
        if case != "case_00210":
            write_map(root / case / "segmentation.nii.gz", [1, 2], grid)
    records = [{"case_id": "case_00160", "gender": "female"}, {"case_id": "case_00210"}]
    (root / "kits.json").write_text(json.dumps(records))
    dataset = brought(tmp_path, "kits19", root)
    raw = tmp_path / "raw" / "D"
    declared = read_json(raw / "dataset.json")
    assert declared["labels"] == {"background": 0, "kidney": [1, 2], "tumour": 2}
    assert declared["regions_class_order"] == [1, 2]
    assert declared["cases"] == {"case_00160": {"meta": {"gender": "female"}}}
    assert [case.id for case in dataset.cases] == ["case_00000", "case_00160"]
    assert (raw / "imagesTs" / "case_00210_0000.nii.gz").exists()
    assert read_image(dataset.cases[1].images[0]).geometry == wide
    assert check(Workspace(tmp_path), "D").problems == ()


def test_a_git_lfs_pointer_is_not_taken_for_an_image(tmp_path):
    write_scan(tmp_path / "data" / "case_00000" / "imaging.nii.gz")
    pointer = tmp_path / "data" / "case_00000" / "segmentation.nii.gz"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataError, match="is a Git-LFS pointer, not the image -> run git lfs pull"):
        brought(tmp_path, "kits19", tmp_path / "data")


def write_rgba(path, grey, red=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    rgba = np.dstack([grey if red is None else red, grey, grey, np.full_like(grey, 255)])
    sitk.WriteImage(sitk.GetImageFromArray(rgba, isVector=True), str(path))


@pytest.mark.parametrize("below", ["", "raw/tumor-segmentation"])
def test_mip_pet_has_one_channel_and_empty_controls(tmp_path, below):
    root = tmp_path / "data" / below
    grey = RNG.integers(0, 255, (6, 7)).astype(np.uint8)
    mask = (grey > 99).astype(np.uint8) * 255
    write_rgba(root / "patients" / "imgs" / "patient_001.png", grey)
    write_rgba(root / "patients" / "labels" / "segmentation_001.png", mask)
    write_rgba(root / "controls" / "imgs" / "control_001.png", 255 - grey)
    dataset = brought(tmp_path, "mip-pet", tmp_path / "data")
    control, patient = dataset.cases
    assert (control.id, control.tags) == ("control_001", ("control",))
    assert (patient.id, patient.tags) == ("patient_001", ("patient",))
    stored = sitk.ReadImage(str(patient.images[0]))
    assert stored.GetNumberOfComponentsPerPixel() == 1
    assert np.array_equal(sitk.GetArrayFromImage(stored), grey)
    assert np.array_equal(read_labels(patient.labels).array[0, 0], mask // 255)
    assert not read_labels(control.labels).array.any()


def test_mip_pet_refuses_colours_and_other_values(tmp_path):
    root = tmp_path / "data"
    grey = np.arange(42, dtype=np.uint8).reshape(6, 7)
    write_rgba(root / "patients" / "imgs" / "patient_001.png", grey, grey + 1)
    write_rgba(root / "patients" / "labels" / "segmentation_001.png", grey * 0)
    write_rgba(root / "patients" / "imgs" / "patient_002.png", grey)
    write_rgba(root / "patients" / "labels" / "segmentation_002.png", grey * 0 + 128)
    with pytest.raises(DataError, match="2 problems") as caught:
        brought(tmp_path, "mip-pet", root)
    assert "its colours differ, expected a grey picture (R = G = B)" in str(caught.value)
    assert "label value 128 in 42 voxels" in str(caught.value)


def test_pku_brings_both_sides_together(tmp_path):
    root = tmp_path / "pku"
    write_scan(root / "ct" / "12.nii.gz")
    write_map(root / "label" / "12.nii.gz", range(1, 12))
    dataset = brought(tmp_path, "pku", root)
    values = read_labels(dataset.cases[0].labels).array.reshape(-1)[:11].tolist()
    assert values == [1, 2, 3, 3, 4, 4, 5, 6, 7, 8, 9]
    assert list(dataset.labels.targets)[2:4] == ["femur_head", "kidney"]


def test_abdomenct1k_pairs_names_with_and_without_number(tmp_path):
    root = tmp_path / "1k"
    write_scan(root / "AbdomenCT-1K-ImagePart1" / "Case_00002_0000.nii.gz")
    write_map(root / "Mask" / "Case_00002.nii.gz", [1, 2, 3, 4])
    dataset = brought(tmp_path, "abdomenct1k", root)
    assert [case.id for case in dataset.cases] == ["Case_00002"]
    assert dataset.labels.targets["pancreas"] == (4,)


def say_in_header(path, text):
    """Write a description into a NIfTI header, which no geometry can bring back."""
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[148:228] = text.ljust(80, b"\0")
    path.write_bytes(gzip.compress(bytes(data)))


def write_msd(root, channels=2):
    for case in ("BRATS_001", "BRATS_002"):
        write_scan(root / "imagesTr" / f"{case}.nii.gz", channels=channels)
        say_in_header(root / "imagesTr" / f"{case}.nii.gz", b"made in a test")
        write_map(root / "labelsTr" / f"{case}.nii.gz", [1, 2])
    write_scan(root / "imagesTs" / "BRATS_003.nii.gz", channels=channels)
    for folder in ("imagesTr", "labelsTr", "imagesTs"):
        (root / folder / "._BRATS_001.nii.gz").write_bytes(b"Mac OS X")
    modality = {str(index): name for index, name in enumerate(["FLAIR", "T1w"][:channels])}
    labels = {"0": "background", "1": "edema", "2": "tumour"}
    declared = {"name": "BRATS", "modality": modality, "labels": labels, "licence": "CC-BY-SA 4.0"}
    (root / "dataset.json").write_text(json.dumps(declared))
    return root


def test_msd_is_translated_and_its_channels_come_apart(tmp_path):
    root = write_msd(tmp_path / "Task01")
    dataset = brought(tmp_path, "msd", root)
    raw = tmp_path / "raw" / "D"
    assert dataset.channels == ("FLAIR", "T1w")
    names = ["BRATS_001_0000.nii.gz", "BRATS_001_0001.nii.gz"]
    assert sorted(path.name for path in raw.glob("imagesTr/*_001_*")) == names
    assert len(list((raw / "imagesTs").iterdir())) == 2
    whole = read_image(root / "imagesTr" / "BRATS_001.nii.gz")
    second = read_image(raw / "imagesTr" / names[1])
    assert np.array_equal(second.array[0], whole.array[1])
    assert second.geometry == whole.geometry
    header = gzip.decompress((raw / "imagesTr" / names[1]).read_bytes())[:348]
    theirs = gzip.decompress((root / "imagesTr" / "BRATS_001.nii.gz").read_bytes())[:348]
    assert header[252:344] == theirs[252:344]  # where it lies, bit for bit
    assert header[148:228] == b"made in a test".ljust(80, b"\0")
    declared = read_json(raw / "dataset.json")
    assert declared["labels"] == {"background": 0, "edema": 1, "tumour": 2}
    assert declared["licence"] == "CC-BY-SA 4.0"
    assert check(Workspace(tmp_path), "D").problems == ()


def test_nnunet_keeps_what_is_known_of_its_cases(tmp_path):
    root = tmp_path / "Dataset001_X"
    for index in range(2):
        write_scan(root / "imagesTr" / f"a_{index:04d}.nii.gz")
    write_map(root / "labelsTr" / "a.nii.gz", [1, 2])
    for index in range(2):
        write_scan(root / "imagesTs" / f"t_{index:04d}.nii.gz")
    write_map(root / "labelsTs" / "t.nii.gz", [1, 2])
    declared = {
        "channel_names": {"0": "T1", "1": "T2"},
        "labels": {"background": 0, "whole": [1, 2], "core": 2},
        "regions_class_order": [1, 2],
        "file_ending": ".nii.gz",
        "cases": {"a": {"group": "p7", "tags": ["site-A"], "annotated": ["whole"]}},
    }
    (root / "dataset.json").write_text(json.dumps(declared))
    dataset = brought(tmp_path, "nnunet", root)
    case = dataset.cases[0]
    assert (case.group, case.tags, case.annotated) == ("p7", ("site-A",), ("whole",))
    assert dataset.labels.targets == {"whole": (1, 2), "core": (2,)}
    labels = tmp_path / "raw" / "D" / "labelsTs" / "t.nii.gz"
    assert sha256(labels) == sha256(root / "labelsTs" / "t.nii.gz")


# --- what every import does -----------------------------------------------------------------------


def test_rounding_in_a_header_is_mended_and_recorded(tmp_path, caplog):
    caplog.set_level("INFO")
    root = write_segthor(tmp_path / "src")
    off = Geometry(GRID.shape, GRID.spacing, (5.0, 6.0005, 7.0))
    write_map(root / "train" / "Patient_01" / "GT.nii.gz", [1, 2, 3, 4], off)
    dataset = brought(tmp_path, "segthor", root)
    labels = read_labels(dataset.cases[0].labels)
    assert labels.geometry == GRID
    assert labels.array.reshape(-1)[:5].tolist() == [1, 2, 3, 4, 0]
    assert "1 label file off the grid of the image by up to 0.0005 mm: put on it" in caplog.text
    record = read_json(tmp_path / "raw" / "D" / "conversion.json")["cases"]["Patient_01"]
    assert record["snapped_mm"] == pytest.approx(5e-4, rel=1e-3)


def test_a_lost_header_stops_the_import_unless_it_is_told_to_mend_it(tmp_path):
    root = write_segthor(tmp_path / "src")
    for number in ("01", "02"):
        lost = root / "train" / f"Patient_{number}" / "GT.nii.gz"
        write_map(lost, [1, 2, 3, 4], Geometry(GRID.shape))
    with pytest.raises(DataError, match="2 problems") as caught:
        brought(tmp_path, "segthor", root)
    assert "spacing (1, 1, 1), not (2.5, 1, 1)" in str(caught.value)
    assert not (tmp_path / "raw" / "D" / "dataset.json").exists()
    dataset = brought(tmp_path, "segthor", root, fix_geometry=True, link=True)
    assert read_labels(dataset.cases[0].labels).geometry == GRID


def test_the_same_import_is_the_same_bytes(tmp_path):
    root = write_totalsegmentator(tmp_path / "src")
    trees = []
    for name in ("a", "b"):
        import_data(Workspace(tmp_path / name), "D", layout="totalsegmentator", source=root)
        files = sorted((tmp_path / name / "raw" / "D").rglob("*.*"))
        trees.append({p.name: sha256(p) for p in files if p.is_file() and p.name[0] != "."})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 3 + 6


def test_a_folder_of_an_older_version_is_known_again(tmp_path):
    root = write_segthor(tmp_path / "src")
    brought(tmp_path, "segthor", root)
    raw = tmp_path / "raw" / "D"
    (raw / "conversion.json").rename(raw / "import.json")
    before = (raw / "dataset.json").stat().st_mtime_ns
    brought(tmp_path, "segthor", root)
    assert (raw / "dataset.json").stat().st_mtime_ns == before
    brought(tmp_path, "segthor", root, subjects="Patient_01-Patient_01", overwrite=True)
    assert not (raw / "import.json").exists()
    assert [path.name for path in (raw / "labelsTr").iterdir()] == ["Patient_01.nii.gz"]


def test_what_is_replaced_stays_until_the_new_one_is_whole(tmp_path):
    root = write_segthor(tmp_path / "src")
    brought(tmp_path, "segthor", root)
    write_map(root / "train" / "Patient_02" / "GT.nii.gz", [1], Geometry((1, 1, 1)))
    with pytest.raises(DataError, match="shape 1x1x1, expected shape 3x4x5"):
        brought(tmp_path, "segthor", root, overwrite=True)
    raw = tmp_path / "raw" / "D"
    assert len(load_dataset(raw).cases) == 2
    assert {path.name for path in raw.iterdir()} == {
        ".autoseg.lock", "conversion.json", "dataset.json", "imagesTr", "labelsTr", "imagesTs",
    }  # fmt: skip
    with pytest.raises(UsageError, match="is in the dataset itself -> choose another name"):
        brought(tmp_path, "nnunet", raw, overwrite=True)


def test_a_folder_that_is_something_else_is_described(tmp_path):
    (tmp_path / "src" / "scans").mkdir(parents=True)
    with pytest.raises(UsageError, match="does not look like kits19, expected") as caught:
        brought(tmp_path, "kits19", tmp_path / "src")
    assert "{case}/imaging.nii.gz -> it holds scans" in str(caught.value)
    with pytest.raises(UsageError, match="not found, expected the folder with the data of kits19"):
        brought(tmp_path, "kits19", tmp_path / "gone")
    with pytest.raises(UsageError, match="unknown layout 'kits' -> did you mean 'kits19'"):
        brought(tmp_path, "kits", tmp_path / "src")


def test_options_that_say_nothing_about_the_files_are_refused(tmp_path):
    root = write_totalsegmentator(tmp_path / "src")
    with pytest.raises(UsageError, match="a label map for files of one structure each"):
        brought(tmp_path, "totalsegmentator", root, label_map=["1:2"])
    table = tmp_path / "a.json"
    table.write_text('{"s0000": [1, 1, 1]}')
    with pytest.raises(UsageError, match="says how slices lie, but there are none"):
        brought(tmp_path, "totalsegmentator", root, spacings=table)
    with pytest.raises(UsageError, match="a label file's name without a layout"):
        import_data(Workspace(tmp_path), "D", images="a", labels="b", label_file="GT.nii.gz")
    with pytest.raises(UsageError, match=r"a pattern with both \{class\} and \{slice\}"):
        import_data(Workspace(tmp_path), "D", images=f"{root}/{{case}}/ct.nii.gz",
                    labels="{case}/{class}_{slice}.png", channels=["CT"])  # fmt: skip


def test_the_command_says_what_it_misses(tmp_path, capsys):
    assert main(["import", "-d", "D", "--layout", "kits19"]) == 2
    assert "the following arguments are required: --src" in capsys.readouterr().err
    words = ["import", "-d", "D", "--layout", "kits19", "--src", str(tmp_path), "--images", "x"]
    assert main(words) == 2
    assert "layout kits19 with the pattern x" in capsys.readouterr().err


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_the_totalsegmentator_example_is_one_label_map(tmp_path):
    root = DATA / "totalsegmentator"
    dataset = brought(tmp_path, "totalsegmentator", root, subjects="s0000-s0100")
    labels = read_labels(dataset.cases[0].labels).array[0]
    masks = sorted((root / "s0000" / "segmentations").iterdir())
    assert len(dataset.labels.targets) == len(masks) == 104
    for value, path in enumerate(masks, start=1):
        assert np.array_equal(labels == value, read_image(path).array[0] > 0.5), path.name


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_the_real_kidney_masks_keep_their_grids(tmp_path):
    for folder in (DATA / "kits_masks").iterdir():
        case = tmp_path / "data" / folder.name
        case.mkdir(parents=True)
        for name in ("imaging.nii.gz", "segmentation.nii.gz"):  # of the images there are none
            (case / name).symlink_to(folder / "segmentation.nii.gz")
    dataset = brought(tmp_path, "kits19", tmp_path / "data", link=True)
    grids = {case.id: read_header(case.images[0]).geometry for case in dataset.cases}
    assert len(grids) == 4
    assert grids["case_00160"].shape == (796, 512, 252)  # in the file 252 x 512 x 796
    assert grids["case_00160"].spacing == (0.451171875, 0.451171875, 1.0)
    assert dataset.labels.targets == {"kidney": (1, 2), "tumour": (2,)}
