"""Deliberate faults, one at a time: for each, a golden value or a law of this page must break."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import autoseg.evaluation
from autoseg.evaluation.pair import Pair
from autoseg.evaluation.surface import MODES
from autoseg.image import Geometry
from autoseg.io import write_labels
from autoseg.labels import Labels
from autoseg.results import Value
from tests.evaluation.shapes import GOLDEN, THICK, UNIT, box, shifted_cubes

FOLDER = Path(autoseg.evaluation.__file__).parent
NOISE = 0.9584455438584543  # NSD of the noise below, from surface-distance 0.1

# What is wrong: (file, as it stands there, as it would stand there).
FAULTS = {
    "percentile of both directions pooled": (
        "metrics",
        '"hd95": max(near, far)',
        '"hd95": _percentile(np.r_[surfaces.from_reference, surfaces.from_prediction], '
        "np.r_[surfaces.reference_weights, surfaces.prediction_weights], 95, surfaces.mode)",
    ),
    "below instead of up to the tolerance": (
        "metrics", "distances <= limit", "distances < tolerance_mm",
    ),
    "spacing reversed": (
        "metrics",
        "measure_surfaces(reference, prediction, steps, mode)",
        "measure_surfaces(reference, prediction, steps[::-1], mode)",
    ),
    "spacing left out of distances": (
        "surface",
        "gaps = (queries - points[found]) * np.asarray(spacing)",
        "gaps = 1.0 * (queries - points[found])",
    ),
    "no padding of surfels": (
        "elements",
        "codes = np.pad(mask.astype(np.uint8, copy=False), 1)",
        "codes = np.pad(mask.astype(np.uint8, copy=False), 1, mode='edge')",
    ),
    "no padding of voxels": (
        "elements", "padded = np.pad(mask, 1)", "padded = np.pad(mask, 1, mode='edge')",
    ),
    "only one direction": (
        "metrics", "(surfaces.from_prediction, surfaces.prediction_weights)",
        "(surfaces.from_reference, surfaces.reference_weights)",
    ),
    "a miss is infinitely far": (
        "metrics", "value = scores.get(key)", "value = scores.get(key, float('inf'))",
    ),
    "a miss is not far at all": (
        "metrics", "value = scores.get(key)", "value = scores.get(key, 0.0)",
    ),
    "a miss has no NSD": ("metrics", "(REF_EMPTY, PRED_EMPTY)", "(REF_EMPTY,)"),
    "a miss has no Dice": (
        "metrics", "value = scores.get(key)", "value = scores.get(key) or None",
    ),
    "both empty counts as 1": (
        "metrics", "value = scores.get(key)",
        "value = 1.0 if status == BOTH_EMPTY else scores.get(key)",
    ),
    "weights left out": (
        "surface", "table = element_weights(spacing)", "table = np.ones(256)",
    ),
    "percentile 0.95": ("metrics", "HD_PERCENTILE = 95.0", "HD_PERCENTILE = 0.95"),
    "volume in mm3": ("metrics", "math.prod(spacing) / 1000.0", "math.prod(spacing)"),
    "flat images as volumes": (
        "metrics", "    counts = count_voxels", "    flat_axis = None\n    counts = count_voxels",
    ),
    "opposite corners joined": (
        "elements", "sum(inside.values()) <= 4", "sum(inside.values()) > 4",
    ),
    "erosion with 26 neighbours": (
        "elements",
        "return np.flatnonzero(mask & ~inside)",
        "from scipy.ndimage import binary_erosion\n"
        "    return np.flatnonzero(mask & ~binary_erosion(mask, np.ones((3,) * mask.ndim)))",
    ),
    "a miss is not a number": (
        "metrics", "value = scores.get(key)", "value = scores.get(key, float('nan'))",
    ),
    "labels cast to 8 bits": (
        "label_maps",
        'if array.dtype.kind in "iu":\n        return array',
        'if array.dtype.kind in "iu":\n        return array.astype(np.uint8)',
    ),
    "spacing of the prediction": (
        "pairing",
        "        reference.geometry,\n",
        "        __import__('autoseg.io').io.read_labels(pair.prediction).geometry,\n",
    ),
    "mean of both directions for hd95": (
        "metrics", '"hd95": max(near, far)', '"hd95": (near + far) / 2',
    ),
    "products that overflow": (
        "overlap",
        "root = math.sqrt((tp + fp) * (tp + fn)) * math.sqrt((tn + fp) * (tn + fn))",
        "root = abs(np.prod(np.int64([tp + fp, tp + fn, tn + fp, tn + fn]))) ** 0.5",
    ),
    "neighbours along one axis forgotten": (
        "elements", "product(range(mask.ndim), (slice", "product(range(1, mask.ndim), (slice",
    ),
}  # fmt: skip


def load(name: str, source: str, like: dict[str, types.ModuleType]) -> types.ModuleType:
    module = types.ModuleType(f"faulty_{name}")
    sys.modules[module.__name__] = module  # dataclasses look their module up
    for original, replacement in like.items():
        source = source.replace(f"from {original} import", f"from {replacement.__name__} import")
    exec(compile(source, f"faulty_{name}.py", "exec"), module.__dict__)
    return module


ORDER = ("elements", "overlap", "surface", "metrics", "label_maps", "score", "pairing")


def faulty(name: str, old: str, new: str) -> dict[str, types.ModuleType]:
    """Return the modules of `ORDER`, by name, built anew with one fault in one of them."""
    texts = {key: (FOLDER / f"{key}.py").read_text() for key in ORDER}
    if name:
        assert texts[name].count(old) == 1, f"the fault no longer fits the source: {old}"
        texts[name] = texts[name].replace(old, new)
    modules: dict[str, types.ModuleType] = {}
    for key, text in texts.items():
        modules[f"autoseg.evaluation.{key}"] = load(key, text, modules)
    return {key: modules[f"autoseg.evaluation.{key}"] for key in ORDER}


def all_laws_hold(modules: dict[str, types.ModuleType], folder: Path) -> bool:
    laws = (
        golden_values_hold, borders_are_closed, misses_are_not_defined,
        flat_images_have_lines, units_hold, noise_has_its_area, large_volumes_hold,
    )  # fmt: skip
    return (
        all(law(modules["metrics"].measure_target) for law in laws)
        and large_labels_are_kept(modules["score"].score_case)
        and the_reference_has_the_spacing(modules["pairing"].score_pair, folder)
    )


def golden_values_hold(measure) -> bool:
    for shapes, spacing, mode, expected in GOLDEN:
        values = measure(*shapes(), spacing, 1.0, mode)
        for name in set(expected) - {"hd"}:
            if values[name].value != pytest.approx(expected[name], abs=5.1e-5):
                return False
    return True


def borders_are_closed(measure) -> bool:
    reference = box((10, 10, 10), (0, 6), (0, 6), (0, 6))
    prediction = box((10, 10, 10), (0, 6), (0, 6), (2, 6))
    for mode in MODES:
        cut = measure(reference, prediction, UNIT, 1.0, mode)
        whole = measure(np.pad(reference, 2), np.pad(prediction, 2), UNIT, 1.0, mode)
        if any(cut[name].value != pytest.approx(whole[name].value) for name in ("assd", "nsd")):
            return False
    return True


def misses_are_not_defined(measure) -> bool:
    something, nothing = np.ones((2, 2, 2), dtype=bool), np.zeros((2, 2, 2), dtype=bool)
    missed, empty = measure(something, nothing, UNIT, 1.0), measure(nothing, nothing, UNIT, 1.0)
    return (
        missed["hd95"] == Value(None, "pred_empty")
        and missed["dice"] == Value(0.0, "pred_empty")
        and empty["dice"] == Value(None, "both_empty")
    )


def flat_images_have_lines(measure) -> bool:
    reference = box((1, 30, 30), (0, 1), (5, 25), (5, 25))
    prediction = np.roll(reference, 2, (1, 2))
    flat = measure(reference, prediction, UNIT, 0.5, flat_axis=0)["nsd"].value
    return flat < 0.3  # the overlapping top and bottom would make it larger


def units_hold(measure) -> bool:
    reference, prediction = shifted_cubes()
    values = measure(reference, prediction, THICK, 6.0)
    # The largest distance is 6 mm, so all of the surface is within 6 mm.
    return values["nsd"].value == 1 and values["vol_ref_ml"].value == pytest.approx(3.0)


def noise_has_its_area(measure) -> bool:
    """Noise is full of ambiguous neighbourhoods; the value is surface-distance's."""
    rng = np.random.default_rng(7)
    reference, prediction = rng.random((2, 12, 12, 12)) > 0.6
    return measure(reference, prediction, (2.0, 1.0, 1.5), 0.5)["nsd"].value == pytest.approx(NOISE)


