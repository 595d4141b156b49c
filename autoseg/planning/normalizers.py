"""Which normaliser a channel gets: by its name, as in nnU-Net."""

from __future__ import annotations

from autoseg.plan import Fingerprint
from autoseg.planning.spacing import percent

NORMALIZER_OF_CHANNEL = {
    "ct": "ct",
    "zscore": "zscore",
    "nonorm": "none",
    "rescale_to_0_1": "rescale",
    "rgb_to_0_1": "rgb",
}
MASK_BELOW = 0.75  # kept fraction under which statistics are taken inside the non-zero mask


def choose_normalizers(
    fingerprint: Fingerprint,
) -> tuple[tuple[str, ...], tuple[bool, ...], list[str]]:
    """Return the normaliser of each channel and whether it looks inside the non-zero mask only."""
    names = tuple(NORMALIZER_OF_CHANNEL.get(c.casefold(), "zscore") for c in fingerprint.channels)
    cropped = fingerprint.kept_fraction < MASK_BELOW
    mask = tuple(cropped and name == "zscore" for name in names)
    inside = f", inside the non-zero mask (the box keeps less than {percent(MASK_BELOW)})"
    why = {
        "ct": "its name says Hounsfield units: clipped and scaled by the foreground's statistics",
        "zscore": f"mean and standard deviation of each scan{inside * cropped}",
    }
    reasons = [
        f"Channel {channel}: normaliser '{name}', {why.get(name, 'as its name says')}."
        for channel, name in zip(fingerprint.channels, names, strict=True)
    ]
    return names, mask, reasons
