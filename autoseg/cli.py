"""Words on a command line to one verb; results on stdout, progress and messages on stderr.

Each command is an entry of `COMMANDS`: one line of help, a function that adds its options, and one
that runs it. Only the verb that was asked for is imported, so help and mistakes cost nothing.
What the user can mend ends in one line "autoseg: error: what -> remedy"; a traceback is our bug.
"""

from __future__ import annotations

import argparse
import errno
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from autoseg import __version__
from autoseg.errors import AutosegError, DataError, ResourceError, UsageError, suggest

if TYPE_CHECKING:
    from autoseg.workspace import Workspace

INTERNAL_ERROR, INTERRUPTED, BROKEN_PIPE = 1, 130, 141  # the last two: 128 + the signal's number
# What the system refuses is the user's to mend wherever it happens.
SYSTEM_REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)


@dataclass(frozen=True)
class Command:
    """One command: its line of help, its options, and what it does."""

    summary: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]
    examples: str = ""


# --- plan ------------------------------------------------------------------------------------------


def _plan_options(parser: argparse.ArgumentParser) -> None:
    _dataset_option(parser, "dataset in raw/ (default: the only one there)")
    parser.add_argument(
        "--only", nargs="+", metavar="CONFIG", help="prepare only these configurations"
    )
    parser.add_argument(
        "--memory-gb", type=float, metavar="N", help="plan one more size for N GB of GPU memory"
    )
    parser.add_argument("--no-prepare", action="store_true", help="stop after plan and folds")
    _set_option(parser, "3d_fullres.M.patch_size=64x160x160")
    _workers_option(parser)


def _run_plan(options: argparse.Namespace) -> None:
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
    for reason in made.reasons:
        print(reason)


# --- train -----------------------------------------------------------------------------------------


def _train_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("configuration", metavar="CONFIG", help="2d, 3d_fullres, ...: as planned")
    parser.add_argument(
        "fold", metavar="FOLD", help="0, 1, ...; all: every fold; full: one model from all cases"
    )
    _dataset_option(parser)
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


def _run_train(options: argparse.Namespace) -> None:
    from autoseg.workflows.train import train

    settings = list(options.settings)
    if options.seed is not None:
        settings.insert(0, f"seed={options.seed}")
    if options.recipe is not None:
        settings.insert(0, f"recipe={options.recipe}")
    summary = train(
        _workspace(options),
        options.configuration,
        options.fold,
        dataset=options.dataset,
        size=options.size,
        budget=options.budget,
        settings=settings,
        device=options.device,
        overwrite=options.overwrite,
    )
    if summary is not None:
        _print_table(summary)


# --- predict ---------------------------------------------------------------------------------------


def _predict_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-i", "--images", type=Path, required=True, metavar="FOLDER", help="images to segment"
    )
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FOLDER", help="for the label maps"
    )
    _dataset_option(parser)
    parser.add_argument("-c", "--configuration", metavar="CONFIG", help="(default: the best known)")
    parser.add_argument("--size", metavar="SIZE", help="(default: the one that was trained)")
    parser.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    parser.add_argument(
        "-m", "--model", nargs="+", type=Path, metavar="BUNDLE", help="bundles, without workspace"
    )
    parser.add_argument("--speed", choices=("accurate", "balanced", "fast"), default="balanced")
    _set_option(parser, "step=0.5")
    _device_option(parser)
    _overwrite_option(parser)


def _run_predict(options: argparse.Namespace) -> None:
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
    )


# --- evaluate --------------------------------------------------------------------------------------


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-p", "--predictions", type=Path, metavar="FOLDER", help="label maps")
    parser.add_argument("-g", "--references", type=Path, metavar="FOLDER", help="true label maps")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="(default: the predictions' folder)"
    )
    _dataset_option(parser)
    _workers_option(parser)


def _run_evaluate(options: argparse.Namespace) -> None:
    from autoseg.workflows.evaluate import evaluate

    summary = evaluate(
        _workspace(options),
        predictions=options.predictions,
        references=options.references,
        output=options.output,
    )
    _print_table(summary)


# --- import, check, demo ---------------------------------------------------------------------------


def _import_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dataset", required=True, metavar="NAME", help="its name in raw/")
    parser.add_argument(
        "--images", required=True, metavar="PATTERN", help="e.g. 'scans/{case}_{channel}.nii.gz'"
    )
    parser.add_argument(
        "--labels", required=True, metavar="PATTERN", help="e.g. 'masks/{case}.nii.gz'"
    )
    parser.add_argument("--channels", nargs="+", required=True, metavar="NAME", help="e.g. CT")
    parser.add_argument("--classes", nargs="+", required=True, metavar="NAME", help="for 1, 2, ...")
    parser.add_argument(
        "--label-map", nargs="+", default=[], metavar="FROM:TO", help="values to change, e.g. 255:1"
    )
    parser.add_argument("--controls", metavar="PATTERN", help="images without any target")
    parser.add_argument("--link", action="store_true", help="link the files instead of copying")


def _run_import(options: argparse.Namespace) -> None:
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


def _check_options(parser: argparse.ArgumentParser) -> None:
    _dataset_option(parser, "dataset in raw/ (default: the only one there)")


def _run_check(options: argparse.Namespace) -> None:
    from autoseg.workflows.check import check

    problems = check(_workspace(options), options.dataset)
    if problems:
        raise DataError(f"{len(problems)} problems", problems=problems)
    print("no problems found")


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o", "--output", type=Path, default=Path("autoseg_demo"), metavar="FOLDER",
        help="a new folder for data, model and picture (default: autoseg_demo)",
    )  # fmt: skip
    parser.add_argument("--budget", default="90s", metavar="LENGTH", help="(default: 90s)")


