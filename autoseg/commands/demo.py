"""The command `demo`: every stage on phantom CTs."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import table_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("autoseg_demo"), metavar="FOLDER",
        help="a new folder for data, model and picture (default: autoseg_demo)",
    )  # fmt: skip
    parser.add_argument(
        "--budget", default="150s", metavar="LENGTH", help="of the training (default: 150s; toy: 4epochs of 50 steps)"
    )


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.demo import run_demo

    summary, picture = run_demo(options.output, options.budget)
    return f"{table_of(summary)}\nscan, label and prediction: {picture}"
