"""Files of one name, each in a folder of its case."""

from pathlib import Path

from autoseg.importing.named import case_of, find_named


def test_files_of_one_name_are_found_in_all_folders(tmp_path):
    for name in ("b/GT2.nii.gz", "a/deep/GT2.mha", "a/GT.nii.gz", "GT2x.nii.gz", "a/GT2.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_named(tmp_path, "GT2")]
    assert found == ["a/deep/GT2.mha", "b/GT2.nii.gz"]
    assert [path.parent.name for path in find_named(tmp_path, "GT2.nii.gz")] == ["b"]
    assert find_named(tmp_path, "GT[2]") == []


def test_the_nearest_folder_that_is_a_case_counts():
    path = Path("data/Patient_01/old/Patient_27/second/GT2.nii.gz")
    assert case_of(path, {"Patient_01", "Patient_27"}) == "Patient_27"
    assert case_of(path, {"Patient_01"}) == "Patient_01"
    assert case_of(path, {"Patient_2"}) is None
