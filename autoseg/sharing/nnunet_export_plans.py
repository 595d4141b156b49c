"""A `Plan` as nnU-Net's `plans.json` and `dataset.json`, for one of its configurations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from autoseg.case_files import PICTURES
from autoseg.errors import UsageError
from autoseg.image import RAS
from autoseg.plan import Configuration, Design, NetworkSpec, Plan
from autoseg.sharing.nnunet_network import write_network
from autoseg.sharing.nnunet_plans import NORMALIZERS, RESAMPLER, RESAMPLING, STATISTICS


def write_plans(
    plan: Plan, settings: Configuration, design: Design, spec: NetworkSpec, orientation: str
) -> dict[str, Any]:
    """Return nnU-Net's plans (JSON primitives) for one configuration of `plan`.

    `spec` is the network that is exported, and `orientation`, STORED or RAS, what it wants to see.
    """
    theirs = {ours: name for name, ours in NORMALIZERS.items()}
    foreign = [name for name in settings.normalizers if name not in theirs]
    if foreign:
        expected = ", ".join(sorted(theirs))
        raise UsageError(f"nnU-Net has no normaliser '{foreign[0]}'", expected=expected)
    axes = 2 if design.is_2d else 3
    backward = [plan.axis_order.index(axis) for axis in range(3)]
    row: dict[str, Any] = {
        "data_identifier": f"autosegPlans_{settings.name}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": design.batch_size,
        "patch_size": list(design.patch_size[-axes:]),
        "median_image_size_in_voxels": [float(size) for size in settings.median_shape[-axes:]],
        "spacing": list(settings.spacing[-axes:]),
        "normalization_schemes": [theirs[name] for name in settings.normalizers],
        "use_mask_for_norm": list(settings.mask_normalization),
        "batch_dice": settings.batch_dice,
        "architecture": write_network(spec),
    }
    if settings.previous is not None:
        row["previous_stage"] = settings.previous
    for kind, arguments in RESAMPLING.items():
        row[f"resampling_fn_{kind}"] = RESAMPLER
        row[f"resampling_fn_{kind}_kwargs"] = arguments
    # Statistics that only nnU-Net's own planning looks at are left at the mean.
    intensities = {
        str(channel): {
            **{name: getattr(stats, ours) for ours, name in STATISTICS.items()},
            "median": stats.mean,
        }
        for channel, stats in enumerate(plan.intensities)
    }
    return {
        "dataset_name": plan.dataset,
        "plans_name": "autosegPlans",
        "original_median_spacing_after_transp": [edge or 1.0 for edge in settings.spacing],
        "original_median_shape_after_transp": list(settings.median_shape),
        "image_reader_writer": _reader(plan, orientation, settings.median_shape),
        "transpose_forward": list(plan.axis_order),
        "transpose_backward": backward,
        "configurations": {settings.name: row},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": intensities,
    }


def _reader(plan: Plan, orientation: str, shape: Sequence[int]) -> str:
    if orientation == RAS:
        # Their other reader that reorients writes labels above 255 wrongly.
        nifti = plan.file_ending in (".nii", ".nii.gz")
        wide = max(plan.labels.values) > 255 and nifti
        return "NibabelIOWithReorient" if wide else "SimpleITKIOWithReorient"
    if plan.file_ending not in PICTURES:
        return "SimpleITKIO"
    return "NaturalImage2DIO" if shape[0] == 1 else "Tiff3DIO"


def write_dataset(plan: Plan, order: Sequence[str]) -> dict[str, Any]:
    """Return nnU-Net's dataset.json for `plan`, with its targets in `order`."""
    labels = plan.labels
    declared: dict[str, Any] = {"background": 0}
    content: dict[str, Any] = {
        "name": plan.dataset,
        "channel_names": {str(index): name for index, name in enumerate(plan.channels)},
        "labels": declared,
        "numTraining": 0,
        "file_ending": plan.file_ending,
    }
    if labels.exclusive:
        declared |= {name: index for index, name in enumerate(order, start=1)}
        if labels.ignore is not None:
            declared["ignore"] = len(order) + 1
        return content
    for name in order:
        values = labels.targets[name]
        declared[name] = sorted(values) if len(values) > 1 else values[0]
    if labels.ignore is not None:
        declared["ignore"] = labels.ignore
    return content | {"regions_class_order": [labels.targets[name][0] for name in order]}
