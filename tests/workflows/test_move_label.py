"""`autoseg check --move-label`: files beside files, what was overwritten recorded, and undone."""

import json

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.image import Geometry
from autoseg.io import read_header, read_labels, write_labels
from autoseg.nifti import read_nifti_header
from tests.importing.test_move_label import dice, segthor_matrix

SHAPE = (60, 180, 180)
GRID = Geometry(SHAPE, (2.5, 0.977, 0.977), (-40.0, 7.0, 3.0), (1, 0, 0, 0, -1, 0, 0, 0, -1))
HEART = np.linalg.norm((np.indices(SHAPE).T - (27, 84, 78)) / (20, 42, 48), axis=-1).T < 1
MATRIX = segthor_matrix((97, 70, 0), (17, 14, 5))


def run(*words):
    return main(["check", "--move-label", *map(str, words)])


@pytest.fixture
def patients(tmp_path, monkeypatch):
    """SegTHOR's folders: in each GT a heart was moved, onto a part of the aorta."""
    monkeypatch.chdir(tmp_path)
    np.savetxt(tmp_path / "m.txt", MATRIX)
    clean = 2 * HEART.astype(np.uint8)
    aorta = (slice(6, 54), slice(36, 52), slice(50, 66))
    clean[aorta] = np.where(clean[aorta] == 0, 4, 2)
    for number in (1, 2):
        folder = tmp_path / "train" / f"Patient {number:02d}"
        write_labels(folder / "clean.nii.gz", clean, GRID)
        write_labels(folder / "Patient.nii.gz", clean, GRID)
    assert run("--matrix", "m.txt", "--class", 2, "--in", "clean", "--out", "GT") == 0
    return [tmp_path / "train" / f"Patient {number:02d}" for number in (1, 2)]


def test_a_moved_heart_comes_back_and_what_it_overwrote_is_recorded(patients, capsys):
    """A08: the inverse of the tamper, a file beside each, the affine kept."""
    assert (
        run("--matrix", "m.txt", "--inverse", "--class", 2, "--in", "GT", "--out", "GT_fixed") == 0
    )
    captured = capsys.readouterr()
    assert captured.out == "label 2 moved in 2 files\n"
    for folder in patients:
        clean, moved, fixed = (
            read_labels(folder / f"{name}.nii.gz").array[0] for name in ("clean", "GT", "GT_fixed")
        )
        assert dice(moved, clean) < 0.6
        assert dice(fixed, clean) >= 0.998
        header, former = (read_nifti_header(folder / f"{n}.nii.gz") for n in ("GT_fixed", "GT"))
        assert np.array_equal(header.affine, former.affine)
        record = json.loads((folder / "GT.json").read_text())
        overwritten = int(((clean == 4) & (moved == 2)).sum())
        assert record["overwritten"] == {"4": overwritten}
        assert overwritten > 0
        assert record["lost"] == int(((clean == 2) & (moved != 2)).sum())
        assert record["gained"] == int(((clean != 2) & (moved == 2)).sum())
    told = f"Patient 02/GT_fixed.nii.gz: label 2 had {int((moved == 2).sum()):,} voxels and has "
    assert told in captured.err


def test_the_record_gives_back_every_voxel(patients, capsys):
    folder = patients[0]
    assert main(["check", "--undo", str(folder / "GT.json"), "--out", "again"]) == 0
    before, again = (read_labels(folder / f"{name}.nii.gz").array for name in ("clean", "again"))
    assert np.array_equal(before, again)
    assert capsys.readouterr().out.endswith(f"{folder / 'again.nii.gz'}\n")
    assert main(["check", "--undo", str(folder / "GT.json"), "--out", "again"]) == 2
    write_labels(folder / "GT.nii.gz", before[0], GRID)
    assert main(["check", "--undo", str(folder / "GT.json"), "--out", "other"]) == 7
    assert "was changed since, or is gone -> the map it began with was clean" in (
        capsys.readouterr().err
    )


def test_the_same_again_does_nothing_and_another_move_is_refused(patients, capsys):
    path = patients[0] / "GT.nii.gz"
    written = path.stat().st_mtime_ns
    words = ["--matrix", "m.txt", "--class", "2", "--in", "clean", "--out", "GT"]
    assert run(*words) == 0
    assert path.stat().st_mtime_ns == written
    (patients[0] / "GT.json").unlink()  # interrupted between the two
    assert run(*words) == 0
    assert (patients[0] / "GT.json").exists()
    assert run(*words, "--inverse") == 2
    assert "is there already -> choose another name, or give --overwrite" in capsys.readouterr().err
    (patients[0] / "GT.json").unlink()
    assert run(*words, "--inverse") == 2
    assert "is there already" in capsys.readouterr().err
    assert run(*words, "--inverse", "--overwrite") == 0
    assert path.stat().st_mtime_ns != written


