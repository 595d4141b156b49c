"""What counts as the same result: rounding and near ties do, anything else does not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from autoseg.errors import CorruptError
from autoseg.labels import Labels
from autoseg.sharing.expected import Found, compare, expect, pack, unpack

LABELS = Labels({"a": (1,), "b": (2,)})
REGIONS = Labels({"whole": (1, 2), "part": (2,)})
SUMS = {"w": (1.0, 2.0)}


def make_found(labels: Labels = LABELS) -> Found:
    scores = np.random.default_rng(0).normal(0, 3, (labels.channels, 6, 7, 8)).astype(np.float32)
    image = np.random.default_rng(1).normal(0, 1, (1, 6, 7, 8)).astype(np.float32)
    return Found(image, scores, scores, labels.decode(scores), SUMS)


@pytest.mark.parametrize("labels", [LABELS, REGIONS])
def test_the_same_scores_and_rounding_are_as_expected(labels: Labels):
    found = make_found(labels)
    expected = expect(found.image, found.scores, found.label_map, SUMS)
    assert compare(expected, found, labels).problems == ()
    nearly = found.scores * np.float32(1 + 1e-5)
    again = dataclasses.replace(found, scores=nearly, restored=nearly)
    assert compare(expected, again, labels).problems == ()


def test_scores_that_moved_are_told_with_how_far():
    found = make_found()
    expected = expect(found.image, found.scores, found.label_map, SUMS)
    moved = dataclasses.replace(found, scores=found.scores + np.float32(0.03))
    (problem,) = compare(expected, moved, LABELS).problems
    assert problem.startswith("scores differ by 0.01")


def test_a_scan_that_was_normalised_otherwise_is_told_though_the_scores_stay():
    found = make_found()
    expected = expect(found.image, found.scores, found.label_map, SUMS)
    scaled = dataclasses.replace(found, image=found.image * np.float32(1.01))
    (problem,) = compare(expected, scaled, LABELS).problems
    assert "normalised or resampled by other numbers" in problem


def test_another_label_is_a_problem_unless_the_scores_nearly_tie():
    found = make_found()
    label_map = found.label_map.copy()
    label_map[0, 0, 0] = (label_map[0, 0, 0] + 1) % 3
    expected = expect(found.image, found.scores, label_map, SUMS)
    compared = compare(expected, found, LABELS)
    assert compared.problems == ("1 of 336 voxels have another label",)
    tied = found.restored.copy()
    tied[:, 0, 0, 0] = 1.0
    compared = compare(expected, dataclasses.replace(found, restored=tied), LABELS)
    assert (compared.problems, compared.changed) == ((), 1)


def test_the_smallest_change_of_a_weight_is_named():
    found = make_found()
    expected = expect(found.image, found.scores, found.label_map, SUMS)
    changed = dataclasses.replace(found, weights={"w": (1.0 + 1e-7, 2.0)})
    assert "'w'" in compare(expected, changed, LABELS).problems[0]
    renamed = dataclasses.replace(found, weights={"v": (1.0, 2.0)})
    assert compare(expected, renamed, LABELS).problems == ("the weights have other names",)


def test_scores_of_another_shape_are_told():
    found = make_found()
    expected = expect(found.image, found.scores, found.label_map, SUMS)
    smaller = dataclasses.replace(found, scores=found.scores[:, 1:])
    assert "(3, 5, 7, 8) instead of (3, 6, 7, 8)" in compare(expected, smaller, LABELS).problems[0]


def test_not_a_number_is_not_as_expected():
    found = make_found()
    expected = expect(found.image, found.scores, found.label_map, SUMS)
    lost = dataclasses.replace(found, scores=found.scores * np.float32("nan"))
    assert compare(expected, lost, LABELS).problems


def test_a_label_map_comes_back_and_what_is_none_is_refused():
    label_map = np.random.default_rng(0).integers(0, 400, (3, 4, 5))
    assert (unpack(pack(label_map), (3, 4, 5)) == label_map).all()
    for text in ("", "?", pack(label_map)[:20], pack(label_map[:2])):
        with pytest.raises(CorruptError, match="label map is damaged"):
            unpack(text, (3, 4, 5))
