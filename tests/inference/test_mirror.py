"""Mirroring: every flip undone, sides exchanged, the same with threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from autoseg.inference.mirror import all_flips, choose_flips, mirrored
from autoseg.labels import Labels

SIDES = Labels({"kidney_left": (1,), "liver": (2,), "kidney_right": (3,)})
PLAIN = Labels({"anterior": (1,), "posterior": (2,)})


def test_there_are_eight_flips_of_a_volume_and_four_of_a_slice():
    assert len(all_flips((0, 1, 2))) == 8
    assert all_flips((1, 2)) == [(), (1,), (2,), (1, 2)]
    assert all_flips(()) == [()]


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 2), (0, 2)])
def test_half_of_the_flips_flips_every_axis_in_half_of_them(axes):
    flips = choose_flips(axes, "half")
    assert len(flips) == 2 ** (len(axes) - 1)
    assert all(sum(axis in flip for flip in flips) == len(flips) / 2 for axis in axes)
    # A flip of the scan by one of them only reorders them: the mean stays.
    for one in flips:
        assert {tuple(sorted(set(one) ^ set(flip))) for flip in flips} == set(flips)


def test_one_axis_and_no_axis_have_no_half():
    assert choose_flips((2,), "half") == [(), (2,)]
    assert choose_flips((), "half") == choose_flips((0, 1, 2), "off") == [()]


def test_a_network_that_knows_no_direction_is_not_changed():
    tiles = torch.randn(3, 3, 4, 6, 5)
    run = mirrored(lambda x: x * x, all_flips((0, 1, 2)), 2, PLAIN, batch=5)
    torch.testing.assert_close(run(tiles), tiles * tiles)


def test_it_is_the_mean_over_flips_written_out():
    tiles = torch.randn(2, 3, 4, 6, 5)
    expected = sum(
        tiles.flip([a + 2 for a in axes]).cumsum(2).cumsum(4).flip([a + 2 for a in axes])
        for axes in all_flips((0, 2))
    )
    run = mirrored(lambda x: x.cumsum(2).cumsum(4), all_flips((0, 2)), 2, PLAIN, batch=3)
    torch.testing.assert_close(run(tiles), expected / 4)


def test_a_left_right_flip_exchanges_left_and_right_channels():
    # A network that calls everything in the low half "left" and in the high half "right".
    def predict(x):
        left = torch.zeros(x.shape[0], 1, *x.shape[2:])
        left[..., :2] = 1
        return torch.cat([x * 0, left, x * 0, 1 - left], 1)

    scores = mirrored(predict, [(), (2,)], 2, SIDES)(torch.zeros(1, 1, 2, 2, 4))
    assert scores[0, 1, 0, 0].tolist() == [1, 1, 0, 0]
    assert scores[0, 3, 0, 0].tolist() == [0, 0, 1, 1]
    # Along another axis nothing is exchanged, and nothing changes.
    scores = mirrored(predict, [(), (0,)], 2, SIDES)(torch.zeros(1, 1, 2, 2, 4))
    assert scores[0, 1, 0, 0].tolist() == [1, 1, 0, 0]


def test_threads_change_no_bit():
    tiles = torch.randn(2, 3, 8, 8, 8)
    with ThreadPoolExecutor(4) as pool:
        alone, together = (
            mirrored(lambda x: x.cumsum(2).sin(), all_flips((0, 1, 2)), 2, PLAIN, 3, executor)(
                tiles
            )
            for executor in (None, pool)
        )
    assert torch.equal(alone, together)
