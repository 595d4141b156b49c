"""The part of the command `import` that unites data sets of `raw/`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from autoseg.commands.options import workspace_of
from autoseg.errors import UsageError

SHARED = ("--label-map", "--absent-means-unannotated")  # with other imports of data
OWN = (*SHARED, "--duplicates", "--overwrite")
DUPLICATES = ("refuse", "group", "drop")


def add_merge_options(parser: argparse.ArgumentParser) -> None:
    """Add `--merge` and what belongs to it alone."""
    group = parser.add_argument_group("data sets of raw/ that become one (-d is the new one)")
    group.add_argument("sources", nargs="*", metavar="NAME", help="two or more, with --merge")
    group.add_argument(
        "--merge", action="store_true",
        help="unite them; --label-map maps.json, or 'A:3=femur,4=femur', renames classes of one",
    )  # fmt: skip
    group.add_argument(
        "--duplicates", choices=DUPLICATES,
        help="the same scan twice: refuse, keep both in one fold, or drop all but the first",
    )  # fmt: skip


def run_merge(options: argparse.Namespace, given: Sequence[str]) -> str:
    """Run the verb; return what goes to stdout. `given` are options of other kinds of import."""
    strange = [option for option in given if option not in SHARED]
    if strange:
        raise UsageError(f"{' '.join(strange)} with --merge", expected=f"-d and {', '.join(OWN)}")
    if not options.dataset:
        raise UsageError("--merge without -d", expected="the name of the new data set")
    from autoseg.workflows.merge import merge

    _, table = merge(
        workspace_of(options),
        options.dataset,
        options.sources,
        label_map=options.label_map,
        absent=options.absent_means_unannotated,
        duplicates=options.duplicates or DUPLICATES[0],
        overwrite=options.overwrite,
        workers=options.workers or 0,
    )
    elsewhere = f" -w {quote(str(options.workspace))}" if options.workspace != Path() else ""
    return f"{table}\nnext: autoseg_plan{elsewhere} -d {quote(options.dataset)}"
