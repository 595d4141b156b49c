"""PNG with a palette: every bit depth, every filter."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.errors import DataError
from autoseg.io import read_labels
from autoseg.palette import has_palette, palette_indices

RED_GREEN = [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255)]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def write_palette(path: Path, indices: np.ndarray, depth: int, filters=(0,), colours=RED_GREEN):
    """Write indices (Y, X); row r is filtered with filters[r % n], by the specification."""
    height, width = indices.shape
    bits = np.unpackbits(indices[..., None].astype(np.uint8), axis=2)[..., 8 - depth :]
    rows = np.packbits(bits.reshape(height, -1), axis=1).astype(int)
    lines, above = b"", np.zeros(rows.shape[1], int)
    for number, row in enumerate(rows):
        kind = filters[number % len(filters)]
        left, corner = np.r_[0, row[:-1]], np.r_[0, above[:-1]]
        estimate = left + above - corner
        a, b, c = (np.abs(estimate - value) for value in (left, above, corner))
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
        guess = (0 * row, left, above, (left + above) // 2, paeth)[kind]
        lines += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    header = struct.pack(">IIBBBBB", width, height, depth, 3, 0, 0, 0)
    palette = bytes(np.resize(np.asarray(colours, np.uint8), (2**depth, 3)))
    body = [(b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*entry) for entry in body))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_indices_come_back_whatever_the_filter(tmp_path, depth):
    indices = np.random.default_rng(depth).integers(0, 2**depth, (11, 13))
    write_palette(tmp_path / "a.png", indices, depth, filters=(0, 1, 2, 3, 4, 4, 3))
    assert has_palette(tmp_path / "a.png")
    np.testing.assert_array_equal(palette_indices(tmp_path / "a.png"), indices)
    colours = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png")))  # it can be read
    assert (colours == np.asarray(RED_GREEN)[indices % 4]).all()


def test_a_coloured_palette_is_a_label_map(tmp_path):
    indices = np.random.default_rng(0).integers(0, 4, (6, 9))
    write_palette(tmp_path / "a.png", indices, 8)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").array[0, 0], indices)


def test_a_palette_of_greys_is_its_greys(tmp_path):
    indices = np.random.default_rng(0).integers(0, 2, (6, 9))
    write_palette(tmp_path / "a.png", indices, 1, colours=[(0, 0, 0), (255, 255, 255)])
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png").array[0, 0], indices * 255)


def test_damage_is_named(tmp_path):
    write_palette(tmp_path / "a.png", np.ones((6, 9), int), 8)
    data = (tmp_path / "a.png").read_bytes()
    taller = data.replace(struct.pack(">II", 9, 6), struct.pack(">II", 9, 7))
    (tmp_path / "a.png").write_bytes(taller)
    with pytest.raises(DataError, match=r"a.png: is cut short, expected 70 bytes"):
        palette_indices(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(data[:28] + b"\1" + data[29:])
    with pytest.raises(DataError, match="is interlaced"):
        palette_indices(tmp_path / "a.png")
