"""Saved probabilities: how far off they may be, that they decide the same, and the tight box."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg.image import Geometry, Orientation
from autoseg.inference.export import decode_mean
from autoseg.inference.probabilities import (
    CERTAIN,
    save_certain_background,
    save_probabilities,
    uncertain_box,
    whole_probabilities,
)
from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame, restore
from autoseg.probabilities import read_probabilities

ORGANS = Labels({"liver": (1,), "spleen": (2,), "aorta": (7,)})
REGIONS = Labels({"whole": (1, 2), "core": (2,)})
LARGEST_ERROR = 0.00034


def make_frame(prepared, spacing=(2.0, 1.0, 1.5)):
    """A scan with axes X, Z, Y, the first of them backwards, a margin of zeros around the rest."""
    return Frame(
        source=Geometry((30, 17, 24), (1.0, 2.0, 1.0)),
        orientation=Orientation((1, 2, 0), (2,)),
        axis_order=(1, 0, 2),
        box=((2, 22), (1, 16), (3, 28)),
        prepared_shape=prepared,
        spacing=(1.0, 2.0, 1.0),
        prepared_spacing=spacing,
    )


def blob(labels, shape, seed, sharpness=14.0):
    """Scores (channels, z, y, x) that are certain of background far from a blob."""
    rng = np.random.default_rng(seed)
    centre = np.array(shape) / 2 + rng.normal(0, 1, 3)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    distance = np.linalg.norm((grid - centre) / np.array(shape) * 8, axis=-1)
    scores = rng.normal(0, 1, (labels.channels, *shape))
    if labels.exclusive:
        scores[0] += sharpness * (distance - 1.2)
    else:
        scores -= sharpness * (distance - 1.2)
    return torch.from_numpy(scores.astype(np.float32))


MEMBERS = {
    "one": [((10, 15, 16), (2.0, 2.0, 1.5))],
    "two": [((10, 15, 16), (2.0, 2.0, 1.5)), ((20, 12, 25), (1.0, 2.5, 1.0))],
}


def members_of(labels, name):
    return [
        (blob(labels, shape, seed), make_frame(shape, spacing))
        for seed, (shape, spacing) in enumerate(MEMBERS[name])
    ]


def exact(members, labels):
    """The slow way: restore every channel to the whole grid in float64, then the mean."""
    total = 0.0
    for scores, frame in members:
        whole = restore(scores.numpy(), frame, 0 if labels.exclusive else None).astype(np.float64)
        if labels.exclusive:
            whole -= whole.max(0)
            total = total + np.exp(whole) / np.exp(whole).sum(0)
        else:
            total = total + 1 / (1 + np.exp(-np.clip(whole, -700, 700)))
    return total / len(members)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("labels", [ORGANS, REGIONS])
def test_they_are_the_exact_ones_within_the_bound(tmp_path, labels, name):
    members = members_of(labels, name)
    save_probabilities(tmp_path / "a.npz", members, labels)
    saved = read_probabilities(tmp_path / "a.npz")
    expected = exact(members, labels)
    assert saved.whole().shape == expected.shape
    assert np.abs(saved.whole().astype(np.float64) - expected).max() < LARGEST_ERROR
    inside = np.prod([stop - start for start, stop in saved.box])
    assert 0 < inside < 0.5 * np.prod(saved.geometry.shape)
    np.testing.assert_allclose(whole_probabilities(members, labels), expected, atol=1e-5)


@pytest.mark.parametrize("name", MEMBERS)
@pytest.mark.parametrize("labels", [ORGANS, REGIONS])
def test_the_label_map_follows_from_them_but_for_ties(tmp_path, labels, name):
    members = members_of(labels, name)
    label_map = decode_mean(members, labels)
    save_probabilities(tmp_path / "a.npz", members, labels)
    saved = read_probabilities(tmp_path / "a.npz")
    whole = saved.whole()
    if labels.exclusive:
        decided = np.asarray(saved.values)[whole.argmax(0)]
        top = np.sort(whole, 0)
        tie = top[-1] == top[-2]
    else:
        decided = np.zeros(whole.shape[1:], int)
        for value, probability in zip(saved.values, whole, strict=True):
            decided[probability > 0.5] = value
        tie = (whole == np.float16(0.5)).any(0)
    assert len(np.unique(label_map)) > 1
    assert tie.mean() < 0.01
    assert np.array_equal(decided[~tie], label_map[~tie])


def test_certainty_at_the_neighbours_is_certainty_between_them():
    # Two targets at either end: neither is near anywhere between, whatever interpolation does.
    scores = torch.zeros(4, 9, 8, 8)
    scores[0], scores[1, 0], scores[2, 8] = CERTAIN + 1.2, 3.0, 3.0
    frame = make_frame((9, 8, 8), (2.1, 4.0, 3.0))
    box = uncertain_box([(scores, frame)], ORGANS)
    probabilities = exact([(scores, frame)], ORGANS)
    outside = np.ones(frame.cropped_shape, bool)
    outside[tuple(slice(*side) for side in box)] = False
    turned = frame.turn(probabilities)[(0, *(slice(*side) for side in frame.box))]
    assert (1 - turned[outside]).max(initial=0.0) < LARGEST_ERROR


def test_where_nothing_is_uncertain_nothing_is_kept(tmp_path):
    scores = torch.zeros(4, 10, 15, 16)
    scores[0] = 30.0
    save_probabilities(tmp_path / "a.npz", [(scores, make_frame((10, 15, 16)))], ORGANS)
    saved = read_probabilities(tmp_path / "a.npz")
    assert saved.inside.size == 0
    save_certain_background(tmp_path / "b.npz", saved.geometry, ORGANS)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
