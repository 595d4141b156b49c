"""What a training would be: said without one, and true."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.preprocessing.store import open_prepared
from autoseg.training.loader import make_batch
from autoseg.training.sampling import choose_cases, make_pool
from autoseg.workflows import rehearse as module
from autoseg.workflows.rehearse import count_centres, rehearse
from autoseg.workspace import Workspace
from tests.workflows.prepared import LABELS, make_plan, make_workspace


def shares(text: str) -> dict[str, float]:
    return {name: float(share) for name, share in re.findall(r"  (\S+) +([\d.]+)% ", text)}


def test_it_tells_network_length_rates_and_centres_and_writes_nothing(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    settings = [
        "steps=400", "optimizer=adamw", "learning_rate=0.1", "schedule=linear", "warmup=0",
        "foreground_fraction=1", "target_sampling=core=3,shell=7", "batch_size=4",
    ]  # fmt: skip
    text = rehearse(workspace, "3d_fullres", "0", settings=settings, device="cpu")
    assert sorted(tmp_path.rglob("*")) == before
    lines = text.splitlines()
    assert lines[0] == "dataset BALLS, 3d_fullres, fold 0: 4 cases, 1 for validation"
    assert lines[1] == "size S (the default on a CPU): patch 8x8x8, batch 4"
    assert re.fullmatch(r"network plain_unet \(features 4-8\): [\d,]+ parameters", lines[2])
    assert "400 steps, as asked" in lines
    assert "learning rate at 0% 25% 50% 75% 100%: 0.1 0.075 0.05 0.025 0" in lines
    assert "centres of the 4,000 patches of the first 1,000 batches:" in lines
    found = shares(text)
    assert found["core"] == pytest.approx(30, abs=3)
    assert found["shell"] == pytest.approx(70, abs=3)
    assert set(found) == {"core", "shell"} | ({"anywhere"} & set(found))


def test_controls_are_counted_where_there_are_any(tmp_path: Path):
    workspace = make_workspace(tmp_path, cases=6, controls=2)
    text = rehearse(workspace, "3d_fullres", "0", settings=["batch_size=5"], device="cpu")
    assert re.search(r"  a control +20\.0%", text)
    assert re.search(r"  anywhere +30\.\d%", text)


def test_the_centres_are_those_of_the_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    workspace = make_workspace(tmp_path)
    folder = workspace.prepared("BALLS") / "3d_fullres"
    cases = [open_prepared(folder, f"ball_{number}") for number in range(4)]
    config, plan = TrainConfig(seed=5), make_plan()
    pool = make_pool(cases, LABELS, config)
    monkeypatch.setattr(module, "BATCHES", 20)
    drawn: list[object] = []

    def spy(*arguments: object) -> list[object]:
        drawn.append(choose_cases(*arguments))  # type: ignore[arg-type]
        return drawn[-1]  # type: ignore[return-value]

    monkeypatch.setattr("autoseg.training.loader.choose_cases", spy)
    design = plan.configurations["3d_fullres"].sizes["S"]
    for step in range(20):
        make_batch(cases, pool, design, config, LABELS, step)
    seen = Counter(choice.target for batch in drawn for choice in batch)  # type: ignore[attr-defined]
    found = count_centres(pool, 2, config, LABELS.names)
    assert [found["core"], found["shell"], found["anywhere"]] == [seen[0], seen[1], seen[None]]
    assert np.sum(list(found.values())) == 40


def test_targets_that_are_never_the_centre_are_named_in_one_line(tmp_path: Path):
    workspace = make_workspace(tmp_path)
    settings = ["foreground_fraction=0"]
    text = rehearse(workspace, "3d_fullres", "0", settings=settings, device="cpu")
    assert text.splitlines()[-2:] == [
        f"  anywhere  100.0%  {'#' * 40}", "  never: core, shell (2 of 3)",
    ]  # fmt: skip


def test_what_cannot_be_trained_is_refused(tmp_path: Path):
    workspace: Workspace = make_workspace(tmp_path)
    with pytest.raises(UsageError, match="unknown loss"):
        rehearse(workspace, "3d_fullres", "0", settings=["loss=dise"], device="cpu")
