"""What is handed in: complete, in the course's tree, or a list of all that is missing."""

import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.cli import main
from autoseg.evaluation.export_npz import npz_rows
from autoseg.evaluation.pair import Pair
from autoseg.image import Geometry, Image
from autoseg.io import write_image, write_labels
from autoseg.workflows.evaluate import evaluate
from tests.inference.conftest import make_bundle, make_plan

GRID = Geometry((4, 6, 5), (2.0, 1.0, 1.0))
METRICS = ("3d_assd", "3d_dice", "3d_hd", "3d_hd95", "3d_jaccard", "3d_nsd")
TOP = "group-07"


def label_map(seed):
    return np.random.default_rng(seed).integers(0, 3, GRID.shape).astype(np.uint8)


@pytest.fixture
def root(tmp_path):
    """A workspace with two labelled cases, two to predict, a model of two folds; predictions."""
    raw = tmp_path / "raw" / "TOY"
    for number, name in enumerate(("Patient_01", "Patient_02", "Patient_41", "Patient_42")):
        image = Image(np.full((1, *GRID.shape), number, np.int16), GRID)
        kind = "imagesTr" if number < 2 else "imagesTs"
        write_image(raw / kind / f"{name}_0000.nii.gz", image)
        if number < 2:
            write_labels(raw / "labelsTr" / f"{name}.nii.gz", label_map(number), GRID)
        else:
            write_labels(tmp_path / "pred" / f"{name}.nii.gz", label_map(number), GRID)
    labels = {"background": 0, "anterior": 1, "posterior": 2}
    declared = {"channel_names": {"0": "MR"}, "labels": labels, "file_ending": ".nii.gz"}
    (raw / "dataset.json").write_text(json.dumps(declared))
    model = tmp_path / "models" / "TOY" / "3d_fullres-S"
    make_bundle(model / "bundle", ("0", "1"), make_plan())
    for fold, name in enumerate(("Patient_01", "Patient_02")):
        folder = model / "run" / f"fold_{fold}"
        write_labels(folder / "validation" / f"{name}.nii.gz", label_map(10 + fold), GRID)
        evaluate(predictions=folder / "validation", references=raw / "labelsTr", cases=[name])
        (folder / "history.csv").write_text("epoch,train_loss\n1,0.5\n2,0.4\n3,0.3\n")
        (folder / "progress.png").write_bytes(b"\x89PNG")
    (tmp_path / f"{TOP}.bundle").write_bytes(b"# v2 git bundle\n")
    (tmp_path / "stitch.py").write_text("print()\n")
    return tmp_path


def run(root, *words):
    place = root / "out.tar.gz" if "--group" in words else root / "out.zip"
    return main(["export", "--submission", *words, "-o", str(place), "-w", str(root)])


def group(root, *words):
    return run(root, "segthor", "--group", "07", "-i", str(root / "pred"), *words)


def test_a_group_hands_in_the_tree_of_the_course(root, capsys):
    assert group(root) == 0
    both, tests = ("Patient_01", "Patient_02"), ("Patient_41", "Patient_42")
    expected = {f"{TOP}/{TOP}.bundle", f"{TOP}/bestmodel-{TOP}.pkl"}
    expected |= {f"{TOP}/val/{kind}/{case}.nii.gz" for kind in ("gt", "pred") for case in both}
    expected |= {f"{TOP}/test/pred/{case}.nii.gz" for case in tests}
    expected |= {f"{TOP}/val/{metric}.npz" for metric in METRICS}
    with tarfile.open(root / "out.tar.gz") as archive:
        assert set(archive.getnames()) == expected
        archive.extractall(root / "out", filter="data")
    assert capsys.readouterr().out.splitlines() == [
        *sorted(expected), f"{len(expected)} files in {root / 'out.tar.gz'}"
    ]  # fmt: skip
    got = root / "out" / TOP
    raw, runs = root / "raw/TOY", root / "models/TOY/3d_fullres-S/run"
    for fold, case in enumerate(both):
        reference = raw / "labelsTr" / f"{case}.nii.gz"
        predicted = runs / f"fold_{fold}" / "validation" / f"{case}.nii.gz"
        assert (got / "val/gt" / reference.name).read_bytes() == reference.read_bytes()
        assert (got / "val/pred" / predicted.name).read_bytes() == predicted.read_bytes()
        rows = npz_rows(Pair(case, reference, predicted), make_plan().labels)
        for metric in METRICS:
            with np.load(got / "val" / f"{metric}.npz", allow_pickle=False) as members:
                assert sorted(members) == list(both)
                np.testing.assert_array_equal(members[case], rows[metric])
                assert members[case].shape == (3,)  # K: background and two targets


def test_the_model_is_read_by_torch_alone_and_runs_nothing(root):
    assert group(root, "--fold", "1") == 0
    with tarfile.open(root / "out.tar.gz") as archive:
        assert f"{TOP}/val/pred/Patient_01.nii.gz" not in archive.getnames()
        stream = archive.extractfile(f"{TOP}/bestmodel-{TOP}.pkl")
        found = torch.load(stream, weights_only=True)
    assert (found["configuration"], found["size"]) == ("3d_fullres", "S")
    assert list(found["weights"]) == ["1"]
    ours = load_bundle(root / "models/TOY/3d_fullres-S/bundle").weights["1"]
    assert all(torch.equal(found["weights"]["1"][name], t) for name, t in ours.items())


