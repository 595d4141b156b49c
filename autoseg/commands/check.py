"""The command `check`: every problem of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import dataset_option, workers_option, workspace_of, workspace_option
from autoseg.errors import DataError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    dataset_option(parser, "dataset in raw/ (default: the only one there)")
    workspace_option(parser)
    workers_option(parser)
    parser.add_argument(
        "--manifest", type=Path, metavar="FILE",
        help="compare files with their SHA-256 sums, as sha256sum lists them (without -d: only)",
    )  # fmt: skip
    parser.add_argument(
        "--fix-geometry", choices=("image",),
        help="first give label maps the header of their image, where only it differs",
    )  # fmt: skip


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    if options.manifest is None:
        return _check_dataset(options)
    answer = _check_files(options.manifest)
    return answer if options.dataset is None else f"{answer}\n{_check_dataset(options)}"


def _check_files(manifest: Path) -> str:
    from autoseg.importing.checksums import check_sums

    intact, problems = check_sums(manifest)
    if problems:
        count = len(intact) + len(problems)
        fact = f"{len(problems)} of {count} files are not as {manifest.name} says"
        raise DataError(fact, problems=problems)
    return "\n".join([*(f"{name}: OK" for name in intact), f"{len(intact)} files as listed"])


def _check_dataset(options: argparse.Namespace) -> str:
    from autoseg.workflows.check import check
    from autoseg.workflows.fix_geometry import fix_geometry

    if options.fix_geometry:
        fix_geometry(workspace_of(options), options.dataset)
    report = check(workspace_of(options), options.dataset, options.workers)
    if report.problems:
        counted = _counted(len(report.problems), "problem")
        raise DataError(counted, problems=[*report.warnings, *report.problems])
    summary = (
        f"{_counted(report.cases, 'case')}, 0 errors, {_counted(len(report.warnings), 'warning')}"
    )
    return "\n".join([*map(str, report.warnings), summary])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
