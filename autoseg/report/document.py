"""The report: its chapters in the order in which questions are asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from autoseg.report.cases import about_cases
from autoseg.report.chosen import about_choice
from autoseg.report.data import about_data
from autoseg.report.html import Section, bullets, page, paragraph
from autoseg.report.learning import about_training
from autoseg.report.manifest import about_runs
from autoseg.report.material import Material
from autoseg.report.planned import about_plan
from autoseg.report.results import about_results
from autoseg.report.viewer import viewer_script, viewer_style

CHAPTERS = (
    about_results, about_cases, about_choice, about_data, about_plan, about_training, about_runs,
)  # fmt: skip


OF_A_FOLDER = (about_results, about_cases)


def build_page(
    material: Material, chapters: Sequence[Callable[[Material], Section]] = CHAPTERS
) -> str:
    """Return the whole report as one HTML file; what does not exist says how it is made."""
    subtitle = "; ".join(f"{name} {value}" for name, value in material.facts.items())
    sections = [_with_losses(about(material), material) for about in chapters]
    viewers = (viewer_style(), viewer_script()) if material.scenes else ()
    return page(material.dataset, subtitle, sections, *viewers)


def _with_losses(section: Section, material: Material) -> Section:
    """Return a chapter that says first which of its files are damaged."""
    lost = [str(file.problem) for file in material.unreadable if file.chapter == section.title]
    if not lost:
        return section
    text = "Damaged, and left out of this chapter:" if len(lost) > 1 else "Damaged, and left out:"
    body = paragraph(text, "warn") + bullets(lost)
    return replace(section, body=body if section.empty else body + section.body)
