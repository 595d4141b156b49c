"""What a user sets by hand, "3d_fullres.M.patch_size=32x64x64", applied to a plan and recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import prod

from autoseg.config import override
from autoseg.errors import CorruptError, UsageError, suggest
from autoseg.plan import Configuration, Design, Fingerprint, Plan
from autoseg.plan_file import check_plan
from autoseg.planning.planner import SAME, make_plan, output_count
from autoseg.planning.presets import add_presets, presets_of
from autoseg.planning.sizes import Task, budget_of, make_design
from autoseg.planning.spacing import times
from autoseg.preprocessing.intensity import check_normalizers, split_names

SPACING, COARSE = "3d_fullres.spacing", "3d_lowres.spacing"
BY_HAND = "Set by hand: "


def apply_settings(plan: Plan, fingerprint: Fingerprint, settings: Sequence[str]) -> Plan:
    """Return `plan` with "name=value" settings; a later one of the same name replaces an earlier.

    `<configuration>.<size>.<field>=value` sets one design, `<configuration>.<field>=value` a whole
    configuration. A patch brings strides, kernels and batch along; `3d_fullres.spacing` and
    `3d_lowres.spacing` (mm, plan axis order) plan everything anew, the latter with 3d_lowres and
    the cascade where the rules see no need. Raises UsageError when a name is unknown or parts do
    not fit.
    """
    table = dict(_split(setting) for setting in settings)
    known = dict(_split(setting) for setting in plan.overrides) | table
    if SPACING in table or COARSE in table:
        plan, table = _replanned(plan, fingerprint, known), known
    # Patches first: they replace the network and the batch, which may be set as well.
    for name in sorted(table, key=lambda name: not name.endswith(".patch_size")):
        if name not in (SPACING, COARSE):
            plan = _set(plan, fingerprint, name, table[name])
    plan = _shared(plan, table)
    _check(plan, settings)
    overrides = tuple(f"{name}={value}" for name, value in known.items())
    reasons = [reason for reason in plan.reasons if not reason.startswith(BY_HAND)]
    reasons += [f"{BY_HAND}{override}." for override in overrides]
    return replace(plan, overrides=overrides, reasons=tuple(reasons))


def _split(setting: str) -> tuple[str, str]:
    name, separator, value = setting.partition("=")
    if not separator:
        raise UsageError(f"--set {setting}", expected="name=value")
    short = name.strip().removeprefix("configurations.").replace(".sizes.", ".")
    return short, value.strip()


def _set(plan: Plan, fingerprint: Fingerprint, name: str, value: str) -> Plan:
    configuration, _, rest = name.partition(".")
    if configuration not in plan.configurations or not rest:
        remedy = suggest(configuration, plan.configurations)
        raise UsageError(f"--set {name}: unknown configuration '{configuration}'", remedy=remedy)
    size, _, field = rest.partition(".")
    known = plan.configurations[configuration]
    if size not in known.sizes:
        if field:
            remedy = suggest(size, known.sizes)
            raise UsageError(f"--set {name}: no size '{size}' is planned", remedy=remedy)
        if size == "normalizers" and not value.startswith("["):  # whose numbers have commas
            value = json.dumps(split_names(value))
        return override(plan, [f"configurations.{name}={value}"])
    changed = override(plan, [f"configurations.{configuration}.sizes.{rest}={value}"])
    reasons = spell_out(plan.reasons, configuration, list(known.sizes), size)
    changed = replace(changed, reasons=reasons)
    if field != "patch_size" or known.preset:  # whose network is what its name says
        return changed
    wanted = changed.configurations[configuration].sizes[size].patch_size
    design, reason = _design_for_patch(plan, fingerprint, known, size, wanted)
    sizes = {**known.sizes, size: design}
    configurations = {**plan.configurations, configuration: replace(known, sizes=sizes)}
    former = f"{configuration} {size}: "
    reasons = tuple(f"{former}{reason}." if r.startswith(former) else r for r in reasons)
    return replace(plan, configurations=configurations, reasons=reasons)


def spell_out(
    reasons: Sequence[str], configuration: str, sizes: Sequence[str], changing: str
) -> tuple[str, ...]:
    """Return `reasons` without "the same as" where it tells of `changing`, or compares with it.

    The first size that was the same gets the sentence in full, the others are the same as that one.
    """
    heads = {size: f"{configuration} {size}: " for size in sizes}
    said = {
        size: reason.removeprefix(head).removesuffix(".")
        for size, head in heads.items()
        for reason in reasons
        if reason.startswith(head)
    }
    twins = [size for size, text in said.items() if text == SAME.format(changing)]
    full = next((said[s] for s in said if said.get(changing) == SAME.format(s)), None)
    new = {changing: full} if full else {}
    for number, size in enumerate(twins):
        new[size] = SAME.format(twins[0]) if number else said[changing]
    table = {f"{heads[s]}{said[s]}.": f"{heads[s]}{text}." for s, text in new.items()}
    return tuple(table.get(reason, reason) for reason in reasons)


def _design_for_patch(
    plan: Plan,
    fingerprint: Fingerprint,
    configuration: Configuration,
    size: str,
    patch_size: tuple[int, int, int],
) -> tuple[Design, str]:
    first = 1 if configuration.is_2d else 0
    spacing = [float(value) for value in configuration.spacing[first:] if value is not None]
    task = Task(
        tuple(spacing),
        tuple(float(edge) for edge in configuration.median_shape[first:]),
        float(prod(configuration.median_shape)) * len(fingerprint.cases),
        len(plan.channels),
        output_count(plan.labels),
    )
    if min(patch_size) < 1 or (configuration.is_2d and patch_size[0] != 1):
        expected = "1,Y,X (one slice)" if configuration.is_2d else "three sizes of at least 1"
        raise UsageError(
            f"--set {configuration.name}.{size}.patch_size={times(patch_size)}", expected=expected
        )
    design, reason = make_design(task, budget_of(size), patch_size[first:])
    if design.patch_size != patch_size:
        raise UsageError(
            f"--set {configuration.name}.{size}.patch_size={times(patch_size)}: the network halves "
            "its axes several times",
            expected=f"{times(design.patch_size)} (the next size up)",
        )
    return design, reason


def _replanned(plan: Plan, fingerprint: Fingerprint, table: Mapping[str, str]) -> Plan:
    if "3d_fullres" not in plan.configurations:
        raise UsageError("--set: the data are flat, only 2d is planned")
    fine = [edge or 0.0 for edge in plan.configurations["3d_fullres"].spacing]
    spacing, coarse = (_canonical_spacing(plan, name, table) for name in (SPACING, COARSE))
    if coarse is not None and prod(coarse) <= prod(spacing or fine):
        raise UsageError(f"--set {COARSE}={table[COARSE]}", expected="coarser than 3d_fullres")
    memories = [size for c in plan.configurations.values() for size in c.sizes if "GB" in size]
    anew = make_plan(
        fingerprint,
        plan.labels,
        plan.dataset,
        file_ending=plan.file_ending,
        memory_gb=float(memories[0].removesuffix("GB")) if memories else None,
        spacing=spacing,
        coarse_spacing=coarse,
    )
    return add_presets(anew, fingerprint, presets_of(plan))


def _canonical_spacing(
    plan: Plan, name: str, table: Mapping[str, str]
) -> tuple[float, float, float] | None:
    """Return the spacing that is set by hand, in the order Z, Y, X; None when it is not set."""
    if name not in table:
        return None
    value, owner = table[name], name.partition(".")[0]
    known = {owner: plan.configurations["3d_fullres"]}
    wanted = override(known, [f"{name}={value}"])[owner].spacing
    if not all(edge is not None and 0 < edge < float("inf") for edge in wanted):
        raise UsageError(f"--set {name}={value}", expected="three lengths in mm")
    canonical = [0.0, 0.0, 0.0]
    for axis, edge in zip(plan.axis_order, wanted, strict=True):
        canonical[axis] = float(edge or 0)
    return canonical[0], canonical[1], canonical[2]


def _shared(plan: Plan, table: Mapping[str, str]) -> Plan:
    """Return `plan` with the cascade's normalisers those of `3d_fullres`, whose data it reads."""
    changed = dict(plan.configurations)
    for name, configuration in plan.configurations.items():
        if configuration.previous is None:
            continue
        full = plan.configurations["3d_fullres"]
        for field in ("normalizers", "mask_normalization"):
            if f"{name}.{field}" in table and f"3d_fullres.{field}" not in table:
                fact = f"--set {name}.{field}: it reads the data of 3d_fullres"
                raise UsageError(fact, remedy=f"set 3d_fullres.{field}")
        changed[name] = replace(
            configuration,
            normalizers=full.normalizers,
            mask_normalization=full.mask_normalization,
        )
    return replace(plan, configurations=changed)


def _check_normalizers(plan: Plan) -> None:
    for name, configuration in plan.configurations.items():
        try:
            check_normalizers(configuration.normalizers)
        except UsageError as error:
            fact = f"--set {name}.normalizers: {error.fact}"
            raise UsageError(fact, expected=error.expected, remedy=error.remedy) from error


def _check(plan: Plan, assignments: Iterable[str]) -> None:
    _check_normalizers(plan)
    try:
        check_plan(plan)
    except CorruptError as error:
        raise UsageError(
            f"--set {' '.join(assignments)}: {error.fact}",
            place=error.place.removeprefix("configurations.").replace(".sizes.", "."),
            expected=error.expected,
        ) from error
