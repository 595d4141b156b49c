"""The verb: folders or trained models in, a comparison and its files out."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from autoseg.cli import main
from autoseg.errors import DataError, UsageError
from autoseg.evaluation.score import make_header, summarise, write_summary
from autoseg.labels import Labels
from autoseg.plan import Plan
from autoseg.plan_file import save_plan
from autoseg.workflows.compare import compare
from autoseg.workspace import Workspace
from tests.evaluation.scores import case

LABELS = Labels({"organ": (1,)})


def write(folder, shift=0.0, names="abcdefgh"):
    cases = [case(n, organ=0.7 + i / 100 + shift) for i, n in enumerate(names)]
    write_summary(folder, summarise(cases, LABELS, make_header(LABELS)))
    return folder


@pytest.fixture
def workspace(tmp_path):
    """Two trained models of two folds each."""
    root = Workspace(tmp_path / "ws")
    save_plan(root.plan("HIPPO"), Plan("HIPPO", ("MR",), LABELS, (0, 1, 2), (), {}, (), "0"))
    for model, shift in {"2d": 0.0, "3d_fullres": 0.05}.items():
        for fold, names in {"0": "abcd", "1": "efgh"}.items():
            write(root.run("HIPPO", model, "S", fold) / "validation", shift, names)
    return root


def test_two_folders_are_compared_without_any_workspace(tmp_path):
    one, other = write(tmp_path / "one"), write(tmp_path / "other", 0.05)
    found = compare([one, other], output=tmp_path / "out")
    assert found.models == {"A": str(one), "B": str(other)}
    assert found.tests[0].difference == pytest.approx(0.05)
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert record["tests"][0]["p"] == pytest.approx(2 / 2**8)
    assert "| organ | Dice | 8 |" in (tmp_path / "out" / "comparison.md").read_text()


def test_a_summary_can_be_named_itself(tmp_path):
    one = write(tmp_path / "one")
    found = compare([one / "summary.json", one], output=tmp_path)
    assert found.tests[0].p == 1.0


def test_trained_models_are_pooled_over_their_folds(workspace, tmp_path):
    found = compare(["2d-S", "3d_fullres-S"], workspace, output=tmp_path)
    assert found.models == {"A": "HIPPO 2d-S", "B": "HIPPO 3d_fullres-S"}
    assert found.cases == tuple("abcdefgh")
    assert found.tests[0].difference == pytest.approx(0.05)
    paths = [workspace.models("HIPPO") / "2d-S", "3d_fullres-S"]
    by_path = compare(paths, workspace, output=tmp_path / "again")
    assert by_path.tests == found.tests


def test_what_the_cross_validation_left_has_a_name(workspace, tmp_path):
    models = workspace.models("HIPPO")
    write(models / "ensembles" / "2d-S+3d_fullres-S", 0.1)
    write(models / "best", 0.15)
    found = compare(["2d-S", "2d-S+3d_fullres-S", "best"], workspace, output=tmp_path)
    assert found.models["B"] == "HIPPO 2d-S+3d_fullres-S"
    differences = [test.difference for test in found.tests if test.metric == "dice"]
    # The folds of the fixture begin at 0.7 each, 0.02 less in the mean than all in one file.
    assert differences == pytest.approx([0.12, 0.17, 0.05])


def test_folds_that_differ_are_listed(workspace, tmp_path):
    (workspace.run("HIPPO", "2d", "S", "1") / "validation" / "summary.json").unlink()
    with pytest.raises(DataError, match="e: scored for B, not for A"):
        compare(["2d-S", "3d_fullres-S"], workspace, output=tmp_path)


def test_a_misspelled_model_is_answered_with_the_near_one(workspace):
    message = "'3d_fulres-S' is neither a folder nor a trained model.*did you mean '3d_fullres-S'"
    with pytest.raises(UsageError, match=message):
        compare(["2d-S", "3d_fulres-S"], workspace)


def test_what_is_neither_folder_nor_model_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="'x' is neither a folder nor a model: there is no datase"):
        compare(["x", "y"], Workspace(tmp_path))


def test_a_folder_without_a_summary_is_to_be_evaluated_first(tmp_path):
    with pytest.raises(DataError, match=r"has no summary\.json -> run autoseg_evaluate -p"):
        compare([tmp_path, tmp_path])
    (tmp_path / "metrics.csv").write_text("case,target,metric,value,status\n")
    with pytest.raises(DataError, match=r"metrics\.csv alone does not tell mode and tolerances"):
        compare([tmp_path, tmp_path])


def test_an_untrained_model_is_said_so(workspace):
    (workspace.model("HIPPO", "2d", "M") / "run" / "fold_0").mkdir(parents=True)
    with pytest.raises(UsageError, match="no fold has been validated yet"):
        compare(["2d-M", "2d-S"], workspace)


def test_a_model_folder_is_read_with_the_plan_of_its_own_workspace(workspace, tmp_path):
    models = [workspace.models("HIPPO") / name for name in ("2d-S", "3d_fullres-S")]
    found = compare(models, Workspace(tmp_path / "elsewhere"), output=tmp_path / "out")
    assert len(found.cases) == 8


def test_one_model_is_not_enough(tmp_path):
    with pytest.raises(UsageError, match="nothing to compare with, expected two folders or models"):
        compare([tmp_path])


def test_another_comparison_is_not_overwritten_unasked(tmp_path):
    one, other = write(tmp_path / "one"), write(tmp_path / "other", 0.05)
    compare([one, other], output=tmp_path)
    compare([one, other], output=tmp_path, metrics=["assd"])  # the same models: repeated
    with pytest.raises(UsageError, match=r"holds the comparison of .*one, .*other -> choose anoth"):
        compare([one, one], output=tmp_path)
    assert compare([one, one], output=tmp_path, overwrite=True).tests[0].p == 1.0


def test_the_command_prints_the_table_that_was_asked_for(tmp_path, capsys):
    one, other = write(tmp_path / "one"), write(tmp_path / "other", 0.05)
    words = ["compare", str(one), str(other), "-o", str(tmp_path)]
    assert main(words) == 0
    plain = capsys.readouterr().out
    assert plain.startswith("8 cases; surfaces: surfel; NSD within 2 mm (default)\nmodel  from\n")
    assert main([*words, "--table", "latex", "--metrics", "assd"]) == 0
    latex = capsys.readouterr().out
    assert "\\toprule" in latex
    assert "HD95" not in latex
    assert main([*words, "--metrics", "dise"]) == 2
    assert "did you mean 'dice'?" in capsys.readouterr().err


def test_comparing_imports_no_torch():
    code = "import sys, autoseg.workflows.compare; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
