"""float16 only where nobody will notice."""

import numpy as np
import pytest

from autoseg.preprocessing.half import smallest_float


def rounding_error(image):
    return np.abs(image - image.astype(np.float16).astype(np.float32)).max()


@pytest.mark.parametrize("largest", [1e-6, 3e-5, 0.99, 1.0, 1.01, 1.9, 2.1, 3.9, 4.1, 900.0, 6e4])
@pytest.mark.parametrize("spread", [0.1, 0.6, 1.0])
def test_it_is_what_comparing_every_voxel_says(largest, spread):
    rng = np.random.default_rng(3)
    image = rng.uniform(1 - 2 * spread, 1, (1, 6, 40, 40)).astype(np.float32) * np.float32(largest)
    allowed = 1e-3 * image.std(dtype=np.float64)
    wanted = np.float16 if rounding_error(image) <= allowed else np.float32
    assert smallest_float(image).dtype == wanted


def test_one_voxel_of_one_channel_decides():
    image = np.random.default_rng(0).normal(size=(2, 4, 8, 8)).clip(-2, 2).astype(np.float32)
    assert smallest_float(image).dtype == np.float16
    image[1, 3, 7, 7] = 6.0019
    assert smallest_float(image).dtype == np.float32
    image[1, 3, 7, 7] = np.nan
    assert smallest_float(image).dtype == np.float32


def test_numbers_that_float16_holds_exactly_need_no_spread():
    assert smallest_float(np.full((1, 2, 3, 4), 3.0, np.float32)).dtype == np.float16
    assert smallest_float(np.full((1, 2, 3, 4), 0.1, np.float32)).dtype == np.float32
    assert smallest_float(np.full((1, 2, 3, 4), 1e5, np.float32)).dtype == np.float32
