"""Is this scan like those that the model learnt from? Four checks before, one after prediction.

intensities     a rescale that was lost, a CT for a model of MR, inverted values
channels        another order of the channels fits better than the one that was given
spacing         voxel sizes in cm or in metres
field of view   smaller or larger than any, or its faces cut what none of the training scans' cut;
                after prediction: a face cuts a target as none did in training

Each gives a score, 1 where a warning begins, and the sentence. Models without ranges
(`plan.usual`: of nnU-Net, or of older versions) are asked about units only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.case_files import PICTURES
from autoseg.image import Geometry, Image
from autoseg.plan import Plan
from autoseg.preprocessing.misfit import (
    RAW,
    SHAPE,
    divided,
    inverted,
    lowered,
    misfit,
    misfits,
    order_misfits,
    orders,
)
from autoseg.preprocessing.traits import AXES, FACE_TRAITS, PERCENTILES, sections, traits_of
from autoseg.preprocessing.units import ABSOLUTE, unexpected_units
from autoseg.usual import Range, Traits, Usual

WARN_ABOVE = 1.0
FLAGGED = 2.0  # score of what is no question of degree: a CT for a model of MR
SWAP_GAIN = 2.0  # another order of the channels must fit so many times better than the given one
# Of the usual largest section across that axis: the tip of a structure, or a few voxels that only
# look like it, may touch a face.
CUT_FLOOR = 0.1
LENGTHS = ("extent z", "extent y", "extent x")
FACES = ("lowest", "highest", "front", "back", "right", "left")  # in the order of FACE_TRAITS
PICTURE_FACES = ("first", "last", "top", "bottom", "left", "right")
UNITS = ((10.0, "in cm?"), (1000.0, "in metres?"), (0.1, "in tenths of a mm?"),
         (0.001, "in micrometres?"))  # fmt: skip
UNEXPLAINED = "another kind of image, windowed, or normalised already?"
SHIFTS = (1024.0, 1000.0, -1024.0, -1000.0)  # intercepts of CT


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


def look_at_scan(image: Image, plan: Plan, normalizers: Sequence[str]) -> list[Finding]:
    """Return what each check finds in `image` (C, Z, Y, X), which is not all zero."""
    odd = unexpected_units(image, plan, normalizers)
    if plan.usual is None:
        return [Finding("intensities", FLAGGED, told) for told in odd.values()]
    usual, traits = plan.usual, traits_of(image)
    found: list[Finding] = []
    even = []  # channels whose values have no fault of their own that would show on the faces, too
    order = tuple(range(len(plan.channels)))
    if len(order) > 1:
        exchanged, better = _channels(traits, usual, plan.channels)
        found.append(exchanged)
        order = better if exchanged.score > WARN_ABOVE else order
    for index, (name, normalizer) in enumerate(zip(plan.channels, normalizers, strict=True)):
        # Of channels that were exchanged one finding is enough.
        flag = odd.get(index) if order[index] == index else None
        absolute = normalizer in ABSOLUTE
        known = traits.channels[order[index]], usual.channels[index], usual.cases
        found.append(_intensities(name, *known, absolute, flag))
        odd_values = found[-1].score > WARN_ABOVE and not found[-1].told.endswith(UNEXPLAINED)
        if order[index] == index and not odd_values:
            even.append(index)
    spacing, factor = _spacing(traits, usual)
    return [*found, spacing, _field_of_view(traits, usual, factor, even, plan.file_ending)]


# --- intensities and channels --------------------------------------------------------------------


def _intensities(
    channel: str, traits: Mapping[str, float], usual: Mapping[str, Range], cases: int,
    absolute: bool, odd: str | None,
) -> Finding:  # fmt: skip
    names = (*RAW, *SHAPE) if absolute else SHAPE
    if usual and not traits:
        return Finding("intensities", FLAGGED, f"channel {channel} has one value everywhere")
    score = max(misfits(traits, usual, names, cases).values(), default=0.0)
    if odd is not None:
        score = max(score, FLAGGED)
    if score <= WARN_ABOVE:
        return Finding("intensities", score, f"channel {channel} as in training")
    if not usual:  # the training scans had one value everywhere
        return Finding("intensities", score, odd or "")
    told = odd if odd and not absolute else _place(channel, traits, usual, absolute)
    return Finding("intensities", score, f"{told}: {_cause(traits, usual, names, cases)}")


def _place(
    channel: str, traits: Mapping[str, float], usual: Mapping[str, Range], absolute: bool
) -> str:
    if not absolute:
        return f"the histogram of channel {channel} has another shape than those of training"
    low, high = usual["p1"][0], usual["p99"][2]
    levels = [traits[name] for name in RAW]
    above = 100 - float(np.interp(high, levels, PERCENTILES, 0, 100))
    below = float(np.interp(low, levels, PERCENTILES, 0, 100))
    share, side = max((above, "above"), (below, "below"))
    here = f"channel {channel} from {traits['p1']:.4g} to {traits['p99']:.4g}"
    return f"{here}, {share:.0f} % of the voxels {side} the training range {low:.4g} to {high:.4g}"


def _cause(
    traits: Mapping[str, float], usual: Mapping[str, Range], names: Sequence[str], cases: int
) -> str:
    """Return what was probably done to the values: what undoes it makes them fit."""

    def fits(changed: Mapping[str, float], *more: str) -> bool:
        found = misfits(changed, usual, (*names, *more), cases)
        return max(found.values(), default=2.0) <= WARN_ABOVE

    for shift in SHIFTS:
        if fits(lowered(traits, shift)):
            side, why = ("high", "lost") if shift > 0 else ("low", "applied twice")
            return f"{abs(shift):,.0f} too {side}: rescale intercept {why}?"
    ratio = (traits["p99"] - traits["p1"]) / (usual["p99"][1] - usual["p1"][1])
    shift = traits["p50"] - usual["p50"][1]
    if fits(lowered(traits, shift)):
        return f"about {abs(shift):.4g} too {'high' if shift > 0 else 'low'}"
    if fits(divided(traits, ratio)):
        return f"about {ratio:.3g} times as large as there: rescale slope lost?"
    if fits(inverted(traits), *FACE_TRAITS):
        return "inverted?"
    return UNEXPLAINED


def _channels(
    traits: Traits, usual: Usual, names: Sequence[str]
) -> tuple[Finding, tuple[int, ...]]:
    """Return whether another order fits better, and the best of the others."""
    given = order_misfits(traits, usual, range(len(names)))
    cost, better = min(
        (float(np.square(order_misfits(traits, usual, order)).sum()), order)
        for order in orders(len(names))
    )
    gain = float(np.square(given).sum()) / max(cost, 1e-9)
    score = min(gain / SWAP_GAIN, max(given, default=0.0))
    moved = [i for i, source in enumerate(better) if source != i]
    here = ", ".join(f"{names[better[i]]} where {names[i]} belongs" for i in moved)
    times = f"the order fits {gain:,.1f} times better that has"
    return Finding("channels", score, f"exchanged? {times} {here}"), better


# --- grid ----------------------------------------------------------------------------------------


def _spacing(traits: Traits, usual: Usual) -> tuple[Finding, float]:
    """Return the finding about voxel sizes, and by what to multiply them (1: by nothing)."""
    names = [f"voxel {axis}" for axis in AXES]
    score = max(misfits(traits.grid, usual.grid, names, usual.cases).values())
    here = _times([traits.grid[name] for name in names])
    told = f"voxels of {here} mm, in training {_times([usual.grid[n][1] for n in names])} mm"
    if score <= WARN_ABOVE:
        return Finding("spacing", score, told), 1.0
    for factor, unit in UNITS:
        grown = {name: value * factor for name, value in traits.grid.items()}
        if max(misfits(grown, usual.grid, names, usual.cases).values()) <= WARN_ABOVE:
            return Finding("spacing", score, f"{told}: {unit}"), factor
    return Finding("spacing", score, f"{told}: voxel size lost?"), 1.0


def _field_of_view(
    traits: Traits, usual: Usual, factor: float, channels: Sequence[int], ending: str
) -> Finding:
    grid = {name: value * factor for name, value in traits.grid.items()}
    grid["volume"] = traits.grid["volume"] * factor**3
    lengths = misfits(grid, usual.grid, (*LENGTHS, "volume"), usual.cases)
    longest = max(LENGTHS, key=lambda name: lengths[name])  # which says more than a volume does
    told = longest if lengths[longest] > WARN_ABOVE else "volume"
    names = PICTURE_FACES if ending in PICTURES else FACES
    worst = max(lengths.values()), _length(told, grid, usual.grid, names)
    for index in channels:
        faces = misfits(traits.channels[index], usual.channels[index], FACE_TRAITS, usual.cases)
        for face, score in faces.items():
            if score > worst[0]:
                where = names[FACE_TRAITS.index(face)]
                worst = score, f"the {where} face shows other values than in training: cut short?"
    return Finding("field of view", *worst)


def _length(
    name: str, grid: Mapping[str, float], usual: Mapping[str, Range], faces: Sequence[str]
) -> str:
    low, _, high = usual[name]
    small = grid[name] < low
    if name == "volume":
        here = f"{grid[name]:.4g} ml, in training {low:.4g} to {high:.4g} ml"
    else:
        first = 2 * LENGTHS.index(name)
        here = (
            f"{grid[name]:.4g} mm from {faces[first]} to {faces[first + 1]}, in training "
            f"{low:.4g} to {high:.4g} mm"
        )
    return f"{here}: {'part of the scan missing?' if small else 'a larger part of the body?'}"


def _times(values: Sequence[float]) -> str:
    return "x".join(f"{value:.3g}" for value in values)


# --- after prediction ----------------------------------------------------------------------------


def look_at_labels(label_map: np.ndarray, geometry: Geometry, plan: Plan) -> Finding | None:
    """Return which target of a predicted `label_map` (Z, Y, X) a face of the scan cuts most oddly.

    None where training did not note how targets meet the faces, or no target was found.
    """
    if plan.usual is None or not plan.usual.sections:
        return None
    worst: Finding | None = None
    names = PICTURE_FACES if plan.file_ending in PICTURES else FACES
    for target, own in sections(label_map, plan.labels, geometry).items():
        known = plan.usual.sections.get(target)
        if known is None:
            continue
        for face, (area, most) in enumerate(zip(own.faces, known.faces, strict=True)):
            usual = known.largest[face // 2]
            score = misfit(area, (0.0, 0.0, most), CUT_FLOOR * usual, plan.usual.cases)
            if worst is None or score > worst.score:
                told = (
                    f"the {names[face]} face of the scan cuts {target}, {area / usual:.0%} of its "
                    f"usual section, in training at most {most / usual:.0%}: part of the scan "
                    "missing?"
                )
                worst = Finding("field of view", score, told)
    return worst
