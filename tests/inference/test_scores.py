"""Validation scores as they are kept and read again."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.errors import CorruptError
from autoseg.image import Geometry, Orientation
from autoseg.inference.scores import (
    CERTAIN,
    ScoreKeeper,
    read_index,
    read_scores,
    uncertain_box,
)
from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame

SHAPE = (4, 6, 5)
ONE_MM = (1.0, 1.0, 1.0)
FRAME = Frame(Geometry(SHAPE), Orientation(), (0, 1, 2), ((0, 4), (0, 6), (0, 5)), SHAPE, ONE_MM,
              ONE_MM)  # fmt: skip
EXCLUSIVE = Labels({"a": (1,), "b": (2,)})
REGIONS = Labels({"a": (1, 2), "b": (2,)})


def certain(labels):
    scores = np.zeros((labels.channels, *SHAPE), dtype=np.float32)
    scores[...] = -3 * CERTAIN
    if labels.exclusive:
        scores[0] = 3 * CERTAIN
    return scores


@pytest.mark.parametrize("labels", [EXCLUSIVE, REGIONS], ids=["exclusive", "regions"])
def test_the_box_holds_all_that_is_not_certainly_background(labels):
    scores = certain(labels)
    assert uncertain_box(scores, labels) == ((0, 0), (0, 0), (0, 0))
    scores[-1, 1, 2:4, 3] = 3 * CERTAIN + (-0.5 if labels.exclusive else 0)
    scores[-1, 2, 5, 1] = 3 * CERTAIN - CERTAIN + 0.1
    assert uncertain_box(scores, labels) == ((1, 3), (2, 6), (1, 4))


@pytest.mark.parametrize("labels", [EXCLUSIVE, REGIONS], ids=["exclusive", "regions"])
def test_what_is_read_gives_the_same_probabilities(labels, tmp_path):
    rng = np.random.default_rng(0)
    scores = certain(labels)
    scores[:, 1:3, 2:4, 1:] = rng.normal(0, 3, scores[:, 1:3, 2:4, 1:].shape)
    keeper = ScoreKeeper(tmp_path / "scores", labels)
    keeper.keep("x", scores, FRAME)
    assert read_index(tmp_path / "scores") is None  # not complete yet
    keeper.close()
    index = read_index(tmp_path / "scores")
    kept = index.cases["x"]
    assert kept.frame == FRAME
    found = read_scores(tmp_path / "scores", "x", kept, labels)
    assert found.dtype == np.float32

    def probabilities(logits):
        if not labels.exclusive:
            return 1 / (1 + np.exp(-logits))
        powers = np.exp(logits - logits.max(0))
        return powers / powers.sum(0)

    assert np.abs(probabilities(found) - probabilities(scores)).max() < 1e-3
    inside = (slice(None), slice(1, 3), slice(2, 4), slice(1, None))
    assert np.array_equal(found[inside], scores[inside].astype(np.float16))


def test_a_fold_that_is_too_large_keeps_nothing_and_says_so(tmp_path, caplog):
    caplog.set_level("INFO", "autoseg")
    keeper = ScoreKeeper(tmp_path / "scores", EXCLUSIVE, most=1000)
    scores = np.zeros((3, *SHAPE), dtype=np.float32)  # 720 bytes as float16
    keeper.keep("x", scores, FRAME)
    keeper.keep("y", scores, FRAME)
    keeper.keep("z", scores, FRAME)
    keeper.close()
    assert not (tmp_path / "scores").exists()
    assert caplog.text.count("cannot be tried in an ensemble") == 1


def test_scores_of_an_earlier_validation_are_gone(tmp_path):
    (tmp_path / "scores").mkdir()
    (tmp_path / "scores" / "index.json").write_text("{}")
    ScoreKeeper(tmp_path / "scores", EXCLUSIVE)
    assert read_index(tmp_path / "scores") is None


def test_an_index_that_is_not_ours_is_refused(tmp_path):
    (tmp_path / "index.json").write_text('{"format": "other"}')
    with pytest.raises(CorruptError, match="another version"):
        read_index(tmp_path)
