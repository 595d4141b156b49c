"""What is wrong or odd about the numbers of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from autoseg.case_files import some
from autoseg.errors import Problem
from autoseg.preprocessing.units import ScanUnits, combine_units

LARGEST_VALUE = 1e30  # squares and sums stay finite in float32 statistics
LOWEST_HU, HIGHEST_HU = -1100.0, 3100.0  # air and the densest bone; beyond are padding and metal


def find_bad_numbers(array: np.ndarray, place: str) -> list[Problem]:
    """Return a problem for NaN, infinite, and enormous values of an image (C, Z, Y, X)."""
    if array.dtype.kind != "f":
        return []
    # Minimum and maximum show NaN and infinity; only then is it worth counting.
    largest = max(abs(float(array.min())), abs(float(array.max())))
    if largest < LARGEST_VALUE:
        return []
    remedy = "replace them in the file, or remove the case"
    problems = []
    for name, wrong in (("NaN", np.isnan(array)), ("infinite", np.isinf(array))):
        if wrong.any():
            first = tuple(int(i) for i in np.argwhere(wrong)[0][1:])
            found = f"{int(wrong.sum()):,} voxels are {name}, the first at (z, y, x) = {first}"
            problems.append(Problem(place, found, "finite numbers", remedy))
    if not problems:
        problems.append(Problem(place, f"values up to {largest:.3g}", "below 1e30", remedy))
    return problems


def find_overflow(array: np.ndarray, place: str) -> list[Problem]:
    """Return a warning where values reach the end of an integer type of 16 bits or more."""
    if array.dtype.kind not in "ui" or array.dtype.itemsize < 2:
        return []
    ends = np.iinfo(array.dtype)
    reached = [end for end in {ends.min, ends.max} - {0} if (array == end).any()]
    if not reached:
        return []
    found = f"values reach {' and '.join(map(str, sorted(reached)))}, the end of {array.dtype}"
    return [Problem(place, found, remedy="were larger ones cut off, or wrapped around?")]


def find_odd_units(
    scans: Mapping[str, Sequence[ScanUnits]], channels: Sequence[str]
) -> list[Problem]:
    """Return warnings about CTs of which some cannot be in Hounsfield units, or go beyond them.

    `scans` has one entry per channel for each case. A channel is a CT by its name or by what most
    of its histograms show.
    """
    warnings = []
    for index, channel in enumerate(channels):
        units = {case: found[index] for case, found in scans.items()}
        named = channel.casefold() == "ct"
        if not units or not (named or combine_units(list(units.values())).is_hounsfield):
            continue
        impossible = {case: scan for case, scan in units.items() if scan.contradicts}
        beyond = {
            case: scan
            for case, scan in units.items()
            if case not in impossible and (scan.lowest < LOWEST_HU or scan.highest > HIGHEST_HU)
        }
        place = f"channel {channel}"
        if impossible:
            fact = f"{_of(impossible, units)} cannot be in Hounsfield units: {_ranges(impossible)}"
            remedy = "was the rescale slope or intercept lost, or a window applied?"
            warnings.append(Problem(place, fact, remedy=remedy))
        if beyond:
            fact = f"{_of(beyond, units)} beyond {LOWEST_HU:g} to {HIGHEST_HU:g} HU"
            remedy = "padding or metal is usual; a wrong rescale is not"
            warnings.append(Problem(place, f"{fact}: {_ranges(beyond)}", remedy=remedy))
    return warnings


def _of(some_of: Mapping[str, object], all_of: Mapping[str, object]) -> str:
    return f"{len(some_of)} of {len(all_of)} cases"


def _ranges(units: Mapping[str, ScanUnits]) -> str:
    return some(f"{case} ({scan.lowest:.5g} to {scan.highest:.5g})" for case, scan in units.items())
