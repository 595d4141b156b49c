"""Resolve a name to a function: a built-in one, or "package.module:function" of the user's own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from autoseg.errors import CorruptError, UsageError, suggest


def is_foreign(name: str) -> bool:
    """Tell whether a name is one that would be imported: "package.module:function".

    >>> is_foreign("my_lab.scaling:unit"), is_foreign("window:-400,400"), is_foreign("ct")
    (True, False, False)
    """
    return name.partition(":")[2].isidentifier()


def resolve(kind: str, name: str, table: Mapping[str, Any], trust: bool = True) -> Any:
    """Return `table[name]`, or import "package.module:attribute" when `trust` allows it.

    `kind` ("loss", "network", ...) is used in messages only. A name that came with someone else's
    model is data, not permission: pass `trust=False` there.
    """
    if name in table:
        return table[name]
    module_name, separator, attribute = name.partition(":")
    if not separator:
        raise UsageError(
            f"unknown {kind} '{name}'",
            remedy=f"{suggest(name, table)} (or your own as package.module:function)",
        )
    if not trust:
        raise CorruptError(
            f"the model asks to import {kind} '{name}'",
            remedy="pass --trust if you trust its author",
        )
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"cannot import {kind} '{name}': {error}",
            remedy="check the spelling, and that the module is on PYTHONPATH",
        ) from error
