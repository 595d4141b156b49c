"""A page that turns the surfaces of label maps in mm: one file, no network.

Plotly draws them; its switches, its views and what links its scenes are `mesh.js`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import ndimage

from autoseg.colours import hexadecimal, target_colours
from autoseg.errors import DataError
from autoseg.files import write_text
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.excerpt import Box, grid_of
from autoseg.report.html import MARK
from autoseg.report.mesh_figure import Target, plotly_figure, plotly_script
from autoseg.report.surface import MOST_TRIANGLES, Surface, surface_of

TRIANGLES = 600_000  # of all surfaces together: turned without a graphics card
MOST_TARGETS = 1000  # each takes hundredths of a second, and a line of the table

HERE = Path(__file__).parent


def write_meshes(
    path: Path,
    title: str,
    sources: Mapping[str, np.ndarray],
    geometry: Geometry,
    labels: Labels,
) -> None:
    """Write a page that turns the surfaces of label maps (Z, Y, X), all on one grid.

    `sources` are called "reference", "prediction" and so on; every target that one of them has gets
    a switch. Millilitres in the page are counted in voxels, not in triangles. Raises DataError when
    there is nothing to show or too much, ResourceError without scikit-image or Plotly.
    """
    plotly = plotly_script()  # first: what is not installed is told at once
    boxes = [_boxes(label_map) for label_map in sources.values()]
    colours = map(hexadecimal, target_colours(len(labels.targets)))
    shown = [
        (name, values, colour)
        for (name, values), colour in zip(labels.targets.items(), colours, strict=True)
        if any(found.keys() & set(values) for found in boxes)
    ]
    if not shown:
        fact, expected = f"no target in {' or '.join(sources)}", ", ".join(labels.names)
        raise DataError(fact, place=title, expected=expected)
    if len(shown) > MOST_TARGETS:
        fact, expected = f"surfaces of {len(shown):,} targets", f"{MOST_TARGETS:,} at most"
        raise DataError(fact, place=title, expected=expected)
    most = min(MOST_TRIANGLES, TRIANGLES // (len(shown) * len(sources)))
    voxel_ml = math.prod(geometry.spacing) / 1000
    targets = []
    for name, values, colour in shown:
        volumes_ml: dict[int, float] = {}
        surfaces: dict[int, Surface] = {}
        for source, (label_map, found) in enumerate(zip(sources.values(), boxes, strict=True)):
            own = [found[value] for value in values if value in found]
            if own:
                box = _around(own)
                mask = labels.mask(label_map[box], name)
                volumes_ml[source] = int(np.count_nonzero(mask)) * voxel_ml
                surfaces[source] = surface_of(mask, grid_of(box, geometry), most)
        targets.append(Target(name, colour, volumes_ml, surfaces))
    parts = {
        "mark": html.escape(MARK),
        "title": html.escape(title),
        "layouts": _layouts(list(sources)),
        "head": "".join(f"<th>{html.escape(source)}, mL</th>" for source in sources),
        "rows": "\n".join(_row(target, len(sources)) for target in targets),
        "figure": plotly_figure(targets, list(sources)).replace("<", "\\u003c"),
        "script": (HERE / "mesh.js").read_text(encoding="utf-8"),
        "plotly": plotly,
    }
    page = (HERE / "mesh.html").read_text(encoding="utf-8")
    for mark, content in parts.items():
        page = page.replace(f"{{{{{mark}}}}}", content)
    write_text(path, page)


def _boxes(label_map: np.ndarray) -> dict[int, Box]:
    """Return the box of each value; most of the time would go into looking for them one by one."""
    found = enumerate(ndimage.find_objects(label_map), start=1)
    return {value: box for value, box in found if box is not None}


def _around(boxes: list[Box]) -> Box:
    z, y, x = (
        slice(min(side.start for side in sides), max(side.stop for side in sides))
        for sides in zip(*boxes, strict=True)
    )
    return z, y, x


def _layouts(sources: Sequence[str]) -> str:
    """Return the choice of what is shown, if there is one; the value of a source is its number."""
    several = ["side by side", "one over the other"] if len(sources) > 1 else []
    choices = [(name, name) for name in several] + list(enumerate(sources))
    options = "".join(
        f'<option value="{value}">{html.escape(name)}</option>' for value, name in choices
    )
    hidden = "" if several else " hidden"
    return f'<select id="layout" aria-label="layout"{hidden}>{options}</select>'


def _row(target: Target, sources: int) -> str:
    volumes = [target.volumes_ml.get(source, 0.0) for source in range(sources)]
    cells = "".join(f"<td>{_millilitres(volume)}</td>" for volume in volumes)
    return (
        f'<tr><td><label><input type="checkbox" checked>'
        f'<span class="colour" style="background:{target.colour}"></span>'
        f"<span>{html.escape(target.name)}</span></label></td>{cells}</tr>"
    )


def _millilitres(volume: float) -> str:
    """Return three digits of a volume, of a large one all before the point, as the viewer does."""
    if not volume:
        return "-"
    return f"{volume:.0f}" if volume >= 999 else f"{volume:#.3g}".rstrip(".")
