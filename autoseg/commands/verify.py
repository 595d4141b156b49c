"""The command `verify`: is a model intact, and right on this machine?"""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import device_option
from autoseg.errors import number_of


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "-m", "--model", type=Path, required=True, metavar="BUNDLE", help="the model"
    )
    parser.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )
    device_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.verify import verify

    verified = verify(options.model, options.device, options.trust)
    number = len(verified.lines)
    return f"{options.model}: as its author saved it ({number_of(number, 'fold')})"
