"""RT structure sets as masks: closed outlines in mm, filled on the slices they were drawn on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.contours import fill
from autoseg.dicom_slices import Series
from autoseg.errors import DataError
from autoseg.importing.dicom_labels import open_labels, same_frame

log = logging.getLogger(__name__)

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
PLANE_TOLERANCE = 0.1  # of the slice distance: how far from its slice an outline may lie


def read_rtstruct(path: Path, series: Series) -> dict[str, Callable[[], np.ndarray]]:
    """Return the masks (Z, Y, X) of an RTSTRUCT by ROI name, each made when it is called.

    Outlines of an ROI that lie within one another are holes and islands by turns, however written.
    Points and open lines are no regions and are left out, with a line in the log. Raises DataError
    when the file refers to another series or is cut short; making a mask, when an outline lies
    between the slices, across them or outside of them.
    """
    dataset = open_labels(path, series)
    contours: dict[int, Sequence[Any]] = {
        int(item.ReferencedROINumber): item.get("ContourSequence") or ()
        for item in dataset.get("ROIContourSequence", ())
    }
    numbers: dict[str, list[int]] = {}
    for roi in dataset.get("StructureSetROISequence", ()):
        name = str(roi.get("ROIName", "") or f"ROI {roi.ROINumber}")
        same_frame(str(roi.get("ReferencedFrameOfReferenceUID", "")), series, path, name)
        numbers.setdefault(name, []).append(int(roi.ROINumber))
    lacking = [name for name, found in numbers.items() if not contours.keys() & set(found)]
    if lacking and "RTROIObservationsSequence" not in dataset:
        # An empty structure may have no entry, but what must follow the outlines is missing, too.
        fact = f"ends before the outlines of {', '.join(lacking)}"
        raise DataError(fact, place=str(path), remedy="copy or export it again")
    return {
        name: partial(_mask, path, name, [contours.get(n, ()) for n in found], series)
        for name, found in numbers.items()
    }


def _mask(path: Path, name: str, parts: Sequence[Sequence[Any]], series: Series) -> np.ndarray:
    mask = np.zeros(series.geometry.shape, dtype=bool)
    for contours in parts:
        for z, outlines in _by_slice(path, name, contours, series).items():
            mask[z] |= fill(outlines, series.geometry.shape[1:])
    _tell_gaps(path, name, mask)
    return mask


def _by_slice(
    path: Path, name: str, contours: Sequence[Any], series: Series
) -> dict[int, list[np.ndarray]]:
    """Return the outlines (N, 2) of (y, x) indices on each slice."""
    found: dict[int, list[np.ndarray]] = {}
    left_out = 0
    for contour in contours:
        data = _numbers(contour.get("ContourData") or ())
        closed = contour.get("ContourGeometricType", CLOSED[0]) in CLOSED
        wrong = data.size % 3 or not np.isfinite(data).all()
        if not closed or (data.size < 9 and not wrong):
            left_out += 1
            continue
        if wrong:
            fact = f"structure '{name}' has an outline that is not made of points"
            raise DataError(fact, place=str(path), expected="x, y, z for each one")
        points = series.geometry.index(data.reshape(-1, 3)[:, ::-1])
        z = round(float(points[:, 0].mean()))
        if np.abs(points[:, 0] - z).max() > PLANE_TOLERANCE:
            low, high = points[:, 0].min(), points[:, 0].max()
            fact = f"structure '{name}' has an outline at slice index {low:.2f}"
            fact += f" to {high:.2f}" if high - low > PLANE_TOLERANCE else ""
            remedy = "resample the structure to the slices, or export it with its own images"
            raise DataError(fact, place=str(path), expected="one slice", remedy=remedy)
        if not 0 <= z < len(series.slices):
            mm = f"{abs(z) if z < 0 else z - len(series.slices) + 1} slices outside the series"
            fact = f"structure '{name}' has an outline {mm}"
            raise DataError(fact, place=str(path), remedy="slices missing in the image folder?")
        found.setdefault(z, []).append(points[:, 1:])
    if left_out:
        log.info("%s: %d points and open lines of '%s' left out", path.name, left_out, name)
    return found


def _numbers(value: Any) -> np.ndarray:
    """Return contour data as numbers; long ones in explicit files are bytes of unknown type."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace").strip("\0 ").split("\\")
    try:
        return np.asarray(value, dtype=np.float64)
    except ValueError:
        return np.full(3, np.nan)


def _tell_gaps(path: Path, name: str, mask: np.ndarray) -> None:
    drawn = np.flatnonzero(mask.any((1, 2)))
    if len(drawn) > 2 and (np.diff(drawn) > 1).sum() >= len(drawn) // 2:
        said = "%s: '%s' is drawn on %d of the slices %d to %d; those between stay empty"
        log.warning(said, path.name, name, len(drawn), drawn[0], drawn[-1])
