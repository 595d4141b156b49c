"""PNG files of grey and alpha, which SimpleITK does not know: they are read under another name.

Two numbers of 8 bits are one of 16, and two of 16 are four of 8. Bytes, and the filters on them,
stay what they are, for these only depend on how many bytes a pixel has; the header alone changes.
Specification: PNG (ISO/IEC 15948), section 11.2.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np

from autoseg.palette import HEADER_END, SIGNATURE, png_chunks

GREY, GREY_ALPHA, COLOUR_ALPHA = 0, 4, 6  # colour types of the header


def has_grey_alpha(path: Path) -> bool:
    """Tell whether `path` is a PNG file whose pixels are a grey and its opacity."""
    with path.open("rb") as stream:
        start = stream.read(HEADER_END)
    return len(start) == HEADER_END and start[:8] == SIGNATURE and start[25] == GREY_ALPHA


def disguised(data: bytes) -> bytes:
    """Return a PNG file of grey and alpha as one of greys of twice the bits, or of colours."""
    parts = [SIGNATURE]
    for kind, content in png_chunks(data):
        if kind == b"IHDR":
            depth, colour = (16, GREY) if content[8] == 8 else (8, COLOUR_ALPHA)
            content = content[:8] + bytes((depth, colour)) + content[10:]
        if kind in (b"IHDR", b"IDAT", b"IEND"):
            check = zlib.crc32(kind + content)
            parts += [struct.pack(">I", len(content)), kind, content, struct.pack(">I", check)]
    return b"".join(parts)


def revealed(array: np.ndarray) -> np.ndarray:
    """Return grey and alpha (2, Z, Y, X), uint8 or uint16, of the pixels of a disguised file."""
    if len(array) == 1:
        return np.concatenate([array >> 8, array & 255]).astype(np.uint8)
    high, low = array[0::2].astype(np.uint16), array[1::2]
    return high << np.uint16(8) | low
