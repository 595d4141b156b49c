"""Resolve a name to a function: a built-in one, or "package.module:function" of the user's own.

What fails in one of the user's own is told as such: whose, in which file and line, and why.
"""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Mapping
from typing import Any

from autoseg.errors import AutosegError, CorruptError, UsageError, suggest

_imported: dict[str, dict[str, str]] = {}  # module -> attribute -> kind, in this process


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
    _imported.setdefault(module_name, {})[attribute] = kind
    try:
        return getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"cannot import {kind} '{name}': {error}",
            remedy="check the spelling, and that the module is on PYTHONPATH",
        ) from error
    except SyntaxError as error:
        place = f"{error.filename}, line {error.lineno}"
        raise UsageError(f"cannot import {kind} '{name}': {error.msg}", place=place) from error
    except Exception as error:  # a module may do anything while it is imported
        raise (blame(error) or error) from error


def blame(error: Exception) -> UsageError | None:
    """Return `error` as that of a function of the user's own, None where none was at work.

    What the machine refuses (memory, files) is nobody's mistake, wherever it happens.
    """
    if isinstance(error, AutosegError | MemoryError | OSError):
        return None
    place, names = "", [""]
    for frame, line in traceback.walk_tb(error.__traceback__):
        module, code = frame.f_globals.get("__name__"), frame.f_code
        if module in _imported:
            own = _imported[module]
            # Where the frame is that of something they call, all of a module are named.
            chosen = [code.co_name] if code.co_name in own else list(own)
            if code.co_name in own or not place:
                names = [f"{own[attribute]} '{module}:{attribute}'" for attribute in chosen]
            place = f"{code.co_filename}, line {line}"
    if not place:
        return None
    return UsageError(
        f"{' or '.join(names)} failed: {type(error).__name__}: {error}",
        place=place,
        remedy="correct it; --debug shows the traceback",
    )
