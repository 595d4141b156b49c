"""Numbers of images that are wrong or odd: overflow, and CTs not in Hounsfield units."""

import numpy as np
import pytest

from autoseg.importing.intensities import find_odd_units, find_overflow
from autoseg.phantom import make_phantom
from autoseg.preprocessing.units import look_at

SHAPE = (12, 40, 40)


def ct(seed=0):
    return make_phantom(np.random.default_rng(seed), SHAPE)[0].array[0]


def told(scans, channel="CT"):
    units = {f"c{number}": [look_at(scan)] for number, scan in enumerate(scans)}
    return [str(warning) for warning in find_odd_units(units, [channel])]


@pytest.mark.parametrize("channel", ["CT", "scan"])
def test_a_lost_intercept_and_a_window_are_told(channel):
    window = np.clip((ct(3).astype(np.float64) + 160) * 255 / 400, 0, 255).round()
    scans = [*(ct(number) for number in range(10)), ct(11) + 1024, window]
    if channel == "scan":  # more than a few would mean that these are no CTs
        scans = scans[:11]
    (warning,) = told(scans, channel)
    assert warning.startswith(f"channel {channel}: {len(scans) - 10} of {len(scans)} cases cannot")
    assert "c10 (0 to 1227)" in warning
    assert ("c11 (0 to 239)" in warning) == (channel == "CT")
    assert warning.endswith("was the rescale slope or intercept lost, or a window applied?")


def test_metal_and_padding_are_told_once():
    metal, padded = ct(1).copy(), ct(2).copy()
    metal[3, 4, 5], padded[0, 0] = 31743, -3024
    assert len(told([ct(), ct(4)])) == 0
    (warning,) = told([ct(), metal, padded])
    assert warning.startswith("channel CT: 2 of 3 cases beyond -1100 to 3100 HU: c1 (")
    assert "to 31743), c2 (-3024 to" in warning


def test_other_images_have_no_units():
    rng = np.random.default_rng(0)
    assert told([rng.normal(300, 100, SHAPE), rng.normal(9000, 3000, SHAPE)], "T1") == []


@pytest.mark.parametrize(
    ("dtype", "value", "reached"),
    [("i2", 32767, "32767"), ("i2", -32768, "-32768"), ("u2", 65535, "65535"), ("u1", 255, "")],
)
def test_the_end_of_an_integer_type_is_told(dtype, value, reached):
    array = np.arange(8, dtype=dtype).reshape(1, 2, 2, 2)
    assert find_overflow(array, "a.nii") == []
    array[0, 0, 0, 0] = value
    expected = f"a.nii: values reach {reached}, the end of {array.dtype} -> were larger ones cut"
    found = [str(warning) for warning in find_overflow(array, "a.nii")]
    assert [text.startswith(expected) for text in found] == [True] * bool(reached)
