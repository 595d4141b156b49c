"""DICOM segmentations as masks: frames put on the slices that have their position."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.dicom_slices import Series
from autoseg.errors import DataError
from autoseg.image import DIRECTION_TOLERANCE
from autoseg.importing.dicom_labels import open_labels, same_frame

log = logging.getLogger(__name__)

PLACE_TOLERANCE = 0.05  # of a voxel: how far a frame may lie from the slice it stands for

Frames = list[tuple[int, int, int]]  # frame, slice, and the value that counts (0: any but 0)


def read_seg(path: Path, series: Series) -> dict[str, Callable[[], np.ndarray]]:
    """Return the masks (Z, Y, X) of a DICOM-SEG by segment label, each made when it is called.

    Binary, label map and fractional (from one half on) segmentations. Raises DataError when the
    file refers to another series or its frames do not lie on the slices, voxel on voxel.
    """
    dataset = open_labels(path, series)
    same_frame(str(dataset.get("FrameOfReferenceUID", "")), series, path, "all")
    labels = {
        int(segment.SegmentNumber): str(segment.get("SegmentLabel", "") or segment.SegmentNumber)
        for segment in dataset.SegmentSequence
    }
    frames: dict[str, Frames] = {label: [] for label in labels.values()}
    described = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    if len(described) != int(dataset.NumberOfFrames):  # cut short, it would look like an empty one
        fact = f"describes {len(described)} of {dataset.NumberOfFrames} frames"
        raise DataError(fact, place=str(path), remedy="copy or export it again")
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [None])[0]
    for index, own in enumerate(described):
        groups = [group for group in (own, shared) if group is not None]
        z = _slice_of(groups, dataset, series, path)
        identification = _group(groups, "SegmentIdentificationSequence")
        if identification is None:  # a label map: every segment may be in every frame
            for number, label in labels.items():
                frames[label].append((index, z, number))
        else:
            frames[labels[int(identification.ReferencedSegmentNumber)]].append((index, z, 0))
    return {label: partial(_mask, dataset, found, series, path) for label, found in frames.items()}


def _mask(dataset: Any, frames: Frames, series: Series, path: Path) -> np.ndarray:
    from pydicom.pixels import iter_pixels

    mask = np.zeros(series.geometry.shape, dtype=bool)
    if not frames:
        return mask
    least = 1
    if dataset.get("SegmentationType") == "FRACTIONAL":
        least = (int(dataset.get("MaximumFractionalValue", 255)) + 1) // 2
        log.info("%s: fractional segments count from %d on", path.name, least)
    try:
        arrays = iter_pixels(dataset, indices=[index for index, _, _ in frames])
        for (_, z, value), array in zip(frames, arrays, strict=True):
            mask[z] |= array == value if value else array >= least
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise DataError(f"its voxels cannot be decoded: {error}", place=str(path)) from error
    return mask


def _group(groups: list[Any], name: str) -> Any:
    """Return a functional group of a frame: its own, else the one shared by all; or None."""
    return next((group[name][0] for group in groups if name in group and group[name].value), None)


def _slice_of(groups: list[Any], dataset: Any, series: Series, path: Path) -> int:
    """Return the slice on which a frame lies; raise DataError unless voxels lie on voxels."""
    geometry = series.geometry
    position = _group(groups, "PlanePositionSequence")
    orientation = _group(groups, "PlaneOrientationSequence")
    measures = _group(groups, "PixelMeasuresSequence")
    if position is None or orientation is None or measures is None:
        raise DataError("its frames have no position in the patient", place=str(path))
    x, y, z = (float(number) for number in position.ImagePositionPatient)
    index = geometry.index(np.asarray([z, y, x]))
    cosines = np.asarray(orientation.ImageOrientationPatient, dtype=float).reshape(2, 3)
    axes = geometry.direction_matrix[::-1, :0:-1].T  # the array's X and Y axes as x, y, z
    spacing = np.asarray(measures.PixelSpacing, dtype=float)
    found = round(float(index[0]))
    shape = (int(dataset.Rows), int(dataset.Columns))
    wrong = []
    if shape != geometry.shape[1:]:
        wrong.append(f"{shape[0]}x{shape[1]} voxels")
    if np.abs(cosines - axes).max() > DIRECTION_TOLERANCE:
        wrong.append("another orientation")
    if np.abs(spacing / geometry.spacing[1:] - 1).max() > 1e-3:
        wrong.append(f"voxels of {spacing[0]:g} x {spacing[1]:g} mm")
    if np.abs(index - [found, 0, 0]).max() > PLACE_TOLERANCE or not 0 <= found < geometry.shape[0]:
        wrong.append(
            "a position off the slices by ({:.2f}, {:.2f}, {:.2f}) voxels".format(
                *(index - [found, 0, 0])
            )
        )
    if wrong:
        raise DataError(
            f"a frame at ({x:g}, {y:g}, {z:g}) mm has {', '.join(wrong)}",
            place=str(path),
            expected=f"the grid of {series.slices[0].path.parent}",
            remedy="resample the segmentation to its images first",
        )
    return found
