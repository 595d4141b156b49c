"""The verb: folders in, files and one summary out."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DataError, PartlyDone, UsageError
from autoseg.evaluation.metrics import METRICS
from autoseg.evaluation.score import format_table, summarise, write_summary
from autoseg.evaluation.tables import read_summary
from autoseg.files import write_json
from autoseg.image import Geometry
from autoseg.io import read_labels, write_labels
from autoseg.labels import Labels
from autoseg.plan import Plan
from autoseg.plan_file import save_plan
from autoseg.results import Choice
from autoseg.workflows import evaluate as verb
from autoseg.workflows.evaluate import evaluate, evaluate_crossvalidation
from autoseg.workspace import Workspace
from tests.evaluation.scores import case

GRID = Geometry((8, 9, 10), (2.0, 1.0, 1.0))
HIPPOCAMPUS = Path(__file__).resolve().parents[3] / "shared" / "data" / "hippocampus" / "labelsTr"


def label_map(shift: int = 0) -> np.ndarray:
    labels = np.zeros(GRID.shape, dtype=np.uint8)
    labels[2:6, 2:7, 1:6] = 1
    labels[3:5, 3:6, 6:8] = 2
    return np.roll(labels, shift, 2)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three cases; predictions of another file type, one voxel off."""
    predictions, references = tmp_path / "pred", tmp_path / "labels"
    predictions.mkdir()
    references.mkdir()
    for name in ("a", "b", "c"):
        write_labels(references / f"{name}.nii.gz", label_map(), GRID)
        write_labels(predictions / f"{name}.mha", label_map(1), GRID)
    return predictions, references


def declare(folder: Path, **more: object) -> None:
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "organ": 1, "lesion": 2}}
    (folder / "dataset.json").write_text(json.dumps(declared | more))


