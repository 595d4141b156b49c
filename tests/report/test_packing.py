"""Volumes as text: exact where they must be, and within their bounds where they need not."""

import base64
import zlib

import numpy as np
import pytest

from autoseg.report import packing
from autoseg.report.packing import pack_image, pack_labels


def unpack(packed, shape):
    """Undo what the page undoes, from the description alone."""
    data = np.frombuffer(zlib.decompress(base64.b64decode(packed.data)), np.uint8)
    planes = data.reshape(packed.planes, -1).astype(np.int64)
    numbers = planes[0] + (256 * planes[1] if packed.planes == 2 else 0)
    steps = np.where(numbers % 2, -(numbers + 1) // 2, numbers // 2)
    return np.asarray(packed.values)[np.cumsum(steps) % 65536].reshape(shape)


def noise(shape, scale, seed=0):
    return np.random.default_rng(seed).normal(0, scale, shape)


def test_label_maps_come_back_exactly_whatever_their_values():
    rng = np.random.default_rng(0)
    for values in ([0, 1], [0, 3, 700], list(range(300)), [1, 60000], [2], range(65536)):
        label_map = rng.choice(list(values), size=(3, 40, 50)).astype(np.uint16)
        packed = pack_labels(label_map)
        assert (unpack(packed, label_map.shape) == label_map).all()
        assert packed.values[0] == 0  # the page takes 0 for background
    assert pack_labels(np.zeros((1, 2, 2), np.uint8)).planes == 1
    assert pack_labels(np.zeros((2, 3, 4), np.uint8)).values == (0,)


def test_labels_of_a_large_case_take_few_bytes():
    label_map = np.zeros((30, 256, 256), np.uint8)
    label_map[10:20, 50:150, 60:200] = 7
    assert len(pack_labels(label_map).data) < 30 * 256 * 256 / 100


def test_a_small_ct_keeps_every_hounsfield_unit_and_ends_where_scanners_do():
    ct = np.clip(noise((4, 30, 30), 600), -1024, 3071).round().astype(np.int16)
    ct[0, 0, :3] = (-3024, 3072, 30000)
    expected = ct.clip(-1024, 3071)
    assert (unpack(pack_image(ct, hounsfield=True), ct.shape) == expected).all()
    assert pack_image(ct, hounsfield=True).beyond == (True, True)
    assert pack_image(expected, hounsfield=True).beyond == (False, False)
    fractions = ct + np.float32(0.25)
    assert (unpack(pack_image(fractions, hounsfield=True), ct.shape) == expected).all()


def test_a_noisy_ct_fits_and_keeps_most_where_windows_are_narrow(monkeypatch):
    monkeypatch.setattr(packing, "SMALL", 1)
    ct = np.clip(noise((16, 128, 128), 60) + 40, -1024, 3071).round().astype(np.int16)
    ct[:, :64] -= 1000
    packed = pack_image(ct, hounsfield=True)
    assert len(packed.data) * 3 / 4 < 1.02 * ct.size * packing.BITS_PER_VOXEL / 8
    assert len(packed.values) < 4096  # else this test shows nothing
    error = np.abs(unpack(packed, ct.shape) - ct.clip(-1024, 3071))
    soft = (ct >= -192) & (ct < 320)
    assert error[soft].max() <= 4
    assert error[~soft].max() <= 16
    assert error[soft].max() < error[~soft].max()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16])
def test_whole_numbers_of_a_small_range_are_kept(kind):
    image = (np.abs(noise((3, 20, 20), 40)) + 3).astype(kind)
    packed = pack_image(image, hounsfield=False)
    assert (unpack(packed, image.shape) == image).all()


def test_fractions_are_within_half_of_4096_levels_and_a_hot_voxel_does_not_take_them():
    image = noise((3, 60, 60), 1.0)
    packed = pack_image(image, hounsfield=False)
    span = image.max() - image.min()
    assert np.abs(unpack(packed, image.shape) - image).max() <= span / 4095 / 2 + 1e-6
    hot = image.copy()
    hot[0, 0, 0] = 1e6
    back = unpack(pack_image(hot, hounsfield=False), image.shape)
    assert np.abs(back - image)[1:].max() < 0.01
    assert back[0, 0, 0] == back.max()


def test_values_that_are_no_numbers_and_empty_scans_are_drawn_somehow():
    image = np.full((2, 3, 4), np.nan, np.float32)
    assert np.isfinite(unpack(pack_image(image, hounsfield=False), image.shape)).all()
    image[0, 0] = (1.5, np.inf, -np.inf, 2.5)
    back = unpack(pack_image(image, hounsfield=False), image.shape)
    assert back[0, 0] == pytest.approx([1.5, 2.5, 1.5, 2.5])
    constant = np.full((2, 3, 4), 7.0)
    assert (unpack(pack_image(constant, hounsfield=False), image.shape) == 7).all()
