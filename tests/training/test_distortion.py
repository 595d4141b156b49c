"""A previous stage's prediction made worse: balls, values and components, against slow oracles."""

import numpy as np
import pytest
from scipy import ndimage

from autoseg.training import distortion
from autoseg.training.distortion import distort, remove_components, reshape_values

SHAPE = (20, 23, 26)


def ball(radius: int) -> np.ndarray:
    z, y, x = np.ogrid[(slice(-radius, radius + 1),) * 3]
    return z**2 + y**2 + x**2 <= radius**2


def slow(name: str, mask: np.ndarray, radius: int) -> np.ndarray:
    """The same by a structuring element; outside is nothing to dilate from, nothing to erode."""
    structure = ball(radius)
    grow = ndimage.binary_dilation(mask, structure)
    shrink = ndimage.binary_erosion(mask, structure, border_value=1)
    if name == "dilate":
        return grow
    if name == "erode":
        return shrink
    if name == "close":
        return ndimage.binary_erosion(grow, structure, border_value=1)
    return ndimage.binary_dilation(shrink, structure)


def objects(seed: int = 0) -> np.ndarray:
    """A few blobs of two values, some of them at the border."""
    noise = np.random.default_rng(seed).normal(size=SHAPE)
    smooth = ndimage.gaussian_filter(noise, 2.5)
    level = np.quantile(smooth, [0.75, 0.93])
    return np.digitize(smooth, level).astype(np.uint8)


@pytest.mark.parametrize("radius", [1, 2, 5, 8])
@pytest.mark.parametrize("name", list(distortion.OPERATIONS))
def test_morphology_equals_that_with_a_ball(name: str, radius: int) -> None:
    mask = objects() == 1
    found = distortion.OPERATIONS[name](mask, radius)
    np.testing.assert_array_equal(found, slow(name, mask, radius))


def test_a_single_slice_is_changed_by_a_disk() -> None:
    mask = np.zeros((1, 9, 9), dtype=bool)
    mask[0, 4, 4] = True
    assert distortion.dilate(mask, 2).sum() == 13


class Fixed:
    """Random numbers that choose what a test wants: every value, in ascending order."""

    def __init__(self, radius: int, operation: str) -> None:
        self.numbers = [radius, list(distortion.OPERATIONS).index(operation)]

    def permutation(self, values: list[int]) -> np.ndarray:
        return np.asarray(values)

    def random(self, size: int) -> np.ndarray:
        return np.zeros(size)

    def integers(self, *limits: int) -> int:
        self.numbers = [*self.numbers[1:], self.numbers[0]]
        return self.numbers[-1]


@pytest.mark.parametrize("operation", list(distortion.OPERATIONS))
@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_values_change_inside_their_boxes_as_they_would_in_the_whole(operation, dtype) -> None:
    indices = objects(3).astype(dtype)
    expected = indices.copy()
    for value in (1, 2):
        before = expected == value
        after = slow(operation, before, 3)
        expected[before & ~after] = 0
        expected[after] = value
    reshape_values(indices, Fixed(3, operation))  # type: ignore[arg-type]
    np.testing.assert_array_equal(indices, expected)
    assert indices.dtype == dtype


def test_one_small_component_of_a_chosen_value_goes() -> None:
    indices = np.zeros((10, 10, 10), dtype=np.uint8)
    indices[1:4, 1:4, 1:4] = 1
    indices[4, 4, 4] = 1  # touches by a corner: the same component, 28 voxels
    indices[6:9, 6:9, 6:9] = 1  # 27 voxels
    before = indices.copy()
    remove_components(indices, 28, _first())
    assert (indices[6:9, 6:9, 6:9] == 0).all()  # only this one is below 28
    assert (indices[:5] == before[:5]).all()
    remove_components(indices, 1, _first())
    assert indices.sum() == 28


def _first() -> np.random.Generator:
    """A generator whose first draws choose the only value there is."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        rng.permutation([1])
        if rng.random(1)[0] < distortion.VALUE_PROBABILITY:
            return np.random.default_rng(seed)
    raise AssertionError


def test_four_and_two_in_ten_patches_are_changed_and_half_of_their_values() -> None:
    counts = {"shape": 0, "component": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            distortion, "reshape_values",
            lambda *_: counts.update(shape=counts["shape"] + 1),
        )  # fmt: skip
        patch.setattr(
            distortion, "remove_components",
            lambda *_: counts.update(component=counts["component"] + 1),
        )  # fmt: skip
        for seed in range(2000):
            distort(np.zeros((1, 1, 1), np.uint8), 1, np.random.default_rng(seed))
    assert counts["shape"] == pytest.approx(800, abs=80)
    assert counts["component"] == pytest.approx(400, abs=60)
    boxes = {value: (slice(0, 1),) * 3 for value in range(1, 1001)}
    chosen = [value for value, _ in distortion._chosen(boxes, np.random.default_rng(0))]
    assert len(chosen) == pytest.approx(500, abs=60)
    assert chosen != sorted(chosen)


def test_nothing_predicted_stays_nothing() -> None:
    for seed in range(20):
        found = distort(np.zeros((4, 5, 6), np.uint8), 120, np.random.default_rng(seed))
        assert not found.any()
