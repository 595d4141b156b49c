"""How far traits of a scan lie from what is usual: 1 is the edge of what is tolerated.

Tolerated is the distance from the median to the end of the training range, more so the fewer the
cases were, plus a floor for traits in which all of them happened to be alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, permutations
from math import inf, log, sqrt

from autoseg.preprocessing.traits import FACE_TRAITS, INNER, PERCENTILES
from autoseg.usual import DIGITS, Range, Traits, Usual

RAW = tuple(f"p{p}" for p in PERCENTILES)
# Any gain leaves them as they are, so they hold for scans without units of their own, too.
LEVELS = (*(f"s{p}" for p in INNER), "zero")
SHAPE = (*LEVELS, "below", "above")
# The next case lies outside the range of n others with a chance of 2 / (n + 1) per trait, and there
# are dozens of them: of 10 cases the range is taken 1.95 times as wide, of 100 cases 1.3 times.
FEW_CASES = 3.0
RAW_FLOOR = 0.1  # of the usual span: another kernel or contrast phase
KEPT = 10.0 ** (1 - DIGITS)  # of a number: what a range, kept in few digits, may have lost
FLOORS = {
    **dict.fromkeys(LEVELS, 0.15),  # of the scan's own span
    **dict.fromkeys(["below", "above"], 0.5),  # a few bright vessels or metal make a long tail
    **dict.fromkeys(FACE_TRAITS, 0.25),
    # Ratios, as logarithms. Voxels are resampled: half or twice the size is no fault. A third more
    # or less of the body is a matter of protocol.
    **dict.fromkeys(["voxel z", "voxel y", "voxel x"], log(2)),
    **dict.fromkeys(["extent z", "extent y", "extent x", "volume"], log(4 / 3)),
}
# Orders of channels are compared with each other, all of them measured alike: no allowance for few
# cases, and a floor that only keeps from dividing by nothing.
ORDER_FLOOR = 0.02
MOST_ORDERED = 4  # channels of which all orders are tried; of more: all exchanges of two

Order = tuple[int, ...]


def misfit(value: float, usual: Range, floor: float, cases: float) -> float:
    """Return how far `value` lies from the middle of the range, in units of what is tolerated."""
    low, middle, high = usual
    reach = high - middle if value > middle else middle - low
    return abs(value - middle) / (reach * (1 + FEW_CASES / sqrt(cases)) + floor)


def misfits(
    traits: Mapping[str, float], usual: Mapping[str, Range], names: Iterable[str], cases: int
) -> dict[str, float]:
    """Return the misfit of each of the `names` that both know."""
    span = usual["p99"][1] - usual["p1"][1] if "p99" in usual else 0.0
    found = {}
    for name in names:
        if name not in traits or name not in usual:
            continue
        value, range_ = traits[name], usual[name]
        if name.startswith(("voxel", "extent", "volume")):
            value, range_ = log(value), _logs(range_)
        raw_floor = RAW_FLOOR * span + KEPT * abs(range_[1])  # few units on a large offset
        found[name] = misfit(value, range_, FLOORS.get(name, raw_floor), cases)
    return found


def _logs(usual: Range) -> Range:
    low, middle, high = usual
    return log(low), log(middle), log(high)


# --- what would undo a fault ---------------------------------------------------------------------


def lowered(traits: Mapping[str, float], by: float) -> dict[str, float]:
    """Return the traits of a channel whose values are `by` lower."""
    shifted = {name: v - by if name in RAW else v for name, v in traits.items()}
    return shifted | {"zero": traits["zero"] + by / (traits["p99"] - traits["p1"])}


def divided(traits: Mapping[str, float], by: float) -> dict[str, float]:
    """Return the traits of a channel whose values are divided by `by`."""
    return {name: value / by if name in RAW else value for name, value in traits.items()}


def inverted(traits: Mapping[str, float]) -> dict[str, float]:
    """Return what of a channel's traits is known when its values are turned upside down."""
    shape = {f"s{100 - p}": 1 - traits[f"s{p}"] for p in INNER}
    shape |= {name: 1 - traits[name] for name in FACE_TRAITS if name in traits}
    return shape | {"below": traits["above"], "above": traits["below"]}


def orders(channels: int) -> list[Order]:
    """Return other orders of so many channels: all of them, or all exchanges of two."""
    given = tuple(range(channels))
    if channels <= MOST_ORDERED:
        return [order for order in permutations(given) if order != given]
    exchanged = []
    for a, b in combinations(given, 2):
        order = list(given)
        order[a], order[b] = b, a
        exchanged.append(tuple(order))
    return exchanged


def order_misfits(traits: Traits, usual: Usual, order: Sequence[int]) -> list[float]:
    """Return all misfits when the scan's channel `order[i]` is taken for channel i."""
    found = []
    for index, ranges in enumerate(usual.channels):
        own = traits.channels[order[index]]
        found += [(own[name], ranges[name]) for name in LEVELS if name in own and name in ranges]
    for name, range_ in usual.pairs.items():
        a, b = sorted(order[int(index)] for index in name.split())
        if f"{a} {b}" in traits.pairs:
            found.append((traits.pairs[f"{a} {b}"], range_))
    return [misfit(value, range_, ORDER_FLOOR, inf) for value, range_ in found]
