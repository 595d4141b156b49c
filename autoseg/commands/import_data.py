"""The command `import`: files anywhere become a dataset."""

from __future__ import annotations

import argparse

from autoseg.commands.options import workspace_of, workspace_option


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("-d", "--dataset", required=True, metavar="NAME", help="its name in raw/")
    workspace_option(parser)
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
    parser.add_argument(
        "--structures",
        nargs="+",
        default=[],
        metavar="CLASS=NAME,...",
        help="what a class is called in RTSTRUCT or DICOM-SEG files, where not by its name",
    )
    parser.add_argument("--controls", metavar="PATTERN", help="images without any target")
    parser.add_argument("--link", action="store_true", help="link the files instead of copying")


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.import_data import import_data

    import_data(
        workspace_of(options),
        options.dataset,
        images=options.images,
        labels=options.labels,
        channels=options.channels,
        classes=options.classes,
        label_map=options.label_map,
        controls=options.controls,
        structures=options.structures,
        link=options.link,
    )
    return f"next: autoseg_plan -d {options.dataset}"
