"""Elements of a mask's surface: where they are, and how much of the surface each stands for.

A 2x2x2 neighbourhood of voxels (2x2 of pixels) has a code; from the code follow whether the surface
passes there, and its area (mm^2; length, mm) there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np

# Bit i of a neighbourhood's code belongs to corner i = 4 z + 2 y + x.
_CORNERS = tuple(product((0, 1), repeat=3))
_SQUARE = 1e-3  # relative difference of two spacings that are the same
_FULL_SLICE = 0b1111  # the code of a full 2x2 neighbourhood


def neighbourhood_codes(mask: np.ndarray) -> np.ndarray:
    """Return uint8 codes of all 2x2x2 (2x2) neighbourhoods: one larger than `mask` on each axis.

    What lies outside the mask is background, so an object at the border has a closed surface.
    """
    codes = np.pad(mask.astype(np.uint8, copy=False), 1)
    for power, axis in enumerate(reversed(range(mask.ndim))):
        before = codes[(slice(None),) * axis + (slice(None, -1),)]
        after = codes[(slice(None),) * axis + (slice(1, None),)]
        codes = before | (after << np.uint8(2**power))
    return codes


def mixed_places(codes: np.ndarray) -> np.ndarray:
    """Return the flat indices of the neighbourhoods that are neither empty nor full."""
    full = 2 ** (2**codes.ndim) - 1
    # Unsigned wrap-around: codes 1 .. full - 1 in one comparison.
    return np.flatnonzero((codes - np.uint8(1)) < full - 1)


def border_voxels(mask: np.ndarray) -> np.ndarray:
    """Return the flat indices of the voxels of `mask` with a face (2-D: an edge) outside it."""
    padded = np.pad(mask, 1)
    inner = (slice(1, -1),) * mask.ndim
    inside = padded[inner].copy()
    for axis, shift in product(range(mask.ndim), (slice(None, -2), slice(2, None))):
        inside &= padded[(*inner[:axis], shift, *inner[axis + 1 :])]
    return np.flatnonzero(mask & ~inside)


def added_path_length(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]
) -> float:
    """Return the length (mm) of the reference's contours that the prediction's contours lack.

    Contours are drawn in the slices of (Z, Y, X) along `slice_axis`, or in the one image (Y, X); an
    element is lacking where the prediction has no contour in the same 2x2 pixels. What an expert
    has to draw anew: Vaassen et al., Physics and Imaging in Radiation Oncology 13 (2020), who count
    pixels of the contour instead of its length.
    """
    ours, theirs = neighbourhood_codes(reference), neighbourhood_codes(prediction)
    places = mixed_places(ours)
    return added_path(ours.ravel()[places], theirs.ravel()[places], spacing)


def added_path(ours: np.ndarray, theirs: np.ndarray, spacing: Sequence[float]) -> float:
    """Return `added_path_length` from the codes of both masks where the reference's are mixed."""
    plane = tuple(spacing)
    if len(plane) == 3:  # every contour passes through the lower slice of a mixed neighbourhood
        axis = slice_axis(plane)
        ours, theirs = _lower_slice(axis)[ours], _lower_slice(axis)[theirs]
        plane = plane[:axis] + plane[axis + 1 :]
    lacking = (theirs == 0) | (theirs == _FULL_SLICE)
    return float(element_weights(plane).take(ours[lacking]).sum())


def slice_axis(spacing: Sequence[float]) -> int:
    """Return the axis across the slices of (Z, Y, X): pixels are square, so the one whose spacing
    differs from two that are equal; the first if none does."""
    others = [(spacing[1], spacing[2]), (spacing[0], spacing[2]), (spacing[0], spacing[1])]
    square = [bool(np.isclose(*pair, rtol=_SQUARE, atol=0)) for pair in others]
    return square.index(True) if sum(square) == 1 else 0


@lru_cache(maxsize=3)
def _lower_slice(axis: int) -> np.ndarray:
    """Return for each of the 256 codes that of the 2x2 neighbourhood in the lower slice."""
    bits = [bit for bit, corner in enumerate(_CORNERS) if corner[axis] == 0]
    table = np.zeros(256, dtype=np.uint8)
    for place, bit in enumerate(bits):
        table |= (np.arange(256, dtype=np.uint8) >> np.uint8(bit) & np.uint8(1)) << np.uint8(place)
    return table


