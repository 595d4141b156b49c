"""The command `evaluate`: two folders, or the cross-validation so far."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    table_of,
    workers_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import UsageError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("-p", "--predictions", type=Path, metavar="FOLDER", help="label maps")
    parser.add_argument("-g", "--references", type=Path, metavar="FOLDER", help="true label maps")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="(default: the predictions' folder)"
    )
    parser.add_argument("--cases", nargs="+", metavar="CASE", help="judge only these")
    parser.add_argument(
        "--allow-missing", action="store_true", help="count a missing prediction as empty"
    )
    parser.add_argument(
        "--ignore-geometry", action="store_true", help="compare arrays, whatever headers say"
    )
    parser.add_argument(
        "--nsd-tolerance", nargs="+", metavar="MM", help="for all targets; or liver=3 spleen=2"
    )
    parser.add_argument("--mode", choices=("surfel", "voxel"), help="surfaces (default: surfel)")
    dataset_option(parser)
    workspace_option(parser)
    workers_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.evaluate import (
        evaluate,
        evaluate_crossvalidation,
        format_crossvalidation,
    )

    workspace = workspace_of(options)
    if options.predictions is None and options.references is None:
        _refuse_without_folders(options)
        return format_crossvalidation(evaluate_crossvalidation(workspace, options.dataset))
    summary = evaluate(
        workspace,
        predictions=options.predictions,
        references=options.references,
        output=options.output,
        dataset=options.dataset,
        cases=options.cases,
        allow_missing=options.allow_missing,
        ignore_geometry=options.ignore_geometry,
        nsd_tolerance=_tolerance(options.nsd_tolerance),
        mode=options.mode or "surfel",
        workers=options.workers,
    )
    return table_of(summary)


def _refuse_without_folders(options: argparse.Namespace) -> None:
    """Answer an option that means nothing for the cross-validation, which is scored already."""
    names = ("output", "cases", "allow_missing", "ignore_geometry", "nsd_tolerance", "mode")
    given = [f"--{name.replace('_', '-')}" for name in names if getattr(options, name)]
    if given:
        raise UsageError(f"{' '.join(given)} without folders", expected="-p FOLDER -g FOLDER")


def _tolerance(words: list[str] | None) -> float | dict[str, float] | None:
    """Return millimetres for all targets ("3") or for each ("liver=3" "spleen=2")."""
    if not words:
        return None
    try:
        if len(words) == 1 and "=" not in words[0]:
            return float(words[0])
        pairs = [word.rsplit("=", 1) for word in words]
        return {name: float(value) for name, value in pairs}
    except ValueError as error:
        fact = f"--nsd-tolerance {' '.join(words)}"
        raise UsageError(fact, expected="millimetres, such as 3 or liver=3 spleen=2") from error
