"""The command `ensemble`: label maps from probabilities that several runs saved."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import overwrite_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-i", "--predictions", nargs="+", type=Path, required=True, metavar="FOLDER",
        help="of autoseg_predict --save-probabilities, two or more",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="for the label maps"
    )
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.ensemble import ensemble

    ensemble(options.predictions, options.output, overwrite=options.overwrite)
    return f"label maps: {options.output}"