# --- area and length of each neighbourhood -----------------------------------------------------


def element_weights(spacing: Sequence[float]) -> np.ndarray:
    """Return the area (mm^2) in each of the 256 neighbourhoods of voxels; for two numbers, the
    length (mm) in each of the 16 neighbourhoods of pixels.
    """
    key = tuple(float(step) for step in spacing)
    return _area_table(key) if len(key) == 3 else _length_table(key)


@lru_cache(maxsize=64)
def _area_table(spacing: tuple[float, ...]) -> np.ndarray:
    codes, normals = _facets()
    z, y, x = spacing
    areas = 0.5 * np.linalg.norm(normals * np.asarray([y * x, z * x, z * y]), axis=1)
    return np.bincount(codes, areas, minlength=256)


@lru_cache(maxsize=64)
def _length_table(spacing: tuple[float, ...]) -> np.ndarray:
    y, x = spacing
    corner = 0.5 * float(np.hypot(y, x))
    table = np.full(16, corner)
    table[[0, 15]] = 0.0
    table[[0b0011, 0b1100]] = x
    table[[0b0101, 0b1010]] = y
    table[[0b0110, 0b1001]] = 2 * corner  # two opposite pixels: a cut around each
    return table


@lru_cache(maxsize=1)
def _facets() -> tuple[np.ndarray, np.ndarray]:
    """Return the code (T,) and the normal (T, 3), twice the area long, of all triangles."""
    codes: list[int] = []
    normals: list[np.ndarray] = []
    for code in range(1, 255):
        for loop in _outlines(code):
            # A bent outline can be filled in several ways. The one taken is the largest in a cubic
            # voxel: it does not depend on the order of axes, and the literature's NSD uses it.
            starts = range(len(loop) if len(loop) > 4 else 1)  # three or four points lie in a plane
            fans = [_fan(np.roll(loop, start, axis=0)) for start in starts]
            best = max(fans, key=lambda fan: round(float(np.linalg.norm(fan, axis=1).sum()), 9))
            codes.extend([code] * len(best))
            normals.extend(best)
    return np.asarray(codes), np.asarray(normals)


def _fan(loop: np.ndarray) -> np.ndarray:
    return np.cross(loop[1:-1] - loop[0], loop[2:] - loop[0])


def _outlines(code: int) -> list[np.ndarray]:
    """Return the closed outlines (n, 3) of the surface in one neighbourhood.

    They run over its six faces and bend at the middles of those edges whose ends differ.
    """
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(_CORNERS)}
    # Opposite corners of a face stay apart if they belong to the minority, so that a mask and its
    # complement have the same surface.
    apart = sum(inside.values()) <= 4
    neighbours: dict[tuple[float, ...], list[tuple[float, ...]]] = {}
    for start, end in _segments(inside, apart):
        neighbours.setdefault(start, []).append(end)
        neighbours.setdefault(end, []).append(start)
    outlines = []
    while neighbours:
        point = min(neighbours)
        loop = []
        while point in neighbours:
            loop.append(point)
            one, other = neighbours.pop(point)
            point = one if one in neighbours else other
        outlines.append(np.asarray(loop))
    return outlines


def _segments(
    inside: dict[tuple[int, ...], bool], apart: bool
) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    segments = []
    for axis, side in product(range(3), (0, 1)):
        ring = [(*c[:axis], side, *c[axis:]) for c in ((0, 0), (0, 1), (1, 1), (1, 0))]
        middles = [_middle(ring[i], ring[(i + 1) % 4]) for i in range(4)]
        cut = [i for i in range(4) if inside[ring[i]] != inside[ring[(i + 1) % 4]]]
        if len(cut) == 2:
            segments.append((middles[cut[0]], middles[cut[1]]))
        elif len(cut) == 4:
            # One segment around each of the two corners that are kept apart.
            around = [i for i in range(4) if inside[ring[i]] == apart]
            segments.extend((middles[i - 1], middles[i]) for i in around)
    return segments


def _middle(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[float, ...]:
    return tuple((a + b) / 2 for a, b in zip(one, other, strict=True))
