"""Label maps as DICOM RT structure sets: one ROI per target, its outlines slice by slice.

DICOM PS3.3: A.19 (the object), C.8.8.5 (structure set), C.8.8.6 (contours).
"""

from __future__ import annotations

import colorsys
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from autoseg import __version__
from autoseg.contours import trace
from autoseg.dicom import need_packages
from autoseg.dicom_files import RTSTRUCT
from autoseg.dicom_slices import Series
from autoseg.files import write_atomically
from autoseg.labels import Labels
from autoseg.sharing.dicom_reference import MANUFACTURER, headers_of, take_over

STUDY_COMPONENT = "1.2.840.10008.3.1.2.3.1"  # what stands for a study in a reference (retired)


def write_rtstruct(path: Path, label_map: np.ndarray, labels: Labels, series: Series) -> None:
    """Write a label map (Z, Y, X) on the grid of `series` as an RTSTRUCT file, atomically.

    Each target is an ROI of its name, also one that is nowhere. Holes are cut out by keyholes
    (`contours.trace`); points are in mm with four decimals. Every slice of the series is referred
    to. Raises ResourceError without pydicom.
    """
    need_packages("pydicom")
    if label_map.shape != series.geometry.shape:
        raise ValueError(f"label map {label_map.shape} on a series of {series.geometry.shape}")
    dataset = _structure_set(series)
    for number, target in enumerate(labels.names, start=1):
        hue = (number - 1) * 0.381966  # the golden section keeps neighbours apart
        colour = [round(255 * part) for part in colorsys.hsv_to_rgb(hue % 1, 0.8, 1.0)]
        contours = _contours(labels.mask(label_map, target), series)
        _add_roi(dataset, number, target, colour, contours)
    write_atomically(path, lambda stream: dataset.save_as(stream, enforce_file_format=True))


def _structure_set(series: Series) -> Any:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ImplicitVRLittleEndian, generate_uid

    headers = headers_of(series)
    now = datetime.now()
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    # Explicit lengths have 16 bits: an outline of 2,000 points would not fit.
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    take_over(headers[0], dataset)
    dataset.SOPClassUID = UID(RTSTRUCT)
    dataset.SOPInstanceUID = generate_uid(prefix=None)
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = generate_uid(prefix=None)
    dataset.SeriesNumber, dataset.InstanceNumber = 1, 1
    dataset.SeriesDescription = "autoseg segmentation"
    dataset.OperatorsName = None
    dataset.Manufacturer = dataset.ManufacturerModelName = MANUFACTURER
    dataset.SoftwareVersions = __version__
    dataset.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    dataset.PositionReferenceIndicator = None
    dataset.StructureSetLabel = "autoseg"
    dataset.StructureSetDate, dataset.StructureSetTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    dataset.InstanceCreationDate, dataset.InstanceCreationTime = f"{now:%Y%m%d}", f"{now:%H%M%S}"
    dataset.ApprovalStatus = "UNAPPROVED"
    dataset.ReferencedFrameOfReferenceSequence = [_reference(headers)]
    dataset.StructureSetROISequence = []
    dataset.ROIContourSequence = []
    dataset.RTROIObservationsSequence = []
    return dataset


def _reference(headers: list[Any]) -> Any:
    from pydicom.dataset import Dataset

    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = headers[0].SeriesInstanceUID
    series.ContourImageSequence = [
        _image(header.SOPClassUID, header.SOPInstanceUID) for header in headers
    ]
    study.ReferencedSOPClassUID = STUDY_COMPONENT
    study.ReferencedSOPInstanceUID = headers[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    return frame


def _image(sop_class: str, instance: str) -> Any:
    from pydicom.dataset import Dataset

    image = Dataset()
    image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = sop_class, instance
    return image


def _contours(mask: np.ndarray, series: Series) -> list[Any]:
    from pydicom.dataset import Dataset

    contours: list[Any] = []
    for z in np.flatnonzero(mask.any((1, 2))):
        for outline in trace(mask[z]):
            points = np.column_stack([np.full(len(outline), z), outline])
            mm = series.geometry.position(points)[:, ::-1]  # DICOM writes x, y, z
            contour = Dataset()
            contour.ContourImageSequence = [
                _image(series.slices[z].sop_class, series.slices[z].instance)
            ]
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.NumberOfContourPoints = len(mm)
            contour.ContourNumber = len(contours) + 1
            contour.ContourData = [f"{number:.4f}" for number in mm.ravel()]
            contours.append(contour)
    return contours


def _add_roi(dataset: Any, number: int, name: str, colour: list[int], contours: list[Any]) -> None:
    from pydicom.dataset import Dataset

    roi, outlines, observation = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName = number, name[:64]
    roi.ReferencedFrameOfReferenceUID = dataset.FrameOfReferenceUID
    roi.ROIGenerationAlgorithm = "AUTOMATIC"
    outlines.ROIDisplayColor, outlines.ReferencedROINumber = colour, number
    if contours:
        outlines.ContourSequence = contours
    observation.ObservationNumber = observation.ReferencedROINumber = number
    observation.RTROIInterpretedType = observation.ROIInterpreter = None
    dataset.StructureSetROISequence.append(roi)
    dataset.ROIContourSequence.append(outlines)
    dataset.RTROIObservationsSequence.append(observation)
