"""Agreement with the libraries that the definitions name, where these are installed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree

from autoseg.evaluation import metrics as m
from autoseg.evaluation.lesions import LesionRules, components, measure_lesions
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


@pytest.mark.parametrize("seed", SEEDS)
def test_surfels_agree_with_surface_distance_on_directed_averages(seed):
    library = pytest.importorskip("surface_distance", reason="surface-distance is not installed")
    reference, prediction, spacing = random_pair(seed)
    scores = m.surface_scores(measure_surfaces(reference, prediction, spacing), 1.0)
    theirs = library.compute_surface_distances(reference, prediction, spacing)
    expected = library.compute_average_surface_distance(theirs)
    found = (scores["asd_ref_to_pred"], scores["asd_pred_to_ref"])
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_overlap_agrees_with_medpy(seed):
    library = pytest.importorskip("medpy.metric.binary", reason="MedPy is not installed")
    reference, prediction, spacing = random_pair(seed)
    values = m.measure_target(reference, prediction, spacing, 1.0, "voxel")
    expected = {
        "dice": library.dc(prediction, reference),
        "iou": library.jc(prediction, reference),
        "sensitivity": library.sensitivity(prediction, reference),
        "precision": library.precision(prediction, reference),
        "specificity": library.specificity(prediction, reference),
        "rve": library.ravd(prediction, reference),
        "asd_pred_to_ref": library.asd(prediction, reference, spacing),
    }
    assert {key: values[key].value for key in expected} == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_overlap_agrees_with_simpleitk(seed):
    sitk = pytest.importorskip("SimpleITK")
    reference, prediction, spacing = random_pair(seed)
    measures = sitk.LabelOverlapMeasuresImageFilter()
    images = (sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in (prediction, reference))
    measures.Execute(*images)
    values = m.measure_target(reference, prediction, spacing, 1.0)
    assert values["dice"].value == pytest.approx(measures.GetDiceCoefficient(), abs=1e-12)
    assert values["iou"].value == pytest.approx(measures.GetJaccardCoefficient(), abs=1e-12)
    half_signed = abs(measures.GetVolumeSimilarity()) / 2  # 2 (a - b) / (a + b) there
    assert values["vs"].value == pytest.approx(1 - half_signed, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_agreement_follows_the_textbook_on_every_voxel(seed):
    """Pearson's correlation of two binary images is MCC; kappa from proportions of agreement."""
    reference, prediction, spacing = random_pair(seed)
    values = m.measure_target(reference, prediction, spacing, 1.0)
    correlation = np.corrcoef(reference.ravel(), prediction.ravel())[0, 1]
    assert values["mcc"].value == pytest.approx(correlation, abs=1e-12)
    a, b = reference.mean(), prediction.mean()
    chance = a * b + (1 - a) * (1 - b)
    kappa = ((reference == prediction).mean() - chance) / (1 - chance)
    assert values["kappa"].value == pytest.approx(kappa, abs=1e-12)


def corners(mask: np.ndarray) -> np.ndarray:
    """Corner points whose 2x2x2 voxels are neither all in nor all out, one by one."""
    padded = np.pad(mask, 1)
    found = []
    for point in np.ndindex(*(size - 1 for size in padded.shape)):
        around = padded[tuple(slice(i, i + 2) for i in point)]
        if around.any() and not around.all():
            found.append(point)
    return np.asarray(found, dtype=float)


@pytest.mark.parametrize("seed", SEEDS)
def test_vertices_agree_with_a_tree_of_all_corner_points(seed):
    """The definitions of distorch, in float64."""
    reference, prediction, spacing = random_pair(seed)
    ours, theirs = (corners(mask) * spacing for mask in (reference, prediction))
    there, back = cKDTree(theirs).query(ours)[0], cKDTree(ours).query(theirs)[0]
    both = np.concatenate([there, back])
    values = m.measure_target(reference, prediction, spacing, 1.3, "vertex")
    expected = {
        "hd": both.max(),
        "hd95": max(np.percentile(there, 95), np.percentile(back, 95)),
        "hd95_mean": (np.percentile(there, 95) + np.percentile(back, 95)) / 2,
        "assd": both.mean(),
        "masd": (there.mean() + back.mean()) / 2,
        "nsd": (both <= 1.3).mean(),
    }
    assert {key: values[key].value for key in expected} == pytest.approx(expected, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [seed for seed in SEEDS if seed % 3])  # volumes
def test_monai_agrees_within_its_float32(seed):
    torch = pytest.importorskip("torch")
    library = pytest.importorskip("monai.metrics", reason="MONAI is not installed")
    reference, prediction, spacing = random_pair(seed)
    ours, theirs = (torch.from_numpy(mask)[None, None] for mask in (reference, prediction))
    voxels = m.surface_scores(measure_surfaces(reference, prediction, spacing, "voxel"), 1.3)
    more = {"include_background": True, "spacing": spacing}
    hd95 = library.compute_hausdorff_distance(theirs, ours, percentile=95, **more)
    assert voxels["hd95"] == pytest.approx(float(hd95), rel=1e-4)
    hd = library.compute_hausdorff_distance(theirs, ours, **more)
    assert voxels["hd"] == pytest.approx(float(hd), rel=1e-4)
    assd = library.compute_average_surface_distance(theirs, ours, symmetric=True, **more)
    assert voxels["assd"] == pytest.approx(float(assd), rel=1e-4)
    dice = library.compute_surface_dice(theirs, ours, [1.3], **more)
    assert voxels["nsd"] == pytest.approx(float(dice), rel=1e-4)
    surfels = m.surface_scores(measure_surfaces(reference, prediction, spacing), 1.3)
    fine = library.compute_surface_dice(theirs, ours, [1.3], use_subvoxels=True, **more)
    assert surfels["nsd"] == pytest.approx(float(fine), abs=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_lesions_agree_with_panoptica(seed):
    """On the same components: whether diagonal neighbours belong together differs."""
    panoptica = pytest.importorskip("panoptica", reason="panoptica is not installed")
    reference, prediction, spacing = random_pair(seed)
    half = 0.5 - 1e-9  # an IoU of exactly 0.5 is a match there
    rules = LesionRules(detection_iou=half, panoptic_iou=half)
    found = measure_lesions(reference, prediction, spacing, rules)
    evaluator = panoptica.Panoptica_Evaluator(
        expected_input=panoptica.InputType.UNMATCHED_INSTANCE,
        instance_matcher=panoptica.NaiveThresholdMatching(matching_threshold=0.5),
    )
    instances = (components(mask)[0].astype(np.uint16) for mask in (prediction, reference))
    theirs = next(iter(evaluator.evaluate(*instances).values()))
    counts = [found[f"lesion_{key}"].value for key in ("tp", "fp", "fn")]
    assert counts == [theirs.tp, theirs.fp, theirs.fn]
    assert found["lesion_rq"].value == pytest.approx(theirs.rq, abs=1e-12)
    if theirs.tp:
        assert found["lesion_sq"].value == pytest.approx(theirs.sq, abs=1e-12)
        assert found["lesion_pq"].value == pytest.approx(theirs.pq, abs=1e-12)


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
