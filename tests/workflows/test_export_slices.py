"""A dataset as flat pictures, and back: the grids and labels that went out come in again."""

import json
import shlex

import numpy as np
import pytest
from PIL import Image as Picture

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.image import Geometry, Image
from autoseg.io import read_image, read_labels, write_image, write_labels
from autoseg.planning.folds import make_folds, save_folds
from autoseg.sharing.slices import Cut
from autoseg.workflows.export_slices import export_slices
from autoseg.workspace import Workspace

SHAPE = (3, 10, 8)  # not square, so that exchanged axes show
TURN = (0.0, 1.0, 0.0, 0.6, 0.0, 0.8, 0.8, 0.0, -0.6)  # oblique, and no axis where it was
GRID = Geometry(SHAPE, (2.5, 0.9, 0.7), (-20.0, 31.5, 7.25), TURN)
ORGANS = {"esophagus": 1, "heart": 2, "trachea": 3, "aorta": 4}


@pytest.fixture
def workspace(tmp_path):
    raw = tmp_path / "raw" / "SEG THOR"
    rng = np.random.default_rng(0)
    for number in range(1, 7):
        image = Image(rng.integers(-1000, 1200, (1, *SHAPE)).astype(np.int16), GRID)
        if number == 6:
            write_image(raw / "imagesTs" / "Patient_41_0000.nii.gz", image)
            continue
        write_image(raw / "imagesTr" / f"Patient_{number:02d}_0000.nii.gz", image)
        label_map = rng.integers(0, 5, SHAPE).astype(np.uint8)
        write_labels(raw / "labelsTr" / f"Patient_{number:02d}.nii.gz", label_map, GRID)
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **ORGANS}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    return Workspace(tmp_path)


def pixels(path):
    return np.asarray(Picture.open(path))


def test_pictures_are_those_of_the_course(workspace, tmp_path):
    export_slices(workspace, tmp_path / "out")
    raw, out = workspace.raw("SEG THOR"), tmp_path / "out" / "train"
    scan = read_image(raw / "imagesTr" / "Patient_01_0000.nii.gz").array[0]
    label_map = read_labels(raw / "labelsTr" / "Patient_01.nii.gz").array[0]
    shifted = scan.astype(np.float32) - scan.min()
    greys = (255 * (shifted / shifted.max())).astype(np.uint8)
    assert (greys.min(), greys.max()) == (0, 255)
    for index in range(3):
        drawn = pixels(out / "img" / f"Patient_01_{index:04d}.png")
        assert (drawn.shape, drawn.dtype) == ((8, 10), np.uint8)  # x down, y across
        assert np.array_equal(drawn, greys[index].T)
        drawn = pixels(out / "gt" / f"Patient_01_{index:04d}.png")
        assert np.array_equal(drawn, label_map[index].T * 63)
    assert len(list((out / "gt").iterdir())) == len(list((out / "img").iterdir())) == 15


