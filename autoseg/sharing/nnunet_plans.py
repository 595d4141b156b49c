"""nnU-Net's `plans.json` and `dataset.json`, as a `Plan` with one configuration.

A cascade's plan has its first stage as well.

What our preparation cannot do exactly as theirs is refused by name, never approximated.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from autoseg import __version__
from autoseg.dataset_json import parse_declaration
from autoseg.errors import DataError, suggest
from autoseg.image import RAS, STORED
from autoseg.labels import Labels
from autoseg.plan import Configuration, Design, IntensityStats, Plan
from autoseg.sharing.nnunet_network import as_triple, read_network

SIZE = "nnunet"  # the name of the one size that a converted model has
NORMALIZERS = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
}
READERS = {
    "SimpleITKIO": STORED,
    "NibabelIO": STORED,
    "NaturalImage2DIO": STORED,
    "Tiff3DIO": STORED,
    "SimpleITKIOWithReorient": RAS,
    "NibabelIOWithReorient": RAS,
}
RESAMPLER = "resample_data_or_seg_to_shape"
SEPARATE: dict[str, Any] = {"order_z": 0, "force_separate_z": None}
RESAMPLING: dict[str, dict[str, Any]] = {
    "data": {"is_seg": False, "order": 3, **SEPARATE},
    "seg": {"is_seg": True, "order": 1, **SEPARATE},
    "probabilities": {"is_seg": False, "order": 1, **SEPARATE},
}
STATISTICS = {
    "mean": "mean", "std": "std", "p0_5": "percentile_00_5", "p99_5": "percentile_99_5",
    "minimum": "min", "maximum": "max",
}  # fmt: skip


def read_plan(
    plans: Any, dataset: Any, configuration: str, name: str | None, places: tuple[str, str]
) -> Plan:
    """Return the plan of one configuration of nnU-Net's `plans` and `dataset` (parsed JSON).

    `places` are the paths of plans.json and dataset.json, for messages; `name` of the dataset
    (None: theirs). Raises DataError for what is missing, mistyped or cannot be done alike.
    """
    place, dataset_place = places
    channels, labels, ending = _read_dataset(dataset, dataset_place)
    try:
        return Plan(
            dataset=name or str(plans["dataset_name"]),
            channels=channels,
            labels=labels,
            axis_order=_axis_order(plans["transpose_forward"], place),
            intensities=_intensities(plans, len(channels), place),
            configurations=_read_rows(plans, configuration, labels, place),
            reasons=(f"converted from nnU-Net: {plans.get('plans_name', 'nnUNetPlans')}",),
            file_ending=ending or ".nii.gz",
            version=__version__,
            orientation=_one_of("image_reader_writer", plans, READERS, place),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        fact = f"misses {error}" if isinstance(error, KeyError) else f"is mistyped: {error}"
        raise DataError(fact, place=place, expected="plans that nnU-Net v2 wrote") from error


def _read_dataset(dataset: Any, place: str) -> tuple[tuple[str, ...], Labels, str]:
    """Return channels, labels with targets in the order of nnU-Net's outputs, and file ending."""
    declaration, problems, _ = parse_declaration(dataset, place)
    if declaration is None:
        raise DataError("cannot be used", place=place, problems=problems)
    labels = declaration.labels
    if any(len(values) > 1 for values in labels.targets.values()):
        if labels.exclusive:
            raise DataError(
                "its regions do not overlap, but nnU-Net scored each by itself",
                place=place,
                expected="overlapping regions, or one value per label",
            )
        return declaration.channels, labels, declaration.file_ending
    ordered = dict(sorted(labels.targets.items(), key=lambda item: item[1]))
    values = [value for (value,) in ordered.values()]
    if values != list(range(1, len(values) + 1)):
        numbers = ", ".join(map(str, values))
        raise DataError(f"label values are {numbers}", place=place, expected="1, 2, 3, ...")
    return declaration.channels, dataclasses.replace(labels, targets=ordered), (
        declaration.file_ending
    )  # fmt: skip


def _resolved(plans: Mapping[str, Any], name: str, place: str) -> dict[str, Any]:
    """Return a configuration with what it inherits."""
    rows, chain = plans["configurations"], [name]
    while True:
        if chain[-1] not in rows:
            raise DataError(
                f"configuration '{chain[-1]}' is not in it", place=place,
                remedy=suggest(chain[-1], rows),
            )  # fmt: skip
        parent = rows[chain[-1]].get("inherits_from")
        if parent is None:
            break
        if parent in chain:
            raise DataError(f"configuration '{name}' inherits from itself", place=place)
        chain.append(parent)
    row: dict[str, Any] = {}
    for link in reversed(chain):
        row |= rows[link]
    return row


