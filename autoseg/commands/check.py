"""The command `check`: every problem of a dataset."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    workers_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import DataError, UsageError

log = logging.getLogger(__name__)


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
    parser.add_argument(
        "--second-annotation", metavar="PLACE",
        help="compare with other labels: a folder, a pattern with {case}, or a name such as GT2 "
        "of files below -w, or where the data were imported from, in folders named like the cases",
    )  # fmt: skip
    moving = parser.add_argument_group("one label moved, instead of a check")
    moving.add_argument(
        "--move-label", action="store_true", help="of every file of --in, to a file beside it"
    )
    moving.add_argument(
        "--matrix", type=Path, metavar="FILE",
        help="text, 4x4, of voxel indices (x, y, z), output to input as SciPy takes it",
    )  # fmt: skip
    moving.add_argument(
        "--inverse", action="store_true", help="take it back from where the matrix brought it"
    )
    moving.add_argument("--class", dest="value", type=int, metavar="VALUE", help="which label")
    moving.add_argument(
        "--in", dest="inputs", metavar="NAME",
        help="a file, a pattern with {case}, or a name such as GT below -w "
        "(default: the labels of -d)",
    )  # fmt: skip
    moving.add_argument(
        "--out", metavar="NAME", help="a name for files beside those, as GT_fixed, or a folder"
    )
    moving.add_argument(
        "--undo", type=Path, metavar="RECORD", help="the JSON of a move: what was before, to --out"
    )
    overwrite_option(moving)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    if options.move_label or options.undo:
        return _move_label(options)
    alone = [option for option, value in _of_moving(options).items() if value]
    if alone:
        raise UsageError(f"{alone[0]} without --move-label", remedy="see autoseg check -h")
    if options.manifest is None:
        return _check_dataset(options)
    answer = _check_files(options.manifest)
    more = options.dataset or options.fix_geometry or options.second_annotation
    return f"{answer}\n{_check_dataset(options)}" if more else answer


def _move_label(options: argparse.Namespace) -> str:
    from autoseg.workflows.move_label import move_labels, undo_move

    given = _of_moving(options)
    needed = ("--out",) if options.undo else ("--matrix", "--class", "--out")
    missing = [option for option in needed if given[option] is None]
    if missing:
        fact = f"the following arguments are required: {', '.join(missing)}"
        raise UsageError(fact, remedy="see autoseg check -h")
    if options.undo:
        return str(undo_move(options.undo, options.out))
    moved = move_labels(
        workspace_of(options), options.matrix, options.value, options.out,
        inverse=options.inverse, inputs=options.inputs, dataset=options.dataset,
        workers=options.workers or 0, overwrite=options.overwrite,
    )  # fmt: skip
    held = sum(one.voxels_before > 0 for one in moved)
    among = f"{held} of {_counted(len(moved), 'file')}" if held < len(moved) else ""
    return f"label {options.value} moved in {among or _counted(held, 'file')}"


def _of_moving(options: argparse.Namespace) -> dict[str, object]:
    return {
        "--matrix": options.matrix, "--class": options.value, "--in": options.inputs,
        "--out": options.out, "--inverse": options.inverse, "--overwrite": options.overwrite,
    }  # fmt: skip


def _check_files(manifest: Path) -> str:
    from autoseg.importing.checksums import check_sums

    intact, problems = check_sums(manifest)
    if problems:
        for name in intact:
            log.info("%s: OK", name)
        count = len(intact) + len(problems)
        fact = f"{len(problems)} of {count} files are not as {manifest.name} says"
        raise DataError(fact, problems=problems)
    return "\n".join([*(f"{name}: OK" for name in intact), f"{len(intact)} files as listed"])


def _check_dataset(options: argparse.Namespace) -> str:
    from autoseg.workflows.check import check
    from autoseg.workflows.fix_geometry import fix_geometry

    if options.fix_geometry:
        fix_geometry(workspace_of(options), options.dataset)
    report = check(
        workspace_of(options), options.dataset, options.workers, options.second_annotation
    )
    if report.problems:
        counted = _counted(len(report.problems), "problem")
        raise DataError(counted, problems=[*report.warnings, *report.problems])
    counts = (_counted(report.cases, "case"), "0 errors", _counted(len(report.warnings), "warning"))
    return "\n".join([*map(str, (*report.agreements, *report.warnings)), ", ".join(counts)])


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
