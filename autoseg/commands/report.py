"""The command `report`: what exists so far of a dataset, or one case, as a page to look at."""

from __future__ import annotations

import argparse
from pathlib import Path

from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import UsageError


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    dataset_option(parser)
    workspace_option(parser)
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE",
        help="the page (default: models/NAME/report.html, or prepared/NAME before any training;"
        " of one case ID.html)",
    )  # fmt: skip
    parser.add_argument(
        "--anonymous", action="store_true", help="no names of cases and patients, no paths"
    )
    overwrite_option(parser)
    one = parser.add_argument_group("one case in three planes, instead of the report")
    one.add_argument("--case", metavar="ID", help="of the dataset")
    one.add_argument("--image", type=Path, metavar="FILE", help="any scan, instead of --case")
    one.add_argument("--gt", type=Path, metavar="FILE", help="its reference labels")
    one.add_argument(
        "--pred", type=Path, action="append", default=[], metavar="PLACE",
        help="a label map to show with it, or a folder with one of its name; may be repeated",
    )  # fmt: skip
    one.add_argument("--channel", metavar="NAME", help="of the dataset (default: the first)")


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    path = _view(options) if options.case or options.image else _report(options)
    return f"{path} ({path.stat().st_size / 1e6:.1f} MB)"


def _report(options: argparse.Namespace) -> Path:
    from autoseg.workflows.report import report

    if options.gt or options.pred or options.channel:
        raise UsageError(
            "--gt, --pred and --channel belong to one case", remedy="name it: --case ID"
        )
    return report(
        workspace_of(options),
        options.dataset,
        output=options.output,
        anonymous=options.anonymous,
        overwrite=options.overwrite,
    )


def _view(options: argparse.Namespace) -> Path:
    from autoseg.workflows.view_case import find_dataset, view_case, view_of_case, view_of_files

    workspace, name = workspace_of(options), options.dataset
    if options.case and (options.image or options.gt):
        raise UsageError("--case and --image", expected="one of them; --gt goes with --image")
    if options.case:
        view = view_of_case(workspace, name, options.case, options.channel)
    elif options.channel:
        raise UsageError("--channel without --case", remedy="of a file the first one is shown")
    else:
        labels = find_dataset(workspace, name).labels if name else None
        view = view_of_files(options.image, options.gt, labels)
    return view_case(view, options.pred, options.output, options.anonymous, options.overwrite)
