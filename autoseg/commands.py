"""The commands: for each its line of help, its options, and the verb it calls.

Only the verb that was asked for is imported, so help and mistakes cost nothing. Options are for
paths, dataset, fold, size, budget, device and workers; what shapes the result is `--set`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.errors import DataError, UsageError

if TYPE_CHECKING:
    from autoseg.results import Summary
    from autoseg.workspace import Workspace


@dataclass(frozen=True)
class Command:
    """One command; `run` returns what goes to stdout."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], str]


# --- plan ----------------------------------------------------------------------------------------


def _plan_options(parser: argparse.ArgumentParser) -> None:
    _dataset_option(parser, "dataset in raw/ (default: the only one there)")
    _workspace_option(parser)
    parser.add_argument(
        "--only", nargs="+", metavar="CONFIG", help="prepare only these configurations"
    )
    parser.add_argument(
        "--memory-gb", type=float, metavar="N", help="plan one more size for N GB of GPU memory"
    )
    parser.add_argument("--no-prepare", action="store_true", help="stop after plan and folds")
    _set_option(parser, "3d_fullres.M.patch_size=64x160x160")
    _workers_option(parser)


def _run_plan(options: argparse.Namespace) -> str:
    from autoseg.workflows.plan import plan

    made = plan(
        _workspace(options),
        options.dataset,
        only=options.only,
        memory_gb=options.memory_gb,
        prepare=not options.no_prepare,
        settings=options.settings,
        workers=options.workers,
    )
    return "\n".join(made.reasons)


# --- train ---------------------------------------------------------------------------------------


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configuration", metavar="CONFIG", help="2d, 3d_fullres, ...: as planned")
    parser.add_argument(
        "fold", metavar="FOLD", help="0, 1, ...; all: every fold; full: one model from all cases"
    )
    _dataset_option(parser)
    _workspace_option(parser)
    parser.add_argument("--size", metavar="SIZE", help="S, M, M-residual, L, XL (default: S or M)")
    parser.add_argument(
        "--budget", metavar="LENGTH", help="40s, 30m, 8h or 200epochs, final validation included"
    )
    parser.add_argument("--recipe", metavar="NAME", help="balanced (default), fast or nnunet")
    parser.add_argument("--preset", metavar="NAME", help="settings that come with autoseg, by name")
    parser.add_argument("--seed", type=int, metavar="N", help="of all randomness (default: 0)")
    _set_option(parser, "loss=dice_ce")
    _device_option(parser)
    _overwrite_option(parser)


def _run_train(options: argparse.Namespace) -> str:
    started = time.monotonic()  # a budget means the whole command, loading torch included
    settings = _train_settings(options)
    workspace = _workspace(options)
    _refuse_unplanned(workspace, options, settings)
    from autoseg.workflows.train import train

    summary = train(
        workspace,
        options.configuration,
        options.fold,
        dataset=options.dataset,
        size=options.size,
        budget=options.budget,
        settings=settings,
        device=options.device,
        overwrite=options.overwrite,
        started=started,
    )
    return _table(summary)


def _train_settings(options: argparse.Namespace) -> list[str]:
    """Return all settings, weakest first: preset, then --recipe and --seed, then --set."""
    from autoseg.presets import load_preset

    settings = load_preset(options.preset) if options.preset else []
    if options.recipe is not None:
        settings.append(f"recipe={options.recipe}")
    if options.seed is not None:
        settings.append(f"seed={options.seed}")
    return [*settings, *options.settings]


def _refuse_unplanned(
    workspace: Workspace, options: argparse.Namespace, settings: list[str]
) -> None:
    """Answer a misspelled dataset, configuration, fold or setting before torch is loaded."""
    from autoseg.config import TrainConfig, override
    from autoseg.plan import load_plan
    from autoseg.planning.folds import choose_folds, load_folds

    name = workspace.find_planned(options.dataset)
    configuration = load_plan(workspace.plan(name)).configuration(options.configuration)
    if options.size is not None:
        configuration.design(options.size)
    override(TrainConfig(), settings)
    folds = workspace.folds(name)
    choose_folds(options.fold, load_folds(folds), str(folds))


# --- predict -------------------------------------------------------------------------------------


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i", "--images", type=Path, required=True, metavar="FOLDER", help="images to segment"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="for the label maps"
    )
    _dataset_option(parser)
    _workspace_option(parser)
    parser.add_argument("-c", "--configuration", metavar="CONFIG", help="(default: the best known)")
    parser.add_argument("--size", metavar="SIZE", help="(default: the one that was trained)")
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    parser.add_argument(
        "-m", "--model", nargs="+", type=Path, metavar="BUNDLE", help="bundles, without workspace"
    )
    parser.add_argument("--speed", choices=("accurate", "balanced", "fast"), default="balanced")
    parser.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )
    _set_option(parser, "step=0.5")
    _device_option(parser)
    _overwrite_option(parser)


