"""One binary file per structure becomes one label map, with what was seen on the way recorded."""

import json

import numpy as np
import pytest

from autoseg.errors import UsageError
from autoseg.files import read_json, sha256
from autoseg.io import read_image, read_labels
from autoseg.workflows.import_data import import_data
from autoseg.workspace import Workspace
from tests.workflows.as_downloaded import (
    DATA,
    brought,
    write_mask,
    write_scan,
    write_totalsegmentator,
)


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
    assert record["source"] == str(root)
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
    assert "D: 1 case for tests only, in imagesTs and labelsTs" in caplog.text
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
def test_its_own_numbers_are_one_word_away(tmp_path):
    dataset = brought(tmp_path, "totalsegmentator", DATA / "totalsegmentator", classes=["official"])
    assert dataset.labels.targets["spleen"] == (1,)
    assert dataset.labels.targets["urinary_bladder"] == (104,)
    labels = read_labels(dataset.cases[0].labels).array[0]
    mask = DATA / "totalsegmentator" / "s0000" / "segmentations" / "urinary_bladder.nii.gz"
    assert np.array_equal(labels == 104, read_image(mask).array[0] > 0.5)
    assert read_json(tmp_path / "raw" / "D" / "label_map.json")["urinary_bladder.nii.gz"] == 103


def test_a_whole_and_its_part_are_regions(tmp_path):
    for case, kidney in (("a", (1, 2)), ("b", (2,))):  # all of it a tumour
        write_scan(tmp_path / case / "ct.nii.gz")
        write_mask(tmp_path / case / "kidney.nii.gz", *kidney)
        write_mask(tmp_path / case / "tumour.nii.gz", 2)
    dataset = import_data(
        Workspace(tmp_path), "D", channels=["CT"], classes=["kidney=1,2", "tumour=2"],
        images=f"{tmp_path}/{{case}}/ct.nii.gz", labels=f"{tmp_path}/{{case}}/{{class}}.nii.gz",
    )  # fmt: skip
    assert dataset.labels.targets == {"kidney": (1, 2), "tumour": (2,)}
    maps = [read_labels(case.labels).array.reshape(-1)[:4].tolist() for case in dataset.cases]
    assert maps == [[0, 1, 2, 0], [0, 0, 2, 0]]
