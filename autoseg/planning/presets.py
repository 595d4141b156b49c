"""Recipes as configurations of a plan: a preset says what differs from the one it is based on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from autoseg.architectures import make_spec
from autoseg.config import TrainConfig, override, spell_settings
from autoseg.errors import CorruptError, UsageError, by_hand
from autoseg.labels import Labels
from autoseg.plan import PRESET, Configuration, Design, Fingerprint, NetworkSpec, Plan, Triple
from autoseg.plan_file import check_plan
from autoseg.planning.spacing import median_resampled_shape, times
from autoseg.presets import Preset, PresetPlan, load_preset, preset_names

TRAINED_ON = 4 / 5  # of the cases, in a fold
BY_TARGET = ("target_weights", "target_sampling")  # settings that name targets
BACKGROUND = "background"


def presets_of(plan: Plan | None) -> dict[str, Preset]:
    """Return the presets that are planned by name: those of one's own, and of autoseg's today."""
    made = [c for c in plan.configurations.values() if c.preset] if plan else []
    known = [c for c in made if c.recipe is not None or c.preset in preset_names()]
    return {c.preset: c.recipe or load_preset(c.preset) for c in known}


def add_presets(plan: Plan, fingerprint: Fingerprint, presets: Mapping[str, Preset]) -> Plan:
    """Return `plan` with a configuration for each of these presets that it does not have yet.

    One of one's own whose file says something else by now is planned anew. Raises UsageError for a
    preset that does not fit the data, or has the name of what the rules planned.
    """
    for name, preset in presets.items():
        planned = plan.configurations.get(name)
        if planned is not None and not planned.preset:
            remedy = "give the file another name"
            raise UsageError(f"preset '{name}': the rules plan a '{name}', too", remedy=remedy)
        if planned is None or planned.recipe != _recipe(name, preset):
            plan = _with_preset(_without(plan, name), fingerprint, name, preset)
    return plan


def _recipe(name: str, preset: Preset) -> Preset | None:
    """Return what the plan keeps: nothing of a preset that comes with autoseg."""
    return None if name in preset_names() else preset


def _without(plan: Plan, name: str) -> Plan:
    kept = {key: value for key, value in plan.configurations.items() if key != name}
    reasons = tuple(reason for reason in plan.reasons if not reason.startswith(f"{name}: "))
    return replace(plan, configurations=kept, reasons=reasons)


def _with_preset(plan: Plan, fingerprint: Fingerprint, name: str, preset: Preset) -> Plan:
    part = preset.plan
    assert part is not None  # or `read_presets` had raised
    if part.base not in plan.configurations:
        known = ", ".join(plan.configurations)
        fact = f"preset '{name}' is based on {part.base}, which is not planned for these data"
        raise UsageError(fact, expected=f"a preset based on one of: {known}")
    base = plan.configurations[part.base]
    if part.spacing is not None and (part.spacing[0] is None) != base.is_2d:
        expected = "null first, slices have none" if base.is_2d else "three lengths in mm"
        raise UsageError(f"preset '{name}': spacing on the base {base.name}", expected=expected)
    spacing, shape, grid = _grid(part, base, plan, fingerprint)
    design = expand(part)
    train, reasons = _settings(preset, plan.labels)
    if part.passes is not None:
        train["steps"], why = _steps(part, preset.train, shape, len(fingerprint.cases), base.is_2d)
        reasons.append(why)
    settings = spell_settings(train)
    override(TrainConfig(), settings)  # a file that names no setting is told now
    normalizers = (part.normalizer,) * len(plan.channels) if part.normalizer else base.normalizers
    configuration = replace(
        base,
        name=name,
        spacing=spacing,
        median_shape=shape,
        normalizers=normalizers,
        mask_normalization=(False,) * len(plan.channels),
        batch_dice=part.batch_dice,
        sizes={PRESET: design},
        preset=name,
        recipe=_recipe(name, preset),
        train=train,
    )
    told = [
        preset.about,
        f"{grid}; {_describe(configuration, design)}.",
        *reasons,
        f"Trained with {', '.join(settings)}, unless autoseg_train --set says otherwise.",
    ]
    if preset.differences:
        told.append(f"Otherwise than as its authors ran it: {'; '.join(preset.differences)}.")
    plan = replace(
        plan,
        configurations={**plan.configurations, name: configuration},
        reasons=(*plan.reasons, *(f"{name}: {sentence}" for sentence in told)),
    )
    try:
        check_plan(plan)
    except CorruptError as error:
        raise by_hand(error, f"correct preset '{name}'") from error
    return plan


def _describe(configuration: Configuration, design: Design) -> str:
    names = " ".join(sorted(set(configuration.normalizers)))
    patch = times(design.patch_size[1 if design.is_2d else 0 :])
    features = "-".join(map(str, design.network.features))
    return (
        f"normaliser {names}; patch {patch}, batch {design.batch_size}; {design.network.name}, "
        f"features {features}"
    )


def _grid(
    part: PresetPlan, base: Configuration, plan: Plan, fingerprint: Fingerprint
) -> tuple[tuple[float | None, float, float], Triple, str]:
    """Return spacing in mm and the median shape, plan axis order, and the words for them."""
    spacing, why = base.spacing, f"as {base.name}"
    if part.spacing is not None:
        spacing, why = part.spacing, "as it says"
    if part.plane is not None:
        _, y, x = base.spacing
        longest = max(base.median_shape[1] * y, base.median_shape[2] * x)
        edge = longest / part.plane
        spacing, why = (
            (base.spacing[0], edge, edge),
            (f"so that the longer side of the median slice has {part.plane} pixels"),
        )
    if spacing == base.spacing:
        shape = base.median_shape
    else:
        shape = _median_shape(spacing, base, plan, fingerprint)
    grid = times([edge for edge in spacing if edge is not None])
    return spacing, shape, f"{grid} mm, {why}"


def _median_shape(
    spacing: tuple[float | None, float, float], base: Configuration, plan: Plan, data: Fingerprint
) -> Triple:
    order = list(plan.axis_order)
    canonical = [1.0, 1.0, 1.0]
    for axis, edge in zip(order, spacing, strict=True):
        canonical[axis] = 1.0 if edge is None else edge
    shape = median_resampled_shape(data, (canonical[0], canonical[1], canonical[2]))[order]
    depth, height, width = (max(1, round(edge)) for edge in shape.tolist())
    return (base.median_shape[0] if base.is_2d else depth), height, width


def expand(part: PresetPlan) -> Design:
    """Return patch, batch and network in full.

    Of a U-Net: kernels of 3, each stage halved, two convolutions a stage.
    """
    network, flat = part.network, part.patch_size[0] == 1
    features = network.features or (1, 1)  # of a network that has options and no stages
    stages = len(features)
    kernel, half = ((1, 3, 3), (1, 2, 2)) if flat else ((3, 3, 3), (2, 2, 2))
    spec = NetworkSpec(
        network.name,
        features,
        network.strides or ((1, 1, 1), *(half,) * (stages - 1)),
        network.kernels or (kernel,) * stages,
        network.encoder_blocks or (2,) * stages,
        network.decoder_blocks or (2,) * (stages - 1),
    )
    design = Design(part.patch_size, part.batch_size, spec)
    if network.features:
        return design
    return replace(design, network=make_spec(network.name, network.options, design))


def _settings(preset: Preset, labels: Labels) -> tuple[dict[str, Any], list[str]]:
    """Return the settings for these targets, and what was left out of those by name."""
    train, reasons = dict(preset.train), []
    for setting in BY_TARGET:
        weights = train.pop(setting, None)
        if isinstance(weights, str):
            train[setting] = weights
        elif weights is not None:
            background = setting == "target_weights" and labels.exclusive
            known = (*labels.names, *[BACKGROUND] * background)
            ours = [f"{target}={weights[target]:g}" for target in weights if target in known]
            if any(target in weights for target in labels.names):
                train[setting] = ",".join(ours)
            else:
                named = ", ".join(target for target in weights if target != BACKGROUND)
                reasons.append(f"no {setting}, as no target here is called {named}.")
    return train, reasons


def _steps(
    part: PresetPlan, train: Mapping[str, Any], shape: Triple, cases: int, flat: bool
) -> tuple[int, str]:
    """Return the steps of a training that sees every slice or case so many times, and why."""
    passes = part.passes or 0.0
    seen = TRAINED_ON * cases * (shape[0] if flat else 1)
    samples = part.batch_size * int(train.get("accumulate", 1))
    steps = max(1, round(passes * seen / samples))
    what = "slices" if flat else "cases"
    return steps, (
        f"{steps:,} steps: {passes:g} times the {seen:,.0f} {what} of a fold, {samples} a step."
    )
