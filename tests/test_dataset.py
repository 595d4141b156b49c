"""Folders become cases: nnU-Net's and MSD's layouts, and every name that does not fit."""

import json

import pytest

from autoseg.dataset import find_cases, find_dataset, load_dataset
from autoseg.errors import DataError, UsageError

LABELS = {"background": 0, "liver": 1}


def make(folder, images, labels, channels=("CT",), **keys):
    for name, files in (("imagesTr", images), ("labelsTr", labels)):
        (folder / name).mkdir(parents=True)
        for file in files:
            (folder / name / file).write_bytes(b"x")
    names = {str(index): channel for index, channel in enumerate(channels)}
    text = {"channel_names": names, "labels": LABELS, **keys}
    (folder / "dataset.json").write_text(json.dumps(text))
    return folder


def problems_of(folder):
    return [str(problem) for problem in find_dataset(folder).problems]


def test_nnunet_names_become_cases(tmp_path):
    images = ["b_0000.nii.gz", "b_0001.nii.gz", "a_0001.nii.gz", "a_0000.nii.gz"]
    labels = ["a.nii.gz", "b.nii.gz"]
    keys = {"file_ending": ".nii.gz", "cases": {"a": {"group": "p", "tags": ["x"]}}}
    dataset = load_dataset(make(tmp_path / "D", images, labels, ("T1", "T2"), **keys))
    assert [case.id for case in dataset.cases] == ["a", "b"]
    assert [path.name for path in dataset.cases[0].images] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert dataset.cases[0].labels.name == "a.nii.gz"
    assert (dataset.cases[0].group, dataset.cases[0].tags) == ("p", ("x",))
    assert (dataset.name, dataset.channels, dataset.file_ending) == ("D", ("T1", "T2"), ".nii.gz")


def test_with_one_channel_the_plain_name_is_the_case(tmp_path):
    files = [
        "liver_001.nii.gz",
        "scan_0012.nii.gz",
        "x_0000.nii.gz",
        "._x_0000.nii.gz",
        "notes.txt",
    ]
    labels = ["liver_001.nii.gz", "scan_0012.nii.gz", "x.nii.gz", ".DS_Store"]
    dataset = load_dataset(make(tmp_path, files, labels))
    assert [case.id for case in dataset.cases] == ["liver_001", "scan_0012", "x"]


def test_one_numbered_file_a_case_may_hold_all_channels(tmp_path):
    # nnU-Net's SimpleITK reader takes the channels of a 4-D case_0000; see test_io for its reading.
    images = ["a_0000.nii.gz", "b_0000.nii.gz"]
    dataset = load_dataset(make(tmp_path, images, ["a.nii.gz", "b.nii.gz"], ("T1", "T2")))
    assert [[p.name for p in case.images] for case in dataset.cases] == [[i] for i in images]


def test_the_labels_tell_numbers_from_channels(tmp_path):
    files = ["p_0000.nii.gz", "p_0001.nii.gz"]
    assert [case.id for case in load_dataset(make(tmp_path, files, files)).cases] == [
        "p_0000",
        "p_0001",
    ]


def test_one_file_may_hold_all_channels(tmp_path):
    dataset = load_dataset(make(tmp_path, ["a.nii.gz"], ["a.nii.gz"], ("T1", "T2")))
    assert len(dataset.cases[0].images) == 1


def test_a_colour_picture_holds_three_channels(tmp_path):
    dataset = load_dataset(make(tmp_path, ["a_0000.png"], ["a.png"], ("R", "G", "B")))
    assert dataset.cases[0].id == "a"


def test_labels_may_have_another_file_type(tmp_path):
    dataset = load_dataset(make(tmp_path, ["a.jpg"], ["a.png"], file_ending=".jpg"))
    assert dataset.cases[0].labels.name == "a.png"


def test_everything_wrong_is_listed_at_once(tmp_path):
    images = ["a_0000.nii.gz", "b_0000.nii.gz", "b_0001.nii.gz", "c_0000.nii.gz", "c_0001.nii.gz",
              "c_0002.nii.gz", "d_0000.nii.gz", "d_0001.nii.gz"]  # fmt: skip
    labels = ["a.nii.gz", "b.nii.gz", "c.nii.gz", "e.nii.gz"]
    found = find_dataset(make(tmp_path, images, labels, ("T1", "T2")))
    problems = "\n".join(map(str, found.problems))
    assert "imagesTr/a_0000.nii.gz: case a has the channels 0000, expected 0000, 0001" in problems
    assert "case c has the channels 0000, 0001, 0002" in problems
    assert "imagesTr/d_0000.nii.gz: has no labels, expected labelsTr/d.nii.gz" in problems
    assert "labelsTr/e.nii.gz: labels without an image" in problems
    assert len(found.problems) == 4
    assert [case.id for case in found.dataset.cases] == ["b"]
    with pytest.raises(DataError, match="4 problems with the dataset") as caught:
        load_dataset(tmp_path)
    assert caught.value.exit_code == 3


def test_an_extra_channel_is_not_taken_for_a_case(tmp_path):
    problems = problems_of(make(tmp_path, ["a_0000.nii.gz", "a_0001.nii.gz"], ["a.nii.gz"]))
    assert len(problems) == 1
    assert "case a has the channels 0000, 0001, expected 0000 (CT)" in problems[0]


