"""The verb `export --masks`: label maps as one binary file for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autoseg.case_files import ending_of
from autoseg.dataset import load_dataset
from autoseg.errors import DataError, Problem, UsageError
from autoseg.evaluation.pairing import label_files
from autoseg.evaluation.targets import find_declaration
from autoseg.files import write_json
from autoseg.io import read_labels
from autoseg.labels import Labels
from autoseg.locks import building
from autoseg.parallel import map_cases
from autoseg.sharing.masks import RECORD, check_names, record_of, write_masks
from autoseg.workflows.export_places import all_made, put_in_place, refuse_existing
from autoseg.workspace import Workspace


@dataclass(frozen=True)
class LabelFile:
    """One label map, and which of its targets were looked for."""

    id: str
    path: Path
    annotated: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Written:
    """What lies in the new folder."""

    labels: Labels
    cases: int
    ending: str  # of the files


def export_masks(
    workspace: Workspace,
    output: Path,
    *,
    dataset: str | None = None,
    predictions: Path | None = None,
    targets: Labels | None = None,
    overwrite: bool = False,
    workers: int = 0,
) -> Written:
    """Write `<case>/<target><ending>` to a new folder and return what was written.

    The label maps are those in the folder `predictions`, else those of `dataset` in `raw/`. What
    their values mean is said by `targets`, else by `dataset`, else by a `dataset.json` in or above
    the folder. Each file has the grid, header and type of its label map. It is built beside its
    place and renamed. Raises UsageError when `output` is there already and not `overwrite`, or
    when nobody says what the values mean; DataError listing every label map with other values.
    """
    refuse_existing(output, overwrite, is_ours)
    labels, files = _find(workspace, dataset, predictions, targets)
    check_names(labels)
    if not files:
        raise UsageError("there are no label maps", place=str(predictions or dataset))
    with building(output) as room:
        target = room / "masks"
        write = partial(_write, labels=labels, folder=target)
        outcomes = map_cases(write, files, workers=workers, title="masks")
        all_made(outcomes, "label maps cannot be used")
        write_json(target / RECORD, record_of(labels))
        put_in_place(target, output, room)
    return Written(labels, len(files), ending_of(files[0].path))


def is_ours(place: Path) -> bool:
    """Tell whether a folder holds masks that autoseg wrote."""
    return (place / RECORD).is_file()


def _find(
    workspace: Workspace, dataset: str | None, predictions: Path | None, targets: Labels | None
) -> tuple[Labels, Sequence[LabelFile]]:
    if predictions is None:
        data = load_dataset(workspace.raw(workspace.find_raw(dataset)))
        return targets or data.labels, [
            LabelFile(case.id, case.labels, case.annotated) for case in data.cases if case.labels
        ]
    problems: list[Problem] = []
    found = label_files(predictions, "label maps", problems)
    if problems:
        raise DataError("cannot be used", place=str(predictions), problems=problems)
    labels = targets
    if labels is None and dataset is not None:
        labels = load_dataset(workspace.raw(workspace.find_raw(dataset))).labels
    if labels is None:
        declaration = find_declaration(predictions)
        labels = None if declaration is None else declaration.labels
    if labels is None:
        remedy = "name the dataset with -d, or give --targets kidney=1,2 tumour=2"
        raise UsageError("what do the values mean?", place=str(predictions), remedy=remedy)
    return labels, [LabelFile(case, path) for case, path in sorted(found.items())]


def _write(file: LabelFile, labels: Labels, folder: Path) -> None:
    image = read_labels(file.path)
    try:
        labels.encode(image.array)
    except ValueError as error:
        expected = ", ".join(f"{name} {values}" for name, values in labels.targets.items())
        place = str(file.path)
        raise DataError(str(error), place=place, expected=expected[:200]) from error
    write_masks(
        folder / file.id, image.array[0], image.geometry, labels, ending_of(file.path),
        annotated=file.annotated, like=file.path,
    )  # fmt: skip
