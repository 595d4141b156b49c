"""What the data are like: grids, volumes, intensities, and what a check has found."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.errors import number_of
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
from autoseg.report.measured import about_intensities, about_sizes
from autoseg.report.odd import odd_cases
from autoseg.report.sizes import Sizes, sizes_of

LISTED = 30  # findings of a check that are written out


def about_data(material: Material) -> Section:
    """Return the chapter of the data."""
    parts = []
    sizes = sizes_of(material)
    if sizes is not None:
        parts += [about_sizes(material, sizes), about_intensities(material), _odd(material, sizes)]
    if material.statistics is None:
        what = "Sizes, volumes and intensities" if sizes is None else "Intensities of each target"
        parts.append(hint(f"{what}: run autoseg statistics -d {material.dataset}."))
    if material.checked is not None:
        parts.append(_checked(material.checked))
    else:
        parts.append(hint(f"Problems of the files: run autoseg check -d {material.dataset}."))
    return Section("Data", "".join(parts))


def _odd(material: Material, sizes: Sizes) -> str:
    found = odd_cases(sizes)
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
        count = number_of(len(found), kind)
        parts.append(
            paragraph(f"{count} in {number_of(checked.cases, 'case')}.", "warn" if found else "")
        )
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
