"""Data sets as people download them become raw/<NAME> by the name of their layout alone."""

import gzip
import json

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.cli import main
from autoseg.errors import DataError, UsageError
from autoseg.files import read_json, sha256
from autoseg.image import Geometry
from autoseg.io import read_header, read_image, read_labels
from autoseg.workflows.check import check
from autoseg.workspace import Workspace
from tests.workflows.as_downloaded import (
    DATA,
    GRID,
    RNG,
    brought,
    write_map,
    write_scan,
    write_segthor,
)


def same_voxels(path, other):
    one, two = read_image(path), read_image(other)
    return np.array_equal(one.array, two.array) and one.geometry == two.geometry


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


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_voxels_are_compared_with_those_of_kits_json(tmp_path, caplog):
    said = {"case_00004": 1.0, "case_00160": 2.5}  # mm from slice to slice
    pixel = {"case_00004": 0.0, "case_00160": 0.451171875}
    for name in said:
        case = tmp_path / "data" / name
        case.mkdir(parents=True)
        for file in ("imaging.nii.gz", "segmentation.nii.gz"):  # of the images there are none
            (case / file).symlink_to(DATA / "kits_masks" / name / "segmentation.nii.gz")
    grid = read_header(tmp_path / "data" / "case_00004" / "imaging.nii.gz").geometry
    said["case_00004"], pixel["case_00004"] = max(grid.spacing), min(grid.spacing)
    records = [
        {"case_id": n, "captured_slice_thickness": said[n], "captured_pixel_width": pixel[n]}
        for n in said
    ]
    (tmp_path / "data" / "kits.json").write_text(json.dumps(records))
    caplog.set_level("INFO")
    brought(tmp_path, "kits19", tmp_path / "data", link=True)
    words = (
        "1 image with other voxels than its record says, such as case_00160: 0.4512x0.4512x1 mm, "
        "and 0.4512x0.4512x2.5 there; the image counts"
    )
    assert words in caplog.text
    record = read_json(tmp_path / "raw" / "D" / "conversion.json")
    assert words in record["warnings"]
    assert record["cases"]["case_00160"]["spacing_said_mm"] == [0.451171875, 0.451171875, 2.5]
    assert "spacing_said_mm" not in record["cases"]["case_00004"]


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


def test_what_was_not_annotated_stays_so(tmp_path):
    root = tmp_path / "Dataset001_X"
    for case, values in (("a", [1]), ("b", [2])):
        write_scan(root / "imagesTr" / f"{case}_0000.nii.gz")
        write_map(root / "labelsTr" / f"{case}.nii.gz", values)
    declared = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "liver": 1, "spleen": 2, "gland": 3},
        "cases": {"a": {"annotated": ["liver", "spleen"]}},
    }
    (root / "dataset.json").write_text(json.dumps(declared))
    dataset = brought(tmp_path, "nnunet", root, absent=["spleen"])
    assert [case.annotated for case in dataset.cases] == [("liver",), None]
    renamed = {"classes": ["leber", "milz", "gland"], "overwrite": True}
    told = "a: dataset.json says that liver, spleen is annotated there.* --annotated 'CASES=CLASS"
    with pytest.raises(UsageError, match=told):
        brought(tmp_path, "nnunet", root, **renamed)
    dataset = brought(tmp_path, "nnunet", root, annotated=["a=leber,milz"], **renamed)
    assert [case.annotated for case in dataset.cases] == [("leber", "milz"), None]


def test_a_folder_that_is_something_else_is_described(tmp_path):
    (tmp_path / "src" / "scans").mkdir(parents=True)
    with pytest.raises(UsageError, match="does not look like kits19, expected") as caught:
        brought(tmp_path, "kits19", tmp_path / "src")
    assert "{case}/imaging.nii.gz -> it holds scans" in str(caught.value)
    with pytest.raises(UsageError, match="not found, expected the folder with the data of kits19"):
        brought(tmp_path, "kits19", tmp_path / "gone")
    with pytest.raises(UsageError, match="unknown layout 'kits' -> did you mean 'kits19'"):
        brought(tmp_path, "kits", tmp_path / "src")


def test_the_command_says_what_it_misses(tmp_path, capsys):
    assert main(["import", "-d", "D", "--layout", "kits19"]) == 2
    assert "the following arguments are required: --src" in capsys.readouterr().err
    words = ["import", "-d", "D", "--layout", "kits19", "--src", str(tmp_path), "--images", "x"]
    assert main(words) == 2
    assert "layout kits19 with the pattern x" in capsys.readouterr().err
