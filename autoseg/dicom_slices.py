"""From the headers of DICOM slices to one regular grid, or to the slice that makes it irregular.

A series is trusted only as far as its geometry says: slices are ordered by their position along the
normal of the image plane (DICOM PS3.3, C.7.6.2.1.1), never by name or number, and a grid is only
made where all of them stand at equal distances, one above the other.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoseg.errors import DataError, number_of
from autoseg.image import Geometry

log = logging.getLogger(__name__)

Vector = tuple[float, float, float]  # (z, y, x)

PLACE_TOLERANCE = 0.01  # of the slice distance; or PLACE_TOLERANCE_MM, whichever is larger
PLACE_TOLERANCE_MM = 0.01  # positions are often written with two decimals
SHEAR_TOLERANCE = 1e-3  # mm sideways per mm of depth that rounded cosines explain
COSINE_TOLERANCE = 1e-3
RARE = 0.25  # of the gaps: wider ones up to this part are missing slices, more are a pattern
OWN_SCALES = ("PT",)  # modalities whose slices are scaled one by one as a matter of course


@dataclass(frozen=True)
class Slice:
    """What the header of one DICOM image says; world axes (z, y, x) of LPS, mm."""

    path: Path
    instance: str  # SOPInstanceUID
    sop_class: str
    series: str  # SeriesInstanceUID; "" in some anonymised files, which `number` then tells apart
    frame: str  # FrameOfReferenceUID
    description: str
    modality: str
    shape: tuple[int, int]  # rows, columns
    spacing: tuple[float, float]  # between rows, between columns
    position: Vector  # of the first voxel
    along_x: Vector  # unit vector along a row
    along_y: Vector  # unit vector down a column
    rescale: tuple[float, float] = (1.0, 0.0)  # slope, intercept
    thickness: float | None = None
    tilt: float = 0.0  # degrees, as the gantry reported it
    syntax: str = ""  # TransferSyntaxUID: how the voxels are compressed
    number: str = ""  # SeriesNumber

    @property
    def series_name(self) -> str:
        """The series as a message names it."""
        number = f"number {self.number} " if self.number else ""
        return f"series {self.series or number + 'without UID'} '{self.description}'"


@dataclass(frozen=True)
class Series:
    """Slices in the order of the grid's Z axis, and that grid."""

    slices: tuple[Slice, ...]
    geometry: Geometry

    @property
    def uid(self) -> str:
        """SeriesInstanceUID; where an anonymiser emptied it, one made of the slices' UIDs."""
        return self.slices[0].series or uid_of(*(one.instance for one in self.slices))

    @property
    def frame(self) -> str:
        """FrameOfReferenceUID."""
        return self.slices[0].frame


