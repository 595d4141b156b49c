"""How much each target counts in a loss: by hand, or by how rare it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from autoseg.errors import UsageError, suggest
from autoseg.labels import Labels

BALANCED = "balanced"
BACKGROUND = "background"


def channel_weights(text: str | None, labels: Labels) -> tuple[float, ...] | None:
    """Return one weight per channel of "liver=1,tumour=3"; None for no text.

    Who is not named has the weight 1. "background" is a name where targets exclude each other.
    Raises UsageError for a name or a number that cannot be meant. "balanced" must have become
    numbers (`balanced_weights`) before; until then it stands for ones.
    """
    if text is None:
        return None
    names = (BACKGROUND, *labels.names) if labels.exclusive else labels.names
    weights = dict.fromkeys(names, 1.0)
    for part in text.split(",") if text != BALANCED else ():
        name, _, number = part.rpartition("=")
        if name.strip() not in weights:
            raise UsageError(
                f"target_weights={text}: unknown target '{name.strip() or part.strip()}'",
                expected=f"{BALANCED}, or name=weight,... of {', '.join(names)}",
                remedy=suggest(name.strip(), names) if name.strip() else "",
            )
        weights[name.strip()] = _weight(number, text)
    if not sum(weights[name] for name in labels.names):
        raise UsageError(f"target_weights={text}", expected="a weight above 0 for some target")
    return tuple(weights.values())


def _weight(number: str, text: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not 0 <= weight < math.inf:
        fact = f"target_weights={text}: '{number.strip()}' is no weight"
        raise UsageError(fact, expected="0 or more")
    return weight


def balanced_weights(
    counts: Sequence[Mapping[str, int]], annotated: Sequence[Sequence[str] | None], labels: Labels
) -> str:
    """Return weights by the inverse square root of the targets' mean volumes, as text.

    `counts`: voxels per value index of each case, as a sidecar holds them; a case counts for the
    targets that were annotated in it. The mean of the weights is 1, and background keeps 1. With
    the inverse itself, rare targets are found everywhere. A target without any voxel has weight 1.
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