def test_the_same_case_twice_is_found(tmp_path):
    images = ["a_0000.nii.gz", "a_0000.nii", "B.nii.gz", "b.nii.gz"]
    problems = problems_of(make(tmp_path, images, ["a.nii.gz", "B.nii.gz"], file_ending=".nii.gz"))
    assert "imagesTr/a_0000.nii: the same case as a_0000.nii.gz -> keep one of them" in problems
    assert "imagesTr/b.nii.gz: the same case as B.nii.gz -> keep one of them" in problems


@pytest.mark.parametrize("ending", ["nii.gz", ".nii", ".mha"])
def test_a_wrong_file_ending_is_explained(tmp_path, ending):
    problems = problems_of(make(tmp_path, ["a.nii.gz"], ["a.nii.gz"], file_ending=ending))
    assert problems == [
        f"dataset.json: no file in imagesTr ends with '{ending}', 1 end with '.nii.gz'"
        ' -> set "file_ending": ".nii.gz"'
    ]


def test_what_is_odd_is_a_warning(tmp_path):
    keys = {"numTraining": 7, "cases": {"z": {}}, "file_ending": ".nii.gz"}
    found = find_dataset(make(tmp_path, ["a.nii.gz", "q.png"], ["a.nii.gz"], **keys))
    assert found.problems == ()
    text = "\n".join(map(str, found.warnings))
    assert "numTraining is 7, expected 1" in text
    assert "cases describes 1 that are not there: z" in text
    assert "imagesTr: 1 files of another type are ignored: q.png" in text


def test_an_empty_or_missing_folder_is_named(tmp_path):
    assert problems_of(make(tmp_path / "a", [], []))[0].startswith("imagesTr: holds no images")
    folder = make(tmp_path / "b", ["a.nii.gz"], [])
    (folder / "labelsTr").rmdir()
    assert "labelsTr: the folder is missing" in problems_of(folder)[0]
    with pytest.raises(
        DataError, match=r"dataset\.json not found -> create it with autoseg import"
    ):
        find_dataset(tmp_path)


@pytest.mark.parametrize("text", ['{"a": 1,}', "\ufeff{", '{"labels": {"a": 1, "a": 2}}'])
def test_broken_json_names_file_and_line(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=r"dataset\.json: (is not JSON.*line 1|the key 'a')"):
        find_dataset(tmp_path)


def test_a_byte_order_mark_is_accepted(tmp_path):
    folder = make(tmp_path, ["a.nii.gz"], ["a.nii.gz"])
    path = folder / "dataset.json"
    path.write_text("\ufeff" + path.read_text())
    assert len(load_dataset(folder).cases) == 1


def test_listed_cases_stay_inside_the_folder(tmp_path):
    listed = {
        "a": {"images": ["imagesTr/x.nii.gz"], "label": "labelsTr/y.nii.gz"},
        "b": {"images": ["/etc/passwd"], "label": "labelsTr/y.nii.gz"},
        "c": {"images": ["../up.nii.gz"], "label": "labelsTr/y.nii.gz"},
        "d": {"images": ["$HOME/x.nii.gz"], "label": "labelsTr/gone.nii.gz"},
        "e/f": {"images": ["imagesTr/x.nii.gz"], "label": "labelsTr/y.nii.gz"},
    }
    found = find_dataset(make(tmp_path, ["x.nii.gz"], ["y.nii.gz"], dataset=listed))
    assert [case.id for case in found.dataset.cases] == ["a"]
    text = "\n".join(map(str, found.problems))
    for outside in ("b points outside: /etc", "c points outside: ..", "d points outside: $HOME"):
        assert outside in text
    assert "'e/f' cannot be the name of a case" in text
    assert "labelsTr/gone.nii.gz: file not found" in text


def test_cases_to_predict_are_found_by_any_name(tmp_path):
    for name in ("b_0000.nii.gz", "a.nii.gz", "._a.nii.gz", "readme.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert [case.id for case in find_cases(tmp_path, 1, ".nii.gz")] == ["a", "b"]
    assert [case.id for case in find_cases(tmp_path, 1, ".mha")] == ["a", "b"]
    assert [case.id for case in find_cases(tmp_path / "b_0000.nii.gz", 1)] == ["b"]
    assert find_cases(tmp_path, 1)[0].labels is None


def test_images_of_another_type_are_left_out_and_named(tmp_path, caplog):
    for name in ("a.nii.gz", "b.nii.gz", "c.mha"):
        (tmp_path / name).write_bytes(b"x")
    assert [case.id for case in find_cases(tmp_path, 1, ".nii.gz")] == ["a", "b"]
    assert "left out, as not .nii.gz: 1 of type .mha" in caplog.text


def test_a_folder_without_images_is_a_mistake_of_the_command(tmp_path):
    (tmp_path / "readme.txt").write_text("x")
    for folder in (tmp_path, tmp_path / "gone", tmp_path / "readme.txt"):
        with pytest.raises(UsageError) as caught:
            find_cases(folder, 1, ".nii.gz")
        assert caught.value.exit_code == 2


def test_missing_channels_to_predict_are_all_listed(tmp_path):
    for name in ("a_0000.mha", "b_0001.mha", "c_0000.mha", "c_0001.mha"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match="2 problems with the images") as caught:
        find_cases(tmp_path, 2, ".mha")
    assert [problem.place for problem in caught.value.problems] == ["a_0000.mha", "b_0001.mha"]
