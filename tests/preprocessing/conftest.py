"""Tiny scans and plans for the tests of preprocessing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.image import Geometry, Image
from autoseg.labels import Labels
from autoseg.plan import Configuration, IntensityStats, Plan
from autoseg.preprocessing.manifest import recipe_of
from autoseg.preprocessing.prepare import prepare, prepare_labels
from autoseg.preprocessing.store import write_prepared

GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "resampling.npz"


def golden_cases():
    with np.load(GOLDEN) as golden:
        return sorted({name.split(".")[0] for name in golden.files})


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as archive:
        return dict(archive)


def make_plan(
    spacing=(1.5, 1.2, 1.2),
    axis_order=(0, 1, 2),
    normalizers=("zscore",),
    mask_normalization=(False,),
    targets=None,
    ignore=None,
):
    """Return a plan with one configuration of that spacing, and the configuration."""
    configuration = Configuration(
        name="2d" if spacing[0] is None else "3d_fullres",
        spacing=spacing,
        median_shape=(16, 16, 16),
        normalizers=normalizers,
        mask_normalization=mask_normalization,
        batch_dice=False,
        sizes={},
    )
    plan = Plan(
        dataset="TINY",
        channels=tuple(f"c{i}" for i in range(len(normalizers))),
        labels=Labels(targets or {"liver": (1,), "tumour": (3,)}, ignore=ignore),
        axis_order=axis_order,
        intensities=(IntensityStats(40.0, 100.0, -160.0, 240.0, -1000.0, 1500.0),)
        * len(normalizers),
        configurations={configuration.name: configuration},
        reasons=(),
    )
    return plan, configuration


def make_scan(rng, shape=(13, 17, 11), spacing=(2.0, 1.0, 1.3), channels=1, direction=None):
    """Return (image, label map): noise inside a body, zeros around it."""
    z, y, x = np.ogrid[tuple(slice(0, n) for n in shape)]
    centre = [0.45 * n for n in shape]
    radius = ((z - centre[0]) / shape[0]) ** 2 + ((y - centre[1]) / shape[1]) ** 2
    radius = radius + ((x - centre[2]) / shape[2]) ** 2
    array = rng.normal(100, 20, (channels, *shape)).astype(np.float32)
    array[:, radius > 0.2] = 0
    label_map = np.where(radius < 0.06, 1, 0).astype(np.uint8)
    label_map[(radius < 0.06) & (x + 0 * z + 0 * y > centre[2])] = 3
    geometry = Geometry(shape, spacing, (-30.0, 12.5, 7.0), direction or Geometry(shape).direction)
    return Image(array, geometry), label_map


@pytest.fixture
def rng():
    return np.random.default_rng(7)


@pytest.fixture
def stored(tmp_path, rng):
    """A case written to disk: (folder, case, image, indices, frame, plan, configuration)."""
    source = tmp_path / "scan.nii.gz"
    source.write_bytes(b"scan")
    case = Case("patient.01", (source,), group="patient", tags=("control", "site-A"))
    plan, configuration = make_plan()
    scan, label_map = make_scan(rng)
    image, frame = prepare(scan, plan, configuration)
    indices = prepare_labels(label_map, frame, plan.labels)
    folder = tmp_path / "3d_fullres"
    write_prepared(folder, case, image, indices, frame, plan.labels, recipe_of(plan, configuration))
    return folder, case, image, indices, frame, plan, configuration
