"""Slices with outlines: one after the other as an animation, or side by side on a sheet.

Arrays are in canonical orientation (`image.py`); pictures have true proportions, the patient's left
on the right, the front on top or on the left. Outlines of the first label map are solid, those of a
second one dashed. Pillow, which matplotlib brings, writes the files.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Picture

from autoseg.files import write_atomically
from autoseg.labels import Labels
from autoseg.report.legend import text_line, with_legend
from autoseg.report.outlines import colour_of, draw_outlines, greys_at, palette, pixels

PLANES = {"axial": 0, "coronal": 1, "sagittal": 2}  # the axis that slices follow each other along
MARGIN = 0.05  # of the labelled extent, shown before and after it
LONGEST_GIF, LONGEST_SHEET = 480, 300  # pixels of the longer side of a slice
SHEET = 1200  # pixels of a line of slices, where they are few
MOST_FRAMES, FRAME_MS = 120, 90


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
    numbers = _numbers(scan, plane, MOST_FRAMES)
    pictures = [_slice(scan, plane, number, LONGEST_GIF) for number in numbers]
    frames = [_image(picture) for picture in _with_legend(scan, pictures)]
    _write(
        path, frames[0], "GIF", save_all=True, append_images=frames[1:], duration=FRAME_MS,
        loop=0, disposal=1,
    )  # fmt: skip


def write_sheet(path: Path, scan: Scan, plane: str, rows: int, columns: int) -> None:
    """Write a PNG of rows x columns slices in `plane`, evenly along what is labelled.

    Where there are fewer slices, the sheet is as small as they are few.
    """
    numbers = _numbers(scan, plane, rows * columns)
    columns = min(columns, len(numbers))
    rows = math.ceil(len(numbers) / columns)
    longest = min(max(SHEET // columns, LONGEST_SHEET), LONGEST_GIF)
    pictures = [_slice(scan, plane, number, longest) for number in numbers]
    pictures += [np.zeros_like(pictures[0])] * (rows * columns - len(pictures))
    lines = [
        np.concatenate(pictures[row * columns : (row + 1) * columns], axis=1) for row in range(rows)
    ]
    (sheet,) = _with_legend(scan, [np.concatenate(lines)])
    _write(path, _image(sheet), "PNG")


def _numbers(scan: Scan, plane: str, most: int) -> list[int]:
    """Return the slices to draw: the middles of equal parts of those with labels, or of all."""
    axis = PLANES[plane]
    others = tuple(other for other in range(3) if other != axis)
    labelled = np.zeros(scan.image.shape[axis], bool)
    for label_map in scan.maps.values():
        labelled |= (label_map > 0).any(axis=others)
    found = np.flatnonzero(labelled)
    first, last = (int(found[0]), int(found[-1])) if len(found) else (0, len(labelled) - 1)
    margin = math.ceil(MARGIN * (last - first))
    first, last = max(0, first - margin), min(len(labelled) - 1, last + margin)
    slices = last - first + 1
    count = min(most, slices)
    numbers = [first + (2 * part + 1) * slices // (2 * count) for part in range(count)]
    return numbers[::-1] if plane == "axial" else numbers  # from the head to the feet


def _slice(scan: Scan, plane: str, number: int, longest: int) -> np.ndarray:
    """Return the indices (rows, columns) of one slice with its outlines, below its number."""
    axis = PLANES[plane]
    head_up = slice(None, None, 1 if plane == "axial" else -1)
    grey = scan.image.take(number, axis)[head_up]
    spacing = [mm for other, mm in enumerate(scan.spacing) if other != axis]
    places = pixels(grey.shape, spacing, longest)
    picture = greys_at(grey, places, scan.window)
    for order, label_map in enumerate(scan.maps.values()):
        shown = label_map.take(number, axis)[head_up]
        draw_outlines(picture, _colours(shown, scan.labels), places, dashed=order > 0)
    text = f"{plane} {number + 1} of {scan.image.shape[axis]}"
    return np.concatenate([text_line(text, picture.shape[1]), picture])


def _colours(label_map: np.ndarray, labels: Labels) -> np.ndarray:
    """Return palette indices of label values; 0 for background and what is not declared."""
    lookup = np.zeros(max(labels.values, default=0) + 1, np.uint8)
    for number, values in enumerate(labels.targets.values()):
        lookup[list(values)] = colour_of(number)  # later targets lie in earlier ones and win
    return lookup[np.where((label_map >= 0) & (label_map < len(lookup)), label_map, 0)]


def _with_legend(scan: Scan, pictures: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return pictures with the colours of the targets that are there, and what the lines mean."""
    there = [set(np.unique(_colours(each, scan.labels)).tolist()) for each in scan.maps.values()]
    entries = [(colour_of(number), name) for number, name in enumerate(scan.labels.names)]
    entries = [entry for entry in entries if entry[0] in set().union(*there)]
    lines = [f"{name}: {'dashed' if order else 'solid'}" for order, name in enumerate(scan.maps)]
    return with_legend(pictures, entries, ", ".join(lines))


def _image(indices: np.ndarray) -> Picture.Image:
    picture = Picture.fromarray(indices)
    picture.putpalette(palette())
    return picture


def _write(path: Path, picture: Picture.Image, kind: str, **options: Any) -> None:
    # To memory first: Pillow seeks, and the file appears whole or not at all.
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    write_atomically(path, lambda file: file.write(stream.getvalue()))
