"""What units are a scan's numbers in? Told from their histogram, whatever the channel is called.

Hounsfield units are recognised by what every CT shows: air near -1000, hardly anything below it but
padding, and a body most of which is fat or soft tissue, between -250 and 350. Whole numbers are no
condition: a resampled CT has fractions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autoseg.image import Image
from autoseg.plan import ChannelUnits, IntensityStats, Plan

SAMPLED_VOXELS = 1 << 18  # spread over a scan
LOWEST_HU, AIR_HU, BONE_HU = -3100.0, -900.0, 100.0  # padding is -2048 or -3024; above all scanners
AIR = (-1100.0, -900.0)
TISSUE = (-250.0, 350.0)  # fat to contrast medium
LEAST_AIR, LEAST_BODY, LEAST_SOFT, MOST_BELOW = 0.002, 0.01, 0.5, 0.01  # shares
MODE_WITHIN = 200.0  # of 0: the commonest tissue is fat, muscle or parenchyma
MODE_BIN = 50.0
NARROWEST_HU = 100.0  # between the lowest and highest value of a scan
# Scans of one channel whose values spread over so many times more than others' differ in scale.
MOST_SPREAD = 20.0
# Normalisers for which a scan's own numbers must be right.
ABSOLUTE = ("ct", "rgb", "none", "window", "ct_clip")


@dataclass(frozen=True)
class ScanUnits:
    """What one channel of one scan tells about its units."""

    lowest: float
    highest: float
    span: float  # between its 1st and 99th percentile
    hounsfield: bool  # its histogram is that of a CT
    contradicts: bool  # it cannot be in Hounsfield units


def look_at(channel: np.ndarray) -> ScanUnits:
    """Return what a channel (Z, Y, X) of finite numbers tells about its units."""
    flat = channel.reshape(-1)
    sample = flat[:: max(1, flat.size // SAMPLED_VOXELS) | 1].astype(np.float64)
    lowest, highest = float(channel.min()), float(channel.max())
    first, last = (float(value) for value in np.percentile(sample, (1, 99)))
    constant = lowest == highest  # an empty scan says nothing
    contradicts = not constant and (lowest >= 0 or highest - lowest < NARROWEST_HU)
    is_ct = LOWEST_HU < lowest < AIR_HU and highest > BONE_HU and _is_ct(sample)
    return ScanUnits(lowest, highest, last - first, is_ct, contradicts)


def _is_ct(sample: np.ndarray) -> bool:
    padding = sample.min()
    air = np.mean((sample >= AIR[0]) & (sample <= AIR[1]))
    below = np.mean((sample < AIR[0]) & (sample > padding))
    body = sample[sample > TISSUE[0]]
    if air < LEAST_AIR or below > MOST_BELOW or body.size < LEAST_BODY * sample.size:
        return False
    counts = np.bincount(((body - TISSUE[0]) / MODE_BIN).astype(np.int64))
    mode = TISSUE[0] + (int(counts.argmax()) + 0.5) * MODE_BIN
    return bool(np.mean(body <= TISSUE[1]) >= LEAST_SOFT and abs(mode) <= MODE_WITHIN)


def combine_units(scans: Sequence[ScanUnits]) -> ChannelUnits:
    """Return what the scans of one channel have in common."""
    spans = [scan.span for scan in scans if scan.span > 0]
    return ChannelUnits(
        float(np.median([scan.lowest for scan in scans])),
        float(np.median([scan.highest for scan in scans])),
        len(scans),
        sum(scan.hounsfield for scan in scans),
        sum(scan.contradicts for scan in scans),
        max(spans) / min(spans) if spans else 1.0,
    )


def unexpected_units(image: Image, plan: Plan, normalizers: Sequence[str]) -> dict[int, str]:
    """Return a sentence for each channel (its index) whose units no model of `plan` learnt."""
    found = {}
    for index, (name, normalizer) in enumerate(zip(plan.channels, normalizers, strict=True)):
        scan = look_at(image.array[index])
        if scan.lowest == scan.highest:
            continue
        units = plan.units[index] if plan.units else _remembered(name, plan.intensities[index:])
        expected = _not_as_expected(scan, units, normalizer) if units else ""
        if expected:
            here = f"values from {scan.lowest:.4g} to {scan.highest:.4g}"
            found[index] = f"channel {name} has {here}; the model was trained on {expected}"
    return found


def _not_as_expected(scan: ScanUnits, units: ChannelUnits, normalizer: str) -> str:
    """Return what was expected where `scan` cannot be it, else nothing."""
    range_ = f"{units.lowest:.4g} to {units.highest:.4g}"
    if units.is_hounsfield:
        return f"Hounsfield units, about {range_}" * scan.contradicts
    if scan.hounsfield and not units.hounsfield:
        return f"numbers from about {range_}, not on a CT"
    width = max(units.highest - units.lowest, 1e-12)
    ratio = (scan.highest - scan.lowest) / width
    absolute = normalizer.partition(":")[0] in ABSOLUTE
    strange = absolute and not 1 / MOST_SPREAD < ratio < MOST_SPREAD
    return f"numbers from about {range_}" * strange


def _remembered(name: str, intensities: Sequence[IntensityStats]) -> ChannelUnits | None:
    """Return what a plan without units must mean: Hounsfield if name and numbers say so."""
    if name.casefold() != "ct" or not intensities or intensities[0].minimum >= 0:
        return None
    return ChannelUnits(-1000.0, max(intensities[0].maximum, 1000.0), 1, 1, 0, 1.0)
