"""The command `demo`: every stage on phantom CTs, or on a toy."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import table_of

FOLDERS = {"phantoms": "autoseg_demo", "circles": "autoseg_toy"}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "--toy", nargs="?", const="circles", choices=("circles",),
        help="flat PNG pictures with two circles in noise, instead of phantom CTs",
    )  # fmt: skip
    parser.add_argument(
        "-n", "--cases", type=int, nargs=2, metavar=("TRAINING", "UNSEEN"),
        help="numbers of images to learn from and of unseen ones (default: 12 3; toy: 1000 100)",
    )  # fmt: skip
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER",
        help="a new folder for all that is made (default: autoseg_demo; toy: autoseg_toy)",
    )  # fmt: skip
    parser.add_argument(
        "--budget", metavar="LENGTH", help="of the training (default: 150s; toy: 4epochs)"
    )


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.demo import run_demo

    name = options.toy or "phantoms"
    summary, picture, page = run_demo(
        options.output or Path(FOLDERS[name]),
        name,
        None if options.cases is None else (options.cases[0], options.cases[1]),
        options.budget,
    )
    return f"{table_of(summary)}\nscan, label and prediction: {picture}\nthe report: {page}"