def test_the_same_pieces_give_the_same_bytes(root):
    assert group(root) == 0
    first = (root / "out.tar.gz").read_bytes()
    assert group(root) == 2  # is there already
    assert group(root, "--overwrite") == 0
    assert (root / "out.tar.gz").read_bytes() == first


def test_a_student_hands_in_one_fold(root, capsys):
    assert run(root, "segthor", "--student", "123") == 3
    assert "val: folds 0, 1 are trained, expected one -> name it with --fold" in (
        capsys.readouterr().err
    )
    assert run(root, "segthor", "--student", "123", "--fold", "0") == 0
    with zipfile.ZipFile(root / "out.zip") as archive:
        assert archive.namelist() == [
            "best_epoch.txt", "bestweights.pt", "plot.png", "stitch.py", "val/3d_dice.npz",
            "val/3d_hd95.npz", "val/gt/Patient_01.nii.gz", "val/pred/Patient_01.nii.gz",
        ]  # fmt: skip
        assert archive.read("best_epoch.txt") == b"3\n"
    (root / "plot.pdf").write_bytes(b"%PDF")
    assert run(root, "segthor", "--student", "123", "--fold", "0", "--overwrite") == 0
    with zipfile.ZipFile(root / "out.zip") as archive:
        assert archive.read("plot.pdf") == b"%PDF"


def test_all_that_is_missing_comes_at_once_with_what_makes_it(root, capsys):
    run_folder = root / "models/TOY/3d_fullres-S/run"
    (run_folder / "fold_1/validation/Patient_02.nii.gz").unlink()
    (root / "pred" / "Patient_42.nii.gz").unlink()
    moved = Geometry(GRID.shape, (2.0, 1.0, 1.5))
    write_labels(root / "pred" / "Patient_41.nii.gz", label_map(2), moved)
    (root / f"{TOP}.bundle").unlink()
    before = sorted(root.iterdir())
    assert group(root) == 3
    lines = capsys.readouterr().err.splitlines()
    tests, pred = root / "raw/TOY/imagesTs", root / "pred"
    assert lines == [
        f"val/pred/Patient_02.nii.gz: is missing, expected "
        f"{run_folder}/fold_1/validation/Patient_02.nii.gz "
        "-> autoseg_train 3d_fullres 1 -d TOY --validate",
        "test/pred/Patient_41.nii.gz: spacing (2, 1, 1.5), expected (2, 1, 1) as in "
        f"{tests}/Patient_41_0000.nii.gz",
        f"test/pred: 1 of 2 missing: Patient_42.nii.gz, expected them in {pred} "
        f"-> autoseg_predict -d TOY -i {tests} -o {pred}",
        f"{TOP}.bundle: is missing, expected the file {root}/{TOP}.bundle "
        f"-> git -C YOUR_REPOSITORY bundle create {root}/{TOP}.bundle HEAD",
        "autoseg: error: 4 pieces missing, nothing was written",
    ]
    assert sorted(root.iterdir()) == before


def test_without_a_model_the_rest_is_told_too(root, capsys):
    (root / "models").rename(root / "elsewhere")
    (root / f"{TOP}.bundle").unlink()
    assert group(root) == 3
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("val and the model: there is no model in ")
    assert lines[1].startswith(f"{TOP}.bundle: is missing")
    assert lines[-1] == "autoseg: error: 2 pieces missing, nothing was written"


def test_a_fold_that_is_not_trained_is_told_with_its_command(root, capsys):
    assert group(root, "--fold", "3") == 3
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("val/pred: fold 3 has no validation, expected one in ")
    assert first.endswith("-> autoseg_train 3d_fullres 3 -d TOY")


def test_kits_wants_its_own_names(root, capsys):
    folder = root / "kits pred"
    for case in ("case_00160", "case_00210"):
        write_labels(folder / f"{case}.nii.gz", label_map(3), GRID)
    assert run(root, "kits19", "-i", str(folder)) == 0
    with zipfile.ZipFile(root / "out.zip") as archive:
        assert archive.namelist() == ["prediction_00160.nii.gz", "prediction_00210.nii.gz"]
        data = archive.read("prediction_00160.nii.gz")
    assert data == (folder / "case_00160.nii.gz").read_bytes()
    write_labels(folder / "prediction_00160.nii.gz", label_map(4), GRID)
    write_labels(folder / "case_00211.mha", label_map(4), GRID)
    assert run(root, "kits19", "-i", str(folder), "--overwrite") == 3
    text = capsys.readouterr().err
    assert "prediction_00160.nii.gz: has two files, expected one" in text
    assert "case_00211.mha: is no .nii.gz, expected what KiTS reads" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["segthor"], "whose submission?, expected --group XX or --student NNN"),
        (["segthor", "--group", "1", "--student", "2"], "whose submission?"),
        (["segthor", "--group", "../x"], "group '../x', expected a number"),
        (["kits19"], "which predictions? -> name their folder with -i"),
        (["segthor", "--group", "7", "--shape", "2", "2"], "--shape means nothing with --submiss"),
    ],
)
def test_mistakes_are_answered_first(root, capsys, words, message):
    assert run(root, *words) == 2
    assert message in capsys.readouterr().err
