"""`autoseg report --curves`: which run is drawn, where to, and what is refused."""

from __future__ import annotations

import os

import pytest

from autoseg.cli import main
from autoseg.workspace import Workspace
from tests.synthetic import DATASET, make_workspace

CSV = "epoch,step,train_loss,validation_loss,dice_organ\n1,50,1.2,0.8,0.5\n2,100,0.6,,0.7\n"


@pytest.fixture
def workspace(tmp_path):
    workspace = make_workspace(tmp_path, cases=1)
    for age, (model, fold) in enumerate([("M", "1"), ("S", "0"), ("M", "0")]):
        run = workspace.run(DATASET, "3d_fullres", model, fold)
        run.mkdir(parents=True)
        (run / "history.csv").write_text(CSV)
        os.utime(run / "history.csv", (1e9 - age, 1e9 - age))
    return workspace


def draw(workspace: Workspace, *words: str) -> int:
    return main(["report", "--curves", "-w", str(workspace.root), "-d", DATASET, *words])


def test_the_run_trained_last_or_the_one_that_is_named(workspace, tmp_path, capsys):
    assert draw(workspace) == 0
    assert f"{DATASET}, 3d_fullres-M, fold 1, 2 epochs" in capsys.readouterr().err
    assert (workspace.models(DATASET) / "curves.pdf").read_bytes().startswith(b"%PDF")
    assert draw(workspace) == 0  # replaced
    assert draw(workspace, "-f", "0", "-o", str(tmp_path / "plot.png")) == 0
    assert "3d_fullres-S, fold 0" in capsys.readouterr().err
    assert draw(workspace, "-f", "0", "--model", "3d_fullres-M", "--anonymous") == 0
    said = capsys.readouterr().err
    assert "curves of 3d_fullres-M, fold 0" in said
    assert DATASET not in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-f", "3"], "no such training -> there are 3d_fullres-M, fold 0, 3d_fullres-M, fold 1"),
        (["-o", "a.svg"], "a.svg: '.svg', expected .pdf or .png"),
        (["-o", "there.pdf"], "there.pdf: is there already -> choose another place"),
    ],
)
def test_what_cannot_be_drawn_is_told(workspace, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.pdf").write_text("mine")
    assert draw(workspace, *words) == 2
    assert said in capsys.readouterr().err


def test_without_a_training_or_an_epoch(workspace, capsys):
    history = workspace.run(DATASET, "3d_fullres", "M", "1") / "history.csv"
    history.write_text("epoch,step\n")
    assert draw(workspace, "-f", "1") == 3
    assert "no epoch is finished" in capsys.readouterr().err
    assert main(["report", "-w", str(workspace.root), "-f", "1"]) == 2
    assert "--fold and --model belong to --curves" in capsys.readouterr().err
