"""The viewer: a scan with label maps in three planes, on a page that needs nothing but a browser.

Arrays are in canonical orientation (`image.py`), so the patient's left is on the right of an axial
picture, as radiologists have it; letters on the edges say so. A *scene* is everything that is shown
as JSON; `viewer.js` makes the pictures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from importlib.resources import files

import numpy as np

from autoseg.colours import hexadecimal, target_colours
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.html import MARK
from autoseg.report.packing import Packed, pack_image, pack_labels

PARTS = ("volume", "drawing", "state", "panes", "pointer", "controls", "names")  # viewer_*.js
IGNORED_COLOUR = "#9AA0A6"
CT_WINDOWS = {  # HU that are drawn black and white
    "soft tissue": (-160.0, 240.0),
    "lung": (-1350.0, 150.0),
    "bone": (-500.0, 1300.0),
    "brain": (0.0, 80.0),
}
PERCENTILES = {"1 to 99 %": (1.0, 99.0), "5 to 95 %": (5.0, 95.0), "all": (0.0, 100.0)}
# The page may fetch nothing at all.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


@dataclass(frozen=True)
class Window:
    """Values that are drawn black (and below) and white (and above)."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Shown:
    """A target: its label values and its colour, "#E69F00"."""

    name: str
    values: tuple[int, ...]
    colour: str


@dataclass(frozen=True)
class Layer:
    """A label map and what it is called: "reference", or the name of a prediction."""

    name: str
    labels: Packed


@dataclass(frozen=True)
class Scene:
    """What a viewer shows; the fields are those that `viewer.js` reads.

    Grid as in `Geometry`; `patient` is False for pictures that lie in no scanner room. Of several
    layers the first is the one that the others are compared with. `start`: voxel (z, y, x).
    """

    title: str
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]
    patient: bool
    unit: str
    image: Packed
    windows: tuple[Window, ...]
    layers: tuple[Layer, ...]
    targets: tuple[Shown, ...]
    start: tuple[int, int, int]


def make_scene(
    title: str,
    image: np.ndarray,
    geometry: Geometry,
    layers: Mapping[str, np.ndarray],
    labels: Labels,
    *,
    hounsfield: bool = False,
    patient: bool = True,
) -> Scene:
    """Return a scene of intensities and label maps (Z, Y, X) on one canonical grid.

    Raises ValueError when an array does not have the shape of `geometry`.
    """
    for name, array in {"image": image, **layers}.items():
        if array.shape != geometry.shape:
            raise ValueError(f"{name} {array.shape} on a grid of {geometry.shape}")
    first = next((label_map for label_map in layers.values() if label_map.any()), None)
    return Scene(
        title=title,
        shape=geometry.shape,
        spacing=geometry.spacing,
        origin=geometry.origin,
        direction=geometry.direction,
        patient=patient,
        unit="HU" if hounsfield else "",
        image=pack_image(image, hounsfield),
        windows=_windows(image, hounsfield),
        layers=tuple(Layer(name, pack_labels(label_map)) for name, label_map in layers.items()),
        targets=_targets(labels),
        start=_middle(geometry.shape) if first is None else _fullest(first),
    )


def scene_text(scene: Scene) -> str:
    """Return the scene as JSON that may stand inside a page."""
    text = json.dumps(asdict(scene), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def viewer_style() -> str:
    """Return the style sheet that a page with viewers needs once."""
    return _read("viewer.css")


def viewer_script() -> str:
    """Return the script that a page with viewers needs once.

    It stands after all `viewer_fragment`s, which it opens when they come into view, and defines
    `autosegViewer(element, scene)` for scenes that are fetched later.
    """
    scripts = [*(f"viewer_{part}.js" for part in PARTS), "viewer.js"]
    return "(() => {\n'use strict';\n" + "\n".join(map(_read, scripts)) + "})();\n"


def viewer_fragment(scene: Scene) -> str:
    """Return the HTML of one viewer; the script opens it when it comes into view."""
    data = f'<script type="application/json">{scene_text(scene)}</script>'
    return f'<div class="autoseg-viewer" data-scene>{data}</div>'


def viewer_page(scene: Scene) -> str:
    """Return a page with one viewer: a whole file, without a reference to any other."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="{MARK}">'
        f"<title>{escape(scene.title)}</title><style>{viewer_style()}</style></head>\n"
        f'<body class="autoseg-viewer-page">{viewer_fragment(scene)}\n'
        f"<script>{viewer_script()}</script></body></html>\n"
    )


def _read(name: str) -> str:
    return (files("autoseg.report") / name).read_text(encoding="utf-8")


def _windows(image: np.ndarray, hounsfield: bool) -> tuple[Window, ...]:
    if hounsfield:
        return tuple(Window(name, *ends) for name, ends in CT_WINDOWS.items())
    sample = image.reshape(-1)[:: max(1, image.size >> 20)].astype(np.float64)
    sample = sample[np.isfinite(sample)] if np.isfinite(sample).any() else np.zeros(1)
    ends = {name: np.percentile(sample, shares) for name, shares in PERCENTILES.items()}
    return tuple(Window(name, float(low), float(high)) for name, (low, high) in ends.items())


def _targets(labels: Labels) -> tuple[Shown, ...]:
    colours = map(hexadecimal, target_colours(len(labels.targets)))
    named = zip(labels.targets.items(), colours, strict=True)
    targets = [Shown(name, tuple(values), colour) for (name, values), colour in named]
    if labels.ignore is not None:
        targets.append(Shown("ignore", (labels.ignore,), IGNORED_COLOUR))
    return tuple(targets)


def _middle(shape: Sequence[int]) -> tuple[int, int, int]:
    return (shape[0] // 2, shape[1] // 2, shape[2] // 2)


def _fullest(label_map: np.ndarray) -> tuple[int, int, int]:
    """Return the middle one of the labelled voxels of the slice that shows most of every label."""
    areas = [np.bincount(part.ravel(), minlength=int(label_map.max()) + 1) for part in label_map]
    table = np.asarray(areas, dtype=float)[:, 1:]
    z = int((table / np.maximum(table.max(0), 1)).sum(1).argmax())
    y, x = np.argwhere(label_map[z])[np.count_nonzero(label_map[z]) // 2]
    return (z, int(y), int(x))
