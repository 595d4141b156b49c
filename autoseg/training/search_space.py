"""What a search tries: `learning_rate=log:1e-4..1e-2`, `batch_size=2..8`, `loss=dice_ce/ce`."""

from __future__ import annotations

import itertools
import json
import math
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.config import TrainConfig, override
from autoseg.errors import DataError, UsageError, suggest
from autoseg.files import read_json

LARGEST_GRID = 1000  # combinations: more would be nobody's intention
OTHERS = {"weights": "--weights is no setting", "trackers": "they change no score"}
EXAMPLES = "such as loss=dice_ce/ce, batch_size=2..8 or learning_rate=log:1e-4..1e-2"


@dataclass(frozen=True)
class Parameter:
    """One setting that a search changes: among `values`, or from `low` to `high`."""

    name: str
    values: tuple[str, ...] = ()  # as --set takes them
    low: float = 0.0
    high: float = 0.0
    log: bool = False  # even steps of the logarithm
    whole: bool = False  # integers only

    def __str__(self) -> str:
        if self.values:
            return f"{self.name}={'/'.join(self.values)}"
        return f"{self.name}={'log:' * self.log}{self.low:g}..{self.high:g}"

    def at(self, share: float) -> str | float:
        """Return the value at a share of the way from the first to the last, 0 to below 1."""
        if self.values:
            return self.values[int(share * len(self.values))]
        low, high = (self.low, self.high + self.whole)  # every whole number has its own part
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        return int(value) if self.whole else value

    def say(self, value: str | float) -> str:
        """Return a value as --set takes it; of a range with four digits."""
        return value if isinstance(value, str) else f"{value:.4g}" if not self.whole else f"{value}"


def parse_space(words: Sequence[str], fixed: Sequence[str] = ()) -> tuple[Parameter, ...]:
    """Return the parameters that `words` spell; none may be among the `fixed` settings.

    >>> [str(parameter) for parameter in parse_space(["batch_size=2..8", "loss=dice_ce/ce"])]
    ['batch_size=2..8', 'loss=dice_ce/ce']
    """
    space = tuple(_parse(word) for word in words)
    names = [parameter.name for parameter in space]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is varied twice", expected="each setting once")
        if name in {setting.partition("=")[0].strip() for setting in fixed}:
            raise UsageError(f"{name} is both varied and set", remedy="leave one of them out")
    if not space:
        raise UsageError("nothing to vary", expected=f"settings, {EXAMPLES}")
    return space


def read_space(path: Path) -> list[str]:
    """Return the words of a JSON file: `{"loss": ["dice_ce", "ce"], "batch_size": "2..8"}`."""
    if not path.is_file():
        raise UsageError("no such file", place=str(path))
    content = read_json(path)
    if not isinstance(content, dict):
        expected = '{"loss": ["dice_ce", "ce"], "batch_size": "2..8"}'
        raise DataError("holds no settings to vary", place=str(path), expected=expected)
    return [f"{name}={_spelled(values)}" for name, values in content.items()]


def _spelled(values: Any) -> str:
    if isinstance(values, list):
        return "/".join(_spelled(value) for value in values)
    return values if isinstance(values, str) else json.dumps(values)


def _parse(word: str) -> Parameter:
    name, separator, text = (part.strip() for part in word.partition("="))
    if not separator or not text:
        raise UsageError(f"--vary {word}", expected=f"a setting and its values, {EXAMPLES}")
    hints = typing.get_type_hints(TrainConfig)
    if name not in hints:
        raise UsageError(f"--vary {word}: unknown setting '{name}'", remedy=suggest(name, hints))
    if name in OTHERS:
        raise UsageError(f"--vary {word}: {OTHERS[name]}")
    kinds = set(typing.get_args(hints[name])) or {hints[name]}
    if ".." in text and kinds & {int, float}:
        return _parse_range(word, name, text, whole=int in kinds)
    values = tuple(value.strip() for value in text.split("/"))
    if len(set(values)) < max(2, len(values)):
        expected = "two values or more, each once, with / in between"
        raise UsageError(f"--vary {word}", expected=expected)
    for value in values:
        override(TrainConfig(), [f"{name}={value}"])
    return Parameter(name, values)


def _parse_range(word: str, name: str, text: str, whole: bool) -> Parameter:
    log, ends = text.startswith("log:"), text.removeprefix("log:").split("..")
    try:
        low, high = (float(end) for end in ends)
    except ValueError:
        raise UsageError(f"--vary {word}", expected="two numbers, such as 2..8") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise UsageError(f"--vary {word}", expected="the smaller number first")
    if log and low <= 0:
        raise UsageError(f"--vary {word}", expected="numbers above 0 behind log:")
    if whole and not (low.is_integer() and high.is_integer()):
        raise UsageError(f"--vary {word}", expected="whole numbers")
    return Parameter(name, low=low, high=high, log=log, whole=whole)


def combinations(space: Sequence[Parameter]) -> list[dict[str, str]]:
    """Return every combination of the listed values, the last setting changing fastest."""
    ranges = [str(parameter) for parameter in space if not parameter.values]
    if ranges:
        expected = "values, such as learning_rate=1e-3/1e-2"
        raise UsageError(f"--grid: {', '.join(ranges)} is a range", expected=expected)
    count = math.prod(len(parameter.values) for parameter in space)
    if count > LARGEST_GRID:
        raise UsageError(
            f"--grid: {count:,} combinations", expected=f"{LARGEST_GRID:,} at most",
            remedy="fewer values, or --trials N without --grid",
        )  # fmt: skip
    names = [parameter.name for parameter in space]
    every = itertools.product(*(parameter.values for parameter in space))
    return [dict(zip(names, values, strict=True)) for values in every]


def settings_of(values: Mapping[str, str]) -> list[str]:
    """Return the values of a trial as --set takes them.

    >>> settings_of({"learning_rate": "0.003", "loss": "ce"})
    ['learning_rate=0.003', 'loss=ce']
    """
    return [f"{name}={value}" for name, value in values.items()]
