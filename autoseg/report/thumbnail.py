"""A small picture of a case: one slice with the outlines of its label, and of its prediction."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from autoseg.colours import target_colours
from autoseg.pictures import png_bytes
from autoseg.report.figures import WINDOW_PERCENTILES, best_slice

SIDE = 176  # pixels of the longer side of a panel
GAP = 4  # black pixels between panels
GREYS = 48  # few enough to pack well, enough to see
MARGIN_MM = 15.0  # around the labels
LEAST_MM = 60.0  # sides shown at least


def thumbnail(
    image: np.ndarray,
    reference: np.ndarray,
    prediction: np.ndarray | None,
    spacing: Sequence[float],
    upside_down: bool = False,
) -> str:
    """Return a data URI: `image` with the outlines of `reference`, and again of `prediction`.

    All are (z, y, x) on one grid of `spacing` mm, the maps value indices. The slice is the one in
    which they differ most, or without a prediction the one that shows most of the label.
    `upside_down`: rows run upwards.
    """
    z = _slice(reference, prediction)
    maps = [reference[z]] if prediction is None else [reference[z], prediction[z]]
    rows, columns = _window(maps, spacing[1:])
    grey = np.asarray(image[z, rows, columns], dtype=np.float32)
    maps = [label_map[rows, columns] for label_map in maps]
    if upside_down:
        grey, maps = grey[::-1], [label_map[::-1] for label_map in maps]
    places = _pixels(grey.shape, spacing[1:])
    shown = _greys(_smooth(grey, *places))
    panels = [_outlined(shown, label_map[np.ix_(*_nearest(places))]) for label_map in maps]
    gap = np.zeros((shown.shape[0], GAP), np.uint8)
    joined = np.concatenate([part for panel in panels for part in (gap, panel)][1:], axis=1)
    data = base64.b64encode(png_bytes(joined, _palette())).decode("ascii")
    return f"data:image/png;base64,{data}"


def _slice(reference: np.ndarray, prediction: np.ndarray | None) -> int:
    if prediction is not None:
        wrong = (reference != prediction).sum(axis=(1, 2))
        if wrong.any():
            return int(wrong.argmax())
    return best_slice(reference)


def _window(maps: Sequence[np.ndarray], spacing: Sequence[float]) -> tuple[slice, slice]:
    """Return the rows and columns around everything labelled; all where nothing is."""
    found = np.any([label_map > 0 for label_map in maps], axis=0)
    if not found.any():
        return slice(None), slice(None)
    sides = []
    for axis, mm in enumerate(spacing):
        there = np.flatnonzero(found.any(axis=1 - axis))
        half = max((there[-1] + 1 - there[0]) * mm / 2 + MARGIN_MM, LEAST_MM / 2) / mm
        middle = (there[0] + there[-1] + 1) / 2
        low, high = int(max(middle - half, 0)), int(np.ceil(min(middle + half, found.shape[axis])))
        sides.append(slice(low, high))
    return sides[0], sides[1]


def _pixels(shape: Sequence[int], spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Return where pixels of equal height and width lie, in voxels (rows,), (columns,)."""
    extent = [voxels * mm for voxels, mm in zip(shape, spacing, strict=True)]
    pixel = max(extent) / SIDE
    counts = [max(round(side / pixel), 1) for side in extent]
    rows, columns = (
        (np.arange(count) + 0.5) * voxels / count - 0.5
        for count, voxels in zip(counts, shape, strict=True)
    )
    return rows, columns


def _nearest(places: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.maximum(np.rint(place), 0).astype(int) for place in places]


def _smooth(grey: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return `grey` at those places, linear in between."""
    for axis, place in enumerate((rows, columns)):
        place = np.clip(place, 0, grey.shape[axis] - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, grey.shape[axis] - 1)
        share = (place - low).reshape((-1, 1) if axis == 0 else (1, -1))
        grey = grey.take(low, axis) * (1 - share) + grey.take(high, axis) * share
    return grey


def _greys(grey: np.ndarray) -> np.ndarray:
    low, high = np.percentile(grey, WINDOW_PERCENTILES)
    scaled = (grey - low) / max(high - low, 1e-6)
    return (np.clip(scaled, 0, 1) * (GREYS - 1)).round().astype(np.uint8)


def _outlined(shown: np.ndarray, label_map: np.ndarray) -> np.ndarray:
    """Return the picture with each value's outer pixels in its colour."""
    padded = np.pad(label_map, 1, mode="edge")
    inner = padded[1:-1, 1:-1]
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge = np.any([neighbour != inner for neighbour in neighbours], axis=0) & (inner > 0)
    colours = GREYS + (inner.astype(int) - 1) % (256 - GREYS)
    return np.where(edge, colours, shown).astype(np.uint8)


def _palette() -> bytes:
    greys = [(round(255 * n / (GREYS - 1)),) * 3 for n in range(GREYS)]
    return bytes(part for colour in (*greys, *target_colours(256 - GREYS)) for part in colour)
