"""clDice: overlap of each skeleton with the other mask, for tubes such as vessels and airways.

Shit et al., "clDice - a novel topology-preserving loss function for tubular structure
segmentation", CVPR 2021.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import generate_binary_structure, label

from autoseg.errors import ResourceError
from autoseg.evaluation.metrics import status_of
from autoseg.results import BOTH_EMPTY, OK, SKIPPED, Value

TOPOLOGY_METRICS = ("cldice", "cldice_grid_mm")

ANISOTROPIC = 1.5  # ratio of spacings above which a skeleton would follow the grid


def measure_topology(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float]
) -> dict[str, Value]:
    """Return `cldice` of two boolean masks (Z, Y, X) or (Y, X); `spacing` in mm.

    Where spacings differ by more than 1.5 times, both masks are brought to the finest of them
    first, by nearest neighbours; `cldice_grid_mm` tells that spacing, null: the masks' own grid.
    Raises ResourceError when scikit-image is not installed.
    """
    n_ref, n_pred = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    status = status_of({"n_ref": n_ref, "n_pred": n_pred})
    step = min(spacing) if max(spacing) > ANISOTROPIC * min(spacing) else None
    grid = Value(None, SKIPPED) if step is None or status != OK else Value(step)
    if status != OK:
        return {
            "cldice": Value(None if status == BOTH_EMPTY else 0.0, status),
            "cldice_grid_mm": grid,
        }
    if step is not None:
        reference, prediction = (refine(mask, spacing, step) for mask in (reference, prediction))
    return {"cldice": Value(cldice(reference, prediction)), "cldice_grid_mm": grid}


def cldice(reference: np.ndarray, prediction: np.ndarray) -> float:
    """Return the harmonic mean of topology precision |S_P and R| / |S_P| and topology sensitivity
    |S_R and P| / |S_R| of two non-empty masks on one isotropic grid; 0 where both are 0."""
    precision = _covered(skeleton(prediction), reference)
    sensitivity = _covered(skeleton(reference), prediction)
    total = precision + sensitivity
    return 2 * precision * sensitivity / total if total else 0.0


def skeleton(mask: np.ndarray) -> np.ndarray:
    """Return the one voxel wide skeleton of a mask: Lee 1994 in 3-D, Zhang and Suen 1984 in 2-D.

    A component that thinning removes altogether (an even box, such as 2x2x2) stays as it is.
    """
    try:
        from skimage.morphology import skeletonize
    except ImportError as error:
        raise ResourceError(
            "clDice needs scikit-image, which is not installed", remedy="pip install scikit-image"
        ) from error
    line = skeletonize(mask) > 0
    found, number = label(mask, generate_binary_structure(mask.ndim, mask.ndim))
    gone = np.ones(number + 1, dtype=bool)
    gone[found[line]] = gone[0] = False
    return line | gone[found]


def refine(mask: np.ndarray, spacing: Sequence[float], step: float) -> np.ndarray:
    """Return the mask on a grid of `step` mm along every axis, by nearest neighbours."""
    for axis, size in enumerate(mask.shape):
        voxels = max(1, round(size * spacing[axis] / step))
        centres = (np.arange(voxels) + 0.5) * size / voxels
        mask = mask.take(centres.astype(np.intp), axis=axis)
    return mask


def _covered(line: np.ndarray, mask: np.ndarray) -> float:
    return int(np.count_nonzero(line & mask)) / int(np.count_nonzero(line))
