"""The command `export`, of data and results: slices, volumes, masks, submissions."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from shlex import join

from autoseg.commands.options import workspace_of
from autoseg.errors import UsageError, number_of


def add_data_choices(what: argparse._ArgumentGroup) -> None:
    """Add the options that say what is exported."""
    what.add_argument(
        "--slices", type=Path, metavar="FOLDER",
        help="a dataset as flat PNGs: train|val|test/{img,gt}/<case>_<slice>.png in a new folder",
    )  # fmt: skip
    what.add_argument(
        "--volumes", type=Path, metavar="FOLDER",
        help="labelled slices of -i as volumes: <case>.nii.gz on the grids of the scans",
    )  # fmt: skip
    what.add_argument(
        "--masks", type=Path, metavar="FOLDER",
        help="label maps as one binary file for each target: <case>/<target>.nii.gz",
    )  # fmt: skip
    what.add_argument(
        "--submission", choices=("segthor", "kits19"),
        help="what the ai4mi course or KiTS19 wants handed in, packed into -o",
    )  # fmt: skip


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of each of them."""
    _add_slices(parser.add_argument_group("of slices, and of volumes"))
    _add_masks(parser.add_argument_group("of masks, volumes and submissions"))
    group = parser.add_argument_group("of submissions")
    group.add_argument("--group", metavar="XX", help="of the course, with -i: test predictions")
    group.add_argument("--student", metavar="NNN", help="of the course, for assignment 3")


def _add_slices(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--shape", type=int, nargs=2, metavar=("DOWN", "ACROSS"),
        help="pixels of a picture (default: those of the scan, nothing is lost)",
    )  # fmt: skip
    group.add_argument(
        "--window", type=float, nargs=2, metavar=("BLACK", "WHITE"),
        help="intensities drawn black and white (default: least and most of each scan)",
    )  # fmt: skip
    group.add_argument(
        "--rows", choices=("x", "y"),
        help="what runs down a picture: x, as nibabel slices (default), or y",
    )  # fmt: skip
    group.add_argument(
        "--fold", metavar="FOLD",
        help="its validation cases go to val (default: none; of submissions every trained one)",
    )  # fmt: skip
    group.add_argument("--channel", metavar="NAME", help="which one, where there are several")
    group.add_argument(
        "--tree", type=Path, metavar="FOLDER", help="of volumes: what --slices wrote"
    )


def _add_masks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-i", "--predictions", type=Path, metavar="FOLDER",
        help="other label maps, such as predictions (default: the dataset's)",
    )  # fmt: skip
    group.add_argument(
        "--targets", nargs="+", metavar="NAME=VALUES",
        help="what their values mean, e.g. kidney=1,2 (default: what a dataset.json says)",
    )  # fmt: skip


def _submission(options: argparse.Namespace) -> str:
    from autoseg.workflows.export_submission import KITS, export_submission
    from autoseg.workflows.submission_pieces import GROUP, STUDENT, Wanted

    kind, number, name = KITS, "", "predictions.zip"
    if options.submission == "segthor":
        if bool(options.group) == bool(options.student):
            raise UsageError("whose submission?", expected="--group XX or --student NNN")
        kind, number = (GROUP, options.group) if options.group else (STUDENT, options.student)
        name = f"group-{number}.tar.gz" if options.group else f"student-{number}.zip"
    output = options.output or Path(name)
    wanted = Wanted(
        workspace_of(options),
        kind,
        number,
        dataset=options.dataset,
        model=options.model,
        folds=[options.fold] if options.fold else None,
        predictions=options.predictions,
    )
    places = export_submission(wanted, output, options.overwrite)
    return "\n".join([*places, f"{len(places)} files in {output}"])


def _slices(options: argparse.Namespace) -> str:
    from autoseg.sharing.slices import Cut, class_words, factor_of, label_map_words
    from autoseg.workflows.export_slices import export_slices

    folder = options.slices
    shape, window = (tuple(pair) if pair else None for pair in (options.shape, options.window))
    data = export_slices(
        workspace_of(options),
        folder,
        dataset=options.dataset,
        cut=Cut(shape, window, options.rows or "x"),
        fold=options.fold,
        channel=options.channel,
        overwrite=options.overwrite,
        workers=options.workers or 0,
    )
    words = [
        "autoseg", "import", "-d", "NAME", "--images", f"{folder}/*/img/{{case}}_{{slice}}.png",
        "--labels", f"{folder}/*/gt/{{case}}_{{slice}}.png", "--spacing", f"{folder}/spacing.json",
        "--channels", options.channel or data.channels[0], "--classes", *class_words(data.labels),
    ]  # fmt: skip
    changes = label_map_words(data.labels, factor_of(data.labels))
    words += ["--label-map", *changes] if changes else []
    return f"back: {join(words)}"


def _volumes(options: argparse.Namespace) -> str:
    if options.predictions is None or options.tree is None:
        raise UsageError("--volumes", expected="-i FOLDER of pictures and --tree FOLDER")
    from autoseg.workflows.export_volumes import export_volumes

    count = export_volumes(
        options.volumes,
        slices=options.predictions,
        tree=options.tree,
        overwrite=options.overwrite,
        workers=options.workers or 0,
    )
    return f"{number_of(count, 'volume')} in {options.volumes}"


def _masks(options: argparse.Namespace) -> str:
    from autoseg.evaluation.targets import parse_targets
    from autoseg.sharing.slices import class_words
    from autoseg.workflows.export_masks import export_masks

    made = export_masks(
        workspace_of(options),
        options.masks,
        dataset=options.dataset,
        predictions=options.predictions,
        targets=parse_targets(options.targets) if options.targets else None,
        overwrite=options.overwrite,
        workers=options.workers or 0,
    )
    words = [
        "autoseg", "import", "-d", "NAME", "--images", "SCANS", "--labels",
        f"{options.masks}/{{case}}/{{class}}{made.ending}", "--classes",
        *class_words(made.labels),
        "--channels", "CHANNEL",
    ]  # fmt: skip
    count = f"{made.cases} case{'s' * (made.cases != 1)}"
    return f"{count} in {options.masks}\nback: {join(words)}"


RUNS: Mapping[str, Callable[[argparse.Namespace], str]] = {
    "submission": _submission,
    "slices": _slices,
    "volumes": _volumes,
    "masks": _masks,
}