def uid_of(*texts: str) -> str:
    """Return a DICOM UID that is the same for the same texts (PS3.5, B.2: 2.25 and 128 bits)."""
    digest = hashlib.sha256("\n".join(texts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def arrange(slices: Sequence[Slice], folder: Path) -> Series:
    """Return the slices as one regular grid.

    Raises DataError that names slice and series for: several series; slices that differ in size,
    spacing, orientation, frame of reference or scaling; a missing, duplicated or shifted slice; a
    tilted gantry.
    """
    if not slices:
        raise DataError("is a folder without DICOM images", place=str(folder))
    _one_series(slices, folder)
    _alike(slices, "the size", lambda one: one.shape)
    _alike(slices, "the pixel spacing", lambda one: one.spacing, 1e-3)
    _alike(slices, "the modality", lambda one: one.modality)
    _alike(slices, "the frame of reference", lambda one: one.frame)
    _alike(slices, "the orientation", _cosines, COSINE_TOLERANCE)
    if slices[0].modality not in OWN_SCALES:
        _alike(slices, "the rescale slope and intercept", lambda one: one.rescale)
    x, y, normal = _axes(slices[0])
    depths = np.asarray([np.dot(one.position, normal) for one in slices])
    order = np.argsort(depths, kind="stable")
    ordered, depths = [slices[i] for i in order], depths[order]
    _no_duplicates(ordered, depths)
    _not_sheared(ordered, normal)
    distance = _distance(ordered, depths)
    first = ordered[0]
    columns = np.stack([normal, y, x], axis=1)  # of the array axes Z, Y, X
    geometry = Geometry(
        (len(ordered), *first.shape),
        (distance, *first.spacing),
        first.position,
        tuple(float(cosine) for cosine in columns.ravel()),
    )
    return Series(tuple(ordered), geometry)


def _one_series(slices: Sequence[Slice], folder: Path) -> None:
    # An anonymiser may have emptied the UIDs of several series in one folder.
    keys = [(one.series, *(() if one.series else (one.number, one.description))) for one in slices]
    count = Counter(keys)
    if len(count) == 1:
        return
    first = dict(zip(reversed(keys), reversed(slices), strict=True))
    listed = "; ".join(
        f"{first[key].series_name} ({number} slices, {first[key].path.name})"
        for key, number in count.most_common()
    )
    raise DataError(
        f"holds {len(count)} series: {listed}",
        place=str(folder),
        expected="the slices of one",
        remedy="put each series into a folder of its own",
    )


def _alike(
    slices: Sequence[Slice],
    what: str,
    value: Callable[[Slice], str | tuple[float, ...]],
    tolerance: float = 0.0,
) -> None:
    """Raise DataError naming a slice whose value is not that of most slices."""
    usual, _ = Counter(value(one) for one in slices).most_common(1)[0]
    wrong = [one for one in slices if not _close(value(one), usual, tolerance)]
    if not wrong:
        return
    more = f" (and of {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    raise DataError(
        f"{what} of this slice{more} is {_text(value(wrong[0]))}, in {wrong[0].series_name}",
        place=str(wrong[0].path),
        expected=f"{_text(usual)} as in {len(slices) - len(wrong)} others",
        remedy="put what belongs together into a folder of its own, or export the series again",
    )


def _cosines(one: Slice) -> tuple[float, ...]:
    """Return the orientation as ImageOrientationPatient holds it, for whoever compares the two."""
    return one.along_x[::-1] + one.along_y[::-1]


def _close(one: str | tuple[float, ...], other: str | tuple[float, ...], within: float) -> bool:
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= within


def _text(value: str | tuple[float, ...]) -> str:
    if isinstance(value, str):
        return value or "missing"
    return "(" + ", ".join(f"{number:g}" for number in value) + ")"


def _axes(one: Slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return unit vectors (z, y, x) along array axes X, Y and Z; Z is the normal X x Y."""
    x, y = np.asarray(one.along_x), np.asarray(one.along_y)
    skew = max(abs(float(x @ x) - 1), abs(float(y @ y) - 1), abs(float(x @ y)))
    if not skew < 2 * COSINE_TOLERANCE:
        fact = f"rows and columns of this slice are not at right angles, in {one.series_name}"
        raise DataError(fact, place=str(one.path), expected="a right-angled orientation")
    x = x / np.linalg.norm(x)
    y = y - (x @ y) * x
    y = y / np.linalg.norm(y)
    # Components are (z, y, x): a reversed order changes the sign of a cross product.
    return x, y, np.cross(y, x)


def _no_duplicates(ordered: Sequence[Slice], depths: np.ndarray) -> None:
    gaps = np.diff(depths)
    apart = gaps[gaps > PLACE_TOLERANCE_MM / 10]
    same = gaps <= (min(PLACE_TOLERANCE_MM, 0.1 * float(np.median(apart))) if apart.size else 1e-3)
    if not same.any():
        return
    index = int(np.flatnonzero(same)[0])
    one, other = ordered[index + 1], ordered[index]
    places = len(depths) - int(same.sum())
    if len(depths) % places == 0 and int(same.sum()) > len(depths) // 3:
        fact = f"{len(depths)} slices at {places} positions, in {one.series_name}"
        remedy = "split phases, echoes or repetitions into folders of their own"
    else:
        fact = f"duplicated slice: the same position as {other.path.name}, in {one.series_name}"
        remedy = "remove one of the two"
    raise DataError(fact, place=str(one.path), expected="one slice a position", remedy=remedy)


def _not_sheared(ordered: Sequence[Slice], normal: np.ndarray) -> None:
    offsets = np.asarray([one.position for one in ordered]) - ordered[0].position
    depths = offsets @ normal
    sideways = np.linalg.norm(offsets - depths[:, None] * normal, axis=1)
    wrong = np.flatnonzero(sideways > PLACE_TOLERANCE_MM + SHEAR_TOLERANCE * np.abs(depths))
    if not wrong.size:
        if abs(ordered[0].tilt) > 0.01:
            said = "%s: the gantry reports a tilt of %g degrees, but the slices stand straight"
            log.warning(said, ordered[0].path.parent, ordered[0].tilt)
        return
    one = ordered[int(wrong[0])]
    slope = sideways[-1] / depths[-1]
    if np.abs(sideways - slope * depths).max() < PLACE_TOLERANCE_MM + 0.02 * sideways[-1]:
        angle = math.degrees(math.atan(slope))
        fact = f"gantry tilt: each slice is shifted against the last, by {angle:.1f} degrees"
        remedy = "resample it to a straight grid first, with a tool that corrects gantry tilt"
    else:
        fact = f"this slice is shifted sideways by {sideways[wrong[0]]:.3g} mm"
        remedy = "export the series again"
    expected = "slices straight above one another"
    raise DataError(
        f"{fact}, in {one.series_name}", place=str(one.path), expected=expected, remedy=remedy
    )


def _distance(ordered: Sequence[Slice], depths: np.ndarray) -> float:
    """Return the distance of slices in mm; raise DataError unless it is the same everywhere."""
    if len(ordered) == 1:
        one = ordered[0]
        if not one.thickness:
            fact = f"a single slice without SliceThickness, in {one.series_name}"
            raise DataError(fact, place=str(one.path), expected="two slices or a thickness")
        return one.thickness
    gaps = np.diff(depths)
    usual = float(np.sort(gaps)[(len(gaps) - 1) // 2])  # one of the gaps, never between two
    distance = float(depths[-1] - depths[0]) / len(gaps)
    allowed = max(PLACE_TOLERANCE * usual, PLACE_TOLERANCE_MM)
    error = np.abs(depths - (depths[0] + distance * np.arange(len(depths))))
    if error.max() <= allowed and np.abs(gaps - distance).max() <= allowed:
        return distance
    wide = np.flatnonzero(np.abs(gaps - usual) > allowed)
    index = int(wide[0]) if wide.size else max(int(error.argmax()) - 1, 0)
    one, following = ordered[index], ordered[index + 1]
    ratio = gaps[index] / usual
    missing = round(float(ratio)) - 1
    if missing >= 1 and abs(ratio - missing - 1) < 0.05 and len(wide) <= max(1, RARE * len(gaps)):
        fact = f"{number_of(missing, 'slice')} missing after this one"
        remedy = "export or copy the series again"
    else:
        fact = "non-uniform slice spacing after this one"
        remedy = "split the series where its spacing changes, or resample it"
    more = f" (and at {len(wide) - 1} more places)" if len(wide) > 1 else ""
    raise DataError(
        f"{fact}: {following.path.name} is {gaps[index]:.4g} mm away{more}, in {one.series_name}",
        place=str(one.path),
        expected=f"{usual:.4g} mm as between most slices",
        remedy=remedy,
    )
