"""The surface of a mask as weighted points, and the distances between two such surfaces.

Two modes, never mixed in one table:

- `surfel` (default): a point wherever a 2x2x2 neighbourhood of voxels is mixed, weighted with the
  area (mm^2) that marching cubes puts there; in 2-D, 2x2 neighbourhoods and lengths (mm).
- `voxel`: every voxel of the mask with a face (2-D: an edge) outside it, each of weight 1.

What lies outside the array is background, so an object at the border has a closed surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

MODES = ("surfel", "voxel")

# Below this box size one distance transform is quicker than building and asking two trees.
_TRANSFORM_VOXELS = 2_000

# Bit i of a neighbourhood's code belongs to corner i = 4 z + 2 y + x.
_CORNERS = tuple(product((0, 1), repeat=3))


@dataclass(frozen=True)
class Surfaces:
    """Two surfaces, seen from each other: distances (mm) and weights of every element."""

    from_reference: np.ndarray  # (n,) mm from each element of the reference to the prediction
    from_prediction: np.ndarray  # (m,) mm the other way
    reference_weights: np.ndarray  # (n,) mm^2, mm, or 1, after the mode
    prediction_weights: np.ndarray  # (m,)
    mode: str = "surfel"


def measure_surfaces(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], mode: str = "surfel"
) -> Surfaces:
    """Return the distances between the surfaces of two non-empty masks.

    Masks are boolean, (Z, Y, X) or (Y, X), of one shape; `spacing` in mm, one number an axis.
    """
    find = _surfels if mode == "surfel" else _border_voxels
    ours, our_weights = find(reference, spacing)
    theirs, their_weights = find(prediction, spacing)
    shape = tuple(np.add(reference.shape, 1 if mode == "surfel" else 0))
    there, back = _distances(ours, theirs, shape, spacing)
    return Surfaces(there, back, our_weights, their_weights, mode)


def element_weights(spacing: Sequence[float]) -> np.ndarray:
    """Return the area (mm^2) in each of the 256 neighbourhoods of voxels; for two numbers, the
    length (mm) in each of the 16 neighbourhoods of pixels.
    """
    key = tuple(float(step) for step in spacing)
    return _area_table(key) if len(key) == 3 else _length_table(key)


# --- elements ------------------------------------------------------------------------------------


def _surfels(mask: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    codes = neighbourhood_codes(mask)
    full = 2 ** (2**mask.ndim) - 1
    # Unsigned wrap-around: codes 1 .. full - 1 in one comparison.
    places = np.flatnonzero((codes - np.uint8(1)) < full - 1)
    return places, element_weights(spacing).take(codes.ravel()[places])


def neighbourhood_codes(mask: np.ndarray) -> np.ndarray:
    """Return uint8 codes of all 2x2x2 (2x2) neighbourhoods: one larger than `mask` on each axis."""
    codes = np.pad(mask.astype(np.uint8, copy=False), 1)
    for power, axis in enumerate(reversed(range(mask.ndim))):
        before = codes[(slice(None),) * axis + (slice(None, -1),)]
        after = codes[(slice(None),) * axis + (slice(1, None),)]
        codes = before | (after << np.uint8(2**power))
    return codes


def _border_voxels(mask: np.ndarray, spacing: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    padded = np.pad(mask, 1)
    inner = (slice(1, -1),) * mask.ndim
    inside = padded[inner].copy()
    for axis, shift in product(range(mask.ndim), (slice(None, -2), slice(2, None))):
        inside &= padded[(*inner[:axis], shift, *inner[axis + 1 :])]
    places = np.flatnonzero(mask & ~inside)
    return places, np.ones(len(places))


# --- distances -----------------------------------------------------------------------------------


def _distances(
    ours: np.ndarray, theirs: np.ndarray, shape: tuple[int, ...], spacing: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return mm from each of `ours` to the nearest of `theirs`, and back; flat indices."""
    if np.prod(shape) <= _TRANSFORM_VOXELS:
        return (
            _distance_map(theirs, shape, spacing)[ours],
            _distance_map(ours, shape, spacing)[theirs],
        )
    # Elements that both surfaces share are at distance 0; only the others have to ask.
    here, there = np.zeros(np.prod(shape), dtype=bool), np.zeros(np.prod(shape), dtype=bool)
    here[ours], there[theirs] = True, True
    return (
        _nearest(ours, ~there[ours], theirs, shape, spacing),
        _nearest(theirs, ~here[theirs], ours, shape, spacing),
    )


def _distance_map(
    places: np.ndarray, shape: tuple[int, ...], spacing: Sequence[float]
) -> np.ndarray:
    elsewhere = np.ones(np.prod(shape), dtype=bool)
    elsewhere[places] = False
    return distance_transform_edt(elsewhere.reshape(shape), sampling=spacing).ravel()


def _nearest(
    asking: np.ndarray,
    apart: np.ndarray,
    surface: np.ndarray,
    shape: tuple[int, ...],
    spacing: Sequence[float],
) -> np.ndarray:
    distances = np.zeros(len(asking))
    if apart.any():
        queries = np.stack(np.unravel_index(asking[apart], shape), axis=1)
        points = np.stack(np.unravel_index(surface, shape), axis=1)
        tree = cKDTree(points * np.asarray(spacing), balanced_tree=False, compact_nodes=False)
        _, found = tree.query(queries * np.asarray(spacing))
        # From whole voxels again: the tree's difference of two rounded positions would not be the
        # same after a shift.
        gaps = (queries - points[found]) * np.asarray(spacing)
        distances[apart] = np.sqrt((gaps * gaps).sum(axis=1))
    return distances


# --- area and length of each neighbourhood -----------------------------------------------------


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
