"""What RTSTRUCT and DICOM-SEG have in common when read: the file, and the series it refers to."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoseg.dicom import need_packages
from autoseg.dicom_slices import Series
from autoseg.errors import DataError

# What pydicom raises of bytes that make no elements.
READING = (OSError, EOFError, struct.error, NotImplementedError)


def open_labels(path: Path, series: Series) -> Any:
    """Return the pydicom dataset of a label file; raise DataError if it is of another series."""
    need_packages("pydicom")
    import pydicom

    try:
        dataset = pydicom.dcmread(path)
    except (pydicom.errors.InvalidDicomError, ValueError, *READING) as error:
        raise DataError(f"cannot be read as DICOM: {error}", place=str(path)) from error
    referred = set(_series_in(dataset))
    if referred and series.uid not in referred:
        raise DataError(
            f"refers to the series {', '.join(sorted(referred))}",
            place=str(path),
            expected=f"{series.uid}, that in {series.slices[0].path.parent}",
            remedy="pair it with the images it was drawn on",
        )
    return dataset


@contextmanager
def elements_of(path: Path) -> Iterator[None]:
    """Turn what the elements of a label file lack, or hold instead of numbers, into a DataError."""
    try:
        yield
    except (AttributeError, LookupError, TypeError, ValueError, *READING) as error:
        # pydicom's message names the element: "'Dataset' object has no attribute 'ROINumber'".
        fact = f"is cut short or damaged: {error}"
        raise DataError(fact, place=str(path), remedy="copy or export it again") from error


def same_frame(found: str, series: Series, path: Path, name: str) -> None:
    """Raise DataError when a structure lies in another frame of reference than the images."""
    if found and series.frame and found != series.frame:
        fact = f"structure '{name}' lies in the frame of reference {found}"
        raise DataError(fact, place=str(path), expected=f"{series.frame} as the images")


def _series_in(dataset: Any) -> Iterator[str]:
    """Yield the UIDs of the series that an RTSTRUCT or a DICOM-SEG says it belongs to."""
    for one in dataset.get("ReferencedSeriesSequence", ()):
        yield str(one.get("SeriesInstanceUID", ""))
    for frame in dataset.get("ReferencedFrameOfReferenceSequence", ()):
        for study in frame.get("RTReferencedStudySequence", ()):
            for one in study.get("RTReferencedSeriesSequence", ()):
                yield str(one.get("SeriesInstanceUID", ""))
