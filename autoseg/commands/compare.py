"""The command `compare`: models on the same cases, with tests."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    table_option,
    workspace_of,
    workspace_option,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "models", nargs="+", metavar="MODEL",
        help="folders with a summary.json of autoseg_evaluate, or trained models (3d_fullres-M)",
    )  # fmt: skip
    parser.add_argument(
        "--metrics", nargs="+", metavar="NAME", help="to be tested (default: dice nsd hd95)"
    )
    parser.add_argument(
        "--tuned", action="store_true", help="one was chosen on these cases: no p values"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="(default: the current folder)"
    )
    table_option(parser)
    overwrite_option(parser)
    dataset_option(parser)
    workspace_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.compare import TESTED, compare, format_comparison

    comparison = compare(
        options.models,
        workspace_of(options),
        dataset=options.dataset,
        output=options.output,
        metrics=options.metrics or TESTED,
        tuned=options.tuned,
        overwrite=options.overwrite,
    )
    return format_comparison(comparison, options.table)
