"""Which normaliser a channel gets: by its name as in nnU-Net, and by its histograms."""

from __future__ import annotations

from autoseg.plan import ChannelUnits, Fingerprint
from autoseg.planning.spacing import percent
from autoseg.preprocessing.units import MOST_SPREAD

NORMALIZER_OF_CHANNEL = {
    "ct": "ct",
    "zscore": "zscore",
    "nonorm": "none",
    "rescale_to_0_1": "rescale",
    "rgb_to_0_1": "rgb",
}
MASK_BELOW = 0.75  # kept fraction under which statistics are taken inside the non-zero mask
CT_WHY = "clipped and scaled by the foreground's statistics"


def choose_normalizers(
    fingerprint: Fingerprint,
) -> tuple[tuple[str, ...], tuple[bool, ...], list[str]]:
    """Return the normaliser of each channel and whether it looks inside the non-zero mask only."""
    cropped = fingerprint.kept_fraction < MASK_BELOW
    inside = f", inside the non-zero mask (the box keeps less than {percent(MASK_BELOW)})"
    names, reasons = [], []
    for index, channel in enumerate(fingerprint.channels):
        units = fingerprint.units[index] if fingerprint.units else None
        name, why = _choose(channel, units)
        if name == "zscore":
            why = f"mean and standard deviation of each scan{inside * cropped}{why}"
        names.append(name)
        reasons.append(f"Channel {channel}: normaliser '{name}', {why}.")
    mask = tuple(cropped and name == "zscore" for name in names)
    return tuple(names), mask, reasons


def _choose(channel: str, units: ChannelUnits | None) -> tuple[str, str]:
    """Return a channel's normaliser and why; for z-score only what is to be added."""
    named = NORMALIZER_OF_CHANNEL.get(channel.casefold())
    if named == "ct":
        return _named_ct(units)
    if named is not None and named != "zscore":
        return named, "as its name says"
    if units is None or named == "zscore" or not units.hounsfield:
        return "zscore", ""
    if units.is_hounsfield:
        return "ct", (
            f"its histograms show Hounsfield units ({_range(units)}, air and soft tissue where a "
            f"CT has them, in {units.hounsfield} of {units.cases} cases): {CT_WHY} (not "
            "so: --set CONFIGURATION.normalizers=NAME,...)"
        )
    if units.hounsfield > units.cases / 2:
        return "zscore", (
            f"; {units.hounsfield} of {units.cases} scans look like a CT, but "
            f"{units.contradicting} cannot be in Hounsfield units"
        )
    return "zscore", f"; {units.hounsfield} of {units.cases} scans look like a CT"


def _named_ct(units: ChannelUnits | None) -> tuple[str, str]:
    if units is None or not units.is_contradicted:
        return "ct", f"its name says Hounsfield units: {CT_WHY}"
    mixed = units.hounsfield > 0 or units.spread > MOST_SPREAD
    if not mixed:
        return "ct", (
            f"its name says Hounsfield units, which these are not ({_range(units)}), but all "
            f"scans are on one scale: {CT_WHY}"
        )
    return "zscore", (
        f"; its name says Hounsfield units, but {units.contradicting} of {units.cases} scans "
        "cannot be, and scales differ between scans: correct the files, or insist with "
        "--set CONFIGURATION.normalizers=ct"
    )


def _range(units: ChannelUnits) -> str:
    return f"values from {units.lowest:.4g} to {units.highest:.4g}"
