"""Normalisers with numbers in their names, "window:-400,400", and every normaliser by its name.

A name travels in plans and bundles, so it is data: a known word and numbers, read strictly.

    window:LOW,HIGH[,TO_LOW,TO_HIGH]   clip, then LOW..HIGH becomes TO_LOW..TO_HIGH (0..1)
    window:level=30,width=400          the same, as radiologists say it; gamma=1.1 bends it
    ct_clip:LOW,HIGH[,MEAN,STD]        clip, subtract a mean, divide by a deviation (the data set's)
    percentile_slices:1,99             each slice from its own percentiles to 0..1
    levels:256                         each scan from its own extremes to so many grey levels, 0..1
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg.errors import UsageError
from autoseg.plan import IntensityStats
from autoseg.preprocessing.normalize import NORMALIZERS, SMALLEST_STD, Normalizer
from autoseg.registry import is_foreign, resolve

Numbers = Mapping[str, float]


@dataclass(frozen=True)
class Form:
    """How a normaliser's numbers are written, and what makes the normaliser of them."""

    order: tuple[str, ...]  # of numbers without a name
    others: tuple[str, ...]  # only by name
    make: Callable[[Numbers], Normalizer]
    expected: str


def find_normalizer(name: str, trust: bool = True) -> Normalizer:
    """Return a normaliser by its name, "ct", or name and numbers, "window:-400,400".

    Raises UsageError for a name or numbers that cannot be meant; CorruptError for the name of a
    function of one's own without `trust`.
    """
    head, separator, text = name.partition(":")
    if head not in FORMS:
        known: dict[str, Any] = {**NORMALIZERS, **dict.fromkeys(FORMS)}
        if separator and head in NORMALIZERS:
            raise UsageError(f"normaliser '{name}'", expected=f"{head}, which has no numbers")
        wanted = name if is_foreign(name) else head
        found = typing.cast(Normalizer, resolve("normaliser", wanted, known, trust))
        return found if wanted in known else _of_one_shape(found, wanted)
    form = FORMS[head]
    try:
        return form.make(_read_numbers(text, form) if separator else {})
    except (KeyError, ValueError) as error:
        raise UsageError(f"normaliser '{name}'", expected=form.expected) from error


def _of_one_shape(normalize: Normalizer, name: str) -> Normalizer:
    """Return a normaliser of the user's own that is refused, by its name, for another shape."""

    def checked(
        array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
    ) -> np.ndarray:
        result = normalize(array, stats, inside)
        if not isinstance(result, np.ndarray) or result.shape != array.shape:
            shape = f" of shape {result.shape}" if isinstance(result, np.ndarray) else ""
            fact = f"normaliser '{name}' returned a {type(result).__name__}{shape}"
            raise UsageError(fact, expected=f"an array of shape {array.shape}")
        return result

    return checked


def split_names(text: str) -> list[str]:
    """Return the normalisers of a list such as "window:-400,400,zscore", which has two.

    >>> split_names("window:level=30,width=400,ct,none")
    ['window:level=30,width=400', 'ct', 'none']
    """
    names: list[str] = []
    for part in (part.strip() for part in text.split(",")):
        if names and ":" in names[-1] and (_is_number(part) or "=" in part):
            names[-1] += f",{part}"
        elif part:
            names.append(part)
    return names


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_numbers(text: str, form: Form) -> Numbers:
    """Return the numbers by name; raise ValueError for what is unknown, double or not finite."""
    found: dict[str, float] = {}
    for position, part in enumerate(text.split(",")):
        name, separator, number = part.rpartition("=")
        if not separator:
            if len(found) < position or position >= len(form.order):
                raise ValueError("a number too many")
            name = form.order[position]
        name, value = name.strip(), float(number)
        if name in found or name not in (*form.order, *form.others) or not math.isfinite(value):
            raise ValueError(f"'{part}' cannot be meant")
        found[name] = value
    return found


def _require(condition: bool) -> None:
    if not condition:
        raise ValueError("out of range")


def _make_window(numbers: Numbers) -> Normalizer:
    if "level" in numbers or "width" in numbers:
        _require("low" not in numbers and "high" not in numbers)
        level, width = numbers["level"], numbers["width"]
        low, high = level - width / 2, level + width / 2
    else:
        low, high = numbers["low"], numbers["high"]
    to_low, to_high = numbers.get("to_low", 0.0), numbers.get("to_high", 1.0)
    gamma = numbers.get("gamma", 1.0)
    _require(low < high and to_low != to_high and gamma > 0)

    def window(
        array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
    ) -> np.ndarray:
        _stretch(array, low, high)
        if gamma != 1:
            np.power(array, np.float32(gamma), out=array)
        array *= np.float32(to_high - to_low)
        array += np.float32(to_low)
        return array

    return window


def _make_ct_clip(numbers: Numbers) -> Normalizer:
    low, high = numbers["low"], numbers["high"]
    mean, std = numbers.get("mean"), numbers.get("std")
    _require(low < high and (std is None or std > 0) and (mean is None) == (std is None))

    def ct_clip(
        array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
    ) -> np.ndarray:
        np.clip(array, np.float32(low), np.float32(high), out=array)
        array -= np.float32(stats.mean if mean is None else mean)
        array /= np.float32(max(stats.std if std is None else std, SMALLEST_STD))
        return array

    return ct_clip


def _make_percentile_slices(numbers: Numbers) -> Normalizer:
    low, high = numbers.get("low", 1.0), numbers.get("high", 99.0)
    _require(0 <= low < high <= 100)

    def percentile_slices(
        array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
    ) -> np.ndarray:
        for plane in array:  # axis 0 is the one that networks of slices go along
            first, last = (float(value) for value in np.percentile(plane, (low, high)))
            _stretch(plane, first, last)
        return array

    return percentile_slices


def _make_levels(numbers: Numbers) -> Normalizer:
    count = numbers.get("count", 256.0)
    _require(count == int(count) and 2 <= count <= 65536)

    def levels(
        array: np.ndarray, stats: IntensityStats, inside: np.ndarray | None = None
    ) -> np.ndarray:
        _stretch(array, float(array.min()), float(array.max()))
        array *= np.float32(count - 1)
        np.floor(array, out=array)
        array /= np.float32(count - 1)
        return array

    return levels


def _stretch(array: np.ndarray, low: float, high: float) -> None:
    """Clip to `low`..`high` and make that 0..1, in place; where both are one, all becomes 0."""
    np.clip(array, np.float32(low), np.float32(high), out=array)
    array -= np.float32(low)
    array /= np.float32(max(high - low, SMALLEST_STD))


FORMS: dict[str, Form] = {
    "window": Form(
        ("low", "high", "to_low", "to_high"),
        ("level", "width", "gamma"),
        _make_window,
        "window:LOW,HIGH or window:LOW,HIGH,TO_LOW,TO_HIGH or window:level=30,width=400, with "
        "gamma=1.1 where it is wanted",
    ),
    "ct_clip": Form(
        ("low", "high", "mean", "std"), (), _make_ct_clip, "ct_clip:LOW,HIGH or LOW,HIGH,MEAN,STD"
    ),
    "percentile_slices": Form(
        ("low", "high"), (), _make_percentile_slices, "percentile_slices:1,99"
    ),
    "levels": Form(("count",), (), _make_levels, "levels:256, from 2 to 65536"),
}


def check_normalizers(names: Sequence[str]) -> None:
    """Raise UsageError for names that cannot be meant; one's own functions are not looked for."""
    for name in names:
        if name.partition(":")[0] in FORMS or not is_foreign(name):
            find_normalizer(name)
