"""One case to one file, lists of files, and outputs that would hurt an input."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from autoseg.errors import DataError, UsageError
from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image
from autoseg.plan import IntensityStats
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_inputs import check_headers, find_inputs, is_one_file
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle, make_plan
from tests.workflows.test_predict import names, write_plain, write_scan


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle")


@pytest.fixture
def two_channels(tmp_path):
    plan = make_plan()
    settings = plan.configurations["3d_fullres"]
    settings = dataclasses.replace(
        settings, normalizers=("zscore",) * 2, mask_normalization=(False,) * 2
    )
    plan = dataclasses.replace(
        plan, channels=("T1", "T2"), intensities=(IntensityStats(0, 1, -2, 2, -3, 3),) * 2,
        configurations={"3d_fullres": settings},
    )  # fmt: skip
    return make_bundle(tmp_path / "two", plan=plan)


def run(tmp_path, images, output, bundle, **options):
    return predict(Workspace(tmp_path), images, output, bundles=[bundle], **options)


def test_a_file_goes_to_the_file_that_is_named_and_leaves_nothing_else(bundle, tmp_path):
    scan = tmp_path / "in" / "scan.nii.gz"
    write_scan(scan)
    run(tmp_path, scan.parent, tmp_path / "folder", bundle)
    manifest = run(tmp_path, scan, tmp_path / "out" / "seg.nii.gz", bundle)
    assert names(tmp_path / "out") == ["seg.nii.gz"]
    same = tmp_path / "folder" / "scan.nii.gz"
    assert (tmp_path / "out" / "seg.nii.gz").read_bytes() == same.read_bytes()
    assert manifest["cases"]["scan"]["file"] == "seg.nii.gz"
    with pytest.raises(UsageError, match=r"seg\.nii\.gz: is there already.*--overwrite"):
        run(tmp_path, scan, tmp_path / "out" / "seg.nii.gz", bundle)
    run(tmp_path, scan, tmp_path / "out" / "seg.nii.gz", bundle, overwrite=True)


def test_the_name_of_the_output_says_its_file_type(bundle, tmp_path):
    write_scan(tmp_path / "scan.nii.gz")
    run(tmp_path, tmp_path / "scan.nii.gz", tmp_path / "seg.mha", bundle)
    run(tmp_path, tmp_path / "scan.nii.gz", tmp_path / "seg.nii", bundle)
    ours, theirs = read_labels(tmp_path / "seg.mha"), read_labels(tmp_path / "seg.nii")
    assert np.array_equal(ours.array, theirs.array)
    with pytest.raises(UsageError, match="smear"):
        run(tmp_path, tmp_path / "scan.nii.gz", tmp_path / "seg.jpg", bundle)


def test_channels_are_named_one_by_one_for_one_label_map(two_channels, tmp_path):
    for name, seed in (("t1", 1), ("t2", 2), ("a_0000", 1), ("a_0001", 2)):
        write_scan(tmp_path / "in" / f"{name}.nii.gz", seed)
    t1, t2 = tmp_path / "in" / "t1.nii.gz", tmp_path / "in" / "t2.nii.gz"
    run(tmp_path, [t1, t2], tmp_path / "one.nii.gz", two_channels)
    run(tmp_path, [t2, t1], tmp_path / "exchanged.nii.gz", two_channels)
    numbered = sorted((tmp_path / "in").glob("a_*"))
    run(tmp_path, numbered[::-1], tmp_path / "folder", two_channels)
    one, other = (tmp_path / f"{name}.nii.gz" for name in ("one", "exchanged"))
    assert one.read_bytes() == (tmp_path / "folder" / "a.nii.gz").read_bytes()
    assert one.read_bytes() != other.read_bytes()
    with pytest.raises(UsageError, match=r"3 files for one label map.*one per channel, 2"):
        run(tmp_path, [t1, t2, *numbered[:1]], tmp_path / "x.nii.gz", two_channels)
    with pytest.raises(UsageError, match="named twice"):
        run(tmp_path, [t1, t1], tmp_path / "x.nii.gz", two_channels)


def test_a_bad_file_ends_a_single_prediction_with_its_own_error(bundle, tmp_path):
    scan = tmp_path / "scan.nii.gz"
    write_scan(scan)
    scan.write_bytes(scan.read_bytes()[:3000])
    with pytest.raises(DataError, match="cut short"):
        run(tmp_path, scan, tmp_path / "seg.nii.gz", bundle)
    assert not (tmp_path / "seg.nii.gz").exists()


def test_files_of_one_case_with_channel_numbers_may_be_named_in_any_order(tmp_path):
    numbered = [tmp_path / f"x_000{n}.nii.gz" for n in range(3)]
    named = [tmp_path / f"{name}.nii.gz" for name in ("t2", "t1", "x_0000")]
    for path in {*numbered, *named}:
        path.touch()
    out = tmp_path / "seg.nii.gz"
    for given in (numbered, numbered[::-1]):
        (case,) = find_inputs(given, out, 3, ".nii.gz", "labels")
        assert case.images == tuple(numbered)
    (case,) = find_inputs(named, out, 3, ".nii.gz", "labels")
    assert case.images == tuple(named)


def test_a_folder_with_one_case_may_go_to_one_file_and_no_more(bundle, tmp_path):
    write_scan(tmp_path / "in" / "a.nii.gz")
    run(tmp_path, tmp_path / "in", tmp_path / "seg.nii.gz", bundle)
    write_scan(tmp_path / "in" / "b.nii.gz")
    with pytest.raises(UsageError, match=r"holds 2 cases, and .*one\.nii\.gz is one file"):
        run(tmp_path, tmp_path / "in", tmp_path / "one.nii.gz", bundle)


def test_files_and_folders_may_be_mixed_but_no_case_comes_twice(bundle, tmp_path):
    for place in ("in/a", "in/b", "other/c", "third/a"):
        write_scan(tmp_path / f"{place}.nii.gz")
    places = [tmp_path / "in", tmp_path / "other" / "c.nii.gz"]
    run(tmp_path, places, tmp_path / "out", bundle)
    assert names(tmp_path / "out")[:3] == ["a.nii.gz", "b.nii.gz", "c.nii.gz"]
    with pytest.raises(DataError, match=r"the same case as a\.nii\.gz"):
        run(tmp_path, [*places, tmp_path / "third"], tmp_path / "out2", bundle)


@pytest.mark.parametrize("overwrite", [False, True])
def test_an_input_is_never_written_over(bundle, tmp_path, overwrite):
    scan = tmp_path / "in" / "scan.nii.gz"
    write_scan(scan)
    before = scan.read_bytes()
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "scan.nii.gz").symlink_to(scan)
    for images, output, match in (
        (scan, scan, "same file"),
        (scan, tmp_path / "in", "an input, lies in the output"),
        (tmp_path / "in", tmp_path / "link", "same folder"),
        (tmp_path / "links", tmp_path / "in", "an input, lies in the output"),
    ):
        with pytest.raises(UsageError, match=match):
            run(tmp_path, images, output, bundle, overwrite=overwrite)
    assert scan.read_bytes() == before


def test_what_is_no_image_is_said_to_be_none(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    dicom = tmp_path / "slice"
    dicom.write_bytes(bytes(128) + b"DICM" + bytes(100))
    out = tmp_path / "seg.nii.gz"
    for images, match in (
        ("notes.txt", "is no image"),
        ("slice", "single DICOM file -> name the folder of its series"),
        ("gone.nii.gz", "not found, expected an image"),
    ):
        for output in (out, tmp_path / "folder"):
            with pytest.raises(UsageError, match=match):
                find_inputs([tmp_path / images], output, 1, None, "labels")
    (tmp_path / "taken").write_text("")
    with pytest.raises(UsageError, match="is a file, expected a folder, or a file ending in"):
        find_inputs([tmp_path], tmp_path / "taken", 1, None, "labels")


def test_one_file_is_told_from_a_folder_by_its_name(tmp_path):
    (tmp_path / "odd.nii.gz").mkdir()
    assert not is_one_file(tmp_path / "odd.nii.gz", "labels")
    assert is_one_file(tmp_path / "seg.PNG", "labels")
    assert not is_one_file(tmp_path / "pred", "labels")
    assert is_one_file(tmp_path / "seg.dcm", "seg")
    assert not is_one_file(tmp_path / "seg.nii.gz", "seg")


def test_wrong_channels_of_all_cases_show_before_a_model_is_loaded(tmp_path):
    array = np.ones((2, 4, 4, 4), dtype=np.float32)
    for name in ("a", "b"):
        write_image(tmp_path / f"{name}.nii.gz", Image(array, Geometry((4, 4, 4))))
    cases = find_inputs([tmp_path], tmp_path / "out", 1, None, "labels")
    with pytest.raises(DataError, match=r"a\.nii\.gz: 2 channels, expected 1") as caught:
        check_headers(cases, 1)
    assert len(caught.value.problems) == 2
    write_scan(tmp_path / "c.nii.gz")
    check_headers(find_inputs([tmp_path], tmp_path / "out", 1, None, "labels"), 1)


def test_a_picture_s_colours_are_judged_when_it_is_read(tmp_path):
    write_plain(tmp_path / "a.png", (6, 6))
    check_headers(find_inputs([tmp_path], tmp_path / "out", 1, None, "labels"), 1)
