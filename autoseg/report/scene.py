"""A scene: all that a viewer shows of one case, as numbers and names.

Arrays are in canonical orientation (`image.py`), so the patient's left is on the right of an axial
picture, as radiologists have it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from autoseg.colours import hexadecimal, target_colours
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.excerpt import thin
from autoseg.report.packing import BITS_PER_VOXEL, Packed, pack_image, pack_labels

IGNORED_COLOUR = "#9AA0A6"
CT_WINDOWS = {  # HU that are drawn black and white
    "soft tissue": (-160.0, 240.0),
    "lung": (-1350.0, 150.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
}
PERCENTILES = {"1 to 99 %": (1.0, 99.0), "5 to 95 %": (5.0, 95.0), "all": (0.0, 100.0)}
MOST_VOXELS = 80_000_000  # in a page: 512x512x305


@dataclass(frozen=True)
class Window:
    """Values that are drawn black (and below) and white (and above)."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Channel:
    """One image of a scan; `name` may be empty where there is but one."""

    name: str
    unit: str
    image: Packed
    windows: tuple[Window, ...]


@dataclass(frozen=True)
class Shown:
    """A target: its label values, its colour, "#E69F00", and how much of it each layer holds.

    Amounts are ml, or pixels of a picture, counted in all voxels of the case.
    """

    name: str
    values: tuple[int, ...]
    colour: str
    amounts: tuple[float, ...]


@dataclass(frozen=True)
class Layer:
    """A label map and what it is called: "reference", or the name of a prediction."""

    name: str
    labels: Packed


@dataclass(frozen=True)
class Scene:
    """What a viewer shows; the fields are those that `viewer.js` reads.

    Grid as in `Geometry`: every voxel of `whole` (voxels), or every `steps`-th of an axis.
    `patient` is False for pictures that lie in no scanner room. Of several layers the first is the
    one that the others are compared with. `start`: voxel (z, y, x).
    """

    title: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    whole: tuple[int, int, int]
    steps: tuple[int, int, int]
    patient: bool
    channels: tuple[Channel, ...]
    layers: tuple[Layer, ...]
    targets: tuple[Shown, ...]
    start: tuple[int, int, int]


def make_scene(
    title: str,
    channels: Mapping[str, np.ndarray],
    geometry: Geometry,
    layers: Mapping[str, np.ndarray],
    labels: Labels,
    *,
    hounsfield: Collection[str] = (),
    patient: bool = True,
    voxels: int = MOST_VOXELS,
) -> Scene:
    """Return a scene of intensities and label maps (Z, Y, X) by name on one canonical grid.

    `hounsfield`: the channels that are a CT. Many channels together take at most twice the room
    of one; of more than `voxels` every second along the finest axis is left out, again and again.
    Raises ValueError when an array does not have the shape of `geometry`.
    """
    for name, array in {**channels, **layers}.items():
        if array.shape != geometry.shape:
            raise ValueError(f"{name or 'image'} {array.shape} on a grid of {geometry.shape}")
    part, grid = thin(geometry, voxels)
    shown = {name: label_map[part] for name, label_map in layers.items()}
    first = next((label_map for label_map in shown.values() if label_map.any()), None)
    bits = BITS_PER_VOXEL * 2 / (1 + len(channels))
    z, y, x = (side.step for side in part)
    return Scene(
        title=title,
        shape=grid.shape,
        spacing=grid.spacing,
        origin=grid.origin,
        direction=grid.direction,
        whole=geometry.shape,
        steps=(z, y, x),
        patient=patient,
        channels=tuple(
            _channel(name, image[part], name in hounsfield, bits)
            for name, image in channels.items()
        ),
        layers=tuple(Layer(name, pack_labels(label_map)) for name, label_map in shown.items()),
        targets=_targets(labels, layers, prod(geometry.spacing) / 1000 if patient else 1.0),
        start=_middle(grid.shape) if first is None else _fullest(first),
    )


def _channel(name: str, image: np.ndarray, hounsfield: bool, bits: float) -> Channel:
    packed = pack_image(image, hounsfield, bits)
    return Channel(name, "HU" if hounsfield else "", packed, _windows(image, hounsfield))


def _windows(image: np.ndarray, hounsfield: bool) -> tuple[Window, ...]:
    if hounsfield:
        return tuple(Window(name, *ends) for name, ends in CT_WINDOWS.items())
    sample = image.reshape(-1)[:: max(1, image.size >> 20)].astype(np.float64)
    sample = sample[np.isfinite(sample)] if np.isfinite(sample).any() else np.zeros(1)
    ends = {name: np.percentile(sample, shares) for name, shares in PERCENTILES.items()}
    return tuple(Window(name, float(low), float(high)) for name, (low, high) in ends.items())


def _targets(labels: Labels, layers: Mapping[str, np.ndarray], each: float) -> tuple[Shown, ...]:
    """Return the targets of `labels`; `each`: what one voxel amounts to."""
    counts = [_counts(label_map) for label_map in layers.values()]
    colours = map(hexadecimal, target_colours(len(labels.targets)))
    named = [
        (name, tuple(values), colour)
        for (name, values), colour in zip(labels.targets.items(), colours, strict=True)
    ]
    if labels.ignore is not None:
        named.append(("ignore", (labels.ignore,), IGNORED_COLOUR))
    return tuple(
        Shown(name, values, colour, tuple(_amount(count, values, each) for count in counts))
        for name, values, colour in named
    )


def _counts(label_map: np.ndarray) -> np.ndarray:
    most = int(label_map.max(initial=0)) + 1
    counts = np.zeros(most, dtype=np.int64)
    for part in label_map:  # slice by slice, to spare memory
        counts += np.bincount(part.ravel(), minlength=most)
    return counts


def _amount(counts: np.ndarray, values: tuple[int, ...], each: float) -> float:
    return float(sum(counts[value] for value in values if value < len(counts)) * each)


def _middle(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    return (shape[0] // 2, shape[1] // 2, shape[2] // 2)


def _fullest(label_map: np.ndarray) -> tuple[int, int, int]:
    """Return the middle one of the labelled voxels of the slice that shows most of every label."""
    areas = [np.bincount(part.ravel(), minlength=int(label_map.max()) + 1) for part in label_map]
    table = np.asarray(areas, dtype=float)[:, 1:]
    z = int((table / np.maximum(table.max(0), 1)).sum(1).argmax())
    y, x = np.argwhere(label_map[z])[np.count_nonzero(label_map[z]) // 2]
    return (z, int(y), int(x))
