"""The command `overlay`: pictures of scans with their label maps, to look through quickly."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    workers_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import number_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    dataset_option(parser, "dataset in raw/ (default: the only one there)")
    workspace_option(parser)
    parser.add_argument(
        "-i", "--images", type=Path, metavar="FOLDER",
        help="other scans of the dataset's channels (default: its training cases)",
    )  # fmt: skip
    parser.add_argument(
        "-p", "--predictions", type=Path, metavar="FOLDER", help="label maps named like the cases"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="for one PNG a case"
    )
    parser.add_argument("--channel", metavar="NAME", help="which one is drawn (default: the first)")
    workers_option(parser)
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.overlay import overlay

    paths = overlay(
        workspace_of(options),
        options.output,
        dataset=options.dataset,
        images=options.images,
        predictions=options.predictions,
        channel=options.channel,
        workers=options.workers or 0,
        overwrite=options.overwrite,
    )
    return f"{number_of(len(paths), 'picture')} in {options.output}"
