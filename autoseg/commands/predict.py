"""The command `predict`: new images."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    device_option,
    overwrite_option,
    set_option,
    workspace_of,
    workspace_option,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-i", "--images", type=Path, required=True, metavar="FOLDER", help="images to segment"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="for the label maps"
    )
    dataset_option(parser)
    workspace_option(parser)
    parser.add_argument("-c", "--configuration", metavar="CONFIG", help="(default: the best known)")
    parser.add_argument("--size", metavar="SIZE", help="(default: the one that was trained)")
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    parser.add_argument(
        "-m", "--model", nargs="+", type=Path, metavar="BUNDLE", help="bundles, without workspace"
    )
    parser.add_argument(
        "--write", choices=("labels", "seg", "rtstruct"), default="labels",
        help="of DICOM series: label maps, or DICOM-SEG or RTSTRUCT (default: labels)",
    )  # fmt: skip
    parser.add_argument("--speed", choices=("accurate", "balanced", "fast"), default="balanced")
    parser.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )
    set_option(parser, "step=0.5")
    device_option(parser)
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.predict import predict

    predict(
        workspace_of(options),
        options.images,
        options.output,
        dataset=options.dataset,
        configuration=options.configuration,
        size=options.size,
        folds=options.folds,
        bundles=options.model,
        speed=options.speed,
        settings=options.settings,
        device=options.device,
        overwrite=options.overwrite,
        trust=options.trust,
        write=options.write,
    )
    return f"label maps: {options.output}"
