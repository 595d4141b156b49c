"""Groups of metrics that are measured when asked for."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import UsageError
from autoseg.evaluation.calibration import CALIBRATION_METRICS
from autoseg.evaluation.lesions import BRATS_METRICS, LESION_METRICS, LesionRules
from autoseg.evaluation.metrics import METRICS
from autoseg.evaluation.optional import OptionalGroups
from autoseg.evaluation.score import make_header, score_case, summarise
from autoseg.evaluation.tables import metrics_csv
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.results import MISSING_PRED, SKIPPED

SHAPE = (10, 14, 16)
LABELS = Labels({"liver": (1,), "tumour": (2,)})
GEOMETRY = Geometry(SHAPE, (2.0, 1.0, 0.5))


def reference() -> np.ndarray:
    array = np.zeros(SHAPE, dtype=np.uint8)
    array[2:9, 3:11, 4:12] = 1
    array[4:7, 5:8, 6:9] = 2
    return array


def score(prediction, groups, geometry=GEOMETRY, truth=None, **more):
    truth = reference() if truth is None else truth
    return score_case(prediction, truth, geometry, LABELS, case="a", groups=groups, **more)


def test_each_group_adds_its_metrics_to_every_target():
    probabilities = np.full((3, *SHAPE), 1 / 3, dtype=np.float16)
    groups = ("lesions", "calibration")
    found = score(np.roll(reference(), 1, 0), groups, probabilities=probabilities)
    for values in found.metrics.values():
        assert set(values) == {*METRICS, *LESION_METRICS, *CALIBRATION_METRICS}
    assert found.metrics["tumour"]["lesion_f1"].value == 1
    header = make_header(LABELS)
    summary = summarise([found], LABELS, header)
    assert summary.mean["tumour"]["lesion_f1"].mean == 1
    assert "a,tumour,lesion_f1,1.0,ok" in metrics_csv([found])


def test_topology_is_a_group():
    pytest.importorskip("skimage")
    found = score(reference(), ("topology",))
    assert found.metrics["liver"]["cldice"].value == 1
    assert found.metrics["liver"]["cldice_grid_mm"].value == 0.5


def test_rules_of_lesions_are_used():
    rules = LesionRules(min_volume_mm3=1000, preset="brats")
    values = score(reference(), ("lesions",), lesion_rules=rules).metrics["tumour"]
    assert values["lesion_small_ref"].value == 1
    assert set(BRATS_METRICS) <= set(values)


def test_a_missing_prediction_and_a_target_not_annotated_keep_their_status():
    found = score(None, ("lesions",), annotated=("liver",))
    assert found.metrics["liver"]["lesion_f1"].status == MISSING_PRED
    assert found.metrics["tumour"]["lesion_f1"].status == SKIPPED
    assert set(found.metrics["tumour"]) == set(found.metrics["liver"])


def test_flat_images_have_flat_lesions():
    truth = np.zeros((1, 6, 6), dtype=np.uint8)
    truth[0, 1, 1] = truth[0, 2, 2] = 1
    found = score(truth, ("lesions",), Geometry((1, 6, 6), (5.0, 1.0, 1.0)), truth)
    assert found.metrics["liver"]["lesion_n_ref"].value == 1
    assert found.metrics["tumour"]["lesion_n_ref"].value == 0


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(UsageError, match="did you mean 'lesions'"):
        score(reference(), ("lesion",))
    with pytest.raises(UsageError, match="calibration without probabilities"):
        score(reference(), ("calibration",))
    with pytest.raises(UsageError, match="--groups calibration --probabilities FOLDER"):
        OptionalGroups(("calibration",))
    with pytest.raises(UsageError, match="--groups calibration --probabilities FOLDER"):
        OptionalGroups(probabilities=tmp_path)
    with pytest.raises(UsageError, match="--groups lesions"):
        OptionalGroups(lesions=LesionRules(1.0))


def test_the_header_tells_the_rules():
    header = OptionalGroups(("lesions",), LesionRules(5.0, preset="autopet")).header()
    assert header["groups"] == ["lesions"]
    assert (header["lesions"].min_volume_mm3, header["lesions"].preset) == (5.0, "autopet")
    assert OptionalGroups().header() == {}