def _run_demo(options: argparse.Namespace) -> None:
    from autoseg.demo import run_demo

    summary, picture = run_demo(options.output, options.budget)
    _print_table(summary)
    print(f"scan, label and prediction: {picture}")


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


# --- options that several commands share -----------------------------------------------------------


def _dataset_option(
    parser: argparse.ArgumentParser, meaning: str = "(default: the one planned last)"
) -> None:
    parser.add_argument("-d", "--dataset", metavar="NAME", help=meaning)


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


def _print_table(summary: object) -> None:
    from autoseg.evaluation.score import format_table

    print(format_table(summary))


# --- from words to a verb --------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are UsageErrors, like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, remedy=f"see {self.prog} -h")


def _make_parser(name: str, prog: str) -> argparse.ArgumentParser:
    command = COMMANDS[name]
    parser = _Parser(prog=prog, description=command.summary, allow_abbrev=False)
    command.add_options(parser)
    parser.add_argument(
        "-w", "--workspace", type=Path, default=Path(), metavar="FOLDER",
        help="holds raw/, prepared/ and models/ (default: the current folder)",
    )  # fmt: skip
    parser.add_argument("--debug", action="store_true", help="show where an error comes from")
    return parser


def _parse(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    options, unknown = parser.parse_known_args(words)
    if unknown:
        known = [word for action in parser._actions for word in action.option_strings]
        option = unknown[0].split("=")[0]
        remedy = suggest(option, known) if option.startswith("-") else f"see {parser.prog} -h"
        raise UsageError(f"unknown argument '{option}'", remedy=remedy)
    return options


def _overview() -> str:
    lines = [f"  {name:<10}{command.summary}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: autoseg COMMAND ...",
            "",
            "From a folder of scans and labels to an evaluated segmentation model.",
            "",
            *lines,
            "",
            "autoseg COMMAND -h explains a command; autoseg --version names the version.",
            "autoseg_plan, autoseg_train, autoseg_predict and autoseg_evaluate are commands too.",
        ]
    )


def _umbrella(words: Sequence[str]) -> None:
    if not words or words[0] in ("-h", "--help", "help"):
        print(_overview())
    elif words[0] == "--version":
        print(f"autoseg {__version__}")
    elif words[0] in COMMANDS:
        _run_command(words[0], words[1:], f"autoseg {words[0]}")
    else:
        raise UsageError(f"unknown command '{words[0]}'", remedy=suggest(words[0], COMMANDS))


def _run_command(name: str, words: Sequence[str], prog: str) -> None:
    options = _parse(_make_parser(name, prog), words)
    _start_logging(logging.DEBUG if options.debug else logging.INFO)
    COMMANDS[name].run(options)


class _BesideProgressBars(logging.Handler):
    """Write log lines to stderr, above a progress bar when there is one."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm = sys.modules.get("tqdm")
        if tqdm is None:
            print(self.format(record), file=sys.stderr)
        else:
            tqdm.tqdm.write(self.format(record), file=sys.stderr)


def _start_logging(level: int) -> None:
    logger = logging.getLogger("autoseg")
    logger.handlers = [_BesideProgressBars()]
    logger.setLevel(level)
    logger.propagate = False


def _guarded(run: Callable[[], None], debug: bool) -> int:
    """Return the exit code of `run()`, after telling on stderr what went wrong."""
    try:
        run()
        sys.stdout.flush()
    except SystemExit as end:  # argparse, after printing help
        return int(end.code or 0)
    except BrokenPipeError:
        # The reader (head, less) has seen enough; a later flush must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        print("autoseg: error: interrupted -> run the same command again", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _tell(error, debug)
    return 0


def _tell(error: Exception, debug: bool) -> int:
    mendable = _as_mendable(error)
    if debug or mendable is None:
        traceback.print_exception(error)
    if mendable is None:
        fact = f"internal error: {type(error).__name__}"
        print(f"autoseg: error: {fact} -> please report the lines above", file=sys.stderr)
        return INTERNAL_ERROR
    *problems, last = str(mendable).split("\n")
    print("\n".join([*problems, f"autoseg: error: {last}"]), file=sys.stderr)
    return mendable.exit_code


def _as_mendable(error: Exception) -> AutosegError | None:
    """Return what the user can do something about, None for a mistake of ours."""
    if isinstance(error, AutosegError):
        return error
    if isinstance(error, MemoryError):
        return ResourceError("out of memory", remedy="fewer --workers, or a smaller --size")
    if isinstance(error, OSError) and error.errno in SYSTEM_REFUSALS:
        place = str(error.filename or "")
        return ResourceError(f"{error.strerror}", place=place, remedy="free it, then run again")
    return None


def main(words: Sequence[str] | None = None) -> int:
    """Run `autoseg COMMAND ...` and return its exit code; the words default to the shell's."""
    given = list(sys.argv[1:] if words is None else words)
    return _guarded(lambda: _umbrella(given), "--debug" in given)


def _main_of(name: str, words: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if words is None else words)
    return _guarded(lambda: _run_command(name, given, f"autoseg_{name}"), "--debug" in given)


def main_plan(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_plan ...`."""
    return _main_of("plan", words)


def main_train(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_train ...`."""
    return _main_of("train", words)


def main_predict(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_predict ...`."""
    return _main_of("predict", words)


def main_evaluate(words: Sequence[str] | None = None) -> int:
    """Run `autoseg_evaluate ...`."""
    return _main_of("evaluate", words)


if __name__ == "__main__":
    sys.exit(main())
