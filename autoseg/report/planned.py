"""The plan in words: why everything is as it is, and what was planned."""

from __future__ import annotations

from autoseg.errors import number_of
from autoseg.plan import Configuration, Plan
from autoseg.report.html import Section, bullets, heading, not_yet, paragraph, table
from autoseg.report.material import Material


def about_plan(material: Material) -> Section:
    """Return the chapter of the plan and the folds."""
    if material.plan is None:
        return not_yet("Plan", f"Nothing is planned yet: run autoseg_plan -d {material.dataset}.")
    plan = material.plan
    parts = [bullets(plan.reasons)]
    if plan.overrides:
        parts.append(paragraph(f"Set by hand: {', '.join(plan.overrides)}.", "warn"))
    parts += [heading("Configurations"), _configurations(plan)]
    if material.folds:
        sizes = [len(fold) for fold in material.folds]
        folds, of_each = number_of(len(sizes), "fold"), ", ".join(map(str, sizes))
        text = f"{folds}; validation cases of each: {of_each}."
        parts += [heading("Folds"), paragraph(text)]
    return Section("Plan", "".join(parts))


def _configurations(plan: Plan) -> str:
    head = ("configuration", "size", "patch", "batch", "mm per voxel", "network", "features")
    rows = [
        [configuration.name, size, _by("x", design.patch_size), str(design.batch_size),
         _spacing(configuration), design.network.name.replace("_", " "),
         _by("-", design.network.features)]
        for configuration in plan.configurations.values()
        for size, design in configuration.sizes.items()
    ]  # fmt: skip
    return table(head, rows, "Axes in the plan's order.", words=(1, 5))


def _spacing(configuration: Configuration) -> str:
    return " x ".join("own" if mm is None else f"{mm:.4g}" for mm in configuration.spacing)


def _by(sign: str, numbers: tuple[int, ...]) -> str:
    return sign.join(map(str, numbers))
