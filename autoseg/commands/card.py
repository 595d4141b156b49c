"""The command `card`: what a model is, for people."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-m", "--model", type=Path, required=True, metavar="BUNDLE", help="the model"
    )
    parser.add_argument(
        "--set", dest="settings", nargs="+", action="extend", default=[], metavar="NAME=TEXT",
        help="state description, intended_use, licence, reference, author or contact, "
        "e.g. licence='CC BY 4.0'",
    )  # fmt: skip


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.card import show_card

    return show_card(options.model, options.settings).rstrip("\n")
