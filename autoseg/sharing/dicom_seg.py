"""Label maps as DICOM segmentations: one segment per target, one bit a voxel (PS3.3, A.51)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from autoseg import __version__
from autoseg.dicom import need_packages
from autoseg.dicom_slices import Series
from autoseg.files import write_atomically
from autoseg.labels import Labels
from autoseg.sharing.dicom_reference import MANUFACTURER, headers_of

SCHEME = "99AUTOSEG"  # a private coding scheme: names of targets are the user's, not a standard's


def write_seg(path: Path, label_map: np.ndarray, labels: Labels, series: Series) -> None:
    """Write a label map (Z, Y, X) on the grid of `series` as a binary DICOM-SEG, atomically.

    Each target is a segment of its name, overlapping ones too; slices without any are left out.
    Raises ResourceError without pydicom and highdicom.
    """
    need_packages("pydicom", "highdicom")
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    if label_map.shape != series.geometry.shape:
        raise ValueError(f"label map {label_map.shape} on a series of {series.geometry.shape}")
    dataset = highdicom.seg.Segmentation(
        source_images=headers_of(series),
        pixel_array=_segments(label_map, labels),
        segmentation_type="BINARY",
        segment_descriptions=[_describe(n, name) for n, name in enumerate(labels.names, start=1)],
        series_instance_uid=generate_uid(prefix=None),
        series_number=1,
        sop_instance_uid=generate_uid(prefix=None),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MANUFACTURER,
        software_versions=__version__,
        device_serial_number="0",
        transfer_syntax_uid=ExplicitVRLittleEndian,
        series_description="autoseg segmentation",
        content_label="SEGMENTATION",
    )
    write_atomically(path, lambda stream: dataset.save_as(stream, enforce_file_format=True))


def _segments(label_map: np.ndarray, labels: Labels) -> np.ndarray:
    """Return segment numbers (Z, Y, X), or masks (Z, Y, X, K) where targets overlap."""
    if not labels.exclusive:
        masks = [labels.mask(label_map, target) for target in labels.names]
        return np.stack(masks, axis=-1).astype(np.uint8)
    numbers = np.zeros(label_map.shape, np.min_scalar_type(len(labels.names)))
    for number, target in enumerate(labels.names, start=1):
        numbers[labels.mask(label_map, target)] = number
    return numbers


def _describe(number: int, name: str) -> Any:
    import highdicom
    from pydicom.sr.codedict import codes

    family = highdicom.sr.CodedConcept("113037", "DCM", "Artificial Intelligence")
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=highdicom.sr.CodedConcept(name[:16], SCHEME, name[:64]),
        algorithm_type="AUTOMATIC",
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name=MANUFACTURER, family=family, version=__version__
        ),
    )
