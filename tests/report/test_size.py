"""How large a page becomes: 30 MB are the bound of 100 CTs of 512x512x100 with 117 targets."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.cases import to_draw, to_look_through
from autoseg.report.document import build_page
from autoseg.report.material import Material, Model, Run
from autoseg.report.scene import make_scene
from autoseg.report.thumbnail import thumbnail
from autoseg.results import (
    CaseScores,
    CaseStatistics,
    DatasetStatistics,
    Intensities,
    Mean,
    Summary,
    TargetInCase,
    TargetStatistics,
    Value,
)
from autoseg.workflows.report_scenes import VOXELS

CASES, LARGEST = 100, 30e6  # bytes
LABELS = Labels({f"a_target_with_a_name_{k}": (k,) for k in range(1, 118)})
SHAPE, SPACING = (100, 512, 512), (2.5, 0.8, 0.8)
HU = Intensities(40.125, 10.5, -5.25, 20.0, 40.0, 60.0, 90.0)


def scores(rng: np.random.Generator) -> Summary:
    """Every target in every case, here and there far off, as doubtful labels are."""
    cases, sd = [], 0.02
    for n in range(CASES):
        metrics = {}
        for target in LABELS.names:
            dice = float(np.clip(rng.normal(0.8, sd if rng.random() > 0.01 else 0.4), 0, 1))
            values = {"dice": dice, "iou": dice / (2 - dice), "hd95": float(rng.gamma(2, 3))}
            values |= {"n_ref": 1000, "vol_ref_ml": 12.3456, "vol_pred_ml": 11.2345, "assd": 1.234}
            metrics[target] = {name: Value(value) for name, value in values.items()}
        cases.append(CaseScores(f"patient_{n:03d}", metrics, SPACING, 500.0))
    mean = Mean(0.81234, CASES, CASES, 0.81, 0.8, 0.1, ci95=(0.78, 0.84))
    means = {"dice": mean, "iou": mean, "hd95": mean, "nsd": mean, "assd": mean}
    return Summary(tuple(cases), dict.fromkeys(LABELS.names, means), means, {})


def statistics(rng: np.random.Generator) -> DatasetStatistics:
    cases = [
        CaseStatistics(
            f"patient_{n:03d}", SHAPE, SPACING, 100, 26_214_400, {"CT": HU},
            {t: TargetInCase(9, float(rng.lognormal(2, 1)), 9, {"CT": HU}) for t in LABELS.names},
        )
        for n in range(CASES)
    ]  # fmt: skip
    over = TargetStatistics(CASES, CASES, 9, 0.01, 9, 9, None, {"CT": HU})
    none, targets = (None,) * 3, dict.fromkeys(LABELS.names, over)
    return DatasetStatistics("D", ("CT",), {}, tuple(cases), none, none, None, targets)


def test_a_page_of_100_large_scans_with_117_targets_stays_within_its_bound():
    rng = np.random.default_rng(0)
    summary = scores(rng)
    dice = {f"dice_{target}": 0.81234 for target in LABELS.names}
    history = tuple({"epoch": e, "train_loss": 1 / e, **dice} for e in range(1, 301))
    runs = {str(fold): Run(history, {"seed": "0"}, ("a reason",)) for fold in range(5)}
    fold_of = {case.case: str(n % 5) for n, case in enumerate(summary.cases)}
    material = Material(
        "D", statistics=statistics(rng), models=(Model("3d_fullres-M", runs, summary, fold_of),)
    )
    # Noise is the worst that a scan can be: nothing of it can be packed.
    scan = rng.normal(40, 100, SHAPE).astype(np.float32)
    blocks = np.arange(1, 118, dtype=np.uint8).repeat(4)[None, :, None]
    maps = {name: np.zeros(SHAPE, np.uint8) for name in ("reference", "prediction")}
    maps["reference"][20:80, 20:488, 50:450] = blocks
    maps["prediction"][22:82, 20:488, 55:455] = blocks
    grid = Geometry(SHAPE, SPACING)
    scene = make_scene("a", {"": scan}, grid, maps, LABELS, hounsfield=[""], voxels=VOXELS)
    uri = thumbnail(scan[:60], maps["reference"][:60], maps["prediction"][:60], SPACING)
    drawn, viewed = to_draw(material), to_look_through(material)
    assert len(drawn) > 10
    assert len(viewed) > 3
    material = replace(
        material, overlays=dict.fromkeys(drawn, uri), scenes=dict.fromkeys(viewed, scene)
    )
    assert len(build_page(material).encode()) < LARGEST
