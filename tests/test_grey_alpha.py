"""PNG files of grey and alpha, read under another name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from autoseg.errors import DataError
from autoseg.grey_alpha import has_grey_alpha
from autoseg.image import Geometry
from autoseg.io import read_header, read_image, read_labels, write_labels
from tests.serving.test_png import png

RNG = np.random.default_rng(4)
GREY = RNG.integers(0, 256, (23, 31)).astype(np.uint8)
SMOOTH = np.add.outer(np.arange(23), np.arange(31)).astype(np.uint8)  # for filters 1 to 4


def saved(path: Path, grey: np.ndarray, alpha: np.ndarray, **options) -> Path:
    Pillow.fromarray(np.dstack([grey, alpha]).astype(np.uint8), "LA").save(path, **options)
    return path


def raw(path: Path, grey: np.ndarray, alpha: np.ndarray) -> Path:
    """Write 16 bits per number, without filters."""
    pixels = np.dstack([grey, alpha]).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    path.write_bytes(png(grey.shape[1], grey.shape[0], depth=16, colour=4, data=rows))
    return path


@pytest.mark.parametrize("grey", [GREY, SMOOTH])
def test_opaque_alpha_is_dropped(tmp_path, grey):
    path = saved(tmp_path / "a.png", grey, np.full_like(grey, 255))
    assert has_grey_alpha(path)
    assert np.array_equal(read_image(path).array, grey[None, None])
    assert np.array_equal(read_labels(path).array, grey[None, None])
    write_labels(tmp_path / "labels.png", read_labels(path).array[0], Geometry((1, 23, 31)), path)
    assert np.array_equal(read_labels(tmp_path / "labels.png").array, grey[None, None])
    header = read_header(path)
    assert (header.geometry.shape, header.channels, header.pixel_type) == ((1, 23, 31), 2, "uint8")


def test_sixteen_bits_stay_sixteen(tmp_path):
    grey = GREY.astype(np.uint16) * 257 - 3 * (GREY > 0)
    image = read_image(raw(tmp_path / "a.png", grey, np.full_like(grey, 65535)))
    assert image.array.dtype == np.uint16
    assert np.array_equal(image.array, grey[None, None])


def test_the_voxel_size_beside_it_counts(tmp_path):
    (tmp_path / "a.json").write_text('{"spacing": [1, 0.5, 2]}')
    path = saved(tmp_path / "a.png", GREY, np.full_like(GREY, 255))
    assert read_image(path).geometry.spacing == (1.0, 0.5, 2.0)


def test_transparency_is_refused(tmp_path):
    alpha = np.full_like(GREY, 255)
    alpha[3, 4] = 254
    for path in (
        saved(tmp_path / "alpha.png", GREY, alpha),
        raw(tmp_path / "alpha16.png", GREY, alpha),
    ):
        with pytest.raises(DataError, match=rf"{path.name}: is partly transparent -> save it wit"):
            read_image(path)
    Pillow.fromarray(GREY).save(tmp_path / "one.png", transparency=7)
    with pytest.raises(DataError, match=r"one\.png: is partly transparent -> save it without"):
        read_image(tmp_path / "one.png")


def test_a_damaged_file_is_named(tmp_path):
    path = saved(tmp_path / "a.png", GREY, np.full_like(GREY, 255))
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(DataError, match=r"^[^ ]*a\.png: "):
        read_image(path)