def test_validation_cases_and_unseen_ones_have_folders_of_their_own(workspace, tmp_path):
    data = load_dataset(workspace.raw("SEG THOR"))
    save_folds(workspace.folds("SEG THOR"), make_folds(data.cases)[0])
    export_slices(workspace, tmp_path / "out", fold="1")
    split = json.loads((tmp_path / "out" / "slices.json").read_text())["split"]
    held_out = make_folds(data.cases)[0][1].validation
    assert {case for case, part in split.items() if part == "val"} == set(held_out)
    assert split["Patient_41"] == "test"
    parts = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").glob("*/*")}
    assert parts == {"train/img", "train/gt", "val/img", "val/gt", "test/img"}
    for case, part in split.items():
        assert (tmp_path / "out" / part / "img" / f"{case}_0002.png").is_file()


@pytest.mark.parametrize("rows", ["x", "y"])
def test_the_printed_import_brings_back_grids_and_labels(workspace, tmp_path, capsys, rows):
    where = ["-w", str(tmp_path)]
    place = tmp_path / "sliced data"
    assert main(["export", "--slices", str(place), "--rows", rows, *where]) == 0
    words = shlex.split(capsys.readouterr().out.removeprefix("back: autoseg "))
    words[words.index("NAME")] = "BACK"
    assert main([*words, *where]) == 0
    before, after = (load_dataset(workspace.raw(name)) for name in ("SEG THOR", "BACK"))
    assert after.labels.targets == before.labels.targets
    assert [case.id for case in after.cases] == [case.id for case in before.cases]
    for old, new in zip(before.cases, after.cases, strict=True):
        one, other = read_labels(old.labels), read_labels(new.labels)
        assert other.array.dtype == np.uint8
        assert np.array_equal(one.array, other.array)
        np.testing.assert_allclose(other.geometry.spacing, one.geometry.spacing, rtol=1e-6)
        np.testing.assert_allclose(other.geometry.origin, one.geometry.origin, atol=1e-5)
        np.testing.assert_allclose(other.geometry.direction, one.geometry.direction, atol=1e-6)
        greys = read_image(new.images[0]).array[0]
        scan = read_image(old.images[0]).array[0].astype(int)
        assert np.array_equal(greys, (scan - scan.min()) * 255 // np.ptp(scan))
    assert [p.name for p in (tmp_path / "raw/BACK/imagesTs").iterdir()] == [
        "Patient_41_0000.nii.gz"
    ]


def test_the_layout_of_the_course_takes_them_too(workspace, tmp_path):
    export_slices(workspace, tmp_path / "out", cut=Cut((4, 5)))
    words = ["import", "-d", "BACK", "--layout", "segthor", "--src", str(tmp_path / "out")]
    assert main([*words, "-w", str(tmp_path)]) == 0
    image = read_image(load_dataset(workspace.raw("BACK")).cases[0].images[0])
    assert image.array.shape == (1, 3, 5, 4)
    np.testing.assert_allclose(image.geometry.spacing, (2.5, 1.8, 1.4), rtol=1e-6)


def test_smaller_pictures_are_what_scikit_image_makes(workspace, tmp_path):
    transform = pytest.importorskip("skimage.transform", reason="scikit-image is the oracle")
    export_slices(workspace, tmp_path / "whole")
    export_slices(workspace, tmp_path / "small", cut=Cut((5, 4)))
    how = {"mode": "constant", "preserve_range": True, "anti_aliasing": False}
    for kind, order in (("img", 1), ("gt", 0)):
        for path in sorted((tmp_path / "whole" / "train" / kind).iterdir()):
            whole = pixels(path) // 63 if kind == "gt" else pixels(path)
            theirs = transform.resize(whole, (5, 4), order=order, **how).astype(np.uint8)
            ours = pixels(tmp_path / "small" / "train" / kind / path.name)
            assert np.array_equal(ours, theirs * (63 if kind == "gt" else 1))


def test_a_window_says_what_is_black_and_white(workspace, tmp_path):
    export_slices(workspace, tmp_path / "out", cut=Cut(window=(-170, 230)))
    path = workspace.raw("SEG THOR") / "imagesTr" / "Patient_02_0000.nii.gz"
    scan = read_image(path).array[0, 1].T.astype(float)
    drawn = pixels(tmp_path / "out" / "train" / "img" / "Patient_02_0001.png")
    assert (drawn[scan <= -170] == 0).all()
    assert (drawn[scan >= 230] == 255).all()
    inside = (scan > -170) & (scan < 230)
    assert np.abs(drawn[inside] - (scan[inside] + 170) / 400 * 255).max() <= 1


def test_a_constant_scan_is_black(workspace, tmp_path):
    flat = Image(np.full((1, *SHAPE), 7, np.int16), GRID)
    write_image(workspace.raw("SEG THOR") / "imagesTr" / "Patient_01_0000.nii.gz", flat)
    export_slices(workspace, tmp_path / "out")
    assert not pixels(tmp_path / "out" / "train" / "img" / "Patient_01_0000.png").any()


def test_the_same_dataset_gives_the_same_bytes(workspace, tmp_path):
    export_slices(workspace, tmp_path / "one")
    export_slices(workspace, tmp_path / "two", workers=2)
    files = sorted(p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 2 * 15 + 3 + 2
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_every_bad_case_is_told_and_nothing_is_left(workspace, tmp_path):
    raw = workspace.raw("SEG THOR")
    (raw / "imagesTr" / "Patient_01_0000.nii.gz").write_bytes(b"")
    write_labels(raw / "labelsTr" / "Patient_03.nii.gz", np.full(SHAPE, 9, np.uint8), GRID)
    before = {path.name for path in tmp_path.iterdir()}
    with pytest.raises(DataError) as error:
        export_slices(workspace, tmp_path / "out")
    assert len(error.value.problems) == 2
    assert "2 of 6 cases cannot be cut, nothing was written" in str(error.value)
    assert {path.name for path in tmp_path.iterdir()} == before


def test_only_slices_are_replaced(workspace, tmp_path):
    export_slices(workspace, tmp_path / "out")
    with pytest.raises(UsageError, match="is there already -> choose another place"):
        export_slices(workspace, tmp_path / "out")
    (tmp_path / "out" / "old").touch()
    export_slices(workspace, tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "old").exists()
    with pytest.raises(UsageError, match="raw: holds something else"):
        export_slices(workspace, tmp_path / "raw", overwrite=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fold", "0"], "fold 0, but there are no folds -> run autoseg_plan -d SEG THOR first"),
        (["--window", "5", "5"], "a window from 5 to 5, expected the smaller number first"),
        (["--shape", "0", "5"], "pictures of 0 x 5, expected pixels"),
        (["--channel", "MR"], "unknown channel 'MR'"),
        (["--masks", "m"], "--masks means nothing with --slices -> leave it out"),
        (["--to", "onnx"], "--to means nothing with --slices -> leave it out"),
        (["-d", "X"], "unknown dataset 'X'"),
    ],
)
def test_mistakes_are_answered_first(workspace, tmp_path, capsys, words, message):
    code = main(["export", "--slices", str(tmp_path / "out"), "-w", str(tmp_path), *words])
    assert code == 2
    assert message in capsys.readouterr().err.replace(f"{workspace.folds('SEG THOR')}: ", "")
    assert not (tmp_path / "out").exists()
