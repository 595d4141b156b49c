"""Which files of a folder are DICOM, and what they hold, from their first few hundred bytes.

A DICOM file starts with 128 free bytes, "DICM", and a group of elements about the file itself that
is always written the same way (DICOM PS3.10, 7.1), so no library is needed to read it.
"""

from __future__ import annotations

import logging
import struct
from pathlib import Path

log = logging.getLogger(__name__)

SUFFIXES = (".dcm", ".ima", ".dicom")
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
# What lies beside the images of a study and is none: doses, plans, reports, registrations, ...
NO_IMAGES = (
    "1.2.840.10008.5.1.4.1.1.481.", "1.2.840.10008.5.1.4.1.1.66", "1.2.840.10008.5.1.4.1.1.88.",
    "1.2.840.10008.5.1.4.1.1.11.", "1.2.840.10008.5.1.4.1.1.104.", "1.2.840.10008.1.3.10",
    "1.2.840.10008.5.1.4.1.1.9.", "1.2.840.10008.5.1.4.1.1.7",
)  # fmt: skip
SOP_CLASS, SOP_INSTANCE, TRANSFER_SYNTAX = 0x0002, 0x0003, 0x0010  # elements of group 0002
META_BYTES = 1 << 14
LONG_LENGTHS = (b"OB", b"OW", b"SQ", b"UN", b"UT")


def file_meta(path: Path) -> dict[int, str] | None:
    """Return the texts of group 0002 by element number; None for a file that is not DICOM."""
    try:
        with path.open("rb") as stream:
            start = stream.read(META_BYTES)
    except OSError:
        return None
    if start[128:132] != b"DICM":
        return None
    found, at = {}, 132
    while at + 8 <= len(start):
        group, element, kind, length = struct.unpack_from("<HH2sH", start, at)
        at += 8
        if group != 2:
            break
        if kind in LONG_LENGTHS:
            (length,) = struct.unpack_from("<I", start.ljust(at + 4, b"\0"), at)
            at += 4
        elif kind not in (b"UL", b"US"):
            found[element] = start[at : at + length].decode("latin-1").strip("\0 ")
        at += length
    return found


def kind_of(path: Path) -> str:
    """Return what a file holds: "image", "rtstruct", "seg", "other" or, when not DICOM, "".

    A file named .dcm that does not start as DICOM does is an image whose reader will complain.
    """
    meta = file_meta(path)
    if meta is None:
        return "image" if path.suffix.lower() in SUFFIXES else ""
    sop_class = meta.get(SOP_CLASS, "")
    if sop_class == RTSTRUCT:
        return "rtstruct"
    if sop_class in SEGMENTATIONS:
        return "seg"
    return "other" if sop_class.startswith(NO_IMAGES) else "image"


def is_series(path: Path) -> bool:
    """Tell whether `path` is a folder that holds DICOM images."""
    return path.is_dir() and any(
        kind_of(file) == "image" for file in _visible(path) if file.is_file()
    )


def series_files(folder: Path) -> list[Path]:
    """Return the DICOM images in a folder by name; what is left out is told."""
    kinds = {path: kind_of(path) for path in _visible(folder) if path.is_file()}
    left_out = [path.name for path, kind in kinds.items() if kind != "image"]
    if left_out:
        shown = ", ".join(left_out[:3]) + (", ..." if len(left_out) > 3 else "")
        log.info("%s: %d files are not images of a series: %s", folder, len(left_out), shown)
    return [path for path, kind in kinds.items() if kind == "image"]


def files_of(path: Path) -> list[Path]:
    """Return the files that an image consists of: itself, or the slices of a series folder."""
    return [file for file in _visible(path) if file.is_file()] if path.is_dir() else [path]


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
