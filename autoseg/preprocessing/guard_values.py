"""Are the values of a channel like those of the training, and if not, what was done to them?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoseg.preprocessing.finding import WARN_ABOVE, Finding
from autoseg.preprocessing.misfit import RAW, SHAPE, divided, inverted, lowered, misfits
from autoseg.preprocessing.traits import FACE_TRAITS, PERCENTILES
from autoseg.usual import Range

FLAGGED = 2.0  # score of what is no question of degree: a CT for a model of MR
UNEXPLAINED = "another kind of image, windowed, or normalised already?"
SHIFTS = (1024.0, 1000.0, -1024.0, -1000.0)  # intercepts of CT


def look_at_values(
    channel: str, traits: Mapping[str, float], usual: Mapping[str, Range], cases: int,
    absolute: bool, odd: str | None,
) -> Finding:  # fmt: skip
    """Return how far the traits of one channel are from what is usual, and why that may be.

    `absolute`: its own numbers matter, not only their shape; `odd`: what its units have shown.
    """
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
    span = usual["p99"][1] - usual["p1"][1]
    shift = traits["p50"] - usual["p50"][1]
    if fits(lowered(traits, shift)):
        return f"about {abs(shift):.4g} too {'high' if shift > 0 else 'low'}"
    ratio = (traits["p99"] - traits["p1"]) / span if span else 0.0
    if ratio and fits(divided(traits, ratio)):
        return f"about {ratio:.3g} times as large as there: rescale slope lost?"
    if fits(inverted(traits), *FACE_TRAITS):
        return "inverted?"
    return UNEXPLAINED