def test_two_folders_without_any_workspace(folders):
    predictions, references = folders
    summary = evaluate(predictions=predictions, references=references)
    assert list(summary.mean) == ["1", "2"]
    assert summary.mean["1"]["dice"].mean == pytest.approx(0.8)
    assert summary.mean["1"]["hd95"].mean == pytest.approx(1.0)
    assert read_summary(predictions / "summary.json") == summary
    with (predictions / "metrics.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 3 * 2 * len(METRICS)
    assert summary.cases[0].prediction_file.endswith("a.mha")


def test_targets_tags_and_tolerances_come_from_the_dataset_json_above(folders):
    predictions, references = folders
    cases = {"b": {"tags": ["control"], "group": "patient 7"}, "c": {"annotated": ["organ"]}}
    declare(references.parent, cases=cases, nsd_tolerance_mm={"lesion": 0.5})
    summary = evaluate(predictions=predictions, references=references)
    assert list(summary.mean) == ["organ", "lesion"]
    assert summary.header["nsd_tolerance_mm"] == {"organ": 2.0, "lesion": 0.5}
    assert summary.header["nsd_tolerance_source"] == {"organ": "default", "lesion": "dataset"}
    assert list(summary.by_tag) == ["", "control"]
    assert [scores.group for scores in summary.cases] == [None, "patient 7", None]
    assert read_summary(predictions / "summary.json").cases[1].group == "patient 7"
    assert summary.mean["lesion"]["dice"].statuses == {"ok": 2, "skipped": 1}
    tighter = evaluate(predictions=predictions, references=references, nsd_tolerance=0.5)
    assert tighter.mean["organ"]["nsd"].mean < summary.mean["organ"]["nsd"].mean


def test_every_problem_is_listed_and_nothing_is_written(folders):
    predictions, references = folders
    (predictions / "a.mha").unlink()
    write_labels(predictions / "b.mha", label_map()[1:], Geometry((7, 9, 10), GRID.spacing))
    moved = Geometry(GRID.shape, GRID.spacing, (0.0, 5.0, 0.0))
    write_labels(predictions / "c.mha", label_map(), moved)
    with pytest.raises(DataError) as caught:
        evaluate(predictions=predictions, references=references)
    text = str(caught.value)
    assert "a: no prediction" in text
    assert "b.mha: shape 7x9x10, expected 8x9x10 as in b.nii.gz" in text
    assert "c.mha: origin (0, 5, 0), expected (0, 0, 0) as in c.nii.gz" in text
    assert "3 problems, nothing was scored" in text
    assert caught.value.exit_code == 3
    assert not (predictions / "summary.json").exists()


def test_undeclared_values_of_all_cases_are_listed_together(folders):
    predictions, references = folders
    declare(references)
    for name in ("a", "c"):
        write_labels(predictions / f"{name}.mha", label_map() * 3, GRID)
    with pytest.raises(DataError) as caught:
        evaluate(predictions=predictions, references=references)
    text = str(caught.value)
    assert "a.mha: value 3 in 100 voxels, expected only 0, 1, 2" in text
    assert "c.mha: value 6 in 12 voxels" in text
    assert not (predictions / "summary.json").exists()


def test_geometry_can_be_ignored_and_the_header_says_so(folders):
    predictions, references = folders
    moved = Geometry(GRID.shape, (3.0, 1.0, 1.0), (0.0, 5.0, 0.0))
    write_labels(predictions / "c.mha", label_map(1), moved)
    summary = evaluate(predictions=predictions, references=references, ignore_geometry=True)
    assert summary.header["ignore_geometry"] is True
    assert "headers ignored (--ignore-geometry)" in format_table(summary)
    assert summary.cases[2].metrics == summary.cases[0].metrics  # the reference's spacing


def test_a_missing_prediction_counts_as_empty_only_when_allowed(folders, tmp_path):
    predictions, references = folders
    (predictions / "a.mha").unlink()
    output = tmp_path / "out"
    with pytest.raises(PartlyDone, match="a: no prediction, counted as empty") as caught:
        evaluate(predictions=predictions, references=references, output=output, allow_missing=True)
    assert caught.value.exit_code == 5
    summary = read_summary(output / "summary.json")
    assert summary.mean["1"]["dice"].mean == pytest.approx(2 * 0.8 / 3)
    assert summary.mean["1"]["hd95"].n == 2
    assert summary.mean["1"]["hd95"].penalised == pytest.approx((2 + GRID.diagonal_mm) / 3)


def test_a_crash_on_one_case_keeps_the_others_without_means(folders, monkeypatch):
    predictions, references = folders
    honest = verb.score_pair

    def crash_on_b(pair, **settings):
        if pair.id == "b":
            raise RuntimeError("the disk came loose")
        return honest(pair, **settings)

    monkeypatch.setattr(verb, "score_pair", crash_on_b)
    with pytest.raises(PartlyDone, match="the disk came loose"):
        evaluate(predictions=predictions, references=references)
    summary = read_summary(predictions / "summary.json")
    assert [scores.case for scores in summary.cases] == ["a", "c"]
    assert summary.mean == {}
    assert summary.header["complete"] is False


def test_extra_predictions_are_warned_of(folders, caplog):
    predictions, references = folders
    write_labels(predictions / "zz.mha", label_map(), GRID)
    summary = evaluate(predictions=predictions, references=references)
    assert "1 predictions have no reference: zz" in caplog.text
    assert summary.header["extra_predictions"] == ["zz"]


def test_workers_give_the_same_result(folders):
    predictions, references = folders
    declare(references)
    alone = evaluate(predictions=predictions, references=references, workers=0)
    together = evaluate(predictions=predictions, references=references, workers=2)
    assert together.cases == alone.cases


def test_pictures_are_flat_cases(tmp_path):
    reference = np.zeros((1, 30, 30), dtype=np.uint8)
    reference[:, 5:20, 5:20] = 255
    flat = Geometry((1, 30, 30))
    write_labels(tmp_path / "g.png", reference, flat)
    write_labels(tmp_path / "p.png", np.roll(reference, 3, 1), flat)
    summary = evaluate(
        predictions=tmp_path / "p.png", references=tmp_path / "g.png", output=tmp_path / "out"
    )
    assert summary.header["dim"] == [2]
    assert summary.mean["255"]["dice"].mean == pytest.approx(0.8)
    assert summary.mean["255"]["hd95"].mean == pytest.approx(3.0)


def test_one_folder_is_not_enough(folders):
    with pytest.raises(UsageError, match=r"predictions \(-p\) and references \(-g\)"):
        evaluate(predictions=folders[0])


def plan_and_validate(root: Path) -> Workspace:
    workspace = Workspace(root)
    labels = Labels({"organ": (1,)})
    plan = Plan("HIPPO", ("MR",), labels, (0, 1, 2), (), {}, (), "0")
    save_plan(workspace.plan("HIPPO"), plan)
    folds = [{"train": ["y"], "validation": ["x"]}, {"train": ["x"], "validation": ["y"]}]
    write_json(workspace.folds("HIPPO"), {"format": "autoseg-folds-1", "folds": folds})
    for configuration, dice in {"2d": 0.7, "3d_fullres": 0.8}.items():
        folder = workspace.run("HIPPO", configuration, "S", "0") / "validation"
        write_summary(folder, summarise([case("x", organ=dice)], labels))
    return workspace


def test_the_cross_validation_so_far_chooses_and_writes_best_json(tmp_path):
    workspace = plan_and_validate(tmp_path)
    result = evaluate_crossvalidation(workspace)
    assert result.of == 2
    assert result.choice.models == ("3d_fullres-S",)
    stored = json.loads(workspace.best("HIPPO").read_text())
    assert stored["models"] == ["3d_fullres-S"]
    assert stored["evidence"] == pytest.approx({"2d-S": 0.7, "3d_fullres-S": 0.8})
    assert isinstance(result.choice, Choice)
    pooled = workspace.model("HIPPO", "2d", "S") / "run" / "crossvalidation" / "summary.json"
    assert read_summary(pooled).mean["organ"]["dice"].mean == pytest.approx(0.7)


def test_without_folders_the_chosen_model_is_returned(tmp_path):
    summary = evaluate(plan_and_validate(tmp_path))
    assert summary.mean["organ"]["dice"].mean == pytest.approx(0.8)


def test_evaluation_imports_no_torch():
    code = "import sys, autoseg.workflows.evaluate; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not HIPPOCAMPUS.is_dir(), reason="the hippocampus data are not there")
def test_real_labels_against_themselves_are_perfect(tmp_path):
    for path in sorted(HIPPOCAMPUS.glob("*.nii.gz"))[:3]:
        labels = read_labels(path)
        (tmp_path / "p").mkdir(exist_ok=True)
        name = path.name.replace(".nii.gz", ".nrrd")
        write_labels(tmp_path / "p" / name, labels.array[0], labels.geometry)
    names = [path.name.removesuffix(".nrrd") for path in (tmp_path / "p").iterdir()]
    summary = evaluate(
        predictions=tmp_path / "p", references=HIPPOCAMPUS, cases=names, output=tmp_path / "out"
    )
    for target in summary.mean.values():
        assert (target["dice"].mean, target["nsd"].mean, target["hd95"].mean) == (1, 1, 0)
