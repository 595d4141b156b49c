"""Pictures with two circles: the toy of the demo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import load_dataset
from autoseg.io import read_image, read_labels
from autoseg.phantom import CIRCLES, make_circles, write_raw_circles


@pytest.mark.parametrize("seed", range(20))
def test_two_whole_circles_lie_apart_and_have_their_greys(seed: int):
    image, label_map = make_circles(np.random.default_rng(seed))
    assert image.array.shape == (1, *label_map.shape) == (1, 1, 96, 96)
    assert image.array.dtype == label_map.dtype == np.uint8
    assert np.unique(label_map).tolist() == [0, *CIRCLES.values()]
    picture, flat = image.array[0, 0].astype(float), label_map[0]
    for value, grey in ((0, 120), (1, 80), (2, 160)):
        assert picture[flat == value].mean() == pytest.approx(
            grey, abs=8
        )  # 25 over the root of 180
    for value in (1, 2):
        ys, xs = np.nonzero(flat == value)
        radius = (np.ptp(ys) + 1) / 2
        assert abs(np.ptp(ys) - np.ptp(xs)) <= 1
        assert 0.07 * 96 < radius < 0.17 * 96
        assert len(ys) == pytest.approx(np.pi * radius**2, rel=0.15)  # none is cut by the border
    ones, twos = (np.argwhere(flat == value) for value in (1, 2))
    assert np.linalg.norm(ones[:, None] - twos[None], axis=-1).min() > 1


def test_the_toy_is_a_dataset_of_pngs(tmp_path: Path):
    write_raw_circles(tmp_path / "raw" / "TOY", 3)
    dataset = load_dataset(tmp_path / "raw" / "TOY")
    assert [case.id for case in dataset.cases] == [f"circles_{n:05d}" for n in range(3)]
    assert dataset.labels.names == ("dark", "bright")
    case = dataset.cases[1]
    image, label_map = make_circles(np.random.default_rng(1))
    assert case.labels is not None
    assert np.array_equal(read_image(case.images[0]).array, image.array)
    assert np.array_equal(read_labels(case.labels).array[0], label_map)
