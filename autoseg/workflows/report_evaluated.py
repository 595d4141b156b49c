"""The verb `report --evaluated`: the scores of a folder that was evaluated, without a dataset."""

from __future__ import annotations

from pathlib import Path

from autoseg.errors import UsageError
from autoseg.evaluation.tables import SUMMARY, read_summary
from autoseg.files import write_text
from autoseg.report.anonymous import anonymise
from autoseg.report.document import OF_A_FOLDER, build_page
from autoseg.report.material import Material, Model
from autoseg.workflows.report import ANONYMOUS_PAGE, PAGE
from autoseg.workflows.report_material import made_by
from autoseg.workflows.report_place import refuse_foreign


def report_evaluated(
    folder: Path, *, output: Path | None = None, anonymous: bool = False, overwrite: bool = False
) -> Path:
    """Write a page of what `autoseg_evaluate` found of `folder`, without pictures; return its path.

    By default `<folder>/report.html`. Raises UsageError when the folder has not been evaluated, or
    `output` is a file that is not a report.
    """
    scores = folder / SUMMARY
    if not scores.is_file():
        remedy = "run autoseg_evaluate -p PREDICTIONS -g REFERENCES first"
        raise UsageError(f"holds no {SUMMARY}", place=str(folder), remedy=remedy)
    name = "predictions" if anonymous else folder.resolve().name
    material = Material(name, models=(Model(name, {}, read_summary(scores)),), facts=made_by())
    path = output or folder / (ANONYMOUS_PAGE if anonymous else PAGE)
    if not overwrite:
        refuse_foreign(path)
    write_text(path, build_page(anonymise(material) if anonymous else material, OF_A_FOLDER))
    return path
