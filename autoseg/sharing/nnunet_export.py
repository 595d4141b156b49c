"""A bundle as a results folder that nnU-Net v2 predicts with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from autoseg.bundle import Bundle, mirrored_axes
from autoseg.case_files import PICTURES
from autoseg.errors import UsageError
from autoseg.files import read_json, write_json
from autoseg.image import CANONICAL, RAS, STORED
from autoseg.members import FULL
from autoseg.plan import NetworkSpec
from autoseg.sharing.mirrored_network import mirror_network
from autoseg.sharing.nnunet_checkpoint import Checkpoint, write_checkpoint
from autoseg.sharing.nnunet_export_plans import write_dataset, write_plans
from autoseg.sharing.nnunet_models import ALL, CHECKPOINT, TRAINER
from autoseg.sharing.nnunet_network import write_network
from autoseg.sharing.nnunet_weights import conv_norms, weights_to_nnunet


def write_model(bundle: Bundle, folder: Path) -> tuple[str, ...]:
    """Write dataset.json, plans.json and a checkpoint per fold; return what the user must know.

    The first stage of a cascade goes into a folder of its own in there, named as its configuration.
    Nothing of our machine or of the training cases is written. Raises UsageError for what nnU-Net
    does not have.
    """
    plan, settings, design = bundle.plan, bundle.settings, bundle.design
    remarks: list[str] = []
    rows: dict[str, Any] = {}
    if bundle.previous is not None:
        if not plan.labels.exclusive:
            raise UsageError("a cascade of regions", expected="targets that nnU-Net can hand on")
        stage = folder / bundle.previous.configuration
        remarks += write_model(bundle.previous, stage)
        rows = read_json(stage / "plans.json")["configurations"]
    orientation, flips = _orientation(bundle)
    order = _order(bundle)
    spec, axes = design.network, _mirror_axes(bundle)
    write_network(spec)  # or says that nnU-Net has no such network
    names = _fold_names(tuple(bundle.weights))
    for fold, state in bundle.weights.items():
        spec, theirs = _convert(bundle, state, order, flips)
        content = Checkpoint(theirs, settings.name, TRAINER, axes, None)
        write_checkpoint(folder / f"fold_{names[fold]}" / CHECKPOINT, content, names[fold])
    plans = write_plans(plan, settings, design, spec, orientation)
    plans["configurations"] = rows | plans["configurations"]
    write_json(folder / "plans.json", plans)
    write_json(folder / "dataset.json", write_dataset(plan, order))
    return tuple(dict.fromkeys([*remarks, *_remarks(bundle, order, flips, names)]))


def _fold_names(folds: Sequence[str]) -> dict[str, int | str]:
    """Return nnU-Net's name of each fold: a number, or "all"; other ones get the next numbers."""
    names: dict[str, int | str] = {fold: int(fold) for fold in folds if fold.isdigit()}
    following = 1 + max((n for n in names.values() if isinstance(n, int)), default=-1)
    for fold in folds:
        if fold == FULL:
            names[fold] = ALL
        elif fold not in names:
            names[fold] = following
            following += 1
    return names


def _orientation(bundle: Bundle) -> tuple[str, tuple[int, ...]]:
    """Return how nnU-Net shall turn scans, and the axes along which that mirrors what we see."""
    plan = bundle.plan
    if plan.orientation != CANONICAL:
        return plan.orientation, ()
    if plan.file_ending in PICTURES:
        return STORED, ()  # pictures have one orientation only
    # nnU-Net can turn to one orientation: ours, with Y and X the other way round.
    return RAS, plan.reversed_axes


def _order(bundle: Bundle) -> tuple[str, ...]:
    """Return the targets in the order of nnU-Net's outputs."""
    labels = bundle.plan.labels
    if not labels.exclusive:
        if all(len(values) == 1 for values in labels.targets.values()):
            raise UsageError("overlapping targets of one value each", expected="regions")
        return labels.names
    return tuple(sorted(labels.names, key=lambda name: labels.targets[name][0]))


def _convert(
    bundle: Bundle, state: Mapping[str, Tensor], order: tuple[str, ...], flips: tuple[int, ...]
) -> tuple[NetworkSpec, dict[str, Tensor]]:
    labels = bundle.plan.labels
    outputs = [labels.names.index(name) for name in order]
    if labels.exclusive:
        outputs = [0, *(output + 1 for output in outputs)]
    index = torch.tensor(outputs)
    sorted_state = {n: t[index] if n.startswith("heads.") else t for n, t in state.items()}
    if bundle.previous is not None:  # masks of the targets follow the channels of the image
        channels = len(bundle.plan.channels)
        masks = [channels + labels.names.index(name) for name in order]
        first = f"{next(conv_norms(bundle.design.network))[0]}.convolution.weight"
        sorted_state[first] = state[first][:, [*range(channels), *masks]]
    spec, mirrored = mirror_network(bundle.design.network, sorted_state, flips)
    return spec, weights_to_nnunet(mirrored, spec)


def _mirror_axes(bundle: Bundle) -> tuple[int, ...]:
    """Return the axes of nnU-Net's arrays along which it may average mirror images."""
    plan, is_2d = bundle.plan, bundle.design.is_2d
    axes = mirrored_axes(bundle.config, bundle.design)
    if plan.labels.pairs:  # nnU-Net does not exchange left and right
        axes = tuple(axis for axis in axes if axis != plan.left_right_axis)
    return tuple(axis - is_2d for axis in axes if axis >= is_2d)


def _remarks(
    bundle: Bundle,
    order: tuple[str, ...],
    flips: tuple[int, ...],
    names: Mapping[str, int | str],
) -> list[str]:
    labels = bundle.plan.labels
    remarks = [
        f"fold {fold} is fold {name} there"
        for fold, name in names.items()
        if isinstance(name, int) and str(name) != fold
    ]
    if flips:
        remarks.append("nnU-Net turns scans to RAS, so it gets the mirrored network (same scores)")
    if labels.exclusive:
        written = [labels.targets[name][0] for name in order]
        if written != list(range(1, len(order) + 1)):
            values = ", ".join(f"{value} as {i}" for i, value in enumerate(written, start=1))
            remarks.append(f"nnU-Net numbers labels without gaps: it will write {values}")
    if labels.pairs and bundle.plan.left_right_axis is not None:
        remarks.append("nnU-Net cannot exchange left and right: no left-right mirror images")
    return remarks
