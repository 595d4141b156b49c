"""Does a face of the scan cut a target that was predicted, as none did in training?"""

from __future__ import annotations

import numpy as np

from autoseg.image import Geometry, canonical_orientation, reorient
from autoseg.plan import Plan
from autoseg.preprocessing.finding import FACES, Finding, face_names
from autoseg.preprocessing.misfit import misfit
from autoseg.preprocessing.traits import AXES, NEAR, sections
from autoseg.usual import Usual

# Of the usual largest section across that axis: the tip of a structure, or a few voxels that only
# look like it, may touch a face.
CUT_FLOOR = 0.1


def look_at_labels(label_map: np.ndarray, geometry: Geometry, plan: Plan) -> Finding | None:
    """Return which target of a predicted `label_map` (Z, Y, X) a face of the scan cuts most oddly.

    None where training did not note how targets meet the faces, or no target was found.
    """
    if plan.usual is None or not plan.usual.sections:
        return None
    worst: Finding | None = None
    near = _near(geometry, plan.usual)
    for target, own in sections(label_map, plan.labels, geometry, near).items():
        known = plan.usual.sections.get(target)
        if known is None:
            continue
        for face in range(len(FACES)):
            usual = known.largest[face // 2]
            looks = (
                (1, own.faces[face], known.faces[face]),
                (near[face // 2], own.near[face], known.near[face]),
            )
            # Of a target that comes near a face and never to it, a border that is drawn one voxel
            # too far would look cut.
            apart = known.faces[face] == 0 < known.near[face]
            for depth, area, most in looks[1:] if apart else looks:
                score = misfit(area, (0.0, 0.0, most), CUT_FLOOR * usual, plan.usual.cases)
                if worst is None or score > worst.score:
                    told = _cut(target, face, depth, area / usual, most / usual, plan.file_ending)
                    worst = Finding("field of view", score, told)
    return worst


def _near(geometry: Geometry, usual: Usual) -> tuple[int, int, int]:
    """Return how many slices across each axis are as thick as the training scans' NEAR slices."""
    orientation = canonical_orientation(geometry.direction_matrix)
    spacing = reorient(geometry, orientation).spacing
    z, y, x = (
        max(1, round(NEAR * usual.grid[f"voxel {axis}"][1] / mm))
        for axis, mm in zip(AXES, spacing, strict=True)
    )
    return z, y, x


def _cut(target: str, face: int, depth: int, here: float, most: float, ending: str) -> str:
    name = face_names(ending)[face]
    where = f"at the {name} face" if depth == 1 else f"within {depth} slices of the {name} face"
    return (
        f"{target} is cut {where}: {here:.0%} of its usual section there, in training at most "
        f"{most:.0%}; part of the scan missing?"
    )
