"""Slices with outlines: one after the other as an animation, or side by side on a sheet.

Arrays are in canonical orientation (`image.py`); pictures have true proportions, the patient's left
on the right, the front on top or on the left. Outlines of the first label map are solid, those of a
second one dashed. A picture is made of indices into one palette, greys and the targets' colours, so
that an animation does not flicker and outlines are not smeared. Pillow, which matplotlib brings,
writes text and files.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from autoseg.colours import target_colours
from autoseg.files import write_atomically
from autoseg.labels import Labels

PLANES = {"axial": 0, "coronal": 1, "sagittal": 2}  # the axis that slices follow each other along
GREYS = 128  # indices below are greys, those from here on targets
MOST_COLOURS = 256 - GREYS
WHITE, BLACK = GREYS - 1, 0
MARGIN = 0.05  # of the labelled extent, shown before and after it
LONGEST_GIF, LONGEST_SHEET = 480, 300  # pixels of the longer side of a slice
MOST_FRAMES, FRAME_MS = 120, 90
LINE = 1  # pixels on both sides of a voxel border
DASH = 6
TEXT = 14  # pixels
GAP = 8


@dataclass(frozen=True)
class Scan:
    """What is drawn: an image (Z, Y, X), canonical, and label maps by name, at most two.

    `spacing` in mm; `window` is drawn black and white.
    """

    image: np.ndarray
    spacing: tuple[float, float, float]
    maps: Mapping[str, np.ndarray]
    labels: Labels
    window: tuple[float, float]


def write_gif(path: Path, scan: Scan, plane: str) -> None:
    """Write an animation through `plane`, along the extent of what is labelled."""
    colours = _ColourOf(scan)
    numbers = _numbers(scan, plane, MOST_FRAMES)
    pictures = [_slice(scan, plane, number, colours, LONGEST_GIF) for number in numbers]
    legend = _legend(scan, colours, pictures[0].shape[1])
    frames = [_image(np.concatenate([each, legend]), colours) for each in pictures]
    _write(
        path, frames[0], "GIF", save_all=True, append_images=frames[1:], duration=FRAME_MS,
        loop=0, disposal=1,
    )  # fmt: skip


def write_sheet(path: Path, scan: Scan, plane: str, rows: int, columns: int) -> None:
    """Write a PNG of rows x columns slices in `plane`, evenly along what is labelled."""
    colours = _ColourOf(scan)
    numbers = _numbers(scan, plane, rows * columns)
    pictures = [_slice(scan, plane, number, colours, LONGEST_SHEET) for number in numbers]
    pictures += [np.zeros_like(pictures[0])] * (rows * columns - len(pictures))
    lines = [
        np.concatenate(pictures[row * columns : (row + 1) * columns], axis=1) for row in range(rows)
    ]
    legend = _legend(scan, colours, lines[0].shape[1])
    _write(path, _image(np.concatenate([*lines, legend]), colours), "PNG")


class _ColourOf:
    """The palette, and which index in it a label value has."""

    def __init__(self, scan: Scan) -> None:
        targets = scan.labels.targets
        self.names = scan.labels.names
        self.palette = target_colours(min(len(targets), MOST_COLOURS))
        self.lookup = np.zeros(max(scan.labels.values, default=0) + 1, np.uint8)
        for number, values in enumerate(targets.values()):
            # Later targets lie in earlier ones: their colour wins.
            self.lookup[list(values)] = self.of_target(number)

    def of_target(self, number: int) -> int:
        return GREYS + number % MOST_COLOURS

    def of(self, label_map: np.ndarray) -> np.ndarray:
        """Return palette indices of label values; 0 for background and what is not declared."""
        known = np.where((label_map >= 0) & (label_map < len(self.lookup)), label_map, 0)
        return self.lookup[known]


def _numbers(scan: Scan, plane: str, most: int) -> list[int]:
    """Return the slices to draw, evenly spread over those with labels, or over all."""
    axis = PLANES[plane]
    others = tuple(other for other in range(3) if other != axis)
    labelled = np.zeros(scan.image.shape[axis], bool)
    for label_map in scan.maps.values():
        labelled |= (label_map > 0).any(axis=others)
    found = np.flatnonzero(labelled)
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, len(labelled) - 1)
    margin = math.ceil(MARGIN * (last - first))
    first, last = max(0, first - margin), min(len(labelled) - 1, last + margin)
    count = min(most, last - first + 1)
    numbers = np.rint(np.linspace(first, last, count)).astype(int).tolist()
    return numbers[::-1] if plane == "axial" else numbers  # from the head to the feet


def _slice(scan: Scan, plane: str, number: int, colours: _ColourOf, longest: int) -> np.ndarray:
    """Return the indices (rows, columns) of one slice with its outlines and its number."""
    axis = PLANES[plane]
    sizes = [n for i, n in enumerate(scan.image.shape) if i != axis]
    steps = [s for i, s in enumerate(scan.spacing) if i != axis]
    extent = [n * s for n, s in zip(sizes, steps, strict=True)]
    height, width = (max(1, round(longest * mm / max(extent))) for mm in extent)
    # Where the centre of each pixel lies, in voxels; the head is on top.
    rows = (np.arange(height) + 0.5) / height * sizes[0] - 0.5
    rows = rows if plane == "axial" else rows[::-1]
    columns = (np.arange(width) + 0.5) / width * sizes[1] - 0.5
    low, high = scan.window
    grey = scan.image.take(number, axis).astype(np.float32)
    smooth = ndimage.map_coordinates(
        grey, np.meshgrid(rows, columns, indexing="ij"), order=1, mode="nearest"
    )
    level = np.clip((smooth - low) / max(high - low, 1e-6), 0, 1)
    picture = np.rint(level * WHITE).astype(np.uint8)
    nearest = np.ix_(np.rint(rows).astype(int), np.rint(columns).astype(int))
    for order, label_map in enumerate(scan.maps.values()):
        _outline(picture, colours.of(label_map.take(number, axis)[nearest]), dashed=order > 0)
    text = f"{plane} {number + 1} of {scan.image.shape[axis]}"
    return np.concatenate([_text(text, width), picture])


def _outline(picture: np.ndarray, indices: np.ndarray, dashed: bool) -> None:
    """Draw the inner border of every area of `indices` (rows, columns) into `picture`.

    The gaps of dashes are black, so that they are seen on a solid line of the same colour too.
    """
    size = 2 * LINE + 1
    same = ndimage.minimum_filter(indices, size) == ndimage.maximum_filter(indices, size)
    border = (indices > 0) & ~same
    colour = indices
    if dashed:
        row, column = np.indices(indices.shape)
        colour = np.where((row + column) // DASH % 2, indices, BLACK)
    picture[border] = colour[border]


def _legend(scan: Scan, colours: _ColourOf, width: int) -> np.ndarray:
    """Return a strip that tells the colours of the targets that are there, and the lines."""
    there = {
        int(value)
        for label_map in scan.maps.values()
        for value in np.unique(colours.of(label_map))
        if value
    }
    entries = [(colours.of_target(n), name) for n, name in enumerate(colours.names)]
    entries = [entry for entry in entries if entry[0] in there]
    lines: list[list[tuple[int, str]]] = [[]]
    used = 0.0
    for entry in entries:
        needed = TEXT + GAP + _font().getlength(entry[1]) + 2 * GAP
        if lines[-1] and used + needed > width - GAP:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += needed
    strips = [_entries(line, width) for line in lines if line]
    if scan.maps:
        names = list(scan.maps)
        ways = [f"{names[0]}: solid", *(f"{name}: dashed" for name in names[1:])]
        strips.append(_text(", ".join(ways), width))
    return np.concatenate([*strips, np.zeros((GAP, width), np.uint8)])


def _entries(line: Sequence[tuple[int, str]], width: int) -> np.ndarray:
    places, at = [], float(GAP)
    canvas = _canvas(width)
    for colour, name in line:
        places.append((int(at), colour))
        at += TEXT + GAP
        canvas[1].text((at, 3), name, fill=WHITE, font=_font())
        at += _font().getlength(name) + 2 * GAP
    picture = np.array(canvas[0])
    for left, colour in places:
        picture[5 : 5 + TEXT - 3, left : left + TEXT - 3] = colour
    return picture


def _text(text: str, width: int) -> np.ndarray:
    picture, pen = _canvas(width)
    pen.text((GAP, 3), text, fill=WHITE, font=_font())
    return np.array(picture)


def _canvas(width: int) -> tuple[Any, Any]:
    from PIL import Image, ImageDraw

    picture = Image.new("L", (width, TEXT + GAP), BLACK)
    return picture, ImageDraw.Draw(picture)


def _font() -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(TEXT)


def _image(indices: np.ndarray, colours: _ColourOf) -> Any:
    from PIL import Image

    picture = Image.fromarray(indices)
    greys = [round(255 * grey / WHITE) for grey in range(GREYS) for _ in range(3)]
    picture.putpalette(greys + [part for colour in colours.palette for part in colour])
    return picture


def _write(path: Path, picture: Any, kind: str, **options: Any) -> None:
    # To memory first: Pillow seeks, and the file appears whole or not at all.
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    write_atomically(path, lambda file: file.write(stream.getvalue()))
