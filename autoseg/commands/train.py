"""The command `train`: one fold, or several."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.options import (
    dataset_option,
    device_option,
    overwrite_option,
    set_option,
    table_of,
    workspace_of,
    workspace_option,
)

if TYPE_CHECKING:
    from autoseg.workspace import Workspace


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("configuration", metavar="CONFIG", help="2d, 3d_fullres, ...: as planned")
    parser.add_argument(
        "fold", metavar="FOLD", help="0, 1, ...; all: every fold; full: one model from all cases"
    )
    dataset_option(parser)
    workspace_option(parser)
    parser.add_argument("--size", metavar="SIZE", help="S, M, M-residual, L, XL (default: S or M)")
    parser.add_argument(
        "--budget", metavar="LENGTH", help="40s, 30m, 8h or 200epochs, final validation included"
    )
    parser.add_argument("--recipe", metavar="NAME", help="balanced (default), fast or nnunet")
    parser.add_argument(
        "--preset",
        metavar="NAME",
        help="settings that come with autoseg, by name, or a file of them",
    )
    parser.add_argument(
        "--seed", type=int, nargs="+", metavar="N",
        help="of all randomness (default: 0); of several each trains a member of the model",
    )  # fmt: skip
    parser.add_argument(
        "--weights",
        metavar="BUNDLE[#FOLD]",
        help="begin with the weights of a trained model; FILE or imagenet: of an encoder",
    )
    parser.add_argument(
        "--validate", action="store_true", help="train nothing: predict and score the fold again"
    )
    parser.add_argument(
        "--dry-run", action="store_true",
        help="train nothing: tell network, length, rates, and what patches would be centred on",
    )  # fmt: skip
    parser.add_argument(
        "--slurm", nargs="*", metavar="FIELD=VALUE",
        help="hand in a SLURM job for each fold, e.g. partition=gpu time=04:00:00",
    )  # fmt: skip
    parser.add_argument(
        "--print",
        dest="only_print",
        action="store_true",
        help="with --slurm: write and print the job files, hand in nothing",
    )
    set_option(parser, "loss=dice_ce")
    device_option(
        parser,
        "cpu, cuda, cuda:1, mps (default: best; with all: every GPU); cuda:0,cuda:2: a fold on "
        "each, or one fold on both",
    )
    overwrite_option(parser)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    started = time.monotonic()  # a budget means the whole command, loading torch included
    _refuse_training_options(options)
    settings = _train_settings(options)
    workspace = workspace_of(options)
    if not _is_told_by_another():
        _refuse_unplanned(workspace, options, settings)
    if options.slurm is not None:
        return _hand_in(workspace, options, settings)
    if options.dry_run:
        from autoseg.workflows.rehearse import rehearse

        return rehearse(
            workspace, options.configuration, options.fold, dataset=options.dataset,
            size=options.size, budget=options.budget, settings=settings, device=options.device,
        )  # fmt: skip
    from autoseg.workflows.train import train

    summary = train(
        workspace,
        options.configuration,
        options.fold,
        dataset=options.dataset,
        size=options.size,
        budget=options.budget,
        settings=settings,
        further_seeds=(options.seed or [])[1:],
        weights=options.weights,
        device=options.device,
        overwrite=options.overwrite,
        validate=options.validate,
        started=started,
    )
    return table_of(summary)


def _hand_in(workspace: Workspace, options: argparse.Namespace, settings: list[str]) -> str:
    """Write a job for each fold, and hand it in; return what was written."""
    from autoseg.plan_file import load_plan
    from autoseg.workflows.jobs import make_jobs
    from autoseg.workflows.train_settings import check_settings

    dataset = workspace.find_planned(options.dataset)
    plan = load_plan(workspace.plan(dataset))
    check_settings(plan, options.configuration, settings, options.budget)
    # Jobs run in the workspace, wherever this command is given.
    weights = options.weights
    if weights and Path(weights.partition("#")[0]).exists():  # else a name, such as imagenet
        weights = str(Path(weights).resolve())
    flags = {"--size": options.size, "--budget": options.budget, "--weights": weights}
    words = [word for name, value in flags.items() if value for word in (name, value)]
    words += ["--validate"] * options.validate
    if (options.seed or [])[1:]:
        words += ["--seed", *map(str, options.seed)]
    words += ["--set", *settings] * bool(settings)
    files = make_jobs(
        workspace, dataset, options.configuration, options.fold,
        options.slurm, words, overwrite=options.overwrite, only_write=options.only_print,
    )  # fmt: skip
    if options.only_print:
        return "\n".join(f"{path}:\n{path.read_text(encoding='utf-8')}" for path in files)
    return "\n".join(map(str, files))


def _is_told_by_another() -> bool:
    """Tell whether this is one of several processes, and not the one that speaks."""
    from autoseg.training.launch import read_launch

    launch = read_launch()
    return launch is not None and launch.rank > 0


def _refuse_training_options(options: argparse.Namespace) -> None:
    """Raise UsageError for what shapes a training beside --validate, which is none."""
    from autoseg.errors import UsageError

    given = {
        "--budget": options.budget, "--recipe": options.recipe, "--preset": options.preset,
        "--seed": options.seed, "--set": options.settings, "--overwrite": options.overwrite,
        "--weights": options.weights,
    }  # fmt: skip
    said = [name for name, value in given.items() if value]
    if options.only_print and options.slurm is None:
        raise UsageError("--print without --slurm", remedy="add --slurm FIELD=VALUE ...")
    if options.dry_run and (options.validate or options.slurm is not None):
        other = "--validate" if options.validate else "--slurm"
        raise UsageError(f"--dry-run and {other}", expected="one of them")
    if options.validate and said:
        fact = f"--validate trains nothing, so {', '.join(said)} cannot be meant"
        raise UsageError(fact, remedy="leave it out")


def _train_settings(options: argparse.Namespace) -> list[str]:
    """Return all settings, weakest first: preset, then --recipe and --seed, then --set."""
    from autoseg.presets import training_settings

    settings = training_settings(options.preset) if options.preset else []
    if options.recipe is not None:
        settings.append(f"recipe={options.recipe}")
    if options.seed is not None:
        settings.append(f"seed={options.seed[0]}")
    return [*settings, *options.settings]


def _refuse_unplanned(
    workspace: Workspace, options: argparse.Namespace, settings: list[str]
) -> None:
    """Answer a misspelled dataset, configuration, fold or setting before torch is loaded."""
    from autoseg.config import TrainConfig, override
    from autoseg.members import split_member
    from autoseg.plan_file import load_plan
    from autoseg.planning.folds import choose_folds, load_folds
    from autoseg.training.budget import parse_budget, refuse_two_lengths

    name = workspace.find_planned(options.dataset)
    configuration = load_plan(workspace.plan(name)).configuration(options.configuration)
    if options.size is not None:
        model = workspace.bundle(name, configuration.name, options.size)
        if not model.is_dir():  # else "M-enet", which only the plan of that model knows
            configuration.design(options.size)
    parse_budget(options.budget)
    refuse_two_lengths(options.budget, override(TrainConfig(), settings))
    folds = workspace.folds(name)
    choose_folds(split_member(options.fold)[0], load_folds(folds), str(folds))
