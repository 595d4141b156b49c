"""The report: its chapters in the order in which questions are asked."""

from __future__ import annotations

from autoseg.report.html import page
from autoseg.report.material import Material
from autoseg.report.results import about_results


def build_page(material: Material) -> str:
    """Return the whole report as one HTML file; what does not exist says how it is made."""
    chapters = [about_results(material)]
    subtitle = "; ".join(f"{name} {value}" for name, value in material.facts.items())
    return page(material.dataset, subtitle, chapters)
