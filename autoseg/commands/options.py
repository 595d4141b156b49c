"""Options and answers that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoseg.results import Summary
    from autoseg.workspace import Workspace


def dataset_option(
    parser: argparse.ArgumentParser, meaning: str = "(default: the one planned last)"
) -> None:
    """Add -d with what it means here."""
    parser.add_argument("-d", "--dataset", metavar="NAME", help=meaning)


def workspace_option(parser: argparse.ArgumentParser) -> None:
    """Add -w."""
    parser.add_argument(
        "-w", "--workspace", type=Path, default=Path(), metavar="FOLDER",
        help="holds raw/, prepared/ and models/ (default: the current folder)",
    )  # fmt: skip


def set_option(parser: argparse.ArgumentParser, example: str) -> None:
    """Add --set with an example of a setting."""
    parser.add_argument(
        "--set", dest="settings", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help=f"change what shapes the result, e.g. {example}; may be repeated",
    )  # fmt: skip


def device_option(
    parser: argparse.ArgumentParser, meaning: str = "cpu, cuda, cuda:1, mps (default: best)"
) -> None:
    """Add --device with what it means here."""
    parser.add_argument("--device", metavar="NAME", help=meaning)


def workers_option(parser: argparse.ArgumentParser) -> None:
    """Add --workers."""
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: what pays)")


def overwrite_option(parser: argparse._ActionsContainer) -> None:
    """Add --overwrite."""
    parser.add_argument("--overwrite", action="store_true", help="replace a finished result")


def table_option(parser: argparse._ActionsContainer) -> None:
    """Add --table."""
    parser.add_argument(
        "--table", choices=("plain", "markdown", "latex"), default="plain",
        help="how tables are printed (default: plain)",
    )  # fmt: skip


def workspace_of(options: argparse.Namespace) -> Workspace:
    """Return the workspace that -w names."""
    from autoseg.workspace import Workspace

    return Workspace(options.workspace)


def table_of(summary: Summary | None, style: str = "plain") -> str:
    """Return a summary as text; nothing of None."""
    from autoseg.evaluation.score import format_table

    return "" if summary is None else format_table(summary, style)
