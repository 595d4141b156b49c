"""The command `export`: models, data and results in the form that others want."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

from autoseg.commands.export_data import RUNS, add_data_choices, add_data_options
from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    workers_option,
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
OF_VOLUMES = ("predictions", "tree", "workers")
OF_MASKS = ("dataset", "predictions", "targets", "workers")
OF_SUBMISSION = ("dataset", "model", "fold", "predictions", "output", "group", "student")
# A submission has a model among its pieces, so it is looked for first.
ONLY_FOR = {
    "submission": OF_SUBMISSION, "slices": OF_SLICES, "volumes": OF_VOLUMES, "masks": OF_MASKS,
    "model": OF_MODEL,
}  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    what = parser.add_argument_group("what is exported (one of these)")
    what.add_argument("-m", "--model", type=Path, metavar="BUNDLE", help="a model, to -o")
    add_data_choices(what)
    _add_model(parser.add_argument_group("of a model"))
    add_data_options(parser)
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


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    kind = _kind_of(options)
    return _model(options) if kind == "model" else RUNS[kind](options)


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
