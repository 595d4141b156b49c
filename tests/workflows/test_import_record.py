"""What every import does: grids, checksums, the same bytes, and nothing lost on the way."""

import pytest

from autoseg.dataset import load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.files import read_json, sha256
from autoseg.image import Geometry
from autoseg.io import read_labels
from autoseg.workflows.import_data import import_data
from autoseg.workspace import Workspace
from tests.workflows.as_downloaded import (
    GRID,
    brought,
    write_map,
    write_scan,
    write_segthor,
    write_totalsegmentator,
)


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


def test_a_picture_that_says_no_voxel_size_takes_its_image_s(tmp_path):
    grid = Geometry((1, 4, 5), (1.0, 0.5, 0.5))
    write_map(tmp_path / "scans" / "a.png", [7, 9], grid)  # writes a.json beside it
    write_map(tmp_path / "masks" / "a.png", [1], Geometry((1, 4, 5)))
    dataset = import_data(
        Workspace(tmp_path),
        "D",
        images=f"{tmp_path}/scans/{{case}}.png",
        labels=f"{tmp_path}/masks/{{case}}.png",
        channels=["XR"],
        classes=["x"],
    )
    labels = read_labels(dataset.cases[0].labels)
    assert labels.geometry == grid
    assert labels.array.reshape(-1)[:2].tolist() == [1, 0]


def test_classes_that_do_not_occur_in_a_label_map_may_be_unannotated(tmp_path):
    root = write_segthor(tmp_path / "src")
    labels = root / "train" / "Patient_02" / "GT.nii.gz"
    write_map(labels, [1, 3, 4])
    dataset = brought(tmp_path, "segthor", root, absent=["heart", "aorta"])
    known = ("oesophagus", "trachea", "aorta")
    assert [case.annotated for case in dataset.cases] == [None, known]
    assert sha256(dataset.cases[1].labels) == sha256(labels)
    with pytest.raises(UsageError, match="--absent-means-unannotated haert -> did you mean"):
        brought(tmp_path, "segthor", root, absent=["haert"])


def test_the_same_import_is_the_same_bytes(tmp_path):
    root = write_totalsegmentator(tmp_path / "src")
    trees = []
    for name in ("a", "b"):
        import_data(Workspace(tmp_path / name), "D", layout="totalsegmentator", source=root)
        files = sorted((tmp_path / name / "raw" / "D").rglob("*.*"))
        trees.append({p.name: sha256(p) for p in files if p.is_file() and p.name[0] != "."})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 5 + 6


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
        "labels.ctbl", "labels.txt",
    }  # fmt: skip
    with pytest.raises(UsageError, match="is in the dataset itself -> choose another name"):
        brought(tmp_path, "nnunet", raw, overwrite=True)


def test_a_git_lfs_pointer_is_not_taken_for_an_image(tmp_path):
    write_scan(tmp_path / "data" / "case_00000" / "imaging.nii.gz")
    pointer = tmp_path / "data" / "case_00000" / "segmentation.nii.gz"
    pointer.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(DataError, match="is a Git-LFS pointer, not the image -> run git lfs pull"):
        brought(tmp_path, "kits19", tmp_path / "data")
