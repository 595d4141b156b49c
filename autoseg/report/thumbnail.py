"""A small picture of a case: one slice with the outlines of its label, and of its prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg.pictures import png_bytes
from autoseg.report.figures import WINDOW_PERCENTILES, best_slice
from autoseg.report.html import data_uri
from autoseg.report.outlines import colour_of, draw_outlines, greys_at, palette, pixels

SIDE = 176  # pixels of the longer side of a panel
GAP = 4  # black pixels between panels
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
    places = pixels(grey.shape, spacing[1:], SIDE)
    low, high = np.percentile(grey, WINDOW_PERCENTILES)
    shown = greys_at(grey, places, (low, high))
    panels = []
    for label_map in maps:
        panels += [np.zeros((len(shown), GAP), np.uint8), shown.copy()]
        draw_outlines(panels[-1], _colours(label_map), places)
    return data_uri(png_bytes(np.concatenate(panels[1:], axis=1), palette()))


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


def _colours(label_map: np.ndarray) -> np.ndarray:
    """Return palette indices of value indices; 0 for background."""
    return np.where(label_map > 0, colour_of(label_map.astype(int) - 1), 0)