def _run_predict(options: argparse.Namespace) -> str:
    from autoseg.workflows.predict import predict

    predict(
        _workspace(options),
        options.images,
        options.output,
        dataset=options.dataset,
        configuration=options.configuration,
        size=options.size,
        folds=options.folds,
        bundles=options.model,
        speed=options.speed,
        settings=options.settings,
        device=options.device,
        overwrite=options.overwrite,
        trust=options.trust,
    )
    return f"label maps: {options.output}"


# --- evaluate ------------------------------------------------------------------------------------


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
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
    _dataset_option(parser)
    _workspace_option(parser)
    _workers_option(parser)


def _run_evaluate(options: argparse.Namespace) -> str:
    from autoseg.workflows.evaluate import (
        evaluate,
        evaluate_crossvalidation,
        format_crossvalidation,
    )

    workspace = _workspace(options)
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
    return _table(summary)


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


# --- import, check, demo -------------------------------------------------------------------------


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dataset", required=True, metavar="NAME", help="its name in raw/")
    _workspace_option(parser)
    parser.add_argument(
        "--images", required=True, metavar="PATTERN", help="e.g. 'scans/{case}_{channel}.nii.gz'"
    )
    parser.add_argument(
        "--labels", required=True, metavar="PATTERN", help="e.g. 'masks/{case}.nii.gz'"
    )
    parser.add_argument(
        "--channels",
        nargs="+",
        required=True,
        metavar="NAME",
        help="CT, or T1=t1n where files say t1n",
    )
    parser.add_argument(
        "--classes", nargs="+", required=True, metavar="NAME", help="for 1, 2, ...; or kidney=1,2"
    )
    parser.add_argument(
        "--label-map", nargs="+", default=[], metavar="FROM:TO", help="values to change, e.g. 255:1"
    )
    parser.add_argument("--controls", metavar="PATTERN", help="images without any target")
    parser.add_argument("--link", action="store_true", help="link the files instead of copying")


def _run_import(options: argparse.Namespace) -> str:
    from autoseg.workflows.import_data import import_data

    import_data(
        _workspace(options),
        options.dataset,
        images=options.images,
        labels=options.labels,
        channels=options.channels,
        classes=options.classes,
        label_map=options.label_map,
        controls=options.controls,
        link=options.link,
    )
    return f"next: autoseg_plan -d {options.dataset}"


def _check_options(parser: argparse.ArgumentParser) -> None:
    _dataset_option(parser, "dataset in raw/ (default: the only one there)")
    _workspace_option(parser)
    _workers_option(parser)


def _run_check(options: argparse.Namespace) -> str:
    from autoseg.workflows.check import check

    problems, warnings = check(_workspace(options), options.dataset, options.workers or 0)
    if problems:
        counted = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise DataError(counted, problems=[*warnings, *problems])
    return "\n".join([*map(str, warnings), "no problems found"])


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("autoseg_demo"), metavar="FOLDER",
        help="a new folder for data, model and picture (default: autoseg_demo)",
    )  # fmt: skip
    parser.add_argument(
        "--budget", default="150s", metavar="LENGTH", help="of the training (default: 150s)"
    )


def _run_demo(options: argparse.Namespace) -> str:
    from autoseg.demo import run_demo

    summary, picture = run_demo(options.output, options.budget)
    return f"{_table(summary)}\nscan, label and prediction: {picture}"


# --- options that several commands share ---------------------------------------------------------


def _dataset_option(
    parser: argparse.ArgumentParser, meaning: str = "(default: the one planned last)"
) -> None:
    parser.add_argument("-d", "--dataset", metavar="NAME", help=meaning)


def _workspace_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-w", "--workspace", type=Path, default=Path(), metavar="FOLDER",
        help="holds raw/, prepared/ and models/ (default: the current folder)",
    )  # fmt: skip


def _set_option(parser: argparse.ArgumentParser, example: str) -> None:
    parser.add_argument(
        "--set", dest="settings", nargs="+", action="extend", default=[], metavar="NAME=VALUE",
        help=f"change what shapes the result, e.g. {example}; may be repeated",
    )  # fmt: skip


def _device_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps (default: best)")


def _workers_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: the cores)")


def _overwrite_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--overwrite", action="store_true", help="replace a finished result")


def _workspace(options: argparse.Namespace) -> Workspace:
    from autoseg.workspace import Workspace

    return Workspace(options.workspace)


def _table(summary: Summary | None) -> str:
    from autoseg.evaluation.score import format_table

    return "" if summary is None else format_table(summary)


COMMANDS = {
    "plan": Command(
        "check the data, plan networks from them, prepare them", _plan_options, _run_plan
    ),
    "train": Command("train one fold and evaluate it", _train_options, _run_train),
    "predict": Command("segment new images", _predict_options, _run_predict),
    "evaluate": Command(
        "compare label maps, or sum up the cross-validation", _evaluate_options, _run_evaluate
    ),
    "import": Command("bring images and labels into raw/", _import_options, _run_import),
    "check": Command("list every problem of a dataset", _check_options, _run_check),
    "demo": Command("run every stage on phantom CTs", _demo_options, _run_demo),
}
