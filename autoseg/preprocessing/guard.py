"""Is this scan like those that the model learnt from? Four checks before prediction.

intensities     a rescale that was lost, a CT for a model of MR, inverted values
channels        another order of the channels fits better than the one that was given
spacing         voxel sizes in cm or in metres
field of view   smaller or larger than any, or its faces show what none of the training scans' do;
                after prediction, see `guard_labels.py`, faces that cut a target

Each gives a score, 1 where a warning begins, and the sentence. Models without ranges
(`plan.usual`: of nnU-Net, or of older versions) are asked about units only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoseg.image import Image
from autoseg.plan import Plan
from autoseg.preprocessing.finding import WARN_ABOVE, Finding, face_names
from autoseg.preprocessing.guard_values import FLAGGED, UNEXPLAINED, look_at_values
from autoseg.preprocessing.misfit import misfits, order_misfits, orders
from autoseg.preprocessing.traits import AXES, FACE_TRAITS, traits_of
from autoseg.preprocessing.units import ABSOLUTE, unexpected_units
from autoseg.usual import Range, Traits, Usual

SWAP_GAIN = 2.0  # another order of the channels must fit so many times better than the given one
LENGTHS = ("extent z", "extent y", "extent x")
UNITS = ((10.0, "in cm?"), (1000.0, "in metres?"), (0.1, "in tenths of a mm?"),
         (0.001, "in micrometres?"))  # fmt: skip


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
        found.append(look_at_values(name, *known, absolute, flag))
        odd_values = found[-1].score > WARN_ABOVE and not found[-1].told.endswith(UNEXPLAINED)
        if order[index] == index and not odd_values:
            even.append(index)
    spacing, factor = _spacing(traits, usual)
    return [*found, spacing, _field_of_view(traits, usual, factor, even, plan.file_ending)]


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
    names = face_names(ending)
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
