"""PNG files with a palette, as label maps have that were drawn in colours: the numbers behind them.

Readers turn such a file into colours; the label of a pixel is its index in the palette.
Specification: PNG (ISO/IEC 15948), sections 9 (filters) and 11 (chunks).
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from autoseg.errors import DataError

SIGNATURE = b"\x89PNG\r\n\x1a\n"
PALETTE_COLOUR = 3  # colour type of the header
HEADER_END = 33  # bytes: signature, and the chunk IHDR


def has_palette(path: Path) -> bool:
    """Tell whether `path` is a PNG file whose pixels are indices into a palette."""
    with path.open("rb") as stream:
        start = stream.read(HEADER_END)
    return len(start) == HEADER_END and start[:8] == SIGNATURE and start[25] == PALETTE_COLOUR


def palette_indices(path: Path) -> np.ndarray:
    """Return the indices (Y, X), uint8, of a PNG file with a palette; DataError when cut short."""
    data = path.read_bytes()
    width, height, depth, _, _, _, interlaced = struct.unpack(">IIBBBBB", data[16:29])
    if interlaced:
        raise DataError("is interlaced", place=str(path), remedy="save it without interlacing")
    row_bytes = (width * depth + 7) // 8
    packed = b"".join(body for kind, body in png_chunks(data) if kind == b"IDAT")
    wanted = height * (1 + row_bytes)
    try:
        stored = zlib.decompressobj().decompress(packed, wanted)
    except zlib.error as error:
        raise DataError(f"cannot be read: {error}", place=str(path)) from error
    if len(stored) < wanted:
        remedy = "copy or download it again"
        raise DataError("is cut short", place=str(path), expected=f"{wanted} bytes", remedy=remedy)
    lines = np.frombuffer(stored, np.uint8).reshape(height, 1 + row_bytes)
    rows = _without_filters(lines[:, 0], lines[:, 1:])
    bits = np.unpackbits(rows, axis=1)[:, : width * depth].reshape(height, width, depth)
    return np.packbits(bits, axis=2)[..., 0] >> np.uint8(8 - depth)


def png_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return (type, content) of each chunk of a PNG file."""
    chunks, position = [], 8
    while position + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        kind = data[position + 4 : position + 8]
        chunks.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    return chunks


def _without_filters(kinds: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return the bytes (Y, n) before filtering; sums are modulo 256."""
    result = np.zeros_like(rows)
    above = np.zeros(rows.shape[1], np.uint8)
    for number, (kind, row) in enumerate(zip(kinds, rows, strict=True)):
        if kind == 0:
            result[number] = row
        elif kind == 1:  # difference to the left
            result[number] = np.cumsum(row, dtype=np.uint8)
        elif kind == 2:  # difference to above
            result[number] = row + above
        else:
            result[number] = _from_neighbours(kind, row, above)
        above = result[number]
    return result


def _from_neighbours(kind: int, row: np.ndarray, above: np.ndarray) -> list[int]:
    """Undo the filters Average (3) and Paeth (4), where every byte needs the one before."""
    result: list[int] = []
    left = corner = 0
    for value, over in zip(row.tolist(), above.tolist(), strict=True):
        guess = (left + over) // 2 if kind == 3 else _paeth(left, over, corner)
        left, corner = (value + guess) % 256, over
        result.append(left)
    return result


def _paeth(left: int, over: int, corner: int) -> int:
    """Return the neighbour nearest to left + over - corner; ties in this order."""
    estimate = left + over - corner
    return min((left, over, corner), key=lambda value: abs(estimate - value))
