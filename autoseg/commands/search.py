"""The command `search`: try settings of a training, name the best ones."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    device_option,
    overwrite_option,
    set_option,
    workspace_of,
    workspace_option,
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("configuration", metavar="CONFIG", help="2d, 3d_fullres, ...: as planned")
    parser.add_argument(
        "folds", metavar="FOLD", nargs="+", help="every trial is trained and scored on these folds"
    )
    parser.add_argument(
        "--vary", nargs="+", action="extend", default=[], metavar="NAME=VALUES",
        help="settings to try: loss=dice_ce/ce, batch_size=2..8, learning_rate=log:1e-4..1e-2",
    )  # fmt: skip
    parser.add_argument(
        "--space", type=Path, metavar="FILE",
        help='the same from a file: {"loss": ["dice_ce", "ce"], "batch_size": "2..8"}',
    )  # fmt: skip
    parser.add_argument("--grid", action="store_true", help="try every combination, in order")
    parser.add_argument("--trials", type=int, metavar="N", help="(default: 20, without --budget)")
    parser.add_argument("--budget", metavar="TIME", help="30m, 8h: for all trials together")
    parser.add_argument(
        "--trial-budget", metavar="LENGTH",
        help="of each training: 2m, 20epochs (default: --set steps=N, else the recipe decides)",
    )  # fmt: skip
    parser.add_argument(
        "--pruner", metavar="NAME",
        help="which trials end early: median (default), halving, none (default with --grid)",
    )  # fmt: skip
    set_option(parser, "steps=500, for every trial")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all randomness")
    parser.add_argument("--name", metavar="NAME", help="of the search (default: CONFIG-SIZE)")
    parser.add_argument("--size", metavar="SIZE", help="S, M, M-residual, L, XL (default: S or M)")
    dataset_option(parser)
    workspace_option(parser)
    device_option(parser)
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.training.search_space import parse_space, read_space

    vary = [*(read_space(options.space) if options.space else []), *options.vary]
    parse_space(vary, options.settings)  # a misspelled setting is answered before torch is loaded
    from autoseg.workflows.search import search

    return search(
        workspace_of(options),
        options.configuration,
        options.folds,
        vary,
        dataset=options.dataset,
        size=options.size,
        settings=options.settings,
        grid=options.grid,
        trials=options.trials,
        budget=options.budget,
        trial_budget=options.trial_budget,
        pruner=options.pruner,
        seed=options.seed,
        name=options.name,
        device=options.device,
        overwrite=options.overwrite,
    )
