"""Statistics of a dataset as `statistics.json`, as `statistics.csv`, and as a table to read."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from autoseg.errors import number_of
from autoseg.files import write_json, write_text
from autoseg.results import CaseStatistics, DatasetStatistics, Intensities, Range

STATISTICS, TABLE = "statistics.json", "statistics.csv"
QUANTITIES = ("mean", "std", "minimum", "p10", "median", "p90", "maximum")
COLUMNS = (
    "case", "target", "channel", "size_z", "size_y", "size_x", "spacing_z", "spacing_y",
    "spacing_x", "slices", "voxels", "volume_ml", *QUANTITIES,
)  # fmt: skip


def write_statistics(folder: Path, statistics: DatasetStatistics) -> None:
    """Write `statistics.csv` and then `statistics.json`."""
    write_text(folder / TABLE, statistics_csv(statistics))
    write_json(folder / STATISTICS, statistics)


def statistics_csv(statistics: DatasetStatistics) -> str:
    """Return one line for each case, target and channel; the target of a whole scan is empty.

    `slices` of a target are the axial ones that hold it. A target without voxels has no
    intensities, one that is not annotated in a case no line.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for case in statistics.cases:
        writer.writerows(_lines(case, statistics.channels))
    return stream.getvalue()


def _lines(case: CaseStatistics, channels: Sequence[str]) -> Iterator[list[object]]:
    grid = [*case.shape, *case.spacing]
    z, y, x = case.spacing
    volume_ml = case.voxels * z * y * x / 1000
    rows = [("", case.slices, case.voxels, volume_ml, case.intensities)]
    rows += [
        (name, target.slices, target.voxels, target.volume_ml, target.intensities)
        for name, target in case.targets.items()
    ]
    for name, slices, voxels, volume, intensities in rows:
        for channel in channels:
            numbers = _numbers(intensities, channel)
            yield [case.case, name, channel, *grid, slices, voxels, volume, *numbers]


def _numbers(intensities: Mapping[str, Intensities], channel: str) -> list[object]:
    found = intensities.get(channel)
    return [""] * len(QUANTITIES) if found is None else [getattr(found, q) for q in QUANTITIES]


def format_statistics(statistics: DatasetStatistics) -> str:
    """Return the sizes of the scans, and a line for each target and channel."""
    lines = [
        f"{statistics.dataset}: {number_of(len(statistics.cases), 'case')}, median (least to most)",
        f"  size (z, y, x)        {_axes(statistics.shape)} voxels",
        f"  spacing (z, y, x)     {_axes(statistics.spacing)} mm",
        f"  axial slices          {_span(statistics.slices)}",
        "",
    ]
    rows = [
        ["target", "channel", "cases", "slices", "share", "volume ml", "mean", "p10", "p90", "min",
         "max"],
    ]  # fmt: skip
    for name, target in statistics.targets.items():
        for channel in statistics.channels:
            found = target.intensities.get(channel)
            shown = ["-"] * 5
            if found is not None:
                values = (found.mean, found.p10, found.p90, found.minimum, found.maximum)
                shown = [f"{value:.4g}" for value in values]
            rows.append(
                [name, channel, f"{target.cases}/{target.annotated}",
                 f"{target.slices}/{target.of_slices}", f"{target.share:.2%}",
                 _span(target.volume_ml), *shown]
            )  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines += [
        "  ".join(
            text.ljust(width) if column < 2 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _axes(ranges: Sequence[Range | None]) -> str:
    return " x ".join(_span(found) for found in ranges)


def _span(found: Range | None) -> str:
    if found is None:
        return "-"
    if found.minimum == found.maximum:
        return f"{found.median:.4g}"
    return f"{found.median:.4g} ({found.minimum:.4g} to {found.maximum:.4g})"
