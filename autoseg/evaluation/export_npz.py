"""The per-metric `.npz` files of distorch's `compute_metrics.py`, as the ai4mi course wants them.

One file for each metric; a member for each case, float32 `(K,)`, entry k for label value k with
background at 0; NaN where a metric is not defined. Surfaces are the corners of voxels, each of
weight 1 (mode `vertex`), and `3d_hd95` is the mean of the two directed percentiles: neither is
what `summary.json` holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from autoseg.errors import UsageError
from autoseg.evaluation.label_maps import load_label_map, target_masks
from autoseg.evaluation.pair import Pair, read_prediction, read_reference
from autoseg.evaluation.surface import Surfaces, measure_surfaces
from autoseg.files import write_atomically, write_text
from autoseg.labels import Labels
from autoseg.preprocessing.npz import write_npz

TOLERANCE_MM = 1.0  # of 3d_nsd: distorch's own
OVERLAPS = ("3d_dice", "3d_jaccard")
DISTANCES = ("3d_hd", "3d_hd95", "3d_assd", "3d_nsd")
METRICS = OVERLAPS + DISTANCES
NOTES = "README.txt"

Rows = Mapping[str, np.ndarray]  # metric -> (K,) float32


def check_exportable(labels: Labels) -> None:
    """Raise UsageError for targets that the format cannot hold: regions, ignored voxels."""
    regions = [name for name, values in labels.targets.items() if len(values) > 1]
    if regions or not labels.exclusive:
        what = f"'{regions[0]}' is a region" if regions else "targets share a value"
    elif labels.ignore is not None:
        what = f"value {labels.ignore} is ignored"
    else:
        return
    expected = "one value a target: the .npz files have neither regions nor ignored voxels"
    raise UsageError(f"--export-npz: {what}", expected=expected)


def classes_of(labels: Labels) -> int:
    """Return K: one more than the largest label value; values without a target get NaN."""
    return max(labels.values) + 1


def npz_rows(pair: Pair, labels: Labels) -> Rows:
    """Return every metric of a pair, one number for each label value from 0 to K - 1."""
    reference, prediction = read_reference(pair), read_prediction(pair)
    ours = reference.array[0]
    theirs = np.zeros(ours.shape, np.uint8) if prediction is None else prediction
    rows = dict(zip(OVERLAPS, _overlaps(ours, theirs, classes_of(labels)), strict=True))
    rows |= {name: np.full(classes_of(labels), np.nan, np.float32) for name in DISTANCES}
    spacing = reference.geometry.spacing
    flat = ours.shape.index(1) if 1 in ours.shape else None
    maps = load_label_map(ours, str(pair.reference)), load_label_map(theirs, str(pair.prediction))
    for target, (value,) in labels.targets.items():
        masks = target_masks(*maps, labels, target)
        if all(mask.any() for mask in masks):
            for name, number in zip(DISTANCES, _distances(*masks, spacing, flat), strict=True):
                rows[name][value] = number
    return rows


def _overlaps(reference: np.ndarray, prediction: np.ndarray, k: int) -> tuple[np.ndarray, ...]:
    """Return Dice and Jaccard of every value from 0 to k - 1; NaN where it is in neither map."""
    joint = np.bincount(
        reference.ravel().astype(np.intp) * k + prediction.ravel(), minlength=k * k
    ).reshape(k, k)
    both, sizes = np.diag(joint), joint.sum(0) + joint.sum(1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is the NaN that is wanted
        dice = 2 * both / sizes
        return dice.astype(np.float32), (both / (sizes - both)).astype(np.float32)


def _distances(
    reference: np.ndarray, prediction: np.ndarray, spacing: Sequence[float], flat: int | None
) -> tuple[float, float, float, float]:
    """Return HD, mean-of-directed HD95, ASSD (mm) and NSD of two masks; corners weigh 1 each."""
    if flat is not None:
        reference, prediction = reference.squeeze(flat), prediction.squeeze(flat)
        spacing = [step for axis, step in enumerate(spacing) if axis != flat]
    # The elements of mode `surfel` are these corners; only their weights differ.
    surfaces: Surfaces = measure_surfaces(reference, prediction, spacing, "surfel")
    there, back = surfaces.from_reference, surfaces.from_prediction
    both = np.concatenate([there, back])
    percentile = partial(np.percentile, q=95)
    return (
        float(both.max()),
        float(percentile(there) + percentile(back)) / 2,
        float(both.mean()),
        float((both <= TOLERANCE_MM + 1e-9).mean()),
    )


# --- files ---------------------------------------------------------------------------------------


def refuse_foreign_export(folder: Path, source: str) -> None:
    """Raise UsageError when `folder` holds an export of other folders than `source` names."""
    present = [name for name in METRICS if (folder / f"{name}.npz").exists()]
    notes = folder / NOTES
    if present and not (notes.is_file() and source in notes.read_text("utf-8", "replace")):
        raise UsageError(
            f"holds {present[0]}.npz of another evaluation",
            place=str(folder),
            remedy="name another folder, or give --overwrite",
        )


def write_export(folder: Path, rows: Mapping[str, Rows], labels: Labels, source: str) -> None:
    """Write `<metric>.npz` (case -> (K,)), `<metric>.npy` (N, K) and `README.txt`, sorted by case.

    `rows`: what `npz_rows` gave for each case; `source`: a line that names the two folders.
    """
    cases = sorted(rows)
    nothing = np.zeros((0, classes_of(labels)), np.float32)
    for metric in METRICS:
        members = {case: rows[case][metric] for case in cases}
        table = np.stack([members[case] for case in cases]) if cases else nothing
        _write_members(folder / f"{metric}.npz", members)
        write_atomically(folder / f"{metric}.npy", partial(_write_table, table=table))
    write_text(folder / NOTES, _notes(labels, source))


def _write_members(path: Path, members: Mapping[str, np.ndarray]) -> None:
    write_atomically(path, lambda stream: write_npz(stream, members))


def _write_table(stream: BinaryIO, table: np.ndarray) -> None:
    np.save(stream, table, allow_pickle=False)


def _notes(labels: Labels, source: str) -> str:
    lines = [f"  {value}  {name}" for name, (value,) in sorted(labels.targets.items(), key=_value)]
    return "\n".join(
        [
            "Metrics of label maps, in the layout of distorch's compute_metrics.py.",
            source,
            "",
            "<metric>.npz  one member a case: float32 (K,), entry k for label value k",
            "<metric>.npy  float32 (N, K), the same rows, cases sorted by name",
            "",
            f"K = {classes_of(labels)}; label values:",
            "  0  background",
            *lines,
            "",
            "Not a number: the value is in neither label map (3d_dice, 3d_jaccard); it is missing",
            "from one of them, or it is background (the others).",
            "Surfaces are corners of voxels, each of weight 1. 3d_hd95 is the MEAN of the two",
            "directed 95th percentiles, which is smaller than the hd95 of summary.json, which is",
            "the maximum of the two over surface areas. Distances are in mm.",
            f"3d_nsd is the share of corners within {TOLERANCE_MM:g} mm, 1 for identical masks;",
            "distorch 0.1.2 gives 0 there.",
            "",
        ]
    )


def _value(item: tuple[str, tuple[int, ...]]) -> int:
    return item[1][0]
