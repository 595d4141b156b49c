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

PLANES = ("axial", "coronal", "sagittal")


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
        "--anonymous",
        action="store_true",
        help="no names of cases and patients, no paths; by default report-anonymous.html",
    )
    parser.add_argument(
        "--evaluated", type=Path, metavar="FOLDER",
        help="results and cases of a folder that autoseg_evaluate has scored, FOLDER/report.html",
    )  # fmt: skip
    overwrite_option(parser)
    one = parser.add_argument_group("one case in three planes, instead of the report")
    one.add_argument("--case", metavar="ID", help="of the dataset")
    one.add_argument("--image", type=Path, metavar="FILE", help="any scan, instead of --case")
    one.add_argument("--gt", type=Path, metavar="FILE", help="its reference labels")
    one.add_argument(
        "--pred", type=Path, action="append", default=[], metavar="PLACE",
        help="a label map to show with it, or a folder with one of its name; may be repeated"
        " (default: what the chosen model predicted of it in its validation)",
    )  # fmt: skip
    one.add_argument(
        "--channel",
        metavar="NAME",
        help="of the dataset, to begin with (default: the first)",
    )
    other = parser.add_argument_group("other pictures of it").add_mutually_exclusive_group()
    other.add_argument(
        "--mesh", nargs="?", const="", metavar="ID",
        help="surfaces that turn, ID-mesh.html (default: of the first case); with --gt or --pred no"
        " scan is needed",
    )  # fmt: skip
    other.add_argument(
        "--gif",
        choices=PLANES,
        help="an animation through the slices, with outlines, ID-PLANE.gif (default: first case)",
    )
    other.add_argument(
        "--sheet", metavar="ROWSxCOLUMNS", help="slices with outlines side by side, ID-PLANE.png"
    )
    other.add_argument(
        "--curves", action="store_true",
        help="not of a case: loss and Dice of a training on one A4 page, models/NAME/curves.pdf",
    )  # fmt: skip
    parser.add_argument("-f", "--fold", metavar="FOLD", help="of --curves (default: trained last)")
    parser.add_argument(
        "--model", metavar="NAME", help="of --curves, such as 3d_fullres-M (default: trained last)"
    )
    one.add_argument(
        "--plane", choices=PLANES, help="of --sheet (default: axial, or that of a flat picture)"
    )


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    options.case = options.case or options.mesh or None
    about_one = (options.case, options.image, options.gif, options.sheet, options.plane)
    if (options.fold or options.model) and not options.curves:
        raise UsageError("--fold and --model belong to --curves")
    if options.evaluated:
        if any(about_one) or options.mesh is not None or options.curves or options.dataset:
            raise UsageError("--evaluated goes with -o, --anonymous and --overwrite only")
        path = _evaluated(options)
    elif options.curves and not any(about_one):
        path = _curves(options)
    else:
        path = _view(options) if any(about_one) or options.mesh is not None else _report(options)
    size = path.stat().st_size
    return f"{path} ({f'{size / 1e6:.1f} MB' if size >= 1e5 else f'{size / 1e3:.0f} kB'})"


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


def _evaluated(options: argparse.Namespace) -> Path:
    from autoseg.workflows.report_evaluated import report_evaluated

    return report_evaluated(
        options.evaluated,
        output=options.output,
        anonymous=options.anonymous,
        overwrite=options.overwrite,
    )


def _curves(options: argparse.Namespace) -> Path:
    from autoseg.workflows.report_curves import report_curves

    return report_curves(
        workspace_of(options),
        options.dataset,
        fold=options.fold,
        model=options.model,
        output=options.output,
        anonymous=options.anonymous,
        overwrite=options.overwrite,
    )


def _view(options: argparse.Namespace) -> Path:
    from autoseg.workflows.picture_case import first_case, gif_case, mesh_case, sheet_case
    from autoseg.workflows.view import find_dataset, view_of_case, view_of_files, with_validation
    from autoseg.workflows.view_case import view_case

    if options.plane and not options.sheet:
        raise UsageError("--plane without --sheet", remedy="--gif names its own plane")
    workspace, name = workspace_of(options), options.dataset
    if options.case and (options.image or options.gt):
        raise UsageError("--case and --image", expected="one of them; --gt goes with --image")
    if not (options.case or options.image or options.gt or any(map(Path.is_file, options.pred))):
        options.case = first_case(workspace, name)
    if options.case:
        view = view_of_case(workspace, name, options.case, options.channel)
        view = view if options.pred else with_validation(workspace, view)
    elif options.channel:
        raise UsageError("--channel without --case", remedy="of a file the first one is shown")
    else:
        labels = find_dataset(workspace, name).labels if name else None
        view = view_of_files(_scan(options), options.gt, labels)
    rest = options.pred, options.output, options.anonymous, options.overwrite
    if options.mesh is not None:
        return mesh_case(view, *rest)
    if options.gif:
        return gif_case(view, options.gif, *rest)
    if options.sheet:
        return sheet_case(view, options.plane, options.sheet, *rest)
    return view_case(view, *rest)


def _scan(options: argparse.Namespace) -> Path:
    """Return the scan; for surfaces any file will do that has the grid."""
    if options.image:
        return options.image
    files = [path for path in (options.gt, *options.pred) if path and not path.is_dir()]
    if options.mesh is None or not files:
        raise UsageError("which case?", remedy="name it: --case ID, or a scan with --image")
    return files[0]
