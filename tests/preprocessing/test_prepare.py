"""Prepare and its way back."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.files import json_text
from autoseg.image import Geometry, Image, Orientation
from autoseg.preprocessing.crop import crop
from autoseg.preprocessing.prepare import (
    OUTSIDE,
    Frame,
    largest_shape,
    place,
    prepare,
    prepare_labels,
    restore,
    restore_operators,
)
from autoseg.records import from_json, to_json
from tests.preprocessing.conftest import make_plan, make_scan
from tests.synthetic import encoded_back

AXIS_ORDERS = list(itertools.permutations(range(3)))
TURNS = [
    (axes, flips)
    for axes in itertools.permutations(range(3))
    for flips in itertools.product([False, True], repeat=3)
]


def turned_scan(image, label_map, axes, flips):
    """The same voxels at the same places in the room, stored in another order."""
    old = image.geometry
    flipped = [axis for axis in range(3) if flips[axis]]
    array = np.flip(image.array.transpose(0, *(1 + a for a in axes)), [1 + a for a in flipped])
    labels = np.flip(label_map.transpose(axes), flipped)
    direction = old.direction_matrix[:, axes].copy()
    origin = np.asarray(old.origin)
    spacing = tuple(old.spacing[a] for a in axes)
    for axis in flipped:
        origin = origin + direction[:, axis] * spacing[axis] * (labels.shape[axis] - 1)
        direction[:, axis] *= -1
    geometry = Geometry(labels.shape, spacing, tuple(origin), tuple(direction.ravel()))
    return Image(np.ascontiguousarray(array), geometry), np.ascontiguousarray(labels)


def positions_of(label_map, geometry, value):
    points = geometry.position(np.argwhere(label_map == value))
    return {tuple(np.round(point, 4)) for point in points}


@pytest.mark.parametrize("oblique", [0.0, 0.2])
def test_all_48_orientations_give_the_same_array_and_the_same_places(rng, oblique):
    c, s = np.cos(oblique), np.sin(oblique)
    direction = (1.0, 0.0, 0.0, 0.0, c, -s, 0.0, s, c)
    image, label_map = make_scan(rng, direction=direction)
    plan, configuration = make_plan(axis_order=(2, 0, 1))
    expected, frame = prepare(image, plan, configuration)
    expected_labels = prepare_labels(label_map, frame, plan.labels)
    world = positions_of(place_labels(frame, expected_labels, plan), image.geometry, 3)
    assert world
    for axes, flips in TURNS:
        other, other_map = turned_scan(image, label_map, axes, flips)
        assert positions_of(other_map, other.geometry, 3) == positions_of(
            label_map, image.geometry, 3
        )
        array, other_frame = prepare(other, plan, configuration)
        np.testing.assert_array_equal(array, expected)
        indices = prepare_labels(other_map, other_frame, plan.labels)
        np.testing.assert_array_equal(indices, expected_labels)
        back = place_labels(other_frame, indices, plan)
        assert back.shape == other.geometry.shape
        assert positions_of(back, other.geometry, 3) == world


def place_labels(frame, indices, plan):
    """Labels on the source grid by way of scores, as prediction makes them."""
    scores = np.stack([indices == value for value in range(3)]).astype(np.float32)
    return plan.labels.decode(restore(scores, frame))


@pytest.mark.parametrize("axis_order", AXIS_ORDERS)
def test_without_resampling_restore_undoes_prepare_exactly(rng, axis_order):
    for axes, flips in TURNS[::5]:
        image, label_map = turned_scan(*make_scan(rng, channels=2), axes, flips)
        spacing = tuple(
            (2.0, 1.0, 1.3)[axis] for axis in axis_order
        )  # the canonical spacing of make_scan
        plan, configuration = make_plan(spacing, axis_order, ("none", "none"), (False, False))
        array, frame = prepare(image, plan, configuration)
        assert array.shape[1:] == frame.cropped_shape == frame.prepared_shape
        inside = restore(array, frame, background=None)
        found = inside != -OUTSIDE
        np.testing.assert_array_equal(inside[found], image.array[found])
        assert not image.array[~found].any()
        indices = prepare_labels(label_map, frame, plan.labels)
        restored = place(encoded_back(indices, plan.labels), frame)
        np.testing.assert_array_equal(restored, label_map)
        assert frame.source == image.geometry


def test_prepare_turns_reorders_crops_normalises_and_resamples(rng):
    image, _ = make_scan(rng)
    plan, configuration = make_plan((1.3, 2.0, 1.0), (2, 0, 1))
    array, frame = prepare(image, plan, configuration)
    turned = image.array.transpose(0, 3, 1, 2)
    assert array.dtype == np.float32
    assert frame.spacing == (1.3, 2.0, 1.0)
    assert frame.turned_shape == turned.shape[1:]
    (z0, z1), (y0, y1), (x0, x1) = frame.box
    cut = turned[:, z0:z1, y0:y1, x0:x1].astype(float)
    assert np.count_nonzero(cut) == np.count_nonzero(turned)
    np.testing.assert_allclose(array, (cut - cut.mean()) / cut.std(), atol=1e-5)


def test_prepare_does_not_change_the_scan(rng):
    image, _ = make_scan(rng)
    before = image.array.copy()
    for normalizer in ("ct", "zscore", "rescale", "rgb", "none"):
        plan, configuration = make_plan((2.0, 1.0, 1.3), normalizers=(normalizer,))
        prepare(image, plan, configuration)
        np.testing.assert_array_equal(image.array, before)


def test_prepared_shape_is_the_rounded_extent(rng):
    image, _ = make_scan(rng)
    plan, configuration = make_plan((1.5, 1.2, 1.2))
    array, frame = prepare(image, plan, configuration)
    assert frame.cropped_shape == (11, 15, 9)
    assert array.shape[1:] == (15, 12, 10)  # 11 * 2.0 / 1.5 = 14.67, 15 / 1.2 = 12.5, 9 * 1.3 / 1.2


def test_the_largest_shape_is_that_of_a_scan_of_which_nothing_is_cropped(rng):
    image, _ = make_scan(rng, (12, 20, 16), (3.0, 0.7, 1.1), direction=(0, 0, 1, 1, 0, 0, 0, 1, 0))
    plan, configuration = make_plan((1.5, 1.2, 1.0))
    full = Image(np.abs(image.array) + 1, image.geometry)
    array, _ = prepare(full, plan, configuration)
    assert largest_shape(image.geometry, plan, configuration) == array.shape[1:]
    cropped, _ = prepare(image, plan, configuration)
    assert cropped.size < array.size


def test_integers_become_numbers_with_fractions(rng):
    image, _ = make_scan(rng)
    plan, configuration = make_plan()
    whole = Image(image.array.astype(np.int16), image.geometry)
    array, _ = prepare(whole, plan, configuration)
    assert array.dtype == np.float32
    assert (array % 1 != 0).any()


def test_in_2d_the_slice_axis_keeps_its_spacing_and_slices_do_not_mix(rng):
    image, label_map = make_scan(rng, spacing=(2.5, 1.0, 1.3))
    plan, configuration = make_plan((None, 1.2, 1.2), normalizers=("none",))
    array, frame = prepare(image, plan, configuration)
    assert frame.prepared_spacing == (2.5, 1.2, 1.2)
    assert array.shape[1] == frame.cropped_shape[0]
    assert restore_operators(frame)[0] is None
    changed = image.array.copy()
    changed[:, frame.box[0][0] + 2] *= 1.01
    other, _ = prepare(Image(changed, image.geometry), plan, configuration)
    differs = (np.abs(other - array) > 1e-4).any((0, 2, 3))
    assert differs.tolist() == [index == 2 for index in range(len(differs))]
    assert prepare_labels(label_map, frame, plan.labels).shape == array.shape[1:]


def test_a_picture_is_a_volume_of_depth_one(rng):
    geometry = Geometry((1, 40, 31), (1.0, 0.5, 0.5))
    picture = Image(rng.random((1, 1, 40, 31)).astype(np.float32) + 1, geometry)
    label_map = np.zeros((1, 40, 31), np.uint8)
    label_map[0, 10:20, 8:19] = 3
    plan, configuration = make_plan((None, 0.7, 0.8), normalizers=("zscore",))
    array, frame = prepare(picture, plan, configuration)
    assert array.shape == (1, 1, 29, 19)
    indices = prepare_labels(label_map, frame, plan.labels)
    assert set(np.unique(indices)) == {0, 2}
    back = place_labels(frame, indices, plan)
    assert back.shape == (1, 40, 31)
    overlap = 2 * ((back == 3) & (label_map == 3)).sum() / ((back == 3).sum() + 110)
    assert overlap > 0.9


def test_outside_the_box_background_wins(rng):
    image, _ = make_scan(rng)
    plan, configuration = make_plan()
    _, frame = prepare(image, plan, configuration)
    scores = rng.normal(size=(3, *frame.prepared_shape)).astype(np.float32)
    outside = place(np.zeros(frame.cropped_shape, np.uint8), frame, fill=1) == 1
    restored = restore(scores, frame)
    assert outside.any()
    assert (restored.argmax(0)[outside] == 0).all()
    assert (restore(scores, frame, background=None)[:, outside] < 0).all()
    assert restored.shape == (3, *image.geometry.shape)


def test_restore_is_the_three_operators(rng):
    image, _ = make_scan(rng, shape=(5, 17, 11), spacing=(5.0, 1.0, 1.3))
    plan, configuration = make_plan((4.0, 1.3, 1.1))
    _, frame = prepare(image, plan, configuration)
    scores = rng.normal(size=(2, *frame.prepared_shape)).astype(np.float32)
    expected = scores.astype(float)
    for axis, matrix in enumerate(restore_operators(frame), start=1):
        if matrix is not None:
            expected = np.moveaxis(np.tensordot(matrix, expected, (1, axis)), 0, axis)
    (z0, z1), (y0, y1), (x0, x1) = frame.box
    found = frame.turn(restore(scores, frame))[:, z0:z1, y0:y1, x0:x1]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_mask_normalisation_leaves_the_outside_at_zero(rng):
    image, _ = make_scan(rng)
    plan, configuration = make_plan((2.0, 1.0, 1.3), mask_normalization=(True,))
    array, frame = prepare(image, plan, configuration)
    (z0, z1), (y0, y1), (x0, x1) = frame.box
    outside = image.array[:, z0:z1, y0:y1, x0:x1] == 0
    assert outside.any()
    assert (array[outside] == 0).all()
    assert abs(array[~outside].mean()) < 1e-5
    assert abs(array[~outside].std() - 1) < 1e-5


def test_ignored_voxels_stay_ignored(rng):
    image, label_map = make_scan(rng)
    label_map[label_map == 1] = 9
    plan, configuration = make_plan(targets={"tumour": (3,)}, ignore=9)
    _, frame = prepare(image, plan, configuration)
    indices = prepare_labels(label_map, frame, plan.labels)
    assert set(np.unique(indices)) == {0, 1, 255}


def test_a_frame_survives_json(rng):
    image, _ = make_scan(rng, direction=(0.0, 0.0, -1.0, 1.0, 0.0, 0.0, 0.0, -1.0, 0.0))
    plan, configuration = make_plan((None, 0.7, 1 / 3), axis_order=(1, 2, 0))
    _, frame = prepare(image, plan, configuration)
    json_text(frame_json := to_json(frame))
    assert from_json(Frame, frame_json) == frame


def test_channels_that_do_not_fit_the_plan_are_refused(rng):
    image, _ = make_scan(rng, channels=2)
    plan, configuration = make_plan()
    with pytest.raises(DataError, match="2 channels, expected 1"):
        prepare(image, plan, configuration)


def test_an_unknown_normaliser_gets_a_suggestion(rng):
    image, _ = make_scan(rng)
    plan, configuration = make_plan(normalizers=("zscor",))
    with pytest.raises(UsageError, match="did you mean 'zscore'"):
        prepare(image, plan, configuration)


def test_a_normaliser_of_ones_own_needs_trust(rng):
    image, _ = make_scan(rng)
    plan, configuration = make_plan((2.0, 1.0, 1.3), normalizers=(f"{__name__}:halve",))
    with pytest.raises(CorruptError, match="asks to import normaliser"):
        prepare(image, plan, configuration)
    array, _ = prepare(image, plan, configuration, trust=True)
    assert abs(array.max() - image.array.max() / 2) < 1e-4


def halve(array, stats, inside):
    return array / 2


def test_a_box_of_the_turned_scan_is_found_on_the_source_grid():
    source = Geometry((5, 7, 9))
    box = ((1, 3), (2, 5), (0, 4))
    for permutation in itertools.permutations(range(3)):
        for flips in ((), (0,), (1, 2), (0, 1, 2)):
            for order in itertools.permutations(range(3)):
                frame = Frame(source, Orientation(permutation, flips), order, box, (1, 1, 1),
                              (1.0,) * 3, (1.0,) * 3)  # fmt: skip
                array = np.zeros(source.shape, int)
                z, y, x = (slice(*side) for side in frame.source_box(box))
                array[z, y, x] = 1
                turned = frame.turn(array)
                assert crop(turned, box).all()
                assert turned.sum() == np.prod([stop - start for start, stop in box])
