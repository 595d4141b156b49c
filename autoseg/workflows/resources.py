"""What planning takes of the machine, and whether it is there: processes, memory, disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

from autoseg.dataset import Case, Dataset
from autoseg.errors import DataError, ResourceError
from autoseg.hardware import available_bytes, cores, free_disk_bytes
from autoseg.io import read_header
from autoseg.plan import Fingerprint, Plan
from autoseg.preprocessing.resample import BLOCK, resampled_shape

PAYS_FROM = 64 << 20  # bytes of images; a fresh process first needs a second to import
PROCESS = 100 << 20  # bytes of a process before it has read anything
MEMORY_TO_SPOOL = 0.5  # of what is available: the decoded scans should not leave the page cache
DISK_TO_SPOOL = 0.25  # of what is free: the prepared ones must fit too
DICOM_VOXEL = 2  # bytes in a file of a series


@dataclass(frozen=True)
class Scan:
    """How large a case is before anything of it is read."""

    voxels: int
    channels: int
    bytes: int  # decoded: its channels and its label map


def is_large(dataset: Dataset) -> bool:
    """Tell whether the images are large enough for further processes, and for a spool, to pay."""
    return sum(_bytes_of(path) for case in dataset.cases for path in case.images) >= PAYS_FROM


def scans_of(dataset: Dataset) -> list[Scan]:
    """Return the size of every case whose headers can be read; what is wrong the check tells."""
    found = []
    for case in dataset.cases:
        try:
            found.append(_scan_of(case))
        except (DataError, OSError):
            continue
    return found


def _scan_of(case: Case) -> Scan:
    voxels, channels, size = 0, 0, 0
    for path in case.images:
        if path.is_dir():  # a series has as many headers as slices
            own, number, width = _bytes_of(path) // DICOM_VOXEL, 1, DICOM_VOXEL
        else:
            header = read_header(path)
            own, number = prod(header.geometry.shape), header.channels
            width = 2 if header.pixel_type in ("int8", "uint8", "int16", "uint16") else 4
        voxels, channels, size = max(voxels, own), channels + number, size + own * number * width
    return Scan(voxels, channels, size + 2 * voxels)


def _bytes_of(path: Path) -> int:
    if path.is_dir():
        return sum(file.stat().st_size for file in path.iterdir() if file.is_file())
    return path.stat().st_size if path.exists() else 0


# --- memory --------------------------------------------------------------------------------------


def choose_workers(wanted: int | None, large: bool, bytes_each: int) -> int:
    """Return how many processes to start; 0 works in this one, which is faster for small data.

    As many as there are cores, and as may each take `bytes_each` at the same time.
    """
    if wanted is not None:
        return wanted if wanted > 1 else 0
    if not large:
        return 0
    available = available_bytes()
    fitting = available // (PROCESS + bytes_each) if available else cores()
    workers = min(cores(), fitting)
    return workers if workers > 1 else 0


def workers_to_check(wanted: int | None, dataset: Dataset) -> int:
    """Return how many processes to start for reading and checking every case."""
    large = is_large(dataset)
    return choose_workers(wanted, large, bytes_to_check(scans_of(dataset)) if large else 0)


def bytes_to_check(scans: Sequence[Scan]) -> int:
    """Return the memory that checking and measuring the largest scan takes, in bytes."""
    # The file, its decoded voxels and their copy; masks of the foreground.
    return max((2 * scan.bytes + 2 * scan.voxels for scan in scans), default=0)


def bytes_to_prepare(fingerprint: Fingerprint, plan: Plan, names: Sequence[str]) -> int:
    """Return the memory that preparing the largest scan takes, in bytes."""
    channels = len(fingerprint.channels)
    largest = 0
    for shape, spacing in zip(fingerprint.shapes, fingerprint.spacings, strict=True):
        turned = [shape[axis] for axis in plan.axis_order]
        own = [spacing[axis] for axis in plan.axis_order]
        for name in names:
            z, y, x = _prepared_shape(turned, own, plan, name)
            # As read, normalised, and one channel half resampled; labels, and the votes for them.
            needed = prod(shape) * (8 * channels + 5) + z * y * x * (4 * channels + 1)
            largest = max(largest, needed + 16 * min(z, BLOCK) * y * x)
    return largest


def _prepared_shape(
    shape: Sequence[int], spacing: Sequence[float], plan: Plan, name: str
) -> tuple[int, int, int]:
    wanted = plan.configurations[name].spacing
    target = [own if then is None else then for own, then in zip(spacing, wanted, strict=True)]
    return resampled_shape(shape, spacing, target)


# --- disk ----------------------------------------------------------------------------------------


def spool_fits(folder: Path, scans: Sequence[Scan]) -> bool:
    """Tell whether all scans can wait, decoded, on the disk of `folder` and in its page cache."""
    needed = sum(scan.bytes for scan in scans)
    memory = MEMORY_TO_SPOOL * available_bytes()
    return needed <= memory and needed <= DISK_TO_SPOOL * free_disk_bytes(folder)


def require_disk(folder: Path, dataset: Dataset, plan: Plan, names: Sequence[str]) -> None:
    """Raise ResourceError when the disk cannot hold what is not yet prepared."""
    bytes_per_voxel = 2 * len(plan.channels) + 1
    needed = sum(
        prod(plan.configurations[name].median_shape) * bytes_per_voxel * len(dataset.cases)
        for name in names
        if not (folder / name / "manifest.json").exists()
    )
    free = free_disk_bytes(folder)
    if needed > free:
        raise ResourceError(
            f"about {needed / 1e9:.1f} GB are needed, {free / 1e9:.1f} GB are free",
            place=str(folder),
            remedy="free some space, or prepare one configuration (--only 3d_fullres)",
        )
