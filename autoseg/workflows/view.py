"""What is looked at: a case of a dataset, or any scan, with the label maps that belong to it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg.case_files import some, stem_of
from autoseg.dataset import Dataset, load_dataset
from autoseg.errors import UsageError, number_of, suggest
from autoseg.image import Image
from autoseg.io import read_case, read_image
from autoseg.labels import Labels
from autoseg.preprocessing.units import look_at
from autoseg.workflows.overlay import choose_channel
from autoseg.workflows.report_material import collect
from autoseg.workflows.report_pictures import prediction_of
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

REFERENCE = "reference"
MOST_CHANNELS = 8  # of a file, which may hold a film


@dataclass(frozen=True)
class View:
    """A scan (C, Z, Y, X), the names of its channels, and label maps by name.

    `labels` None: targets are called by their values. `dataset`: its folder in `raw/`, or none.
    """

    name: str
    image: Image
    channels: tuple[str, ...]
    source: Path
    maps: Mapping[str, Path]
    labels: Labels | None
    dataset: str = ""


def view_of_case(
    workspace: Workspace, dataset: str | None, case_id: str, channel: str | None = None
) -> View:
    """Return a case of a dataset in `raw/` (default: the one planned last) with its labels.

    `channel` comes first, the others after it. Raises UsageError when there is no such dataset,
    case or channel.
    """
    data = find_dataset(workspace, dataset)
    case = {case.id: case for case in data.cases}.get(case_id)
    if case is None:
        known = [case.id for case in data.cases]
        near = suggest(case_id, known)
        remedy = near if len(known) < 20 or near.startswith("did") else f"there are {some(known)}"
        raise UsageError(f"no case '{case_id}'", place=str(data.folder), remedy=remedy)
    first = choose_channel(data.channels, channel)
    order = [first, *(index for index in range(len(data.channels)) if index != first)]
    image = _finite(read_case(case, len(data.channels)), case_id)
    return View(
        case_id,
        Image(image.array[order], image.geometry),
        tuple(data.channels[index] for index in order),
        case.images[0],
        {} if case.labels is None else {REFERENCE: case.labels},
        data.labels,
        data.folder.name,
    )


def view_of_files(image: Path, reference: Path | None = None, labels: Labels | None = None) -> View:
    """Return any scan with a label map; UsageError when one is not there."""
    if not image.exists():
        raise UsageError("not found", place=str(image), expected="an image")
    maps = {} if reference is None else {REFERENCE: existing(reference)}
    read = _finite(read_image(image), str(image))
    count = len(read.array)
    if count > MOST_CHANNELS:
        log.info("%s: shown are the first %d of %d channels", image, MOST_CHANNELS, count)
    shown = Image(read.array[:MOST_CHANNELS], read.geometry)
    names = tuple(f"channel {number}" for number in range(1, len(shown.array) + 1))
    return View(stem_of(image), shown, names if count > 1 else ("",), image, maps, labels)


def _finite(image: Image, place: str) -> Image:
    """Return the image with a number in every voxel; where there was none, that is told.

    It is the lowest of its channel, the highest instead of an infinite one, 0 where all are none.
    """
    there = np.isfinite(image.array)
    missing = there.size - int(there.sum())
    if not missing:
        return image
    voxels = number_of(missing, "voxel")
    log.warning("%s: %s without a finite value: shown as the lowest", place, voxels)
    channels = []
    for channel, finite in zip(image.array, there, strict=True):
        known = channel[finite] if finite.any() else np.zeros(1)
        low, high = known.min(), known.max()
        channels.append(np.nan_to_num(channel, nan=low, posinf=high, neginf=low))
    return replace(image, array=np.stack(channels))


def find_dataset(workspace: Workspace, name: str | None) -> Dataset:
    """Return the dataset in `raw/` that is called `name`; None: the one planned last, or alone."""
    planned = workspace.planned_datasets()
    known = workspace.find_planned(name) if name is None and planned else name
    return load_dataset(workspace.raw(workspace.find_raw(known)))


def with_validation(workspace: Workspace, view: View) -> View:
    """Return a case of a dataset with what the chosen model predicted of it, trained without it.

    Without a choice it is the model of the best Dice, as in the report. Where no validation has the
    case, the view is returned as it is.
    """
    if not workspace.models(view.dataset).is_dir():
        return view
    material = collect(workspace, view.dataset)
    path = prediction_of(workspace.models(view.dataset), material, view.name)
    model = material.shown
    if model is None or path is None:
        return view
    name = f"{model.name}, out of fold {model.fold_of[view.name]}"
    log.info("shown with %s: a prediction of a model that has not seen this case", name)
    return replace(view, maps={**view.maps, name: path})


def existing(path: Path) -> Path:
    """Return the path of a label map; raise UsageError when there is none."""
    if not path.is_file():
        raise UsageError("not found", place=str(path), expected="a label map")
    return path


def in_hounsfield(view: View, channel: int = 0) -> bool:
    """Tell whether a channel looks like a CT, or is called one and does not look like another."""
    units = look_at(view.image.array[channel])
    called = view.channels[channel].casefold() == "ct"
    return units.hounsfield or (called and not units.contradicts)
