"""Decoding while restoring equals restoring everything and then deciding; and it stays small."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from autoseg.image import Geometry, Image, canonical_orientation
from autoseg.inference import blocks
from autoseg.inference.export import decode_mean, decode_restored
from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame, prepare, restore

from .conftest import make_plan

EXCLUSIVE = Labels({"a": (1,), "b": (7,), "c": (3,)})
OVERLAPPING = Labels({"kidney": (1, 2), "tumour": (2,)})


def make_frame(
    source: tuple[int, int, int] = (19, 40, 33),
    prepared: tuple[int, int, int] = (24, 29, 31),
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    margin: int = 3,
) -> Frame:
    box = tuple((margin, size - margin) for size in source)
    turned = Geometry(source, spacing)
    plan = make_plan()
    orientation = canonical_orientation(turned.direction_matrix)
    finer = tuple(s * (b[1] - b[0]) / n for s, b, n in zip(spacing, box, prepared, strict=True))
    return Frame(turned, orientation, plan.axis_order, box, prepared, spacing, finer)


@pytest.mark.parametrize("labels", [EXCLUSIVE, OVERLAPPING])
@pytest.mark.parametrize("prepared", [(24, 29, 31), (9, 70, 27), (13, 34, 27)])
def test_it_equals_restoring_all_scores_and_deciding_then(labels, prepared, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", (4, 8, 10))  # several blocks along every axis
    frame = make_frame(prepared=prepared)
    scores = np.random.default_rng(0).normal(size=(labels.channels, *prepared)).astype(np.float32)
    naive = labels.decode(restore(scores, frame, background=0 if labels.exclusive else None))
    found = decode_restored(torch.from_numpy(scores), frame, labels)
    assert found.dtype == labels.dtype
    assert found.shape == frame.source.shape
    # A different order of additions may decide a tie of two scores otherwise, nothing else.
    assert (found != naive).mean() < 1e-4


def body_scores(channels: int, shape: tuple[int, int, int], rng: np.random.Generator) -> np.ndarray:
    """Return scores of small bodies in much background: most channels are nowhere near the best."""
    axes = np.ogrid[tuple(slice(n) for n in shape)]
    scores = np.empty((channels, *shape), np.float32)
    for channel in range(1, channels):
        centre, radii = rng.uniform(0, 1, 3) * shape, rng.uniform(2, 6, 3)
        far = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
        scores[channel] = np.clip(10 - 10 * np.sqrt(far), -14, 12) + rng.normal(0, 0.3, shape)
    scores[0] = -scores[1:].max(0)
    return scores


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("exclusive", [True, False])
def test_leaving_out_what_cannot_win_changes_no_label(dtype, exclusive, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK", (4, 8, 8))
    targets = {f"t{k}": (k,) for k in range(1, 31)}
    labels = Labels(targets if exclusive else targets | {"all": tuple(range(1, 31))})
    frame = make_frame(source=(30, 46, 46))
    rng = np.random.default_rng(3)
    scores = body_scores(labels.channels, frame.prepared_shape, rng).astype(dtype)
    naive = labels.decode(
        restore(scores.astype(np.float32), frame, background=0 if exclusive else None)
    )
    found = decode_restored(torch.from_numpy(scores), frame, labels)
    assert np.array_equal(found, naive)
    assert len(np.unique(found)) > 20 if exclusive else found.any()


def test_a_channel_that_is_best_only_between_voxels_is_not_left_out():
    # Half-way between two voxels the winners of both are at 0, and the channel that is second in
    # both stands at 6.
    frame = make_frame(source=(2, 2, 8), prepared=(2, 2, 4), margin=0)
    scores = torch.full((4, 2, 2, 4), -50.0)
    scores[0, ..., ::2], scores[0, ..., 1::2] = 10.0, -10.0
    scores[1, ..., ::2], scores[1, ..., 1::2] = -10.0, 10.0
    scores[2] = 6.0
    naive = EXCLUSIVE.decode(restore(scores.numpy(), frame))
    assert 7 in naive
    assert np.array_equal(decode_restored(scores, frame, EXCLUSIVE), naive)


def test_more_than_255_channels_are_numbered_in_two_bytes():
    labels = Labels({f"t{k}": (3 * k,) for k in range(1, 301)})
    frame = make_frame((4, 5, 90), (4, 5, 30), margin=0)
    scores = torch.randn(301, 4, 5, 30)
    naive = labels.decode(restore(scores.numpy(), frame))
    assert np.array_equal(decode_restored(scores, frame, labels), naive)
    assert naive.max() > 765


def test_thick_slices_take_the_nearest_slice():
    frame = make_frame(prepared=(26, 34, 27), spacing=(5.0, 1.0, 1.0))
    labels = EXCLUSIVE
    scores = np.random.default_rng(1).normal(size=(labels.channels, 26, 34, 27)).astype(np.float32)
    naive = labels.decode(restore(scores, frame))
    assert np.array_equal(decode_restored(torch.from_numpy(scores), frame, labels), naive)


def test_without_resampling_it_is_exactly_the_best_channel():
    frame = make_frame(prepared=(13, 34, 27))
    scores = torch.randint(0, 3, (EXCLUSIVE.channels, 13, 34, 27)).float()  # many ties
    found = decode_restored(scores, frame, EXCLUSIVE)
    assert np.array_equal(found[3:-3, 3:-3, 3:-3], EXCLUSIVE.decode(scores.numpy()))
    assert not found[:3].any()
    assert not found[:, :, -3:].any()


def test_every_written_value_is_declared():
    scores = torch.randn(OVERLAPPING.channels, 24, 29, 31) * 5
    assert set(np.unique(decode_restored(scores, make_frame(), OVERLAPPING))) <= {0, 1, 2}


def test_several_models_are_averaged_as_probabilities():
    frames = [make_frame(prepared=(13, 34, 27)), make_frame(prepared=(26, 20, 27))]
    members = [(torch.randn(EXCLUSIVE.channels, *f.prepared_shape), f) for f in frames]
    restored = [torch.from_numpy(restore(s.numpy(), f)).softmax(0) for s, f in members]
    naive = EXCLUSIVE.decode(sum(restored).numpy())
    assert (decode_mean(members, EXCLUSIVE) != naive).mean() < 1e-4


def test_models_of_different_parts_of_the_scan_are_refused():
    frames = [make_frame(margin=3), make_frame(margin=2)]
    members = [(torch.zeros(EXCLUSIVE.channels, *f.prepared_shape), f) for f in frames]
    with pytest.raises(ValueError, match="same part"):
        decode_mean(members, EXCLUSIVE)


def test_forty_targets_of_a_large_scan_need_little_memory():
    # In a process of its own, where the high-water mark of memory is that of this one call.
    program = """
