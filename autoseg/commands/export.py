"""The command `export`: a bundle for another program."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import overwrite_option

NEXT = {"nnunet": "nnUNetv2_predict_from_modelfolder -m {} -i IMAGES -o {} -f {}"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-m", "--model", type=Path, required=True, metavar="BUNDLE", help="the model to export"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="for the other program"
    )
    parser.add_argument(
        "--to", choices=tuple(NEXT), default="nnunet", help="program (default: nnunet, version 2)"
    )
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    parser.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.export import export

    folder = export(
        options.model,
        options.output,
        to=options.to,
        folds=options.folds,
        overwrite=options.overwrite,
        trust=options.trust,
    )
    command = NEXT[options.to]
    stages = sorted(path.parent for path in folder.glob("*/plans.json"))  # of a cascade
    lines = [command.format(stage, "PREVIOUS", _folds(stage)) for stage in stages]
    lines += [command.format(folder, "LABELS", _folds(folder))]
    lines[-1] += " -prev_stage_predictions PREVIOUS" * bool(stages)
    return f"next: {' && '.join(lines)}"


def _folds(folder: Path) -> str:
    return " ".join(sorted(path.name.removeprefix("fold_") for path in folder.glob("fold_*")))
