"""Numbers of older reports: by hand, and always said not to be the standard."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import UsageError
from autoseg.evaluation.compat import (
    check_compat,
    compat_scores,
    count_both_empty_as_one,
    format_compat,
    slice_sums,
)
from autoseg.evaluation.pair import Pair
from autoseg.image import Geometry
from autoseg.io import write_labels
from autoseg.labels import Labels
from autoseg.results import BOTH_EMPTY, REF_EMPTY
from tests.evaluation.scores import case

LABELS = Labels({"organ": (1,), "rest": (2,)})


def volume(*slices: list[int]) -> np.ndarray:
    """Return a volume of rows of four voxels, one row a slice."""
    return np.asarray(slices, np.uint8)[:, None, :]


@pytest.fixture
def pair(tmp_path) -> Pair:
    reference = volume([1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0])
    prediction = volume([1, 1, 0, 0], [0, 1, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0])
    paths = [tmp_path / "g.nii.gz", tmp_path / "p.nii.gz"]
    for path, array in zip(paths, (reference, prediction), strict=True):
        write_labels(path, array, Geometry(array.shape))
    return Pair("a", *paths)


def test_slices_by_hand(pair):
    sums = slice_sums(pair, LABELS)
    organ = sums["organ"]
    assert (organ.tp, organ.n_ref, organ.n_pred) == (2, 4, 3)  # the third slice is not seen
    assert organ.dice == pytest.approx(4 / 5 + 0 + 0 + 1)
    assert organ.iou == pytest.approx(2 / 3 + 0 + 0 + 1)
    assert organ.slices == 4
    assert (sums["rest"].dice, sums["rest"].slices) == (4, 4)


def test_modes_over_two_cases_by_hand(pair):
    sums = [slice_sums(pair, LABELS), slice_sums(pair, LABELS)]
    cases = [case("a", organ=0.9, rest=BOTH_EMPTY), case("b", organ=REF_EMPTY, rest=BOTH_EMPTY)]
    scores = compat_scores(["pooled", "slices-with-organ", "empty-is-one"], cases, sums)
    # 30 voxels common, of 50 and 40 in the first case, of 0 and 40 in the second
    assert scores["pooled"]["dice"] == {"organ": pytest.approx(2 * 30 / 130), "rest": None}
    assert scores["pooled"]["iou"]["organ"] == pytest.approx(30 / 100)
    assert scores["pooled"]["mean"]["dice"] == pytest.approx(2 * 30 / 130)
    assert scores["slices-with-organ"]["dice"] == {"organ": pytest.approx(8 / 14), "rest": 1}
    assert scores["empty-is-one"]["dice"] == {"organ": pytest.approx(1.8 / 4), "rest": 1}
    assert scores["empty-is-one"]["mean"]["dice"] == pytest.approx((1.8 / 4 + 1) / 2)
    for entry in scores.values():
        assert entry["standard"] is False


def test_predicting_nothing_scores_high_where_empty_is_one(pair, tmp_path):
    nothing = tmp_path / "nothing.nii.gz"
    write_labels(nothing, np.zeros((4, 1, 4), np.uint8), Geometry((4, 1, 4)))
    sums = slice_sums(Pair("a", pair.reference, nothing), LABELS)
    missing = slice_sums(Pair("a", pair.reference, None), LABELS)
    assert sums == missing
    scores = compat_scores(["empty-is-one"], [case("a", organ=0.0, rest=BOTH_EMPTY)], [sums])
    assert scores["empty-is-one"]["mean"]["dice"] == pytest.approx((2 / 4 + 1) / 2)


def test_targets_that_are_not_annotated_take_no_part(pair):
    sums = slice_sums(Pair("a", pair.reference, pair.prediction, annotated=("rest",)), LABELS)
    assert list(sums) == ["rest"]


def test_both_empty_as_one_changes_these_and_nothing_else():
    before = case("a", organ=0.9, rest=BOTH_EMPTY, third=REF_EMPTY)
    after = count_both_empty_as_one(before)
    rest = {key: value.value for key, value in after.metrics["rest"].items()}
    assert (rest["dice"], rest["iou"], rest["nsd"]) == (1, 1, 1)
    assert (rest["hd95"], rest["assd"], rest["n_ref"]) == (0, 0, 0)
    assert after.metrics["rest"]["dice"].status == BOTH_EMPTY
    assert after.metrics["organ"] == before.metrics["organ"]
    assert after.metrics["third"] == before.metrics["third"]


def test_every_line_says_that_it_is_not_the_standard():
    scores = compat_scores(["pooled"], [case("a", organ=0.9)])
    text = "\n".join(format_compat({"both_empty": "one", "compat": scores}))
    assert text.count("not the standard definition") == 2
    assert "Dice: organ 0.6667" in text
    assert format_compat({"both_empty": "null"}) == []
    many = compat_scores(["pooled"], [case("a", **dict.fromkeys("abcdefghi", 0.9))])
    assert format_compat({"compat": many})[1] == "  Dice: mean 0.6667"


def test_an_unknown_mode_is_answered_with_the_near_one():
    with pytest.raises(UsageError, match="did you mean 'pooled'"):
        check_compat(["poled"])