def large_volumes_hold(measure) -> bool:
    """In a volume of 5e9 voxels an organ found but for one voxel correlates almost perfectly."""
    reference = np.ones((20, 20, 20), dtype=bool)
    prediction = reference.copy()
    prediction[0, 0, 0] = False
    mcc = measure(reference, prediction, UNIT, 1.0, voxels=5 * 10**9)["mcc"].value
    return mcc == pytest.approx(np.sqrt(7999 / 8000), abs=1e-6)


def large_labels_are_kept(score) -> bool:
    reference = np.full((3, 3, 3), 300, dtype=np.int16)
    labels = Labels({"organ": (300,), "other": (44,)})  # 300 - 256
    metrics = score(
        reference - 256, reference, Geometry((3, 3, 3), (1, 1, 1)), labels, case="a"
    ).metrics
    return metrics["organ"]["fn"].value == 27 and metrics["other"]["fp"].value == 27


def the_reference_has_the_spacing(score, folder: Path) -> bool:
    array = np.ones((3, 3, 3), dtype=np.uint8)
    files = folder / "reference.nii.gz", folder / "prediction.nii.gz"
    for file, step in zip(files, (1.0, 2.0), strict=True):
        write_labels(file, array, Geometry((3, 3, 3), (step, step, step)))
    scores = score(Pair("a", *files), Labels({"organ": (1,)}), {"organ": 1.0})
    return scores.metrics["organ"]["vol_ref_ml"].value == pytest.approx(0.027)


def test_without_a_fault_all_laws_hold(tmp_path):
    assert all_laws_hold(faulty("", "", ""), tmp_path)


@pytest.mark.parametrize("fault", list(FAULTS), ids=list(FAULTS))
def test_the_fault_is_noticed(fault, tmp_path):
    assert not all_laws_hold(faulty(*FAULTS[fault]), tmp_path)
