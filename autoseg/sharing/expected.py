"""What a network made of the made-up scan when it was saved, and whether it still does.

The scan as the network sees it, scores at some voxels, means and deviations, the label map, and two
sums of each tensor. (A scaled input leaves the scores as they are, as the first normalisation
undoes it: so the input is looked at by itself.) Scores may differ as processors differ; a label may
differ only where two scores were nearly the same; the sums of the weights may not differ at all.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.errors import CorruptError
from autoseg.labels import Labels
from autoseg.plan import Triple

FORMAT = "autoseg-test-1"
POINTS = 4096  # scores that are kept, over all channels
FEWEST_POINTS = 32  # of each channel
DIGITS = 7  # of a score, about those of float32
# In standard deviations of the scores. Measured with float32 on processors: 0 on the same one, 4e-6
# with other instructions or without oneDNN; bfloat16 gives 3e-2. Not measured on a GPU.
TOLERANCE = 1e-3
IMAGE_TOLERANCE = 1e-4  # of the prepared scan, in its standard deviations
SUM_TOLERANCE = 1e-13  # relative; sums in double precision differ by a few 1e-15
LARGEST_MAP = 1 << 26  # bytes that a label map may unpack to


@dataclass(frozen=True)
class Sample:
    """What is kept of an array, per channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    points: tuple[tuple[float, ...], ...]  # values at voxels evenly spread in C order

    @property
    def scale(self) -> float:
        """One standard deviation, over all channels."""
        return max(float(np.sqrt(np.mean(np.square(self.std)))), 1e-6)


@dataclass(frozen=True)
class Expected:
    """What one fold made of the scan."""

    shape: Triple  # voxels of the prepared grid
    image: Sample
    scores: Sample
    label_map: str  # (Z, Y, X) of the scan, as `pack` makes it
    weights: Mapping[str, tuple[float, float]]  # tensor -> sum, sum of magnitudes


def expect(
    image: np.ndarray,
    scores: np.ndarray,
    label_map: np.ndarray,
    weights: Mapping[str, tuple[float, float]],
) -> Expected:
    """Return what is kept of the prepared `image` and its `scores` (channels, z, y, x) float32.

    `label_map` (Z, Y, X) is on the grid of the scan.
    """
    shape = _triple(scores.shape[1:])
    return Expected(shape, sample(image), sample(scores), pack(label_map), weights)


def sample(array: np.ndarray) -> Sample:
    """Return what is kept of an array (channels, z, y, x)."""
    flat = array.reshape(len(array), -1)
    return Sample(
        _rounded(flat.mean(1, dtype=np.float64).tolist()),
        _rounded(flat.std(1, dtype=np.float64).tolist()),
        tuple(_rounded(row) for row in flat[:, _places(flat.shape)].tolist()),
    )


def _places(shape: Sequence[int]) -> np.ndarray:
    channels, voxels = shape
    count = min(voxels, max(FEWEST_POINTS, POINTS // channels))
    return np.linspace(0, voxels - 1, count).astype(int)


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(f"{value:.{DIGITS}g}") for value in values)


def pack(label_map: np.ndarray) -> str:
    """Return a label map as text: two bytes a voxel, compressed, base 64."""
    content = zlib.compress(np.ascontiguousarray(label_map, "<u2").tobytes(), 9)
    return base64.b64encode(content).decode("ascii")


def unpack(text: str, shape: Triple) -> np.ndarray:
    """Undo `pack`; raise CorruptError for what is no label map of that shape."""
    size = 2 * int(np.prod(shape))
    try:
        inflate = zlib.decompressobj()
        content = inflate.decompress(base64.b64decode(text, validate=True), min(size, LARGEST_MAP))
        return np.frombuffer(content, "<u2").reshape(shape)
    except (ValueError, binascii.Error, zlib.error) as error:
        raise CorruptError("the expected label map is damaged", expected=str(shape)) from error


@dataclass(frozen=True)
class Found:
    """What a network makes of the scan now."""

    image: np.ndarray  # (C, z, y, x), as the network sees it
    scores: np.ndarray  # (channels, z, y, x)
    restored: np.ndarray  # (channels, Z, Y, X): the scores on the grid of the scan
    label_map: np.ndarray  # (Z, Y, X)
    weights: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Comparison:
    """How far what was found is from what was expected."""

    problems: tuple[str, ...]  # none: as expected
    difference: float  # largest, of scores, in their standard deviations
    voxels: int  # of the scan
    changed: int  # voxels with another label, all of them near ties where there is no problem


def compare(expected: Expected, found: Found, labels: Labels) -> Comparison:
    """Return what of `found` is not as `expected`."""
    problems = [*_compare_weights(expected.weights, found.weights)]
    if found.scores.shape != (len(expected.scores.mean), *expected.shape):
        shapes = f"{found.scores.shape} instead of {(len(expected.scores.mean), *expected.shape)}"
        return Comparison((*problems, f"scores of shape {shapes}"), float("inf"), 0, 0)
    prepared, difference = (
        _difference(sample(now), then)
        for now, then in ((found.image, expected.image), (found.scores, expected.scores))
    )
    if not prepared <= IMAGE_TOLERANCE:
        fact = f"the prepared scan differs by {prepared:.2g} of its standard deviation"
        problems.append(f"{fact}: normalised or resampled by other numbers")
    if not difference <= TOLERANCE:
        problems.append(f"scores differ by {difference:.2g} of their standard deviation")
    scale = expected.scores.scale
    wanted = unpack(expected.label_map, _triple(found.label_map.shape))
    other = wanted != found.label_map
    near = _margin(found.restored, labels) <= 2 * TOLERANCE * scale
    if (other & ~near).any():
        problems.append(f"{int((other & ~near).sum())} of {other.size} voxels have another label")
    return Comparison(tuple(problems), difference, other.size, int(other.sum()))


def _compare_weights(
    expected: Mapping[str, tuple[float, float]], found: Mapping[str, tuple[float, float]]
) -> list[str]:
    if expected.keys() != found.keys():
        return ["the weights have other names"]
    changed = []
    for name, (total, magnitude) in expected.items():
        gap = max(abs(found[name][0] - total), abs(found[name][1] - magnitude))
        if not gap <= SUM_TOLERANCE * magnitude:
            changed.append(name)
    return [f"{len(changed)} tensors hold other weights, such as '{changed[0]}'"] if changed else []


def _difference(found: Sample, expected: Sample) -> float:
    """Return the largest difference, in standard deviations of what was expected."""
    pairs = (
        (found.mean, expected.mean),
        (found.std, expected.std),
        (found.points, expected.points),
    )
    return max(float(np.abs(np.subtract(a, b)).max()) for a, b in pairs) / expected.scale


def _margin(scores: np.ndarray, labels: Labels) -> np.ndarray:
    """Return by how much the decision was made at each voxel (Z, Y, X)."""
    if not labels.exclusive:
        return np.asarray(np.abs(scores).min(0))
    highest = np.partition(scores, -2, axis=0)[-2:]
    return np.asarray(highest[1] - highest[0])


def _triple(shape: Sequence[int]) -> Triple:
    z, y, x = shape
    return z, y, x
