"""The command `evaluate`: two folders, or the cross-validation so far."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autoseg.commands.options import (
    dataset_option,
    overwrite_option,
    table_of,
    table_option,
    workers_option,
    workspace_of,
    workspace_option,
)
from autoseg.errors import UsageError

if TYPE_CHECKING:
    from autoseg.evaluation.optional import OptionalGroups
    from autoseg.labels import Labels

PLACE = "a folder, a file, or a pattern such as 'runs/{case}/seg.nii.gz'"
# These mean nothing for the cross-validation, which is scored already.
FOR_FOLDERS = (
    "output", "cases", "targets", "preset", "label_map", "reference_map", "nsd_tolerance", "mode",
    "both_empty", "allow_missing", "ignore_geometry", "nnunet_summary", "export_npz", "compat",
    "overwrite", "groups", "lesion_min_volume", "lesion_preset", "probabilities",
)  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this command."""
    places = parser.add_argument_group("what is compared (without -p and -g: the cross-validation)")
    places.add_argument(
        "-p", "--predictions", type=Path, metavar="PLACE", help=f"label maps: {PLACE}"
    )
    places.add_argument(
        "-g", "--references", type=Path, metavar="PLACE", help="true label maps, likewise"
    )
    places.add_argument("--cases", nargs="+", metavar="CASE", help="judge only these")
    places.add_argument(
        "--allow-missing", action="store_true", help="count a missing prediction as empty"
    )
    places.add_argument(
        "--ignore-geometry", action="store_true", help="compare arrays, whatever headers say"
    )
    places.add_argument(
        "--label-map", nargs="+", metavar="FROM:TO",
        help="what values of the predictions stand for, e.g. 255:1; 3:0 leaves value 3 out",
    )  # fmt: skip
    places.add_argument(
        "--reference-map", nargs="+", metavar="FROM:TO", help="the same for the references"
    )
    _add_targets(parser.add_argument_group("what is measured"))
    _add_outputs(parser.add_argument_group("what is written"))
    dataset_option(parser, "planned dataset whose targets count (default: see --targets)")
    workspace_option(parser)
    workers_option(parser)


def _add_targets(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--targets", "--regions", nargs="+", metavar="NAME=VALUES",
        help="e.g. kidney=1,2 tumour=2; ignore=9 is not judged "
        "(default: a dataset.json in or above the folders, else every value found)",
    )  # fmt: skip
    group.add_argument(
        "--preset", metavar="NAME",
        help="targets and NSD tolerances of kits19, kits23, flare22; tolerances of totalseg",
    )  # fmt: skip
    group.add_argument(
        "--nsd-tolerance", nargs="+", metavar="MM", help="for all targets; or liver=3 spleen=2"
    )
    group.add_argument(
        "--mode",
        choices=("surfel", "voxel", "vertex"),
        help="where surfaces lie (default: surfel)",
    )
    group.add_argument(
        "--groups", nargs="+", metavar="GROUP",
        help="what else is measured: lesions, topology (clDice), calibration",
    )  # fmt: skip
    group.add_argument(
        "--lesion-min-volume", type=float, metavar="MM3", help="smaller lesions are left out"
    )
    group.add_argument(
        "--lesion-preset", metavar="NAME", help="brats or autopet: lesions as that challenge counts"
    )
    group.add_argument(
        "--probabilities", type=Path, metavar="FOLDER",
        help="for calibration: <case>.npz with 'probabilities' (channels, Z, Y, X)",
    )  # fmt: skip
    group.add_argument(
        "--both-empty", choices=("null", "one"),
        help="a target in neither label map: not counted (null, default), or perfect, which is "
        "not the standard definition (one)",
    )  # fmt: skip


def _add_outputs(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER",
        help="for summary.json and metrics.csv (default: the predictions' folder)",
    )  # fmt: skip
    group.add_argument(
        "--nnunet-summary", action="store_true",
        help="also nnunet_summary.json, in nnU-Net's spelling",
    )  # fmt: skip
    group.add_argument(
        "--export-npz", type=Path, metavar="FOLDER", help="also distorch's files: 3d_dice.npz, ..."
    )
    group.add_argument(
        "--compat", nargs="+", metavar="NAME",
        help="also numbers of older reports, not the standard definition: pooled, "
        "slices-with-organ, empty-is-one",
    )  # fmt: skip
    table_option(group)
    overwrite_option(group)


def run(options: argparse.Namespace) -> str:
    """Run the verb; return what goes to stdout."""
    from autoseg.workflows.evaluate import (
        evaluate,
        evaluate_crossvalidation,
        format_crossvalidation,
    )
    from autoseg.workflows.evaluate_extras import Extras

    workspace = workspace_of(options)
    if options.predictions is None and options.references is None:
        _refuse_without_folders(options)
        result = evaluate_crossvalidation(workspace, options.dataset)
        return format_crossvalidation(result, options.table)
    summary = evaluate(
        workspace,
        predictions=options.predictions,
        references=options.references,
        output=options.output,
        dataset=options.dataset,
        targets=_targets(options.targets),
        preset=options.preset,
        nsd_tolerance=_tolerance(options.nsd_tolerance),
        mode=options.mode or "surfel",
        cases=options.cases,
        prediction_map=_map(options.label_map, "--label-map"),
        reference_map=_map(options.reference_map, "--reference-map"),
        allow_missing=options.allow_missing,
        ignore_geometry=options.ignore_geometry,
        extras=Extras(
            both_empty=options.both_empty or "null",
            compat=tuple(options.compat or ()),
            export_npz=options.export_npz,
            nnunet_summary=options.nnunet_summary,
            optional=_optional(options),
        ),
        overwrite=options.overwrite,
        workers=options.workers,
    )
    return table_of(summary, options.table)


def _refuse_without_folders(options: argparse.Namespace) -> None:
    given = [f"--{name.replace('_', '-')}" for name in FOR_FOLDERS if getattr(options, name)]
    if given:
        raise UsageError(f"{' '.join(given)} without folders", expected="-p FOLDER -g FOLDER")


def _optional(options: argparse.Namespace) -> OptionalGroups:
    from autoseg.evaluation.lesions import LesionRules
    from autoseg.evaluation.optional import OptionalGroups

    rules = LesionRules(options.lesion_min_volume or 0.0, preset=options.lesion_preset or "")
    return OptionalGroups(tuple(options.groups or ()), rules, options.probabilities)


def _targets(words: list[str] | None) -> Labels | None:
    from autoseg.evaluation.targets import parse_targets

    return parse_targets(words) if words else None


def _map(words: list[str] | None, option: str) -> dict[int, int]:
    """Return FROM -> TO of words such as "255:1"."""
    try:
        pairs = [word.split(":") for word in words or ()]
        return {int(old): int(new) for old, new in pairs}
    except ValueError as error:
        fact = f"{option} {' '.join(words or ())}"
        raise UsageError(fact, expected="FROM:TO, such as 255:1") from error


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
