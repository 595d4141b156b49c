"""How many pages of a TIFF are there in full: its directories are followed, nothing is decoded.

A TIFF is a chain of directories, one a page, each a table of tags; strips or tiles of pixels lie
anywhere (TIFF 6.0, section 2; BigTIFF has the same chain with 64-bit numbers).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

STARTS, LENGTHS = (273, 324), (279, 325)  # tags: where strips or tiles begin, and their bytes
NUMBERS = {3: "H", 4: "I", 16: "Q"}  # types of these tags


@dataclass(frozen=True)
class Layout:
    """How numbers are stored: classic TIFF or BigTIFF, either byte order."""

    count: str  # of the entries of a directory
    head: str  # of an entry: tag, type, number of values
    pointer: str


def count_pages(path: Path) -> tuple[int, bool]:
    """Return the number of whole pages, and whether that is all; (0, True) when it is no TIFF."""
    size, seen = path.stat().st_size, set[int]()
    with path.open("rb") as stream:
        start = stream.read(16)
        layout = _layout(start)
        if layout is None or len(start) < 16:
            return 0, layout is None
        at = struct.unpack_from(layout.pointer, start, 8 if layout.pointer[1] == "Q" else 4)[0]
        while at and at not in seen:  # a damaged chain may be a circle
            table, following = _read_directory(stream, at, layout, size)
            if following is None or _end_of_pixels(stream, table, layout, size) > size:
                return len(seen), False
            seen.add(at)
            at = following
    return len(seen), bool(seen)


def _layout(start: bytes) -> Layout | None:
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None or len(start) < 4:
        return None
    version = struct.unpack(f"{order}H", start[2:4])[0]
    classic = Layout(f"{order}H", f"{order}HHI", f"{order}I")
    return {42: classic, 43: Layout(f"{order}Q", f"{order}HHQ", f"{order}Q")}.get(version)


def _read_directory(
    stream: BinaryIO, at: int, layout: Layout, size: int
) -> tuple[bytes, int | None]:
    """Return the entries of a directory and where the next one is; None when it is cut short."""
    if at + struct.calcsize(layout.count) > size:
        return b"", None
    stream.seek(at)
    head = stream.read(struct.calcsize(layout.count))
    length = struct.unpack(layout.count, head)[0] * _entry_bytes(layout)
    if at + length > size:
        return b"", None
    table, following = stream.read(length), stream.read(struct.calcsize(layout.pointer))
    if len(table) < length or len(following) < struct.calcsize(layout.pointer):
        return b"", None
    return table, struct.unpack(layout.pointer, following)[0]


def _end_of_pixels(stream: BinaryIO, table: bytes, layout: Layout, size: int) -> int:
    """Return where the last strip or tile of a page ends, or more than `size`; 0: not said."""
    tags: dict[int, tuple[int, ...]] = {}
    room = struct.calcsize(layout.pointer)
    for at in range(0, len(table), _entry_bytes(layout)):
        tag, kind, count = struct.unpack_from(layout.head, table, at)
        if tag not in (*STARTS, *LENGTHS) or kind not in NUMBERS:
            continue
        if count > size:
            return size + 1
        form = f"{layout.head[0]}{count}{NUMBERS[kind]}"
        at += struct.calcsize(layout.head)
        value = table[at : at + room]
        if struct.calcsize(form) > room:  # the values lie elsewhere
            stream.seek(min(size, struct.unpack(layout.pointer, value)[0]))
            value = stream.read(struct.calcsize(form))
        if len(value) < struct.calcsize(form):
            return size + 1
        tags[tag] = struct.unpack_from(form, value)
    starts = [start for tag in STARTS for start in tags.get(tag, ())]
    lengths = [length for tag in LENGTHS for length in tags.get(tag, ())]
    return max((a + b for a, b in zip(starts, lengths, strict=False)), default=0)


def _entry_bytes(layout: Layout) -> int:
    return struct.calcsize(layout.head) + struct.calcsize(layout.pointer)
