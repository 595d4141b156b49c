"""What the data are like: grids, volumes, intensities, and what a check has found."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.report.charts import distributions
from autoseg.report.gallery import gallery
from autoseg.report.html import (
    Section,
    bullets,
    figure,
    heading,
    hint,
    paragraph,
    picture,
    side_by_side,
    table,
)
from autoseg.report.material import Checked, Material
from autoseg.report.odd import odd_cases
from autoseg.results import DatasetStatistics, Range

AXES = ("Z", "Y", "X")
WIDE = 100.0  # ratio of intensities beyond which a chart of them is logarithmic
LISTED = 30  # findings of a check that are written out


def about_data(material: Material) -> Section:
    """Return the chapter of the data."""
    parts = []
    if material.statistics is not None:
        parts += [_measured(material.statistics), _odd(material)]
    else:
        parts.append(
            hint(f"Sizes, volumes and intensities: run autoseg statistics -d {material.dataset}.")
        )
    if material.checked is not None:
        parts.append(_checked(material.checked))
    else:
        parts.append(hint(f"Problems of the files: run autoseg check -d {material.dataset}."))
    return Section("Data", "".join(parts))


def _measured(found: DatasetStatistics) -> str:
    channels = ", ".join(found.channels)
    text = f"{len(found.cases)} cases, channels {channels}, {len(found.targets)} targets."
    grid = [
        [f"{what} {axis}", *_range(values)]
        for what, ranges in (("voxels", found.shape), ("mm per voxel", found.spacing))
        for axis, values in zip(AXES, ranges, strict=True)
    ]
    spacings = {a: {c.case: c.spacing[k] for c in found.cases} for k, a in enumerate(AXES)}
    shapes = {a: {c.case: float(c.shape[k]) for c in found.cases} for k, a in enumerate(AXES)}
    volumes = {name: volumes_of(found, name) for name in found.targets}
    charts = [
        figure(distributions(spacings, "mm per voxel"), "Spacing of each scan, as stored."),
        figure(distributions(shapes, "voxels"), "Size of each scan."),
        figure(
            distributions(volumes, "ml (logarithmic)", log=True),
            "Volume of each target in the cases that hold it; median and n at the right.",
        ),
        *(_intensity_chart(found, channel) for channel in found.channels),
    ]
    return "".join(
        [
            paragraph(text),
            table(("grid", "min", "median", "max"), grid),
            side_by_side(charts),
            heading("Targets"),
            _target_table(found),
            heading("Intensities"),
            _intensity_table(found),
        ]
    )


def volumes_of(found: DatasetStatistics, target: str) -> dict[str, float]:
    """Return the volume in ml of `target` in each case that holds it."""
    return {
        case.case: case.targets[target].volume_ml
        for case in found.cases
        if target in case.targets and case.targets[target].voxels
    }


def _intensity_chart(found: DatasetStatistics, channel: str) -> str:
    rows = {
        name: {
            case.case: case.targets[name].intensities[channel].median
            for case in found.cases
            if name in case.targets and channel in case.targets[name].intensities
        }
        for name in found.targets
    }
    medians = [value for found in rows.values() for value in found.values()]
    wide = bool(medians) and min(medians) > 0 and max(medians) > WIDE * min(medians)
    across = f"{channel}, units of the files{' (logarithmic)' * wide}"
    text = f"Median intensity of each target in each case, {channel}."
    return figure(distributions(rows, across, log=wide), text)


def _target_table(found: DatasetStatistics) -> str:
    head = ("target", "cases", "slices", "share of voxels", "ml min", "ml median", "ml max")
    rows = [
        [name, f"{t.cases} of {t.annotated}", f"{t.slices} of {t.of_slices}", f"{t.share:.3%}",
         *_range(t.volume_ml)]
        for name, t in found.targets.items()
    ]  # fmt: skip
    return table(head, rows)


def _intensity_table(found: DatasetStatistics) -> str:
    head = ("target", "channel", "mean", "sd", "min", "p10", "median", "p90", "max")
    rows = []
    for name, target in found.targets.items():
        for channel, i in target.intensities.items():
            values = (i.mean, i.std, i.minimum, i.p10, i.median, i.p90, i.maximum)
            rows.append([name, channel, *(f"{value:.4g}" for value in values)])
    return table(head, rows, "Over all voxels of a target, in the units of the files.", words=(1,))


def _range(found: Range | None) -> list[str]:
    if found is None:
        return ["-"] * 3
    return [f"{value:.4g}" for value in (found.minimum, found.median, found.maximum)]


def _odd(material: Material) -> str:
    assert material.statistics is not None
    found = odd_cases(material.statistics)
    if not found:
        return heading("Cases unlike the others") + paragraph("None by spacing, size or volume.")
    rows = [[odd.case, odd.why] for odd in found]
    shown: Mapping[str, str] = {odd.case: odd.why for odd in found}
    return (
        heading("Cases unlike the others")
        + table(("case", "what"), rows, words=(1,))
        + gallery(material.overlays, shown)
    )


def _checked(checked: Checked) -> str:
    parts = [heading("Found by the check")]
    for kind, found in (("problem", checked.problems), ("warning", checked.warnings)):
        count = f"{len(found)} {kind}{'s' * (len(found) != 1)}"
        parts.append(paragraph(f"{count} in {checked.cases} cases.", "warn" if found else ""))
        if not checked.quoted:
            continue
        parts.append(bullets(str(problem) for problem in found[:LISTED]))
        if len(found) > LISTED:
            parts.append(paragraph(f"... and {len(found) - LISTED} more in check.json.", "soft"))
    if checked.pictures:
        text = "Each seems to lie beside its organ: the scan, and the scan with the target."
        shown = [
            figure(picture(uri, f"{target}, seemingly misplaced"), target)
            for target, uri in checked.pictures.items()
        ]
        parts += [heading("Seemingly misplaced"), paragraph(text), side_by_side(shown, "pictures")]
    return "".join(parts)
