"""Where things live, and which dataset is meant."""

import os
import re

import pytest

from autoseg.errors import UsageError
from autoseg.workspace import Workspace


def make(root, kind, *names):
    file = {"raw": "dataset.json", "prepared": "plan.json"}[kind]
    for number, name in enumerate(names):
        path = root / kind / name / file
        path.parent.mkdir(parents=True)
        path.write_text("{}")
        os.utime(path, (1000 + number, 1000 + number))
    return Workspace(root)


def test_the_only_dataset_is_meant_when_none_is_named(tmp_path):
    assert make(tmp_path, "raw", "LIVER").find_raw(None) == "LIVER"


def test_of_several_raw_datasets_one_must_be_named(tmp_path):
    with pytest.raises(UsageError, match="name one with -d: LIVER, SPLEEN"):
        make(tmp_path, "raw", "LIVER", "SPLEEN").find_raw(None)


def test_the_dataset_planned_last_is_meant_when_none_is_named(tmp_path):
    assert make(tmp_path, "prepared", "SPLEEN", "LIVER").find_planned(None) == "LIVER"


def test_a_number_before_the_name_may_be_left_out(tmp_path):
    assert make(tmp_path, "raw", "Dataset012_LIVER").find_raw("LIVER") == "Dataset012_LIVER"


@pytest.mark.parametrize("name", ["12", "012", "Dataset012_LIVER"])
def test_nnunets_number_will_do(tmp_path, name):
    workspace = make(tmp_path, "raw", "Dataset012_LIVER", "Dataset112_SPLEEN", "Task07_Pancreas")
    assert workspace.find_raw(name) == "Dataset012_LIVER"
    assert workspace.find_raw("7") == workspace.find_raw("Pancreas") == "Task07_Pancreas"


def test_a_folder_called_by_the_number_wins(tmp_path):
    assert make(tmp_path, "raw", "Dataset012_LIVER", "12").find_raw("12") == "12"


def test_an_exact_name_wins_over_a_short_one(tmp_path):
    assert make(tmp_path, "raw", "Dataset012_LIVER", "LIVER").find_raw("LIVER") == "LIVER"


def test_a_short_name_of_two_datasets_is_ambiguous(tmp_path):
    workspace = make(tmp_path, "raw", "Dataset001_LIVER", "Dataset002_LIVER")
    with pytest.raises(UsageError, match="could be Dataset001_LIVER or Dataset002_LIVER -> name"):
        workspace.find_raw("LIVER")


@pytest.mark.parametrize(
    ("name", "words"),
    [("LIVR", "unknown dataset 'LIVR' -> did you mean 'LIVER'?"), ("X", "known names: LIVER")],
)
def test_a_misspelled_dataset_is_answered(tmp_path, name, words):
    with pytest.raises(UsageError, match=re.escape(words)):
        make(tmp_path, "raw", "LIVER").find_raw(name)


def test_an_empty_workspace_says_what_to_run(tmp_path):
    with pytest.raises(UsageError, match="autoseg import"):
        Workspace(tmp_path).find_raw(None)
    with pytest.raises(UsageError, match="run autoseg_plan -d NAME first"):
        Workspace(tmp_path).find_planned(None)


def test_a_model_has_a_bundle_and_private_runs(tmp_path):
    workspace = Workspace(tmp_path)
    model = tmp_path / "models" / "LIVER" / "3d_fullres-M"
    assert workspace.bundle("LIVER", "3d_fullres", "M") == model / "bundle"
    assert workspace.run("LIVER", "3d_fullres", "M", "0") == model / "run" / "fold_0"
