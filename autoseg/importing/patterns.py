"""Find files by patterns: `patients/{case}/{channel}.nii.gz`, with `*` for what does not matter.

`{class}` is for one binary file per structure, `{slice}` for volumes that are kept slice by slice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from autoseg.dicom_files import is_series
from autoseg.errors import UsageError, suggest

# What may stand in braces, and where a match keeps it.
MARKS = {"case": "case", "channel": "channel", "class": "target", "slice": "slice"}
MARK = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Match:
    """One file that fits a pattern, and what stood in place of its marks ("" for an absent one)."""

    path: Path
    case: str = ""
    channel: str = ""
    target: str = ""
    slice: str = ""


def find_matches(
    pattern: str, channels: Sequence[str] = (), below: Path | None = None
) -> list[Match]:
    """Return the files that fit `pattern`, sorted by path; hidden files never do.

    A relative pattern starts `below` a folder, or where the user stands. A folder that holds a
    DICOM series counts as a file.

    `{case}` and `{class}` stand for one or more characters without a slash, and for the same ones
    each time; `{channel}` for one of `channels` if it can, else for characters other than `/`, `.`
    and `_`; `{slice}` for digits.
    Raises UsageError for a pattern without `{case}`, or when there is no such file.
    """
    _check_marks(pattern)
    path = Path(pattern).expanduser()
    found = [Match(Path(path.anchor) if below is None else below / path.anchor)]
    parts = path.parts[1:] if path.is_absolute() else path.parts
    for position, part in enumerate(parts):
        is_file = position == len(parts) - 1
        following = [n for match in found for n in _step(match, part, is_file, channels)]
        if not following:
            _nothing(pattern, found, part, is_file)
        found = following
    return sorted(found, key=lambda match: match.path)


def _check_marks(pattern: str) -> None:
    marks = MARK.findall(pattern)
    for mark in marks:
        if mark not in MARKS:
            remedy = suggest(mark, MARKS)
            raise UsageError(f"unknown mark {{{mark}}}", place=pattern, remedy=remedy)
    if "class" in marks and "slice" in marks:
        raise UsageError("a pattern with both {class} and {slice}", place=pattern, expected="one")
    if "case" not in marks:
        remedy = "write {case} where the name of the case stands, as in 'scans/{case}.nii.gz'"
        raise UsageError("a pattern without {case}", place=pattern, remedy=remedy)


def _step(match: Match, part: str, is_file: bool, channels: Sequence[str]) -> list[Match]:
    """Return the continuations of `match` by one part of the path."""
    if not ("{" in part or "*" in part):
        path = match.path / part
        return [replace(match, path=path)] if _is_wanted(path, is_file) else []
    expression = _expression(part, match, channels)
    following = []
    for path in match.path.iterdir():
        if path.name.startswith(".") and not part.startswith("."):
            continue
        fit = expression.fullmatch(path.name)
        if fit and _is_wanted(path, is_file):
            marks = {MARKS[mark]: text for mark, text in fit.groupdict().items()}
            following.append(replace(match, path=path, **marks))
    return following


def _is_wanted(path: Path, is_file: bool) -> bool:
    if is_file:
        return path.is_file() or is_series(path)
    return path.is_dir()


def _expression(part: str, match: Match, channels: Sequence[str]) -> re.Pattern[str]:
    known = "|".join(re.escape(name) for name in sorted(channels, key=len, reverse=True))
    channel = rf"(?i:{known})|[^/._]+" if known else r"[^/._]+"
    free = {"case": r"[^/]+", "channel": channel, "class": r"[^/]+", "slice": r"\d+"}
    text, end = "", 0
    for mark in MARK.finditer(part):
        text += _literal(part[end : mark.start()])
        name, end = mark[1], mark.end()
        bound = getattr(match, MARKS[name])
        if bound:
            text += re.escape(bound)
        elif f"(?P<{name}>" in text:
            text += f"(?P={name})"
        else:
            text += f"(?P<{name}>{free[name]})"
    return re.compile(text + _literal(part[end:]))


def _literal(text: str) -> str:
    return "[^/]*".join(re.escape(piece) for piece in text.split("*"))


def _nothing(pattern: str, reached: Sequence[Match], part: str, is_file: bool) -> None:
    folder = reached[0].path
    there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    seen = f"; it holds {', '.join(there[:3])}{', ...' if len(there) > 3 else ''}" if there else ""
    raise UsageError(
        f"no {'file' if is_file else 'folder'} fits",
        place=pattern,
        remedy=f"look for '{part}' in {folder}{seen}",
    )