def _read_rows(
    plans: Mapping[str, Any], name: str, labels: Labels, place: str
) -> dict[str, Configuration]:
    """Return a configuration, and before it the one whose prediction it continues."""
    row = _resolved(plans, name, place)
    previous = row.get("previous_stage")
    rows = {name: _read_row(row, plans, name, place)}
    if not previous:
        return rows
    if not labels.exclusive:
        raise DataError(
            f"continues the prediction of '{previous}' with a mask of each value, not region",
            place=f"{place}, configuration {name}",
            remedy="cascades of regions cannot be converted; import that stage",
        )
    return {previous: _read_row(_resolved(plans, previous, place), plans, previous, place)} | rows


def _read_row(
    row: Mapping[str, Any], plans: Mapping[str, Any], name: str, place: str
) -> Configuration:
    where = f"{place}, configuration {name}"
    _one_of("preprocessor_name", row, {"DefaultPreprocessor": ""}, where)
    _check_resampling(row, where)
    spec = read_network(row, where)
    flat = all(size[0] == 1 for size in (*spec.kernels, *spec.strides))
    if flat and len(row["patch_size"]) == 3:
        raise DataError("a 3-D network whose kernels are all flat", place=where)
    patch = as_triple(row["patch_size"])
    spacing = [None, *map(float, row["spacing"])][-3:]
    shape = [plans["original_median_shape_after_transp"][0], *row["median_image_size_in_voxels"]]
    z, y, x = (round(float(size)) for size in shape[-3:])
    schemes = [{"normalization": scheme} for scheme in row["normalization_schemes"]]
    return Configuration(
        name=name,
        spacing=(spacing[0], spacing[1] or 0.0, spacing[2] or 0.0),
        median_shape=(z, y, x),
        normalizers=tuple(_one_of("normalization", s, NORMALIZERS, where) for s in schemes),
        mask_normalization=tuple(bool(masked) for masked in row["use_mask_for_norm"]),
        batch_dice=bool(row.get("batch_dice", False)),
        sizes={SIZE: Design(patch, int(row["batch_size"]), spec)},
        previous=row.get("previous_stage") or None,
    )


def _check_resampling(row: Mapping[str, Any], place: str) -> None:
    """Raise DataError when images or scores are resampled otherwise than our operators do it."""
    for kind in ("data", "probabilities"):
        field = f"resampling_fn_{kind}"
        _one_of(field, row, {RESAMPLER: ""}, place)
        given = RESAMPLING[kind] | dict(row.get(f"{field}_kwargs") or {})
        if given != RESAMPLING[kind]:
            changed = sorted(k for k, v in given.items() if RESAMPLING[kind].get(k, "") != v)
            words = ", ".join(f"{name} {given[name]}" for name in changed)
            usual = ", ".join(f"{name} {RESAMPLING[kind].get(name)}" for name in changed)
            raise DataError(f"{field}_kwargs has {words}", place=place, expected=usual)


def _one_of(field: str, given: Mapping[str, Any], known: Mapping[str, str], place: str) -> str:
    value = given[field]
    if value not in known:
        raise DataError(
            f"{field} is {value!r}",
            place=place,
            expected=" or ".join(known),
            remedy="models with parts of somebody's own cannot be converted",
        )
    return known[value]


def _axis_order(order: Sequence[int], place: str) -> tuple[int, int, int]:
    if sorted(order) != [0, 1, 2]:
        raise DataError(f"transpose_forward is {order}", place=place, expected="0, 1, 2 in a row")
    z, y, x = order
    return z, y, x


def _intensities(plans: Mapping[str, Any], channels: int, place: str) -> tuple[IntensityStats, ...]:
    old = plans.get("foreground_intensity_properties_by_modality")
    table = plans.get("foreground_intensity_properties_per_channel", old)
    if table is None or any(str(channel) not in table for channel in range(channels)):
        raise DataError(f"misses intensity properties of {channels} channels", place=place)
    rows = [table[str(channel)] for channel in range(channels)]
    return tuple(
        IntensityStats(**{ours: float(row[theirs]) for ours, theirs in STATISTICS.items()})
        for row in rows
    )
