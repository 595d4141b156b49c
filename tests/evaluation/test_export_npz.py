"""distorch's files: definitions by brute force and golden values, layout to the letter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import cKDTree

from autoseg.errors import UsageError
from autoseg.evaluation.export_npz import (
    METRICS,
    check_exportable,
    classes_of,
    npz_rows,
    write_export,
)
from autoseg.evaluation.pair import Pair
from autoseg.image import Geometry
from autoseg.io import write_labels
from autoseg.labels import Labels

ORGAN = Labels({"organ": (1,)})
SPACINGS = {"unit": (1.0, 1.0, 1.0), "thick": (3.0, 1.0, 1.0)}


def pair_of(
    folder: Path, reference: np.ndarray, prediction: np.ndarray, spacing=(1.0, 1.0, 1.0)
) -> Pair:
    paths = [folder / f"{name}.nii.gz" for name in ("reference", "prediction")]
    for path, array in zip(paths, (reference, prediction), strict=True):
        write_labels(path, array.astype(np.uint8), Geometry(array.shape, spacing))
    return Pair("Patient_01", *paths)


def corners(mask: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the mm of every corner that touches some, but not only, voxels of the mask."""
    padded = np.pad(mask, 1).astype(int)
    touching = sum(
        padded[tuple(slice(s, n - 1 + s) for s, n in zip(shift, padded.shape, strict=True))]
        for shift in np.ndindex(*(2,) * mask.ndim)
    )
    return np.argwhere((touching > 0) & (touching < 2**mask.ndim)) * spacing


def by_brute_force(reference: np.ndarray, prediction: np.ndarray, spacing: tuple[float, ...]):
    ours, theirs = corners(reference, spacing), corners(prediction, spacing)
    there, back = cKDTree(theirs).query(ours)[0], cKDTree(ours).query(theirs)[0]
    both = np.concatenate([there, back])
    return {
        "3d_hd": both.max(),
        "3d_hd95": (np.percentile(there, 95) + np.percentile(back, 95)) / 2,
        "3d_assd": both.sum() / len(both),
        "3d_nsd": (both <= 1 + 1e-9).mean(),
    }


