"""Surfaces as a figure of Plotly, which the extra [report] brings: each source in its own scene.

All scenes have one size, one scale and no perspective, so that a millimetre is as long everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.errors import ResourceError
from autoseg.report.surface import Surface

MARGIN = 0.06  # of the longest side, around all surfaces
SIDES = {"z": "FH", "y": "AP", "x": "RL"}  # of the patient, where a world axis begins and ends
DIAGONAL = 2.2  # of the box around all surfaces, in units of a scene, which is 1.8 high
TICKS = 6  # numbers on an axis, at most
LETTER = 0.04  # of an axis, from its ends
LIGHT = {
    "lighting": {"ambient": 0.5, "diffuse": 0.6, "specular": 0.1, "roughness": 0.7, "fresnel": 0},
    "lightposition": {"x": -3e4, "y": 5e4, "z": -1e5},  # from behind the viewer's left shoulder
}
FRAME = {
    "template": "none",
    "margin": dict.fromkeys("lrtb", 0),
    "paper_bgcolor": "rgba(0,0,0,0)",
    "showlegend": False,
}
CAMERA = {  # at the beginning: from the front, a little from above and from the right
    "projection": {"type": "orthographic"},
    "eye": {"x": -0.7, "y": -1.8, "z": 0.6},
    "center": dict.fromkeys("xyz", 0),
    "up": {"x": 0, "y": 0, "z": 1},
}


@dataclass(frozen=True)
class Target:
    """A line of the table: its colour as web pages write it; mL and surface by number of source."""

    name: str
    colour: str
    volumes_ml: Mapping[int, float]
    surfaces: Mapping[int, Surface]


def plotly_script() -> str:
    """Return Plotly's JavaScript, 4.8 MB; ResourceError when it is not installed."""
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ResourceError(
            "surfaces are turned by plotly", remedy="pip install 'autoseg[report]'"
        ) from error
    script: str = get_plotlyjs()
    return script


def plotly_figure(targets: Sequence[Target], sources: Sequence[str]) -> str:
    """Return the figure as JSON, arrays in base64.

    The `meta` of a trace are its numbers of target and source, those of the layout the sources.
    """
    from plotly.graph_objects import Figure, Mesh3d

    surfaces = [surface for target in targets for surface in target.surfaces.values()]
    low = np.min([surface.vertices.min(axis=0) for surface in surfaces], axis=0)
    high = np.max([surface.vertices.max(axis=0) for surface in surfaces], axis=0)
    margin = MARGIN * float((high - low).max())
    scenes = ["scene", *(f"scene{number}" for number in range(2, len(sources) + 1))]
    layout = dict.fromkeys(scenes, _scene(low - margin, high + margin))
    figure = Figure(layout={**FRAME, **layout, "meta": sources})
    for number, target in enumerate(targets):
        for source, surface in target.surfaces.items():
            z, y, x = surface.vertices.T.astype(np.float32)
            i, j, k = surface.triangles.T.astype(np.uint16)
            figure.add_trace(
                Mesh3d(
                    x=x, y=y, z=z, i=i, j=j, k=k, color=target.colour, **LIGHT,
                    scene=scenes[source], hoverinfo="skip", meta=[number, source],
                )
            )  # fmt: skip
    return str(figure.to_json())


def _scene(low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """Return a scene from `low` to `high`, (z, y, x) mm: true proportions, no perspective."""
    extent = (high - low) * DIAGONAL / np.linalg.norm(high - low)
    return {
        **{f"{name}axis": _axis(name, *ends) for *ends, name in zip(low, high, "zyx", strict=True)},
        "aspectmode": "manual",
        "aspectratio": dict(zip("zyx", extent.tolist(), strict=True)),
        "camera": CAMERA,
        "dragmode": "orbit",
        "hovermode": False,
    }


def _axis(name: str, low: float, high: float) -> dict[str, Any]:
    """Return an axis with millimetres, and at its ends the sides of the patient."""
    step = 10 ** math.floor(math.log10((high - low) / TICKS))
    step *= next(factor for factor in (1, 2, 5, 10) if factor * step * TICKS >= high - low)
    ticks = np.arange(math.ceil(low / step), math.floor(high / step) + 1) * step
    aside = (high - low) * LETTER  # not in the corner, where labels of another axis may lie
    ticks = ticks[(ticks > low + 2 * aside) & (ticks < high - 2 * aside)].tolist()
    first, last = (f"<b>{letter}</b>" for letter in SIDES[name])
    return {
        "range": [low, high],
        "tickvals": [low + aside, *ticks, high - aside],
        "ticktext": [first, *(f"{tick:g}" for tick in ticks), last],
        "title": {"text": ""},
        "zeroline": False,
        "showspikes": False,
    }
