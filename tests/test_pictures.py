"""PNG files of greys: what other readers make of them."""

import io

import numpy as np
from PIL import Image as Picture

from autoseg.pictures import png_bytes


def test_pixels_are_what_pillow_reads():
    grey = np.random.default_rng(0).integers(0, 256, (5, 9)).astype(np.uint8)
    for view in (grey, grey.T, grey[:1], grey[::2, 1::3]):
        picture = Picture.open(io.BytesIO(png_bytes(view)))
        picture.load()  # checks the sums
        assert (picture.mode, picture.size) == ("L", view.shape[::-1])
        assert np.array_equal(np.asarray(picture), view)


def test_colours_are_what_pillow_reads():
    colours = np.random.default_rng(0).integers(0, 256, (5, 9, 3)).astype(np.uint8)
    picture = Picture.open(io.BytesIO(png_bytes(colours)))
    picture.load()
    assert (picture.mode, picture.size) == ("RGB", (9, 5))
    assert np.array_equal(np.asarray(picture), colours)
