"""A slice as indices into one palette: greys, and the outlines of targets in their colours.

One palette for all, so that an animation does not flicker, outlines are not smeared and files stay
small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage

from autoseg.colours import target_colours

GREYS = 48  # indices below are greys, few enough to pack well; those from here on are targets
MOST_COLOURS = 256 - GREYS
WHITE, BLACK = GREYS - 1, 0
NEIGHBOURS = 3  # an outline is one pixel wide: in this window around it there is something else
DASH = 6  # pixels

Pixels = tuple[
    np.ndarray, np.ndarray
]  # where their centres lie, in voxels: rows (R,), columns (C,)


def palette() -> bytes:
    """Return red, green and blue of each index."""
    greys = [(round(255 * grey / WHITE),) * 3 for grey in range(GREYS)]
    return bytes(part for colour in (*greys, *target_colours(MOST_COLOURS)) for part in colour)


def colour_of(target: Any) -> Any:
    """Return the index of the colour of a target, or of each in an array; the first target is 0."""
    return GREYS + target % MOST_COLOURS


def pixels(shape: Sequence[int], spacing: Sequence[float], longest: int) -> Pixels:
    """Return pixels of equal height and width over (rows, columns) voxels of `spacing` mm.

    The longer side has `longest` of them.
    """
    extent = [voxels * mm for voxels, mm in zip(shape, spacing, strict=True)]
    counts = [max(1, round(longest * mm / max(extent))) for mm in extent]
    rows, columns = (
        (np.arange(count) + 0.5) * voxels / count - 0.5
        for count, voxels in zip(counts, shape, strict=True)
    )
    return rows, columns


def greys_at(image: np.ndarray, places: Pixels, window: tuple[float, float]) -> np.ndarray:
    """Return the greys (uint8) of `image` (rows, columns), black and white at the window's ends."""
    low, high = window
    grid = np.meshgrid(*places, indexing="ij")
    smooth = ndimage.map_coordinates(image.astype(np.float32), grid, order=1, mode="nearest")
    level = np.clip((smooth - low) / max(high - low, 1e-6), 0, 1)
    return np.rint(level * WHITE).astype(np.uint8)


def draw_outlines(
    picture: np.ndarray, colours: np.ndarray, places: Pixels, dashed: bool = False
) -> None:
    """Draw the inner border of every area of `colours` (rows, columns), indices or 0, on `picture`.

    The gaps of dashes are black, so that they are seen on a solid line of the same colour too.
    """
    rows, columns = (np.maximum(np.rint(place), 0).astype(int) for place in places)
    areas = colours[np.ix_(rows, columns)]
    lowest = ndimage.minimum_filter(areas, NEIGHBOURS)
    border = (areas > 0) & (lowest != ndimage.maximum_filter(areas, NEIGHBOURS))
    if dashed:
        row, column = np.indices(areas.shape)
        areas = np.where((row + column) // DASH % 2, areas, BLACK)
    picture[border] = areas[border]
