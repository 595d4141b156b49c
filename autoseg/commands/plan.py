"""The command `plan`: check, measure, decide, prepare."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    set_option,
    workers_option,
    workspace_of,
    workspace_option,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    dataset_option(parser, "dataset in raw/ (default: the only one there)")
    workspace_option(parser)
    parser.add_argument(
        "--only", nargs="+", metavar="CONFIG", help="prepare only these configurations"
    )
    parser.add_argument(
        "--memory-gb", type=float, metavar="N", help="plan one more size for N GB of GPU memory"
    )
    parser.add_argument("--no-prepare", action="store_true", help="stop after plan and folds")
    parser.add_argument(
        "--folds", type=_folds, metavar="FILE",
        help="folds.json, splits_final.json or a .csv: case,fold; or their number (default: 5)",
    )  # fmt: skip
    parser.add_argument(
        "--val-tags", nargs="*", metavar="TAG",
        help="validate cases with these tags only, train on the others in every fold",
    )  # fmt: skip
    parser.add_argument(
        "--preset", nargs="+", action="extend", default=[], metavar="NAME",
        help="plan these recipes as well, each as a configuration of its own; FILE.json: your own",
    )  # fmt: skip
    parser.add_argument(
        "--plan-from",
        type=Path,
        metavar="PLAN",
        help="take over the plan of another dataset or model",
    )
    set_option(parser, "3d_fullres.M.patch_size=64x160x160")
    workers_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.plan import plan

    made = plan(
        workspace_of(options),
        options.dataset,
        only=options.only,
        memory_gb=options.memory_gb,
        prepare=not options.no_prepare,
        settings=options.settings,
        folds=options.folds,
        validation_tags=options.val_tags,
        plan_from=options.plan_from,
        presets=options.preset,
        workers=options.workers,
    )
    return "\n".join(made.reasons)


def _folds(text: str) -> Path | int:
    return int(text) if text.isdigit() and not Path(text).exists() else Path(text)
