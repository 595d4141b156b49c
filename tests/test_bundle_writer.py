"""Folds are written side by side, whatever their tensors look like."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from autoseg import bundle_writer
from autoseg.bundle_reader import load_bundle
from autoseg.config import TrainConfig
from tests.test_bundle import save


def test_strided_and_shared_tensors_can_be_saved(tmp_path: Path):
    shared = torch.randn(4)
    state = {
        "a": torch.randn(2, 3, 4, 5, 6).to(memory_format=torch.channels_last_3d),
        "b": shared,
        "c": shared,
    }
    save(tmp_path, "0", state=state)
    weights = load_bundle(tmp_path).weights["0"]
    assert all(torch.equal(weights[name], state[name]) for name in state)


def test_folds_that_end_at_the_same_moment_leave_one_whole_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    hashed = bundle_writer.sha256
    other = threading.Thread(
        target=save, args=(tmp_path, "1"), kwargs={"config": TrainConfig(steps=9)}
    )

    def meet(path: Path) -> str:
        digest = hashed(path)
        if path.name == "train.json" and not other.ident:
            other.start()
            other.join(0.5)  # unguarded, it would now replace the file that was just hashed
        return digest

    monkeypatch.setattr(bundle_writer, "sha256", meet)
    save(tmp_path, "0")
    other.join()
    assert sorted(load_bundle(tmp_path).weights) == ["0", "1"]
