"""Distances to the surface of labels, by hand and by brute force."""

import math

import pytest
import torch
from torch import Tensor

from autoseg.training.boundary import nearness, reach_voxels, squared_distance

FAR = (99, 99, 99)


def distance(rows: list[list[int]], spacing: tuple[float, float, float], reach=FAR) -> Tensor:
    values = torch.tensor(rows)[None, None]
    return squared_distance(values, None, torch.tensor([spacing]), reach)[0, 0].sqrt()


def test_the_surface_lies_between_two_voxels() -> None:
    assert distance([[0, 0, 1, 1, 1]], (1, 1, 2))[0].tolist() == [3, 1, 1, 3, 5]


def test_five_by_five_by_hand() -> None:
    rows = [[0] * 5 for _ in range(5)]
    rows[2][2] = 7
    found = distance(rows, (1, 1, 1))
    beside, corner, end = 0.5, math.hypot(0.5, 1), math.hypot(1.5, 2)
    assert found[2].tolist() == pytest.approx([1.5, beside, beside, beside, 1.5])
    assert found[1, 1].item() == pytest.approx(corner)
    assert found[0, 1].item() == pytest.approx(math.hypot(1.5, 1))
    assert found[0, 0].item() == found[4, 4].item() == pytest.approx(end)


def test_it_turns_with_the_patch() -> None:
    rows = torch.randint(0, 3, (6, 6), generator=torch.Generator().manual_seed(0))
    turned = torch.rot90(rows)
    found = distance(rows.tolist(), (1, 1, 1))
    torch.testing.assert_close(distance(turned.tolist(), (1, 1, 1)), torch.rot90(found))


def test_millimetres_count_not_voxels() -> None:
    values = torch.zeros(1, 4, 4, 4, dtype=torch.uint8)
    values[:, 2:] = 1
    found = squared_distance(values, None, torch.tensor([[5.0, 1, 1]]), FAR).sqrt()
    assert found[0, :, 0, 0].tolist() == [7.5, 2.5, 2.5, 7.5]


def test_without_a_surface_and_beside_what_is_unknown_nothing_is_near() -> None:
    values = torch.tensor([0, 0, 255, 1, 1]).view(1, 1, 1, 5)
    spacing = torch.ones(1, 3)
    assert (nearness(torch.zeros_like(values), None, spacing, 3.0, FAR) == 0).all()
    assert (nearness(values, values != 255, spacing, 3.0, FAR) == 0).all()
    assert (nearness(values, None, spacing, 3.0, FAR) > 0).all()


def test_the_gaussian_has_its_width_in_millimetres_and_ends() -> None:
    values = torch.tensor([0] * 10 + [1] * 10).view(1, 1, 1, 20)
    reach = reach_voxels(2.0, (None, 3.0, 1.0))
    assert reach == (0, 2, 6)
    found = nearness(values, None, torch.tensor([[1.0, 3.0, 1.0]]), 2.0, reach)[0, 0, 0]
    expected = [math.exp(-(d**2) / 8) for d in (0.5, 1.5, 2.5, 3.5, 4.5, 5.5)]
    assert found[10:16].tolist() == pytest.approx(expected)
    assert found.flip(0)[10:16].tolist() == pytest.approx(expected)
    assert (found[16:] == 0).all()


def test_every_sample_has_its_own_spacing() -> None:
    values = torch.tensor([0, 1]).view(1, 1, 1, 2).repeat(2, 1, 1, 1)
    found = squared_distance(values, None, torch.tensor([[1.0, 1, 1], [1, 1, 4]]), FAR)
    assert found[:, 0, 0, 0].tolist() == [0.25, 4.0]
