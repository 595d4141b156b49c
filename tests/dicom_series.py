"""Small DICOM series for tests, written with pydicom, regular unless a test spoils them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CT, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.128"
SERIES, FRAME, STUDY = "1.2.3.4", "1.2.3.9", "1.2.3"
SHAPE, SPACING = (6, 12, 10), (2.5, 0.8, 0.7)
# Rows and columns of a scan turned about the patient's long axis, as x, y, z.
TURNED = ((0.8, 0.6, 0.0), (-0.6, 0.8, 0.0))


def make_series(
    spoil: Callable[[int, Any], bool | None] | None = None,
    *,
    shape: tuple[int, int, int] = SHAPE,
    axes: tuple[tuple[float, ...], tuple[float, ...]] = TURNED,
    series: str = SERIES,
    modality: str = "CT",
    array: np.ndarray | None = None,
) -> list[Any]:
    """Return one dataset per slice; stored values 0..4095, HU = stored - 1024.

    `spoil(index, dataset)` may change a slice; when it returns False the slice is left out.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    if array is None:
        array = np.random.default_rng(0).integers(0, 4096, shape)
    normal = np.cross(*axes)
    slices = []
    for z in range(shape[0]):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = CT if modality == "CT" else PET
        meta.MediaStorageSOPInstanceUID = f"{series}.{z + 1}"
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID = meta.MediaStorageSOPClassUID
        one.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = "A^B", "7", "", "O"
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = STUDY, series, FRAME
        one.StudyDate, one.StudyTime, one.StudyID = "20200102", "030405", "1"
        one.AccessionNumber, one.ReferringPhysicianName = "", ""
        one.SeriesNumber, one.InstanceNumber, one.Modality = 1, shape[0] - z, modality
        one.SeriesDescription, one.PositionReferenceIndicator = "thorax", ""
        one.Manufacturer, one.PatientPosition = "maker", "HFS"
        one.Rows, one.Columns = shape[1:]
        one.PixelSpacing = [SPACING[1], SPACING[2]]
        one.SliceThickness = 3.0  # thicker than the distance: overlapping slices are normal
        one.ImageOrientationPatient = [*axes[0], *axes[1]]
        one.ImagePositionPatient = [round(v, 6) for v in [-40.0, 25.0, -300.0] + normal * 2.5 * z]
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 12, 11, 0
        one.RescaleSlope, one.RescaleIntercept = 1, -1024
        one.PixelData = array[z].astype("<u2").tobytes()
        if spoil is None or spoil(z, one) is not False:
            slices.append(one)
    return slices


def write_series(folder: Path, slices: list[Any] | None = None) -> Path:
    """Write slices as files whose names sort against their order; return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(make_series() if slices is None else slices):
        one.save_as(folder / f"CT.{99 - number}.dcm")
    return folder


MAP_SHAPE = (6, 30, 26)


def make_map():
    """Liver with a hole, an island in the hole and one beside it; spleen at the border."""
    label_map = np.zeros(MAP_SHAPE, np.uint8)
    label_map[1:5, 2:16, 2:16] = 1
    label_map[2:4, 5:13, 5:13] = 0
    label_map[2:4, 8:10, 8:10] = 1
    label_map[2:4, 20:25, 3:9] = 1
    label_map[4:, 25:, 20:] = 2
    return label_map
