"""Names and colours of label values, as ITK-SNAP, 3D Slicer and readers of NIfTI headers have them.

Beside label maps, once a folder: `labels.txt` (ITK-SNAP's label descriptions) and `labels.ctbl`
(3D Slicer's colour table). In a NIfTI file's header: a table in the XML of Caret as an extension,
as TotalSegmentator writes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape, unescape

from autoseg.colours import target_colours
from autoseg.files import write_text
from autoseg.labels import Labels

ITK_SNAP, SLICER = "labels.txt", "labels.ctbl"
TABLES = (ITK_SNAP, SLICER)
# Not an XML parser: what stands in somebody's file may be anything, and only this is wanted of it.
CARET_LABEL = re.compile(
    r'<Label\b[^>]*\bKey="(\d{1,9})"[^>]*>\s*(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))\s*</Label>',
    re.DOTALL,
)


def value_names(labels: Labels) -> dict[int, str]:
    """Return the name of each declared label value, ascending.

    A value that is written for a target has its name; another one the names of all it belongs to.
    """
    written = {values[0]: name for name, values in reversed(list(labels.targets.items()))}
    names = {}
    for value in labels.values:
        among = [name for name, values in labels.targets.items() if value in values]
        names[value] = written.get(value, " + ".join(among))
    return names


def write_tables(folder: Path, names: Mapping[int, str]) -> None:
    """Write `labels.txt` and `labels.ctbl` into `folder`."""
    write_text(folder / ITK_SNAP, itk_snap_text(names))
    write_text(folder / SLICER, slicer_text(names))


def itk_snap_text(names: Mapping[int, str]) -> str:
    """Return a label description file of ITK-SNAP."""
    lines = [
        "################################################",
        "# ITK-SnAP Label Description File",
        "# File format:",
        "# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL",
        "################################################",
        '    0     0    0    0        0  0  0    "Clear Label"',
    ]
    for (value, name), (r, g, b) in _coloured(names):
        quoted = name.replace('"', "'")
        lines.append(f'{value:5d} {r:5d} {g:4d} {b:4d}        1  1  1    "{quoted}"')
    return "\n".join(lines) + "\n"


def slicer_text(names: Mapping[int, str]) -> str:
    """Return a colour table of 3D Slicer; it has no blanks in names."""
    lines = ["# Color table file labels.ctbl", f"# {len(names) + 1} values", "0 Background 0 0 0 0"]
    for (value, name), (r, g, b) in _coloured(names):
        lines.append(f"{value} {'_'.join(name.split())} {r} {g} {b} 255")
    return "\n".join(lines) + "\n"


def caret_xml(names: Mapping[int, str]) -> str:
    """Return the table in the XML of Caret, which stands in NIfTI headers."""
    rows = "".join(
        f'<Label Key="{value}" Red="{r / 255:.4f}" Green="{g / 255:.4f}" Blue="{b / 255:.4f}"'
        f' Alpha="1">{escape(name)}</Label>'
        for (value, name), (r, g, b) in _coloured(names)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><CaretExtension><VolumeInformation Index="0">'
        f"<LabelTable>{rows}</LabelTable><VolumeType>Label</VolumeType>"
        "</VolumeInformation></CaretExtension>"
    )


def caret_names(xml: str) -> dict[int, str]:
    """Return the names of label values in what `caret_xml`, or another program, wrote."""
    found = CARET_LABEL.findall(xml)
    return {int(key): (literal or unescape(text)).strip() for key, literal, text in found}


def _coloured(names: Mapping[int, str]) -> list[tuple[tuple[int, str], tuple[int, int, int]]]:
    return list(zip(names.items(), target_colours(len(names)), strict=True))
