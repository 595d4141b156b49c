"""What a check says of a scan, and the names of a scan's faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoseg.case_files import PICTURES

WARN_ABOVE = 1.0
FACES = ("lowest", "highest", "front", "back", "right", "left")  # low, high end of Z, Y, X
PICTURE_FACES = ("first", "last", "top", "bottom", "left", "right")


@dataclass(frozen=True)
class Finding:
    """What one check says of a scan; above WARN_ABOVE its sentence is worth telling."""

    check: str
    score: float
    told: str

    def __str__(self) -> str:
        return f"{self.check}: {self.told}"


def worth_telling(findings: Sequence[Finding]) -> list[str]:
    """Return the sentences of those findings that are warnings."""
    return [str(finding) for finding in findings if finding.score > WARN_ABOVE]


def face_names(ending: str) -> tuple[str, ...]:
    """Return what the six faces are called in files of this ending."""
    return PICTURE_FACES if ending in PICTURES else FACES
