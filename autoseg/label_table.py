"""Names and colours of label values, as ITK-SNAP, 3D Slicer and readers of headers have them.

Beside label maps, once a folder: `labels.txt` (ITK-SNAP's label descriptions) and `labels.ctbl`
(3D Slicer's colour table). In a NIfTI file's header: a table in the XML of Caret as an extension,
as TotalSegmentator writes it. In a NRRD file's header: the fields of 3D Slicer's segmentations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
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
SEGMENT, VALUE = re.compile(r"Segment(\d{1,9})_Name"), re.compile(r"\d{1,9}")
UNPRINTABLE = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]+")


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


def declared_names(labels: Labels) -> dict[int, str]:
    """Return the names of all values that may stand in a dataset's label maps, ascending."""
    ignored = {} if labels.ignore is None else {labels.ignore: "ignore"}
    return dict(sorted({**value_names(labels), **ignored}.items()))


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


def segment_fields(names: Mapping[int, str], shape: Sequence[int]) -> dict[str, str]:
    """Return the fields of a NRRD header that make 3D Slicer open it as a segmentation.

    `shape` is that of the label map, (Z, Y, X) in voxels.
    """
    extent = " ".join(f"0 {size - 1}" for size in reversed(shape))
    form = "Binary labelmap"
    fields = {
        "Segmentation_ContainedRepresentationNames": f"{form}|",
        "Segmentation_MasterRepresentation": form,  # up to Slicer 5.2
        "Segmentation_SourceRepresentation": form,
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    for number, ((value, name), colour) in enumerate(_coloured(names)):
        segment = {
            "ID": f"Segment_{value}",
            "Name": name,
            "Color": " ".join(f"{part / 255:.6g}" for part in colour),
            "LabelValue": str(value),
            "Layer": "0",
            "Extent": extent,
        }
        fields |= {f"Segment{number}_{key}": said for key, said in segment.items()}
    return fields


def segment_names(fields: Mapping[str, str]) -> dict[int, str]:
    """Return the names of label values in what `segment_fields`, or 3D Slicer, wrote."""
    found = [(match[1], said) for key, said in fields.items() if (match := SEGMENT.fullmatch(key))]
    values = {number: fields.get(f"Segment{number}_LabelValue", "") for number, _ in found}
    named = {int(values[n]): name for n, name in found if VALUE.fullmatch(values[n])}
    return dict(sorted(named.items()))


def _coloured(names: Mapping[int, str]) -> list[tuple[tuple[int, str], tuple[int, int, int]]]:
    """Return each value, its name in one line, and its colour."""
    lines = {value: " ".join(UNPRINTABLE.sub(" ", name).split()) for value, name in names.items()}
    return list(zip(lines.items(), target_colours(len(names)), strict=True))
