"""The command `check`: every problem of a dataset."""

from __future__ import annotations

import argparse

from autoseg.commands.options import dataset_option, workers_option, workspace_of, workspace_option
from autoseg.errors import DataError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    dataset_option(parser, "dataset in raw/ (default: the only one there)")
    workspace_option(parser)
    workers_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.check import check

    problems, warnings = check(workspace_of(options), options.dataset, options.workers)
    if problems:
        counted = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(counted, problems=[*warnings, *problems])
    return "\n".join([*map(str, warnings), "no problems found"])
