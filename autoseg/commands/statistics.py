"""The command `statistics`: what a dataset is like."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import dataset_option, workers_option, workspace_of, workspace_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    dataset_option(parser, "dataset in raw/ (default: the only one there)")
    workspace_option(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER",
        help="for statistics.json and statistics.csv (default: prepared/NAME)",
    )  # fmt: skip
    workers_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.importing.statistics_tables import format_statistics
    from autoseg.workflows.statistics import statistics

    found = statistics(
        workspace_of(options), options.dataset, output=options.output, workers=options.workers
    )
    return format_statistics(found)