def test_files_are_named_by_a_pattern_a_file_or_a_folder(patients):
    words = ["--matrix", "m.txt", "--class", 2]
    assert run(*words, "--in", "train/{case}/GT.nii.gz", "--out", "a") == 0
    assert (patients[1] / "a.nii.gz").exists()
    assert run(*words, "--in", patients[0] / "GT.nii.gz", "--out", "b.nii.gz") == 0
    assert (patients[0] / "b.nii.gz").exists()
    assert run(*words, "--in", patients[0] / "GT.nii.gz", "--out", "moved/here") == 0
    assert (
        read_header(patients[0].parents[1] / "moved" / "here" / "GT.nii.gz").geometry.shape == SHAPE
    )


def test_labels_of_a_dataset_go_to_a_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savetxt(tmp_path / "m.txt", MATRIX)
    raw = tmp_path / "raw" / "D"
    for folder in ("imagesTr", "labelsTr"):
        for number in range(2):
            write_labels(raw / folder / f"c{number}.mha", 2 * HEART.astype(np.uint8), GRID)
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "x": 1, "heart": 2}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    words = ["--matrix", "m.txt", "--class", "2", "-d", "D"]
    assert run(*words, "--out", "fixed") == 2
    told = f"--out fixed: 2 results would be {raw / 'labelsTr' / 'fixed.mha'} -> name a folder"
    assert told.replace(f"{tmp_path}/", "") in capsys.readouterr().err
    assert run(*words, "--out", "fixed/") == 0
    assert sorted(p.name for p in (tmp_path / "fixed").iterdir()) == [
        "c0.json", "c0.mha", "c1.json", "c1.mha",
    ]  # fmt: skip
    assert run(*words, "--out", "raw/D/labelsTr") == 2
    assert "would replace" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--class", "2", "--out", "x"], "the following arguments are required: --matrix"),
        (["--matrix", "m.txt", "--class", "0", "--out", "x"], "--class 0, expected a label value"),
        (
            ["--matrix", "m.txt", "--class", "2", "--in", "GTT", "--out", "x"],
            "GTT: no label map found, expected a file, a pattern with {case}, or the name of",
        ),
        (
            ["--matrix", "m.txt", "--class", "2", "--in", "GT", "--out", "GT"],
            "--out GT would replace",
        ),
        (
            ["--matrix", "m.txt", "--class", "2", "--in", "GT", "--out", "all/"],
            "2 results would be all/GT.nii.gz -> name what stands beside each file",
        ),
    ],
)
def test_what_means_nothing_is_refused(patients, capsys, words, message):
    assert run(*words) == 2
    assert message in capsys.readouterr().err


def test_an_unreadable_file_is_told_after_the_others_are_done(patients, capsys):
    (patients[0] / "GT.nii.gz").write_bytes(b"")
    assert run("--matrix", "m.txt", "--class", 2, "--in", "GT", "--out", "x") == 3
    told = capsys.readouterr().err
    assert f"{patients[0].relative_to(patients[0].parents[1])}/GT.nii.gz: is empty" in told
    assert "1 of 2 not moved" in told
    assert (patients[1] / "x.nii.gz").exists()


def test_what_leaves_the_image_is_told(patients, capsys):
    (patients[0].parents[1] / "far.txt").write_text("1 0 0 70 0 1 0 0 0 0 1 0 0 0 0 1")
    assert run("--matrix", "far.txt", "--class", 2, "--in", "clean", "--out", "far") == 0
    clean, far = (read_labels(patients[0] / f"{name}.nii.gz").array for name in ("clean", "far"))
    share = 100 * (far == 2).sum() / (clean == 2).sum()
    assert share < 90
    assert f"far.nii.gz: {share:.0f} % of label 2 left in the image" in capsys.readouterr().err


def test_a_label_that_is_not_there_is_told(patients, capsys):
    assert run("--matrix", "m.txt", "--class", 9, "--in", "GT", "--out", "x") == 0
    assert capsys.readouterr().out == "label 9 moved in 0 of 2 files\n"


def test_options_of_a_move_without_it_are_refused(patients, capsys):
    assert main(["check", "--matrix", "m.txt"]) == 2
    assert "--matrix without --move-label" in capsys.readouterr().err