def cubes(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "shifted":
        one, other = np.zeros((20, 20, 20), bool), np.zeros((20, 20, 20), bool)
        one[4:14, 4:14, 4:14] = True
        other[6:16, 4:14, 4:14] = True
    else:
        one = np.zeros((40, 30, 30), bool)
        one[4:14, 4:14, 4:14] = True
        other = one.copy()
        other[30:34, 20:24, 20:24] = True
    return one, other


GOLDEN = {
    ("shifted", "unit"): {"3d_hd": 2, "3d_hd95": 2, "3d_assd": 0.6844, "3d_nsd": 0.7176},
    ("shifted", "thick"): {"3d_hd": 6, "3d_hd95": 6, "3d_assd": 1.6794, "3d_nsd": 0.6512},
    ("far", "unit"): {"3d_hd": 24.4949, "3d_hd95": 11.0459, "3d_assd": 1.6086, "3d_nsd": 0.9247},
    ("far", "thick"): {"3d_hd": 61.6441, "3d_hd95": 29.0086},
}


@pytest.mark.parametrize("key", GOLDEN, ids="-".join)
def test_golden_values_of_distorch(tmp_path, key):
    name, spacing = key
    rows = npz_rows(pair_of(tmp_path, *cubes(name), SPACINGS[spacing]), ORGAN)
    for metric, value in GOLDEN[key].items():
        assert rows[metric][1] == pytest.approx(value, abs=6e-5), metric
    dice = {"shifted": 0.8, "far": 0.96899}[name]
    assert rows["3d_dice"][1] == pytest.approx(dice, abs=1e-5)
    assert rows["3d_jaccard"][1] == pytest.approx(dice / (2 - dice), abs=1e-5)


@pytest.mark.parametrize("shape", [(9, 12, 7), (1, 15, 18)])
def test_any_label_maps_agree_with_brute_force(tmp_path, shape):
    random = np.random.default_rng(5)
    ours, theirs = (random.integers(0, 4, shape) * (random.random(shape) < 0.3) for _ in range(2))
    labels = Labels({"a": (1,), "b": (2,), "c": (3,)})
    spacing = (2.5, 0.7, 1.1)
    rows = npz_rows(pair_of(tmp_path, ours, theirs, spacing), labels)
    flat = shape[0] == 1
    for value in (1, 2, 3):
        masks = [(array == value)[0] if flat else array == value for array in (ours, theirs)]
        expected = by_brute_force(*masks, spacing[1:] if flat else spacing)
        for metric, number in expected.items():
            assert rows[metric][value] == pytest.approx(number, rel=1e-6), metric
    for value in range(4):
        one, other = ours == value, theirs == value
        dice = 2 * (one & other).sum() / (one.sum() + other.sum())
        assert rows["3d_dice"][value] == pytest.approx(dice, rel=1e-6)


def test_what_is_not_defined_is_nan(tmp_path):
    reference, prediction = np.zeros((2, 6, 6, 6), dtype=np.uint8)
    reference[1:3, 1:3, 1:3], prediction[3:5, 3:5, 3:5] = 1, 2
    reference[5, 5, 5] = prediction[5, 5, 5] = 6
    labels = Labels({"missed": (1,), "false": (2,), "absent": (4,), "same": (6,)})
    rows = npz_rows(pair_of(tmp_path, reference, prediction), labels)
    assert classes_of(labels) == 7
    background = 2 * (216 - 17) / (2 * (216 - 9))
    expected = [background, 0, 0, np.nan, np.nan, np.nan, 1]
    np.testing.assert_allclose(rows["3d_dice"], expected, rtol=1e-6)
    for metric, same in (("3d_hd", 0), ("3d_hd95", 0), ("3d_assd", 0), ("3d_nsd", 1)):
        np.testing.assert_array_equal(rows[metric], [np.nan] * 6 + [same], err_msg=metric)


def test_the_files_are_those_of_the_course(tmp_path):
    random = np.random.default_rng(1)
    labels = Labels({"oesophagus": (1,), "heart": (2,)})
    names = ["Patient_21", "file", "Patient_03", "a.b"]  # "file" is a parameter of numpy.savez
    rows = {}
    for name in names:
        pair = pair_of(tmp_path, *random.integers(0, 3, (2, 5, 6, 7)))
        rows[name] = npz_rows(pair, labels)
    write_export(tmp_path / "out", rows, labels, "p against g")
    for metric in METRICS:
        with np.load(tmp_path / "out" / f"{metric}.npz", allow_pickle=False) as stored:
            assert list(stored) == sorted(names)
            table = np.load(tmp_path / "out" / f"{metric}.npy", allow_pickle=False)
            assert (table.dtype, table.shape) == (np.float32, (4, 3))
            for row, name in zip(table, sorted(names), strict=True):
                assert stored[name].dtype == np.float32
                assert stored[name].shape == (3,)
                np.testing.assert_array_equal(stored[name], row)
                np.testing.assert_array_equal(row, rows[name][metric])
    notes = (tmp_path / "out" / "README.txt").read_text()
    assert "MEAN of the two" in notes
    assert "  2  heart" in notes
    assert "p against g" in notes


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (Labels({"kidney": (1, 2), "tumour": (2,)}), "'kidney' is a region"),
        (Labels({"lung": (1, 2)}), "'lung' is a region"),
        (Labels({"a": (1,), "b": (1,)}), "targets share a value"),
        (Labels({"a": (1,)}, ignore=9), "value 9 is ignored"),
    ],
)
def test_what_the_format_cannot_hold_is_refused(labels, why):
    with pytest.raises(UsageError, match=why):
        check_exportable(labels)
    check_exportable(ORGAN)
