"""What predicting does with DICOM series: judge them before a model is loaded, write objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from autoseg.dataset import Case
from autoseg.dicom import need_packages, read_series
from autoseg.errors import DataError, UsageError
from autoseg.labels import Labels
from autoseg.sharing.dicom_seg import write_seg
from autoseg.sharing.rtstruct import write_rtstruct

WRITERS = {"seg": write_seg, "rtstruct": write_rtstruct}
PACKAGES = {"seg": ("pydicom", "highdicom"), "rtstruct": ("pydicom",)}


def check_series(cases: Sequence[Case], write: str) -> None:
    """Raise DataError when no case can be predicted because its DICOM series is wrong.

    Headers and one slice of each are read. When some series are right the wrong ones fail later,
    one by one. Raises UsageError when DICOM objects are asked for of other files, ResourceError
    when the packages for them are missing.
    """
    if write != "labels":
        for case in cases:
            if not case.images[0].is_dir():
                remedy = "leave out --write, or give folders with DICOM series"
                fact = f"cannot write DICOM ({write}) of a file that is none"
                raise UsageError(fact, place=str(case.images[0]), remedy=remedy)
        need_packages(*PACKAGES[write])
    problems = []
    for case in cases:
        try:
            for folder in case.images:
                if not folder.is_dir():
                    return
                read_series(folder)
        except DataError as error:
            problems.append(error.as_problem())
        else:
            return
    if len(problems) == 1:
        only = problems[0]
        raise DataError(only.found, place=only.place, expected=only.expected, remedy=only.remedy)
    raise DataError(f"none of {len(problems)} series can be used", problems=problems)


def write_object(
    path: Path, label_map: np.ndarray, labels: Labels, folder: Path, kind: str
) -> None:
    """Write a label map (Z, Y, X) as a DICOM object that refers to the series in `folder`."""
    WRITERS[kind](path, label_map, labels, read_series(folder))
