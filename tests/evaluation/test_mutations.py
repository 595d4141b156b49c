"""Deliberate faults, one at a time: for each, a golden value or a law of this page must break."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import autoseg.evaluation
from autoseg.evaluation.surface import MODES
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


def faulty_metrics(name: str, old: str, new: str) -> types.ModuleType:
    texts = {
        key: (FOLDER / f"{key}.py").read_text()
        for key in ("elements", "overlap", "surface", "metrics")
    }
    if name:
        assert texts[name].count(old) == 1, f"the fault no longer fits the source: {old}"
        texts[name] = texts[name].replace(old, new)
    modules: dict[str, types.ModuleType] = {}
    for key, text in texts.items():
        modules[f"autoseg.evaluation.{key}"] = load(key, text, modules)
    return modules["autoseg.evaluation.metrics"]


def all_laws_hold(metrics: types.ModuleType) -> bool:
    laws = (
        golden_values_hold, borders_are_closed, misses_are_not_defined,
        flat_images_have_lines, units_hold, noise_has_its_area,
    )  # fmt: skip
    return all(law(metrics.measure_target) for law in laws)


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


def test_without_a_fault_all_laws_hold():
    assert all_laws_hold(faulty_metrics("", "", ""))


@pytest.mark.parametrize("fault", list(FAULTS), ids=list(FAULTS))
def test_the_fault_is_noticed(fault):
    assert not all_laws_hold(faulty_metrics(*FAULTS[fault]))
