"""What was measured of the data: grids, volumes and intensities, by the plan and by statistics."""

from __future__ import annotations

from collections.abc import Collection
from statistics import median

from autoseg.errors import number_of
from autoseg.plan import Fingerprint
from autoseg.report.html import heading, paragraph, side_by_side, table
from autoseg.report.material import Material
from autoseg.report.panels import distribution_figures
from autoseg.report.sizes import AXES, Sizes
from autoseg.results import DatasetStatistics

WIDE = 100.0  # ratio of intensities beyond which a chart of them is logarithmic
RANGE = ("min", "median", "max")


def about_sizes(material: Material, sizes: Sizes) -> str:
    """Return grids and volumes: tables, and a point for each case."""
    statistics, fingerprint = material.statistics, material.fingerprint
    known = statistics or fingerprint
    assert known is not None
    channels = ", ".join(known.channels)
    cases, targets = number_of(len(sizes.shapes), "case"), number_of(len(sizes.volumes), "target")
    told = (
        f"{cases}, {'channel' if len(known.channels) == 1 else 'channels'} {channels}, {targets}."
    )
    stored = "as stored" if statistics else "in canonical orientation, cropped to what is not zero"
    if fingerprint is not None and fingerprint.kept_fraction < 1:
        kept = 100 * fingerprint.kept_fraction
        told += f" Cropping to what is not zero keeps {kept:.0f} % of a scan."
    grid = [
        [f"{what} {axis}", *_range([edges[k] for edges in of.values()])]
        for what, of in (("voxels", sizes.shapes), ("mm per voxel", sizes.spacings))
        for k, axis in enumerate(AXES)
    ]
    spacings = {a: {c: mm[k] for c, mm in sizes.spacings.items()} for k, a in enumerate(AXES)}
    shapes = {a: {c: float(n[k]) for c, n in sizes.shapes.items()} for k, a in enumerate(AXES)}
    charts = [
        *distribution_figures(spacings, "mm per voxel", f"Spacing of each scan, {stored}."),
        *distribution_figures(shapes, "voxels", f"Size of each scan, {stored}."),
    ]
    return "".join(
        [
            paragraph(told),
            table(("grid", *RANGE), grid, f"Grids {stored}."),
            side_by_side(charts),
            heading("Targets"),
            _target_table(statistics) if statistics else _volume_table(sizes),
            *_by_target(sizes, statistics),
        ]
    )


def about_intensities(material: Material) -> str:
    """Return tables of intensities: of all targets together as planned, and of each target."""
    parts = [heading("Intensities")]
    if material.fingerprint is not None:
        parts.append(_planned_table(material.fingerprint))
    if material.statistics is not None:
        parts.append(_intensity_table(material.statistics))
    return "".join(parts)


def _by_target(sizes: Sizes, statistics: DatasetStatistics | None) -> list[str]:
    text = "Volume of each target in the cases that hold it; median and n at the right."
    volumes = distribution_figures(sizes.volumes, "ml (logarithmic)", text, log=True)
    known = [_intensities(statistics, c) for c in statistics.channels] if statistics else []
    if len(volumes) == 1:  # beside each other; else each of them has rows of its own
        return [side_by_side([*volumes, *(chart for of in known for chart in of)])]
    return [side_by_side(charts) for charts in (volumes, *known)]


def _intensities(found: DatasetStatistics, channel: str) -> list[str]:
    rows = {
        name: {
            case.case: case.targets[name].intensities[channel].median
            for case in found.cases
            if name in case.targets and channel in case.targets[name].intensities
        }
        for name in found.targets
    }
    medians = [value for of_target in rows.values() for value in of_target.values()]
    wide = bool(medians) and min(medians) > 0 and max(medians) > WIDE * min(medians)
    across = f"{channel}, units of the files{' (logarithmic)' * wide}"
    text = f"Median intensity of each target in each case, {channel}."
    return distribution_figures(rows, across, text, log=wide)


def _volume_table(sizes: Sizes) -> str:
    head = ("target", "cases", *(f"ml {end}" for end in RANGE))
    count = len(sizes.shapes)
    rows = [
        [name, f"{len(of)} of {count}", *_range(of.values())] for name, of in sizes.volumes.items()
    ]
    return table(head, rows, "Cases that hold a target, and its volume there.")


def _target_table(found: DatasetStatistics) -> str:
    head = ("target", "cases", "slices", "share of voxels", *(f"ml {end}" for end in RANGE))
    rows = []
    for name, t in found.targets.items():
        ml = t.volume_ml
        ends = (
            ["-"] * 3 if ml is None else [f"{v:.4g}" for v in (ml.minimum, ml.median, ml.maximum)]
        )
        cells = [
            f"{t.cases} of {t.annotated}",
            f"{t.slices} of {t.of_slices}",
            f"{100 * t.share:.3f} %",
        ]
        rows.append([name, *cells, *ends])
    return table(head, rows)


def _planned_table(found: Fingerprint) -> str:
    head = ("channel", "mean", "sd", "min", "p0.5", "p99.5", "max")
    rows = [
        [channel, *(f"{v:.4g}" for v in (i.mean, i.std, i.minimum, i.p0_5, i.p99_5, i.maximum))]
        for channel, i in zip(found.channels, found.intensities, strict=True)
    ]
    text = "Of all targets together, each case with the same weight, in the units of the files."
    return table(head, rows, text)


def _intensity_table(found: DatasetStatistics) -> str:
    head = ("target", "channel", "mean", "sd", "min", "p10", "median", "p90", "max")
    rows = []
    for name, target in found.targets.items():
        for channel, i in target.intensities.items():
            values = (i.mean, i.std, i.minimum, i.p10, i.median, i.p90, i.maximum)
            rows.append([name, channel, *(f"{value:.4g}" for value in values)])
    return table(head, rows, "Over all voxels of a target, in the units of the files.", words=(1,))


def _range(values: Collection[float]) -> list[str]:
    if not values:
        return ["-"] * 3
    return [f"{value:.4g}" for value in (min(values), median(values), max(values))]
