"""Low precision is taken only where labels stay and time is saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.bundle import load_bundle
from autoseg.config import PredictConfig
from autoseg.inference import precision
from autoseg.inference.precision import is_much_faster, smallest_dice, verdict
from autoseg.inference.predictor import load_predictor
from autoseg.labels import Labels

LABELS = Labels({"organ": (1, 2), "tumour": (2,)})


def test_the_smallest_dice_of_any_target_counts():
    one = np.array([1, 1, 1, 2, 2, 0])
    other = np.array([1, 1, 1, 2, 1, 0])
    # organ 5 and 5 voxels, all shared; tumour 2 and 1, one shared: 2/3
    assert smallest_dice(one, other, LABELS) == pytest.approx(2 / 3)
    assert smallest_dice(np.zeros(4), np.zeros(4), LABELS) == 1


def test_one_changed_voxel_in_two_thousand_is_too_much_and_is_said():
    good, why = verdict([1.0, 0.99951], 2.1, "bfloat16")
    assert good
    assert why == "bfloat16: 2.1 times faster, smallest Dice against float32 0.99951 on 2 cases"
    good, why = verdict([1.0, 0.9994], 2.1, "bfloat16")
    assert not good
    assert why.startswith("float32: bfloat16 changes labels (2.1 times faster")


def test_a_precision_that_is_slower_or_missing_is_not_tried(bundle_folder: Path, monkeypatch):
    predict = load_predictor(load_bundle(bundle_folder), PredictConfig(), torch.device("cpu"))
    seconds = {torch.float32: 1.0, torch.bfloat16: 2.0}
    monkeypatch.setattr(precision, "_batch_seconds", lambda p, give_up: seconds[p.dtype])
    assert is_much_faster(predict, "bfloat16") == (False, 0.5)
    seconds[torch.bfloat16] = 0.001
    seconds[torch.float32] = 0.019  # too short to matter, or to measure
    assert is_much_faster(predict, "bfloat16") == (False, 1.0)
    seconds[torch.float32] = 1.0
    seconds[torch.bfloat16] = 0.5
    assert is_much_faster(predict, "bfloat16") == (True, 2.0)

    def missing(p, give_up):
        if p.dtype != torch.float32:
            raise RuntimeError("not implemented for Half")
        return 1.0

    monkeypatch.setattr(precision, "_batch_seconds", missing)
    assert is_much_faster(predict, "float16") == (False, 0.0)
