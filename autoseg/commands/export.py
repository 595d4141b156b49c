"""The command `export`: a bundle as one file, or for another program."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

from autoseg.commands.options import overwrite_option

NEXT = {
    "zip": "autoseg import --model {}",
    "torchscript": "read {}/model.json as docs/sharing.md shows",
    "onnx": "read {}/model.json as docs/sharing.md shows",
}
NNUNET = "nnUNetv2_predict_from_modelfolder -m {} -i IMAGES -o {} -f {}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-m", "--model", type=Path, required=True, metavar="BUNDLE", help="the model to export"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="PLACE",
        help="the zip file, or a new folder for another program",
    )  # fmt: skip
    parser.add_argument(
        "--to", choices=(*NEXT, "nnunet"), default="zip",
        help="zip: to send and to import (default); networks for other programs; nnU-Net v2",
    )  # fmt: skip
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    parser.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.export import export

    place = export(
        options.model,
        options.output,
        to=options.to,
        folds=options.folds,
        overwrite=options.overwrite,
        trust=options.trust,
    )
    if options.to != "nnunet":
        return f"next: {NEXT[options.to].format(quote(str(place)))}"
    stages = sorted(path.parent for path in place.glob("*/plans.json"))  # of a cascade
    lines = [NNUNET.format(quote(str(stage)), "PREVIOUS", _folds(stage)) for stage in stages]
    lines += [NNUNET.format(quote(str(place)), "LABELS", _folds(place))]
    lines[-1] += " -prev_stage_predictions PREVIOUS" * bool(stages)
    return f"next: {' && '.join(lines)}"


def _folds(folder: Path) -> str:
    return " ".join(sorted(path.stem.removeprefix("fold_") for path in folder.glob("fold_*")))
