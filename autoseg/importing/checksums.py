"""Are files as their author had them? A list of SHA-256 sums, as `sha256sum` writes it, says so.

e3b0c44298fc...  data/train.zip         two spaces, or one and a star; one file a line
SHA256 (data/train.zip) = e3b0c442...   how BSD and OpenSSL spell it
"""

from __future__ import annotations

import re
from pathlib import Path

from autoseg.errors import DataError, Problem
from autoseg.files import sha256

LINE = re.compile(r"(?P<escaped>\\?)(?P<sum>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
TAGGED = re.compile(r"(?P<escaped>\\?)SHA256 \((?P<name>.+)\) = (?P<sum>[0-9a-fA-F]{64})")


def check_sums(manifest: Path) -> tuple[list[str], list[Problem]]:
    """Return the files of a list that are as it says, and what is wrong with the others.

    Names are relative to the current folder, as for `sha256sum -c`, or else to the list's own.
    Raises DataError when it is no such list.
    """
    intact: list[str] = []
    problems: list[Problem] = []
    for number, line in enumerate(_lines(manifest), 1):
        entry = LINE.fullmatch(line) or TAGGED.fullmatch(line)
        if entry is None and line.strip() and not line.startswith("#"):
            expected = "64 hexadecimal digits, two spaces, and a file"
            problems.append(Problem(f"{manifest}, line {number}", f"'{line[:80]}'", expected))
        if entry is None:
            continue
        name = _unescaped(entry["name"]) if entry["escaped"] else entry["name"]
        problem = _compare(name, manifest.parent, entry["sum"].lower())
        problems += [problem] if problem else []
        intact += [] if problem else [name]
    if not intact and not problems:
        raise DataError("holds no checksum", place=str(manifest))
    return intact, problems


def _lines(manifest: Path) -> list[str]:
    try:
        text = manifest.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(manifest)) from error
    except (UnicodeDecodeError, OSError) as error:
        expected = "a list of SHA-256 sums"
        raise DataError("cannot be read as text", place=str(manifest), expected=expected) from error
    return [line.removesuffix("\r") for line in text.split("\n")]


def _unescaped(name: str) -> str:
    return re.sub(r"\\(.)", lambda fit: "\n" if fit[1] == "n" else fit[1], name)


def _compare(name: str, folder: Path, expected: str) -> Problem | None:
    path = next((place for place in (Path(name), folder / name) if place.is_file()), None)
    if path is None:
        return Problem(name, "file not found", remedy="download it, or go to the folder it is in")
    try:
        found = sha256(path)
    except OSError as error:
        return Problem(name, f"cannot be read: {error.strerror or error}")
    if found == expected:
        return None
    fact = f"is not as listed: SHA-256 {found[:12]}..., {path.stat().st_size:,} bytes"
    return Problem(name, fact, f"{expected[:12]}...", "copy or download it again")
