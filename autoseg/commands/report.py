"""The command `report`: what exists so far of a dataset, as one page to look at."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    workspace_of,
    workspace_option,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    dataset_option(parser)
    workspace_option(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="the page (default: models/NAME/report.html; before any training prepared/NAME)",
    )  # fmt: skip
    parser.add_argument(
        "--anonymous", action="store_true", help="no names of cases and patients, no paths"
    )
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.report import report

    path = report(
        workspace_of(options),
        options.dataset,
        output=options.output,
        anonymous=options.anonymous,
        overwrite=options.overwrite,
    )
    return f"{path} ({path.stat().st_size / 1e6:.1f} MB)"
