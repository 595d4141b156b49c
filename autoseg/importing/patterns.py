"""Find files by patterns: `patients/{case}/{channel}.nii.gz`, with `*` for what does not matter."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg.dicom_files import is_series
from autoseg.errors import UsageError, suggest

PLACEHOLDERS = ("case", "channel")
_MARK = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class Match:
    """One file that fits a pattern, and what stood in place of its marks ("" for an absent one)."""

    path: Path
    case: str
    channel: str = ""


def find_matches(pattern: str, channels: Sequence[str] = ()) -> list[Match]:
    """Return the files that fit `pattern`, sorted by path; hidden files never do.

    A folder that holds a DICOM series counts as a file.

    `{case}` stands for one or more characters without a slash, and for the same ones each time;
    `{channel}` for one of `channels` if it can, else for characters other than `/`, `.` and `_`.
    Raises UsageError for a pattern without `{case}`, or when there is no such file.
    """
    _check_marks(pattern)
    path = Path(pattern).expanduser()
    found = [Match(Path(path.anchor), "")]
    parts = path.parts[1:] if path.is_absolute() else path.parts
    for position, part in enumerate(parts):
        is_file = position == len(parts) - 1
        following = [n for match in found for n in _step(match, part, is_file, channels)]
        if not following:
            _nothing(pattern, found, part, is_file)
        found = following
    return sorted(found, key=lambda match: match.path)


def _check_marks(pattern: str) -> None:
    marks = _MARK.findall(pattern)
    for mark in marks:
        if mark not in PLACEHOLDERS:
            remedy = suggest(mark, PLACEHOLDERS)
            raise UsageError(f"unknown mark {{{mark}}}", place=pattern, remedy=remedy)
    if "case" not in marks:
        remedy = "write {case} where the name of the case stands, as in 'scans/{case}.nii.gz'"
        raise UsageError("a pattern without {case}", place=pattern, remedy=remedy)


def _step(match: Match, part: str, is_file: bool, channels: Sequence[str]) -> list[Match]:
    """Return the continuations of `match` by one part of the path."""
    if not ("{" in part or "*" in part):
        path = match.path / part
        fits = _is_wanted(path, is_file)
        return [Match(path, match.case, match.channel)] if fits else []
    expression = _expression(part, match, channels)
    following = []
    for path in match.path.iterdir():
        if path.name.startswith(".") and not part.startswith("."):
            continue
        fit = expression.fullmatch(path.name)
        if fit and _is_wanted(path, is_file):
            groups = {"case": match.case, "channel": match.channel} | fit.groupdict()
            following.append(Match(path, groups["case"], groups["channel"]))
    return following


def _is_wanted(path: Path, is_file: bool) -> bool:
    if is_file:
        return path.is_file() or is_series(path)
    return path.is_dir()


def _expression(part: str, match: Match, channels: Sequence[str]) -> re.Pattern[str]:
    known = "|".join(re.escape(name) for name in sorted(channels, key=len, reverse=True))
    free = {"case": r"[^/]+", "channel": rf"(?i:{known})|[^/._]+" if known else r"[^/._]+"}
    bound = {"case": match.case, "channel": match.channel}
    text, end = "", 0
    for mark in _MARK.finditer(part):
        text += _literal(part[end : mark.start()])
        name, end = mark[1], mark.end()
        if bound[name]:
            text += re.escape(bound[name])
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
