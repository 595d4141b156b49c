"""Records (frozen dataclasses of plain values) to and from JSON, and a hash of what they say."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import sys
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from autoseg.errors import CorruptError, suggest

Record = TypeVar("Record")
OPTIONAL = {"optional": True}  # metadata of fields that are written only where they hold something
PRIMITIVES = (str, int, float, bool, type(None))


def to_json(value: Any) -> Any:
    """Return `value` (records, mappings, sequences, numbers, paths) as JSON primitives."""
    if type(value) in PRIMITIVES:  # most are, and asking for everything else takes ten times longer
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = [(f, getattr(value, f.name)) for f in dataclasses.fields(value)]
        return {f.name: to_json(item) for f, item in pairs if item or not f.metadata}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return value.item() if getattr(value, "ndim", 0) == 0 else value.tolist()
    return value


def from_json(record: type[Record], value: Any, place: str = "") -> Record:
    """Return a `record` (frozen dataclass of JSON primitives) built from what `to_json` gave.

    Raises CorruptError naming the field at `place` that is unknown, missing or of a wrong type.
    """
    return typing.cast(Record, _build(record, value, place or record.__name__))


def _build(kind: Any, value: Any, place: str) -> Any:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in arguments:
            return None
        options = [option for option in arguments if option is not type(None)]
        return _build(options[0], value, place) if len(options) == 1 else value
    if origin is tuple:
        return _build_tuple(arguments, value, place)
    if _is_mapping(origin):
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        return {key: _build(arguments[1], item, f"{place}.{key}") for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _build_record(kind, value, place)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if not abs(value) <= sys.float_info.max:  # or NaN: JSON has neither, and we write none
            raise _wrong(place, value, "a finite number")
        return float(value)
    if isinstance(kind, type) and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise _wrong(place, value, kind.__name__)
    return value


def _is_mapping(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _build_tuple(arguments: tuple[Any, ...], value: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(place, value, "a list")
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise _wrong(place, value, f"{len(arguments)} entries")
    pairs = zip(arguments, value, strict=True)
    return tuple(_build(kind, item, f"{place}[{i}]") for i, (kind, item) in enumerate(pairs))


# Evaluating annotations takes 0.5 ms a record, which hundreds of small files would feel.
_type_hints = functools.lru_cache(maxsize=256)(typing.get_type_hints)


def _build_record(kind: Any, value: Any, place: str) -> Any:
    if not isinstance(value, dict):
        raise _wrong(place, value, f"an object with the fields of {kind.__name__}")
    hints = _type_hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    for name in value:
        if name not in fields:
            raise CorruptError(f"unknown field '{name}'", place=place, remedy=suggest(name, fields))
    missing = [
        name
        for name, f in fields.items()
        if name not in value
        and f.default is dataclasses.MISSING
        and f.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise CorruptError(f"misses {', '.join(missing)}", place=place)
    return kind(**{k: _build(hints[k], v, f"{place}.{k}") for k, v in value.items()})


def _wrong(place: str, value: Any, expected: str) -> CorruptError:
    return CorruptError(
        f"found {json.dumps(value, default=str)[:60]}", place=place, expected=expected
    )


def fingerprint_of(value: Any) -> str:
    """Return a short stable hash of a record or of JSON primitives."""
    text = json.dumps(to_json(value), sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
