"""PNG files from strangers: bombs, cut ones, impossible ones."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from autoseg.serving.png import SIGNATURE, checked_png
from autoseg.serving.refusal import Refusal
from tests.serving.flat import picture


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(width, height, depth=8, colour=0, data=b"", interlace=0):
    header = struct.pack(">2I5B", width, height, depth, colour, 0, 0, interlace)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")
    return SIGNATURE + b"".join(parts)


def refused(data):
    with pytest.raises(Refusal) as caught:
        checked_png(data)
    return caught.value.status, caught.value.fact


def test_a_good_file_stays_what_it_is():
    assert checked_png(picture()) == picture()


@pytest.mark.parametrize("size", [(50_000, 50_000), (1, 2**31 - 1), (5001, 5000)])
def test_too_many_pixels_are_refused_before_anything_is_decoded(size):
    status, fact = refused(png(*size))
    assert status == 413
    assert fact == f"the image has {size[0]} x {size[1]} pixels, at most 25,000,000"


@pytest.mark.parametrize(
    ("data", "fact"),
    [
        (png(0, 9), "has 0 x 9 pixels"),
        (png(9, 0), "has 9 x 0 pixels"),
        (png(9, 9, depth=3), "has an impossible header"),
        (png(9, 9, colour=5), "has an impossible header"),
        (png(9, 9, data=bytes(89)), "is cut short"),
        (picture()[:20], "has no header"),
        (SIGNATURE + chunk(b"IDAT", b"") + bytes(30), "has no header"),
    ],
)
def test_impossible_files_are_refused(data, fact):
    assert refused(data) == (422, f"the PNG file {fact}")


def test_a_file_that_is_cut_anywhere_is_refused():
    whole = picture()
    for tenth in range(1, 10):
        assert refused(whole[: len(whole) * tenth // 10])[0] == 422
    assert refused(whole[:-1])[0] == 422


def test_a_flipped_byte_is_found():
    data = bytearray(picture())
    data[80] ^= 1
    assert refused(bytes(data)) == (422, "the PNG file has a wrong check sum")


def test_pixels_that_cannot_be_decompressed_are_refused():
    header = struct.pack(">2I5B", 9, 9, 8, 0, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", b"rubbish"), chunk(b"IEND", b"")
    assert refused(SIGNATURE + b"".join(parts)) == (422, "the PNG file cannot be decompressed")


def test_texts_profiles_and_what_follows_the_end_are_dropped_unread():
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * 50_000_000, zip=True)
    stream = io.BytesIO()
    image = Pillow.open(io.BytesIO(picture()))
    image.save(stream, "png", pnginfo=text, icc_profile=b"x" * 999)
    kept = checked_png(stream.getvalue() + b"more")
    assert b"zTXt" not in kept
    assert b"iCCP" not in kept
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(kept))), np.asarray(image))


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (3, 3), (9, 5), (16, 16)])
def test_the_length_of_interlaced_pixels_is_known(size):
    width, height = size
    grid = [[1, 6, 4, 6, 2, 6, 4, 6], [7] * 8, [5, 6] * 4, [7] * 8, [3, 6, 4, 6] * 2, [7] * 8,
            [5, 6] * 4, [7] * 8]  # fmt: skip  # the pass of each pixel, as the standard draws it
    where = [[grid[y % 8][x % 8] for x in range(width)] for y in range(height)]
    length = 0
    for number in range(1, 8):
        rows = [row.count(number) for row in where if number in row]
        length += sum(1 + count for count in rows)
    assert checked_png(png(width, height, data=bytes(length), interlace=1))
    assert refused(png(width, height, data=bytes(length - 1), interlace=1))[1].endswith("cut short")
