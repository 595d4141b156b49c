"""nnU-Net's spelling of a summary."""

from __future__ import annotations

import pytest

from autoseg.evaluation.nnunet_view import nnunet_summary
from autoseg.evaluation.summary import summarise
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, PRED_EMPTY
from tests.evaluation.scores import case

KEYS = {"Dice", "IoU", "TP", "FP", "FN", "TN", "n_pred", "n_ref"}


def test_keys_and_means_are_nnunets():
    labels = Labels({"kidney": (2, 1), "tumour": (2,), "absent": (7,)})
    cases = [
        case("a", kidney=0.9, tumour=0.7, absent=BOTH_EMPTY),
        case("b", kidney=0.7, tumour=PRED_EMPTY, absent=BOTH_EMPTY),
    ]
    view = nnunet_summary(summarise(cases, labels), labels)
    assert sorted(view) == ["foreground_mean", "mean", "metric_per_case"]
    assert list(view["mean"]) == ["(1, 2)", "2", "7"]
    assert set(view["foreground_mean"]) == KEYS
    assert view["mean"]["2"]["Dice"] == pytest.approx(0.35)  # a miss is 0, as nnU-Net counts
    assert view["mean"]["7"]["Dice"] is None
    assert view["mean"]["(1, 2)"]["n_ref"] == 50
    assert view["foreground_mean"]["Dice"] == pytest.approx((0.8 + 0.35) / 2)
    first = view["metric_per_case"][0]
    assert set(first) == {"metrics", "reference_file", "prediction_file"}
    assert first["metrics"]["(1, 2)"] == {
        "Dice": 0.9, "IoU": 0.9, "TP": 30, "FP": 10, "FN": 20, "TN": 940, "n_pred": 40, "n_ref": 50,
    }  # fmt: skip
