"""How much each target counts, and how often it is drawn: by hand, or by how rare it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autoseg.errors import UsageError, suggest
from autoseg.labels import Labels

BY_VOLUME = {"target_weights": "balanced", "target_sampling": "rarity"}
BACKGROUND = "background"


def channel_weights(text: str | None, labels: Labels) -> tuple[float, ...] | None:
    """Return one weight per channel of `target_weights`, "liver=1,tumour=3"; None for no text.

    "background" is a name where targets exclude each other.
    """
    names = (BACKGROUND, *labels.names) if labels.exclusive else labels.names
    return _weights("target_weights", text, names, labels)


def sampling_weights(text: str | None, labels: Labels) -> tuple[float, ...] | None:
    """Return one weight per target of `target_sampling`, "liver=1,tumour=3"; None for no text."""
    return _weights("target_sampling", text, labels.names, labels)


def _weights(
    setting: str, text: str | None, names: Sequence[str], labels: Labels
) -> tuple[float, ...] | None:
    """Return the weights of `names`; who is not named has 1.

    Raises UsageError for a name or a number that cannot be meant. The word for weights by volume
    must have become numbers before (`weights_by_volume`); until then it stands for ones.
    """
    if text is None:
        return None
    weights = dict.fromkeys(names, 1.0)
    for part in text.split(",") if text != BY_VOLUME[setting] else ():
        name, _, number = part.rpartition("=")
        if name.strip() not in weights:
            raise UsageError(
                f"{setting}={text}: unknown target '{name.strip() or part.strip()}'",
                expected=f"{BY_VOLUME[setting]}, or name=weight,... of {', '.join(names)}",
                remedy=suggest(name.strip(), names) if name.strip() else "",
            )
        weights[name.strip()] = _weight(number, f"{setting}={text}")
    if not sum(weights[name] for name in labels.names):
        raise UsageError(f"{setting}={text}", expected="a weight above 0 for some target")
    return tuple(weights.values())


def _weight(number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        raise UsageError(f"{text}: '{number.strip()}' is no weight", expected="0 or more")
    return weight


def weights_by_volume(
    counts: Sequence[Mapping[str, int]], annotated: Sequence[Sequence[str] | None], labels: Labels
) -> str:
    """Return weights by the inverse square root of the targets' mean volumes, as text.

    `counts`: voxels per value index of each case, as a sidecar holds them; a case counts for the
    targets that were annotated in it. The mean of the weights is 1, and background keeps 1: with
    the inverse itself, rare targets are found everywhere. A target without a voxel has weight 1.
    """
    volumes = {}
    for row, name in zip(labels.membership, labels.names, strict=True):
        values = [str(index) for index in range(len(row)) if row[index]]
        seen = [
            sum(count.get(value, 0) for value in values)
            for count, known in zip(counts, annotated, strict=True)
            if known is None or name in known
        ]
        volumes[name] = sum(seen) / len(seen) if seen else 0.0
    roots = {name: 1 / math.sqrt(volume) for name, volume in volumes.items() if volume}
    mean = sum(roots.values()) / max(1, len(roots))
    return ",".join(f"{name}={roots[name] / mean if name in roots else 1:.3g}" for name in volumes)
