"""What a DICOM object made from a series takes over from it: patient, study, frame of reference."""

from __future__ import annotations

import logging
from typing import Any

from autoseg.dicom_slices import Series, uid_of

log = logging.getLogger(__name__)

MANUFACTURER = "autoseg"
# Patient and study modules; what is absent is written empty (type 2).
TAKEN_OVER = (
    "SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate",
    "PatientSex", "PatientAge", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID",
    "AccessionNumber", "ReferringPhysicianName", "StudyDescription",
)  # fmt: skip
OPTIONAL = ("SpecificCharacterSet", "IssuerOfPatientID", "PatientAge", "StudyDescription")


def headers_of(series: Series) -> list[Any]:
    """Return the headers of all slices (pydicom), in the order of the grid, with every UID there.

    Anonymisers leave UIDs empty that an object must refer to: the slice's is in the file's own
    group still, those of series and study are made from it, the same ones each time.
    """
    import pydicom

    headers = []
    for one in series.slices:
        header = pydicom.dcmread(one.path, stop_before_pixels=True, force=True)
        header.SOPInstanceUID, header.SOPClassUID = one.instance, one.sop_class
        header.SeriesInstanceUID = series.uid
        if not header.get("StudyInstanceUID"):
            header.StudyInstanceUID = uid_of("study", series.uid)
        if not header.get("FrameOfReferenceUID"):
            header.FrameOfReferenceUID = uid_of("frame", series.uid)
        headers.append(header)
    if not series.slices[0].series:
        folder = series.slices[0].path.parent
        log.warning("%s: the series has no UID; the result refers to %s", folder, series.uid)
    return headers


def take_over(header: Any, dataset: Any) -> None:
    """Copy what identifies patient and study from a slice's header into `dataset`."""
    for name in TAKEN_OVER:
        if name in header:
            dataset[name] = header[name]
        elif name not in OPTIONAL:
            setattr(dataset, name, None)
