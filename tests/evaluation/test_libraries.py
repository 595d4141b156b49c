"""Agreement with the libraries that the definitions name, where these are installed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from autoseg.evaluation import metrics as m
from autoseg.evaluation.nnunet_view import nnunet_summary
from autoseg.evaluation.pair import Pair
from autoseg.evaluation.pairing import score_pair
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.surface import measure_surfaces
from autoseg.files import write_json
from autoseg.image import Geometry
from autoseg.io import write_labels
from autoseg.labels import Labels

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


def test_nnunet_reads_its_view_and_computes_the_same(tmp_path):
    """Random label maps with a missed and an absent label, an ignored value, and a region."""
    nnunet = pytest.importorskip(
        "nnunetv2.evaluation.evaluate_predictions", reason="nnU-Net is not installed"
    )
    readers = pytest.importorskip("nnunetv2.imageio.simpleitk_reader_writer")
    rng = np.random.default_rng(3)
    grid = Geometry((9, 10, 11), (2.0, 1.0, 0.7))
    labels = Labels({"one": (1,), "region": (1, 2), "three": (3,)}, ignore=4)
    files = [(tmp_path / f"g{case}.nii.gz", tmp_path / f"p{case}.nii.gz") for case in range(4)]
    scores, theirs = [], []
    for case, (reference, prediction) in enumerate(files):
        ours = rng.integers(0, 5, grid.shape)
        found = rng.integers(0, 3 if case else 4, grid.shape)
        ours[(ours == 3) & (case > 1)] = 0
        write_labels(reference, ours.astype(np.uint8), grid)
        write_labels(prediction, found.astype(np.uint8), grid)
        pair = Pair(str(case), reference, prediction)
        scores.append(score_pair(pair, labels, dict.fromkeys(labels.names, 1.0)))
        regions = [1, (1, 2), 3]
        theirs.append(
            nnunet.compute_metrics(
                str(reference), str(prediction), readers.SimpleITKIO(), regions, 4
            )
        )
    path = tmp_path / "nnunet_summary.json"
    write_json(path, nnunet_summary(summarise(scores, labels), labels))
    view = nnunet.load_summary_json(str(path))
    for ours, expected in zip(view["metric_per_case"], theirs, strict=True):
        for target, values in expected["metrics"].items():
            for name, value in values.items():
                found = ours["metrics"][target][name]
                assert (
                    np.isnan(value) if found is None else found == pytest.approx(value, abs=1e-12)
                )
        assert ours["reference_file"] == expected["reference_file"]
    for target, values in view["mean"].items():
        for name, value in values.items():
            every = [case["metrics"][target][name] for case in theirs]
            assert value == pytest.approx(np.nanmean(every), abs=1e-9)
