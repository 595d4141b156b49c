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
from autoseg.errors import UsageError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-i", "--images", nargs="+", required=True, metavar="PLACE",
        help="images to segment: folders, files, or - for NIfTI on stdin",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", required=True, metavar="PLACE",
        help="folder for the label maps; of one case also a file, or - for NIfTI on stdout",
    )  # fmt: skip
    dataset_option(parser)
    workspace_option(parser)
    parser.add_argument("-c", "--configuration", metavar="CONFIG", help="(default: the best known)")
    parser.add_argument("--size", metavar="SIZE", help="(default: the one that was trained)")
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    parser.add_argument(
        "-m", "--model", nargs="+", type=Path, metavar="BUNDLE", help="bundles, without workspace"
    )
    parser.add_argument(
        "--previous", type=Path, metavar="FOLDER",
        help="label maps of a cascade's previous stage (default: it is predicted, too)",
    )  # fmt: skip
    parser.add_argument(
        "--write", choices=("labels", "seg", "rtstruct"), default="labels",
        help="of DICOM series: label maps, or DICOM-SEG or RTSTRUCT (default: labels)",
    )  # fmt: skip
    parser.add_argument(
        "--save-probabilities", action="store_true", help="also <case>.npz, float16"
    )
    parser.add_argument("--speed", choices=("accurate", "balanced", "fast", "localise"))
    parser.add_argument(
        "--budget", metavar="TIME", help="60s, 2m: for each case; folds, mirroring, overlap fit in"
    )
    parser.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )
    parser.add_argument(
        "--parts", type=int, metavar="N", help="share the cases out: this command does one part"
    )
    parser.add_argument("--part", type=int, metavar="K", help="which one, 0 to N-1")
    parser.add_argument(
        "--strict", action="store_true",
        help="refuse cases that are unlike the training data, exit 3 (default: a warning)",
    )  # fmt: skip
    set_option(parser, "step=0.5")
    device_option(parser)
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.pipes import PIPE, connected
    from autoseg.workflows.predict import predict

    if options.save_probabilities and options.output == PIPE:
        fact = "--save-probabilities writes a file beside the label map"
        raise UsageError(fact, remedy="name a file or a folder with -o")
    with connected(options.images, options.output) as (images, output):
        predict(
            workspace_of(options),
            images,
            output,
            dataset=options.dataset,
            configuration=options.configuration,
            size=options.size,
            folds=options.folds,
            bundles=options.model,
            speed=options.speed,
            budget=options.budget,
            settings=options.settings,
            device=options.device,
            overwrite=options.overwrite,
            trust=options.trust,
            write=options.write,
            save_probabilities=options.save_probabilities,
            parts=options.parts,
            part=options.part,
            previous=options.previous,
            strict=options.strict,
        )
    if options.output == PIPE:
        return ""
    return f"label map{'s' if output.is_dir() else ''}: {options.output}"
