"""Agreement with the libraries that the definitions name, where these are installed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from autoseg.evaluation import metrics as m
from autoseg.evaluation.surface import measure_surfaces

SEEDS = range(30)
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries


def random_pair(seed: int) -> tuple[np.ndarray, np.ndarray, tuple[float, ...]]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(4, 22, 3 if seed % 3 else 2))
    one = gaussian_filter(rng.normal(size=shape), rng.uniform(0.3, 2))
    other = one + 0.4 * one.std() * rng.normal(size=shape)
    masks = [array > np.quantile(array, rng.uniform(0.3, 0.9)) for array in (one, other)]
    return masks[0], masks[1], tuple(float(s) for s in rng.uniform(0.4, 4, len(shape)))


@pytest.mark.parametrize("seed", SEEDS)
def test_surfels_agree_with_surface_distance(seed):
    library = pytest.importorskip("surface_distance", reason="surface-distance is not installed")
    reference, prediction, spacing = random_pair(seed)
    found = measure_surfaces(reference, prediction, spacing)
    theirs = library.compute_surface_distances(reference, prediction, spacing)
    tolerance = library.compute_surface_dice_at_tolerance(theirs, 1.3)
    assert m.surface_dice(found, 1.3) == pytest.approx(tolerance, abs=1e-9)
    assert m.hd95(found) == pytest.approx(library.compute_robust_hausdorff(theirs, 95), abs=1e-9)
    assert m.hausdorff(found) == pytest.approx(library.compute_robust_hausdorff(theirs, 100))


@pytest.mark.parametrize("seed", SEEDS)
def test_voxels_agree_with_medpy(seed):
    library = pytest.importorskip("medpy.metric.binary", reason="MedPy is not installed")
    reference, prediction, spacing = random_pair(seed)
    found = measure_surfaces(reference, prediction, spacing, "voxel")
    assert m.hausdorff(found) == pytest.approx(library.hd(prediction, reference, spacing), abs=1e-9)
    assert m.assd(found) == pytest.approx(library.assd(prediction, reference, spacing), abs=1e-9)
