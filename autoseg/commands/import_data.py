"""The command `import`: files anywhere become a dataset; a model takes its place."""

from __future__ import annotations

import argparse
from pathlib import Path
from shlex import quote

from autoseg.commands.options import overwrite_option, workspace_of, workspace_option
from autoseg.errors import UsageError

FOR_DATA = ("dataset", "images", "labels", "channels", "classes")
FOR_MODELS = ("output", "folds", "checkpoint", "overwrite", "trust")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("-d", "--dataset", metavar="NAME", help="its name in raw/")
    workspace_option(parser)
    parser.add_argument("--images", metavar="PATTERN", help="e.g. 'scans/{case}_{channel}.nii.gz'")
    parser.add_argument("--labels", metavar="PATTERN", help="e.g. 'masks/{case}.nii.gz'")
    parser.add_argument(
        "--channels",
        nargs="+",
        metavar="NAME",
        help="CT, or T1=t1n where files say t1n",
    )
    parser.add_argument("--classes", nargs="+", metavar="NAME", help="for 1, 2, ...; or kidney=1,2")
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
    parser.add_argument(
        "--annotated",
        nargs="+",
        default=[],
        metavar="CASES=CLASS,...",
        help="what is annotated in cases where not all is, e.g. 'siteA_*=liver,spleen'",
    )
    parser.add_argument("--controls", metavar="PATTERN", help="images without any target")
    parser.add_argument("--link", action="store_true", help="link the files instead of copying")

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
    overwrite_option(models)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    if options.model is not None:
        return _import_model(options)
    missing = [_spelled(name) for name in FOR_DATA if not getattr(options, name)]
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
        images=options.images,
        labels=options.labels,
        channels=options.channels,
        classes=options.classes,
        label_map=options.label_map,
        controls=options.controls,
        structures=options.structures,
        annotated=options.annotated,
        link=options.link,
    )
    elsewhere = f" -w {quote(str(options.workspace))}" if options.workspace != Path() else ""
    return f"next: autoseg_plan{elsewhere} -d {quote(options.dataset)}"


def _import_model(options: argparse.Namespace) -> str:
    names = (*FOR_DATA[1:], "label_map", "annotated", "controls", "link")
    strange = [_spelled(name) for name in names if getattr(options, name)]
    if strange:
        raise UsageError(f"{' '.join(strange)} with --model", expected="-d, -o and -f only")
    from autoseg.bundle import open_bundle
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
