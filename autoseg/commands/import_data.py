"""The command `import`: files anywhere become a dataset; a model takes its place."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

from autoseg.commands.merge_data import add_merge_options, run_merge
from autoseg.commands.options import (
    overwrite_option,
    workers_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import UsageError

PATTERNS = ("images", "labels", "controls", "tests")
FROM_PATTERNS = ("dataset", "images", "labels", "channels")  # without these there is nothing to do
FROM_LAYOUT = ("dataset", "layout", "src")
MEANING = (
    "channels", "classes", "label_map", "subjects", "gt", "spacing", "structures", "annotated",
    "absent_means_unannotated", "fix_geometry", "link",
)  # fmt: skip
FOR_MODELS = ("output", "folds", "checkpoint", "trust")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("-d", "--dataset", metavar="NAME", help="its name in raw/")
    workspace_option(parser)
    overwrite_option(parser)
    workers_option(parser)

    files = parser.add_argument_group("where the files are")
    files.add_argument(
        "--layout", metavar="LAYOUT",
        help="segthor, kits19, totalsegmentator, pku, abdomenct1k, mip-pet, msd or nnunet",
    )  # fmt: skip
    files.add_argument("--src", type=Path, metavar="DIR", help="the folder with that layout")
    files.add_argument("--images", metavar="PATTERN", help="e.g. 'scans/{case}_{channel}.nii.gz'")
    files.add_argument(
        "--labels", metavar="PATTERN",
        help="e.g. 'masks/{case}.nii.gz', 'masks/{case}/{class}.nii.gz', 'gt/{case}_{slice}.png'",
    )  # fmt: skip
    files.add_argument("--controls", metavar="PATTERN", help="images without any target")
    files.add_argument("--tests", metavar="PATTERN", help="images to predict, for imagesTs")
    files.add_argument("--subjects", default="", metavar="FIRST-LAST", help="e.g. s0000-s0100")
    files.add_argument(
        "--gt", default="", metavar="FILE", help="name of the label files, e.g. GT_fixed.nii.gz"
    )
    files.add_argument(
        "--spacing", type=Path, metavar="FILE", help="what slices were cut from: .json or .pkl"
    )

    meaning = parser.add_argument_group("what they mean")
    meaning.add_argument(
        "--channels", nargs="+", default=[], metavar="NAME",
        help="CT, or T1=t1n where files say t1n",
    )  # fmt: skip
    meaning.add_argument(
        "--classes", nargs="+", default=[], metavar="NAME",
        help="for 1, 2, ...; or kidney=1,2; or a file of them; official: TotalSegmentator's",
    )  # fmt: skip
    meaning.add_argument(
        "--label-map", nargs="+", default=[], metavar="FROM:TO", help="values to change, e.g. 255:1"
    )
    meaning.add_argument(
        "--structures", nargs="+", default=[], metavar="CLASS=NAME,...",
        help="what a class is called in RTSTRUCT or DICOM-SEG files, where not by its name",
    )  # fmt: skip
    meaning.add_argument(
        "--annotated", nargs="+", default=[], metavar="CASES=CLASS,...",
        help="what is annotated in cases where not all is, e.g. 'siteA_*=liver,spleen'",
    )  # fmt: skip
    meaning.add_argument(
        "--absent-means-unannotated", nargs="+", default=[], metavar="CLASS",
        help="classes that are not annotated in cases in which they do not occur",
    )  # fmt: skip
    meaning.add_argument(
        "--fix-geometry", choices=("image",),
        help="labels get the grid of their image, whatever their own header says",
    )  # fmt: skip
    meaning.add_argument("--link", action="store_true", help="link the files instead of copying")

    add_merge_options(parser)

    models = parser.add_argument_group("a trained model instead of data")
    models.add_argument(
        "--model", type=Path, metavar="MODEL",
        help="a bundle or its zip, or nnU-Net's results, e.g. "
        "nnUNetTrainer__nnUNetPlans__3d_fullres, or a zip of them",
    )  # fmt: skip
    models.add_argument(
        "-o", "--output", type=Path, metavar="BUNDLE", help="(default: its place in models/)"
    )
    models.add_argument("-f", "--folds", nargs="+", metavar="FOLD", help="(default: every one)")
    models.add_argument(
        "--checkpoint", metavar="NAME",
        help="file in each fold of nnU-Net (default: checkpoint_final.pth)",
    )  # fmt: skip
    models.add_argument(
        "--trust", action="store_true", help="let a model import functions that its author named"
    )


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    if options.model is not None:
        return _import_model(options)
    if options.merge:
        of_others = [*PATTERNS, "layout", "src", *MEANING, *FOR_MODELS]
        return run_merge(options, [_spelled(n) for n in of_others if getattr(options, n)])
    if options.sources or options.duplicates:
        named = " ".join([*options.sources, *(["--duplicates"] if options.duplicates else [])])
        raise UsageError(f"{named} without --merge")
    needed = FROM_LAYOUT if options.layout or options.src else FROM_PATTERNS
    missing = [_spelled(name) for name in needed if not getattr(options, name)]
    if missing:
        raise UsageError(
            f"the following arguments are required: {', '.join(missing)}",
            remedy="see autoseg import -h",
        )
    strange = [_spelled(name) for name in FOR_MODELS if getattr(options, name)]
    if strange:
        raise UsageError(f"{' '.join(strange)} without --model")
    from autoseg.workflows.import_data import import_data

    import_data(
        workspace_of(options),
        options.dataset,
        **{name: getattr(options, name) or "" for name in PATTERNS},
        layout=options.layout or "",
        source=options.src,
        channels=options.channels,
        classes=options.classes,
        label_map=options.label_map,
        subjects=options.subjects,
        label_file=options.gt,
        spacings=options.spacing,
        structures=options.structures,
        annotated=options.annotated,
        absent=options.absent_means_unannotated,
        fix_geometry=bool(options.fix_geometry),
        link=options.link,
        overwrite=options.overwrite,
        workers=options.workers,
    )
    elsewhere = f" -w {quote(str(options.workspace))}" if options.workspace != Path() else ""
    return f"next: autoseg_plan{elsewhere} -d {quote(options.dataset)}"


def _import_model(options: argparse.Namespace) -> str:
    names = ("layout", "src", *PATTERNS, *MEANING, "workers", "merge", "duplicates")
    strange = [_spelled(name) for name in names if getattr(options, name)]
    if strange:
        raise UsageError(f"{' '.join(strange)} with --model", expected="-d, -o and -f only")
    from autoseg.bundle_reader import open_bundle
    from autoseg.workflows.import_model import import_model

    chosen = {"checkpoint": options.checkpoint} if options.checkpoint else {}
    bundle = import_model(
        workspace_of(options),
        options.model,
        dataset=options.dataset,
        output=options.output,
        folds=options.folds,
        overwrite=options.overwrite,
        trust=options.trust,
        **chosen,
    )
    info = open_bundle(bundle, trust=options.trust)
    theirs = any("from" in card.card for card in info.fold_cards.values())
    speed = " --speed accurate" * theirs  # as nnU-Net predicts
    return f"next: autoseg_predict -m {quote(str(bundle))}{speed} -i IMAGES -o LABELS"


def _spelled(name: str) -> str:
    return "-d/--dataset" if name == "dataset" else f"--{name.replace('_', '-')}"
