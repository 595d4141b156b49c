"""PNG files from strangers: looked through before anything decodes them."""

from __future__ import annotations

import struct
import zlib

from autoseg.serving.refusal import Refusal

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_PIXELS = 25_000_000
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # per pixel, of each colour type
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2),
          (0, 1, 1, 2))  # fmt: skip  # Adam7: first column and row, steps of columns and rows
# All that has a say in the pixels; texts, profiles and dates, which may be compressed, are dropped.
NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def checked_png(data: bytes) -> bytes:
    """Return a PNG file with nothing but its pixels, all of which are there.

    Raises Refusal: 415 for another type of file, 413 for too many pixels, 422 for a damaged one.
    """
    if not data.startswith(SIGNATURE):
        raise Refusal(415, "the image is not a PNG file")
    if len(data) < 33 or data[8:16] != b"\x00\x00\x00\x0dIHDR":
        raise _damaged("has no header")
    needed = _bytes_of_pixels(data[16:29])
    chunks = _chunks(data)
    pixels = zlib.decompressobj()
    try:
        found = len(pixels.decompress(b"".join(d for k, d in chunks if k == b"IDAT"), needed))
    except zlib.error as error:
        raise _damaged("cannot be decompressed") from error
    if found < needed:
        raise _damaged("is cut short")
    parts = [_chunk(kind, content) for kind, content in chunks if kind in NEEDED]
    return SIGNATURE + b"".join(parts)


def _bytes_of_pixels(header: bytes) -> int:
    """Return the length of the decompressed pixels that IHDR announces."""
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">2I5B", header)
    if width == 0 or height == 0:
        raise _damaged(f"has {width} x {height} pixels")
    if width * height > MAX_PIXELS:
        raise Refusal(413, f"the image has {width} x {height} pixels, at most {MAX_PIXELS:,}")
    if depth not in DEPTHS.get(colour, ()) or compression or filtering or interlace > 1:
        raise _damaged("has an impossible header")
    bits = depth * SAMPLES[colour]
    sizes = [(width, height)]
    if interlace:
        sizes = [(-(-(width - x) // dx), -(-(height - y) // dy)) for x, y, dx, dy in PASSES]
    return sum(rows * (1 + -(-columns * bits // 8)) for columns, rows in sizes if columns > 0)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return (type, content) of each chunk up to IEND, the check sums of needed ones verified."""
    found, place = [], len(SIGNATURE)
    while place + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        end = place + 12 + length
        if end > len(data):
            break
        content = data[place + 8 : end - 4]
        if kind in NEEDED:
            if data[end - 4 : end] != struct.pack(">I", zlib.crc32(kind + content)):
                raise _damaged("has a wrong check sum")
            found.append((kind, content))
        if kind == b"IEND":
            return found
        place = end
    raise _damaged("is cut short")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def _damaged(fact: str) -> Refusal:
    return Refusal(422, f"the PNG file {fact}")