import resource, torch
from tests.inference.test_export import make_frame
from autoseg.inference.export import decode_restored
from autoseg.labels import Labels
frame = make_frame(source=(90, 256, 256), prepared=(20, 64, 64))
labels = Labels({f"target {i}": (i,) for i in range(1, 41)})
scores = torch.randn(41, 20, 64, 64)
decode_restored(scores[:, :2, :2, :2], make_frame(prepared=(2, 2, 2)), labels)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
decode_restored(scores, frame, labels)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True)
    # All forty restored scores would take 967 MB, one of them 24.
    assert int(done.stdout) < 130_000, done.stderr


def test_a_turned_scan_gets_its_labels_in_its_own_axes():
    plan = make_plan(EXCLUSIVE)
    direction = (0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    geometry = Geometry((12, 14, 16), (1.0, 1.0, 1.0), direction=direction)
    truth = np.zeros((12, 14, 16), dtype=np.uint8)
    truth[2:5, 3:9, 4:12] = 7
    image = Image(np.ones((1, 12, 14, 16), dtype=np.float32), geometry)
    _, frame = prepare(image, plan, plan.configurations["3d_fullres"])
    turned = frame.turn(truth)
    scores = torch.stack([torch.from_numpy((turned == v).astype(np.float32)) for v in (0, 1, 7, 3)])
    assert np.array_equal(decode_restored(scores, frame, EXCLUSIVE), truth)


@pytest.mark.parametrize("members", [1, 2])
def test_thresholds_are_probabilities_whatever_the_number_of_models(members):
    frame = make_frame((4, 5, 6), (4, 5, 6), margin=0)
    chances = np.random.default_rng(1).uniform(0.05, 0.95, (2, 4, 5, 6))
    logits = torch.from_numpy(np.log(chances / (1 - chances)).astype(np.float32))
    found = decode_mean([(logits, frame)] * members, OVERLAPPING, (0.7, 0.2))
    expected = np.where(chances[1] > 0.2, 2, np.where(chances[0] > 0.7, 1, 0))
    assert np.array_equal(found, frame.turn_back(expected))
    by_default = decode_mean([(logits, frame)] * members, OVERLAPPING)
    same = decode_mean([(logits, frame)] * members, OVERLAPPING, (0.5, 0.5))
    assert np.array_equal(by_default, same)


@pytest.mark.parametrize("members", [1, 2])
def test_a_single_target_is_held_against_a_probability(members):
    single = Labels({"tumour": (255,)})
    frame = make_frame((4, 5, 6), (4, 5, 6), margin=0)
    logits = torch.from_numpy(np.random.default_rng(2).normal(0, 1, (2, 4, 5, 6)).astype("f4"))
    chance = logits.softmax(0)[1].numpy()
    sizes = []
    for limit in (0.2, 0.5, 0.8):
        found = decode_mean([(logits, frame)] * members, single, (limit,))
        assert np.array_equal(found, frame.turn_back(np.where(chance > limit, 255, 0)))
        sizes.append(int((found > 0).sum()))
    assert sizes[0] > sizes[1] > sizes[2]
    assert np.array_equal(
        decode_mean([(logits, frame)] * members, single, (0.5,)),
        decode_mean([(logits, frame)] * members, single),
    )
