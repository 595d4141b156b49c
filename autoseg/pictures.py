"""Pictures as images: equal greys in colours, alpha, and the voxel size in a JSON file beside."""

from __future__ import annotations

import json
import re
import struct
import zlib
from pathlib import Path

import numpy as np

from autoseg.case_files import ending_of, stem_of
from autoseg.errors import DataError
from autoseg.nifti import check_spacing

TIFF = (".tif", ".tiff")


def spacing_beside(path: Path) -> tuple[float, float, float]:
    """Return the (z, y, x) mm in `<case>.json` beside a picture, else (1, 1, 1).

    Resolution tags inside pictures say how to print them, not how large the patient is.
    """
    sidecar = sidecar_of(path)
    if sidecar is None:
        return 1.0, 1.0, 1.0
    try:
        spacing = json.loads(sidecar.read_text(encoding="utf-8-sig"))["spacing"]
        z, y, x = (float(size) for size in spacing)
    except (ValueError, KeyError, TypeError) as error:
        expected = '{"spacing": [z, y, x]} in mm'
        raise DataError("holds no spacing", place=str(sidecar), expected=expected) from error
    check_spacing((z, y, x), str(sidecar))
    return z, y, x


def sidecar_of(path: Path) -> Path | None:
    """Return the `<case>.json` (or `<case>_0000.json`) beside a picture, or None."""
    for stem in (stem_of(path), re.sub(r"_\d{4}$", "", stem_of(path))):
        sidecar = path.with_name(f"{stem}.json")
        if sidecar.is_file():
            return sidecar
    return None


def one_grey(array: np.ndarray, path: Path) -> np.ndarray:
    """Return a picture without opaque alpha, and with one channel where all colours are equal."""
    if len(array) in (2, 4) and ending_of(path).lower() not in TIFF:  # there, plain channels
        alpha = array[-1]
        if (alpha != alpha.flat[0]).any():
            raise DataError(
                "is partly transparent", place=str(path), remedy="save it without an alpha channel"
            )
        array = array[:-1]
    if len(array) == 3 and (array[0] == array[1]).all() and (array[0] == array[2]).all():
        return array[:1]
    return array


def png_bytes(picture: np.ndarray, palette: bytes = b"") -> bytes:
    """Return a PNG file of 8-bit greys (rows, columns), or colours (rows, columns, 3).

    Nothing but the pixels, no time, no text.
    With a `palette`, red, green and blue of each colour, the numbers of colours instead of greys.
    Small and in no time, unlike the writers of volumes: there may be ten thousands of them.
    """
    height, width = picture.shape[:2]
    samples = picture.reshape(height, -1)
    # Each row begins with its filter, 0: none.
    rows = np.zeros((height, samples.shape[1] + 1), np.uint8)
    rows[:, 1:] = samples
    kind = 2 if picture.ndim == 3 else 3 if palette else 0
    parts = (
        (b"IHDR", struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0)),
        *([(b"PLTE", palette)] if palette else []),
        (b"IDAT", zlib.compress(rows.tobytes(), 6)),
        (b"IEND", b""),
    )
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
