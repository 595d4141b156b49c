"""Two surfaces seen from each other: distances and weights of all their elements.

Three modes, never mixed in one table:

- `surfel` (default): a point wherever a 2x2x2 neighbourhood of voxels is mixed, weighted with the
  area (mm^2) that marching cubes puts there; in 2-D, 2x2 neighbourhoods and lengths (mm).
- `vertex`: the same points, each of weight 1.
- `voxel`: every voxel of the mask with a face (2-D: an edge) outside it, each of weight 1.

What lies outside the array is background, so an object at the border has a closed surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from autoseg.evaluation.elements import (
    added_path,
    added_path_length,
    border_voxels,
    element_weights,
    mixed_places,
    neighbourhood_codes,
)

MODES = ("surfel", "voxel", "vertex")

# Below this box size one distance transform is quicker than building and asking two trees.
_TRANSFORM_VOXELS = 2_000


@dataclass(frozen=True)
class Surfaces:
    """Two surfaces, seen from each other: distances (mm) and weights of every element."""

    from_reference: np.ndarray  # (n,) mm from each element of the reference to the prediction
    from_prediction: np.ndarray  # (m,) mm the other way
    reference_weights: np.ndarray  # (n,) mm^2, mm, or 1, after the mode
    prediction_weights: np.ndarray  # (m,)
    mode: str = "surfel"
    added_path_mm: float = 0.0  # of the reference's contours in slices, what the prediction lacks


def measure_surfaces(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], mode: str = "surfel"
) -> Surfaces:
    """Return the distances between the surfaces of two non-empty masks.

    Masks are boolean, (Z, Y, X) or (Y, X), of one shape; `spacing` in mm, one number an axis.
    """
    if mode == "voxel":
        ours, theirs = border_voxels(reference), border_voxels(prediction)
        there, back = _distances(ours, theirs, reference.shape, spacing)
        added = added_path_length(reference, prediction, spacing)
        return Surfaces(there, back, np.ones(len(ours)), np.ones(len(theirs)), mode, added)
    our_codes, their_codes = neighbourhood_codes(reference), neighbourhood_codes(prediction)
    ours, theirs = mixed_places(our_codes), mixed_places(their_codes)
    table = element_weights(spacing)
    at_ours = our_codes.ravel()[ours]
    weights = table.take(at_ours), table.take(their_codes.ravel()[theirs])
    added = added_path(at_ours, their_codes.ravel()[ours], spacing)
    shape = our_codes.shape
    del our_codes, their_codes  # a byte each for every voxel of the box
    there, back = _distances(ours, theirs, shape, spacing)
    surfaces = Surfaces(there, back, *weights, "surfel", added)
    return surfaces if mode == "surfel" else unweighted(surfaces)


def unweighted(surfaces: Surfaces) -> Surfaces:
    """Return surfels as vertices: the same points and distances, each of weight 1."""
    ours, theirs = surfaces.from_reference, surfaces.from_prediction
    return replace(
        surfaces,
        reference_weights=np.ones(len(ours)),
        prediction_weights=np.ones(len(theirs)),
        mode="vertex",
    )


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
