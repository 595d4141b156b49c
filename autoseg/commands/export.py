"""The command `export`: models, data and results in the form that others want."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import join, quote

from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    workers_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import UsageError

NEXT = {
    "zip": "autoseg import --model {}",
    "torchscript": "read {}/model.json as docs/sharing.md shows",
    "onnx": "read {}/model.json as docs/sharing.md shows",
}
NNUNET = "nnUNetv2_predict_from_modelfolder -m {} -i IMAGES -o {} -f {}"
OF_MODEL = ("model", "output", "to", "folds", "trust")
OF_SLICES = ("dataset", "shape", "window", "rows", "fold", "channel", "workers")
OF_MASKS = ("dataset", "predictions", "targets", "workers")
OF_SUBMISSION = ("dataset", "model", "fold", "predictions", "output", "group", "student")
# A submission has a model among its pieces, so it is looked for first.
ONLY_FOR = {
    "submission": OF_SUBMISSION, "slices": OF_SLICES, "masks": OF_MASKS, "model": OF_MODEL,
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    what = parser.add_argument_group("what is exported (one of these)")
    what.add_argument("-m", "--model", type=Path, metavar="BUNDLE", help="a model, to -o")
    what.add_argument(
        "--slices", type=Path, metavar="FOLDER",
        help="a dataset as flat PNGs: train|val|test/{img,gt}/<case>_<slice>.png in a new folder",
    )  # fmt: skip
    what.add_argument(
        "--masks", type=Path, metavar="FOLDER",
        help="label maps as one binary file for each target: <case>/<target>.nii.gz",
    )  # fmt: skip
    what.add_argument(
        "--submission", choices=("segthor", "kits19"),
        help="what the ai4mi course or KiTS19 wants handed in, packed into -o",
    )  # fmt: skip
    _add_model(parser.add_argument_group("of a model"))
    _add_slices(parser.add_argument_group("of slices"))
    _add_masks(parser.add_argument_group("of masks, and of submissions"))
    group = parser.add_argument_group("of submissions")
    group.add_argument("--group", metavar="XX", help="of the course, with -i: test predictions")
    group.add_argument("--student", metavar="NNN", help="of the course, for assignment 3")
    dataset_option(parser, "a dataset in raw/ (default: the only one there)")
    workspace_option(parser)
    workers_option(parser)
    overwrite_option(parser)


def _add_model(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o", "--output", type=Path, metavar="PLACE",
        help="the zip file, or a new folder for another program; of a submission .tar.gz, .zip, "
        ".tar.zst or a folder",
    )  # fmt: skip
    group.add_argument(
        "--to", choices=(*NEXT, "nnunet"),
        help="zip: to send and to import (default); networks for other programs; nnU-Net v2",
    )  # fmt: skip
    group.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    group.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )


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


def _add_masks(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-i", "--predictions", type=Path, metavar="FOLDER",
        help="other label maps, such as predictions (default: the dataset's)",
    )  # fmt: skip
    group.add_argument(
        "--targets", nargs="+", metavar="NAME=VALUES",
        help="what their values mean, e.g. kidney=1,2 (default: what a dataset.json says)",
    )  # fmt: skip


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    kind = _kind_of(options)
    verbs = {"submission": _submission, "model": _model, "slices": _slices, "masks": _masks}
    return verbs[kind](options)


def _kind_of(options: argparse.Namespace) -> str:
    """Return what is to be exported; raise UsageError for options that mean nothing there."""
    chosen = [kind for kind in ONLY_FOR if getattr(options, kind)]
    if not chosen:
        expected = "one of " + ", ".join(f"--{kind}" for kind in ONLY_FOR)
        raise UsageError("nothing to export", expected=expected, remedy="see -h")
    kind = chosen[0]
    known = {name for kind, names in ONLY_FOR.items() for name in (kind, *names)}
    given = [name for name in sorted(known - {kind, *ONLY_FOR[kind]}) if getattr(options, name)]
    if given:
        words = " ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{words} means nothing with --{kind}", remedy="leave it out")
    return kind


def _model(options: argparse.Namespace) -> str:
    if options.output is None:
        raise UsageError("the following arguments are required: -o/--output", remedy="see -h")
    from autoseg.workflows.export import export

    form = options.to or "zip"
    place = export(
        options.model,
        options.output,
        to=form,
        folds=options.folds,
        overwrite=options.overwrite,
        trust=options.trust,
    )
    if form != "nnunet":
        return f"next: {NEXT[form].format(quote(str(place)))}"
    stages = sorted(path.parent for path in place.glob("*/plans.json"))  # of a cascade
    lines = [NNUNET.format(quote(str(stage)), "PREVIOUS", _folds(stage)) for stage in stages]
    lines += [NNUNET.format(quote(str(place)), "LABELS", _folds(place))]
    lines[-1] += " -prev_stage_predictions PREVIOUS" * bool(stages)
    return f"next: {' && '.join(lines)}"


def _folds(folder: Path) -> str:
    return " ".join(sorted(path.stem.removeprefix("fold_") for path in folder.glob("fold_*")))


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


def _masks(options: argparse.Namespace) -> str:
    from autoseg.evaluation.targets import parse_targets
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
    labels = made.labels
    values = [f"{name}={value}" for name, (value, *_) in labels.targets.items()]
    values += [] if labels.ignore is None else [f"ignore={labels.ignore}"]
    words = [
        "autoseg", "import", "-d", "NAME", "--images", "SCANS", "--labels",
        f"{options.masks}/{{case}}/{{class}}{made.ending}", "--classes", *values,
        "--channels", "CHANNEL",
    ]  # fmt: skip
    count = f"{made.cases} case{'s' * (made.cases != 1)}"
    return f"{count} in {options.masks}\nback: {join(words)}"
