"""Sliding window: nothing is lost or counted twice, tiles lie as they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from autoseg.inference.sliding import choose_tile, sliding_window, tile_starts, tile_weights

PATCH = (40, 56, 40)
EIGHT = (8, 8, 8)


@pytest.mark.parametrize("shape", [(5, 7, 6), (16, 16, 16), (17, 40, 23), (33, 9, 50)])
@pytest.mark.parametrize("step", [0.5, 0.75, 1.0])
def test_a_network_that_copies_gives_the_image_back(shape, step):
    image = torch.randn(2, *shape)
    scores = sliding_window(lambda tiles: tiles * 2, image, (16, 16, 16), step, tile_batch=3)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, image * 2, rtol=1e-5, atol=1e-6)


def test_the_result_does_not_depend_on_the_number_of_tiles_at_once():
    image = torch.randn(1, 30, 20, 44)

    def predict(tiles):
        return torch.cat([tiles.cumsum(-1), tiles.cumsum(-3)], 1)

    one, many = (sliding_window(predict, image, (16, 16, 16), 0.5, n) for n in (1, 50))
    torch.testing.assert_close(one, many, rtol=0, atol=0)


def test_it_equals_the_weighted_mean_written_out():
    image = torch.randn(1, 20, 16, 27, dtype=torch.float64)
    tile = (16, 16, 16)
    distance = (np.indices(tile) - 7.5) / (16 / 8)
    gaussian = torch.from_numpy(np.exp(-0.5 * (distance**2).sum(0)))
    total, weights = torch.zeros(20, 16, 27).double(), torch.zeros(20, 16, 27).double()
    for z in (0, 4):
        for x in (0, 6, 11):  # 11 voxels in at most 8-voxel steps
            at = (slice(z, z + 16), slice(0, 16), slice(x, x + 16))
            total[at] += gaussian * image[0][at].cumsum(0)
            weights[at] += gaussian
    scores = sliding_window(lambda tiles: tiles.cumsum(-3), image.float(), tile, 0.5)
    torch.testing.assert_close(scores[0], (total / weights).float(), rtol=1e-4, atol=1e-5)


def test_tiles_are_evenly_spaced_as_in_the_reference():
    # ceil((size - tile) / (tile * step)) + 1 tiles
    assert tile_starts(110, 64, 0.5) == [0, 23, 46]
    assert tile_starts(64, 64, 0.5) == [0]
    assert tile_starts(50, 64, 0.5) == [0]
    assert tile_starts(128, 64, 1.0) == [0, 64]


@pytest.mark.parametrize(("size", "tile"), [(100, 64), (65, 64), (300, 32), (10, 10)])
def test_weights_sum_to_one_at_every_voxel(size, tile):
    starts = tile_starts(size, tile, 0.5)
    total = torch.zeros(size)
    for start, weight in zip(starts, tile_weights(size, tile, starts), strict=True):
        total[start : start + tile] += weight
    torch.testing.assert_close(total, torch.ones(size))


def test_a_tile_grows_where_that_saves_a_second_one():
    assert choose_tile((36, 50, 35), PATCH, EIGHT, 16) == PATCH
    assert choose_tile((47, 50, 35), PATCH, EIGHT, 16) == (48, 56, 40)
    assert choose_tile((47, 59, 43), PATCH, EIGHT, 16) == (48, 64, 48)


def test_a_tile_never_grows_beyond_half_a_patch_or_beyond_memory_or_across_slices():
    assert choose_tile((61, 50, 35), PATCH, EIGHT, 16) == PATCH
    assert choose_tile((192, 192, 192), (160, 160, 160), (32, 32, 32), 512) == (160, 160, 160)
    assert choose_tile((2, 60, 40), (1, 56, 40), (1, 8, 8), 16) == (1, 64, 40)


def test_a_grown_tile_is_never_more_work():
    rng = np.random.default_rng(0)
    for shape in rng.integers(20, 130, (200, 3)):
        tile = choose_tile(shape, PATCH, EIGHT, 16)
        work = [
            math.prod(t)
            * math.prod(len(tile_starts(s, p, 0.5)) for s, p in zip(shape, t, strict=True))
            for t in (tile, PATCH)
        ]
        assert work[0] <= work[1]


def test_from_end_is_the_mirror_image_of_the_mirrored_image():
    # Odd margins (35 in 40), and starts between two voxels (61 / 4 apart).
    tile = (40, 24, 16)
    places = torch.rand(tile)  # so that it matters where in a tile a voxel lies
    for shape in [(35, 24, 9), (36, 63, 15), (101, 30, 16), (43, 37, 41)]:
        image = torch.randn(1, *shape)

        def predict(tiles):
            return tiles * places

        def predict_mirrored(tiles):
            return predict(tiles.flip(-1, -3)).flip(-1, -3)

        ours = sliding_window(predict, image, tile, 0.5, 2, from_end=(0, 2))
        theirs = sliding_window(predict_mirrored, image.flip(-1, -3), tile, 0.5, 2)
        torch.testing.assert_close(ours, theirs.flip(-1, -3), rtol=1e-5, atol=1e-4)
        other = sliding_window(predict, image, tile, 0.5, 2)
        assert (other - ours).abs().max() > 0.1  # so the comparison could have failed


def test_starts_from_the_end_are_rounded_there():
    assert tile_starts(101, 64, 0.5) == [0, 18, 37]  # 18.5 goes to the even one
    assert tile_starts(101, 64, 0.5, from_end=True) == [0, 19, 37]
    assert tile_starts(100, 64, 0.5, from_end=True) == tile_starts(100, 64, 0.5)
    assert tile_starts(50, 64, 0.5, from_end=True) == [0]


# --- tiles that show the same ---------------------------------------------------------------------


def counting(predict):
    """Return `predict`, and the list of the sizes of the groups of tiles it is given."""
    sizes: list[int] = []

    def count(tiles):
        sizes.append(len(tiles))
        return predict(tiles)

    return count, sizes


def tile_by_tile(predict, image, tile):
    """Return the scores of a sliding window that sees every tile, even 1e-3 apart from its twin."""
    marked = image + 1e-3 * torch.randn_like(image)
    return sliding_window(predict, marked, tile, 0.5)


def test_air_is_predicted_once_and_gets_the_scores_it_would_have_got():
    tile = (8, 8, 8)
    places = torch.randn(tile)  # a network that sees where in a tile a voxel lies
    image = torch.full((1, 8, 8, 48), -3.4)
    image[..., :9] = torch.randn(8, 8, 9)

    def predict(tiles):
        return torch.cat([tiles * places, tiles.cumsum(-1)], 1)

    count, sizes = counting(predict)
    scores = sliding_window(count, image, tile, 0.5, tile_batch=4)
    # Tiles begin at 0, 4, 8, ..., 40: from 12 on they are air, from 0 to 8 they are not.
    assert sizes == [4]
    torch.testing.assert_close(scores, tile_by_tile(predict, image, tile), rtol=0, atol=0.05)
    for group in (1, 3):
        again = sliding_window(predict, image, tile, 0.5, tile_batch=group)
        torch.testing.assert_close(again, scores, rtol=0, atol=0)


def test_what_resampling_makes_of_one_value_counts_as_one_and_anything_more_does_not():
    def groups(image):
        count, sizes = counting(lambda tiles: tiles)
        sliding_window(count, image, (4, 4, 4), 1.0)
        return sum(sizes)

    air = torch.full((1, 4, 4, 16), -3.4)
    air[..., 5] += 5e-6
    assert groups(air) == 1
    air[0, 1, 1, 5] += 1e-3
    assert groups(air) == 2
    two = torch.zeros(1, 4, 4, 16)
    two[..., 8:] = 1.0  # two tiles of zeros, two of ones
    assert groups(two) == 2
    channels = torch.cat([air.new_zeros(air.shape), two])
    assert groups(channels) == 2


def test_a_group_that_does_not_fit_is_tried_in_smaller_ones_and_nothing_is_predicted_twice():
    image = torch.randn(1, 4, 4, 40)
    done = []

    def predict(tiles):
        if len(tiles) > 2:
            raise torch.OutOfMemoryError("no")
        done.append(len(tiles))
        return tiles * 2

    left = [5, 2]
    scores = sliding_window(predict, image, (4, 4, 4), 0.5, 10, fewer=lambda: left.pop(0))
    assert left == []
    assert sum(done) == 19
    torch.testing.assert_close(scores, image * 2, rtol=1e-5, atol=1e-6)
    with pytest.raises(torch.OutOfMemoryError):
        sliding_window(predict, image, (4, 4, 4), 0.5, 10)
