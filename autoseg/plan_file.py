"""A plan as a readable file, which hands may edit: what does not fit together is named."""

from __future__ import annotations

import math
from pathlib import Path

from autoseg.errors import CorruptError, DataError, by_hand, suggest
from autoseg.files import read_json, write_json
from autoseg.image import CANONICAL, RAS, STORED
from autoseg.plan import Configuration, Design, Plan
from autoseg.records import from_json, to_json
from autoseg.usual import GRID, Usual

FORMAT = "autoseg-plan-1"
MOST_BLOCKS = 1000  # of a network: more is a mistake, or meant to take for ever


def save_plan(path: Path, plan: Plan) -> None:
    """Write `plan` as readable JSON, atomically."""
    write_json(path, {"format": FORMAT, **to_json(plan)})


def load_plan(path: Path) -> Plan:
    """Return a file's plan.

    Raises DataError for what a hand may have done to it: no JSON, a field that is unknown, missing
    or mistyped, parts that do not fit together; CorruptError for the format of another version.
    """
    remedy = f"correct it, or remove {path.name} and run autoseg_plan"
    try:
        data = read_json(path)
    except DataError as error:
        raise by_hand(error, remedy) from error
    if not isinstance(data, dict) or data.pop("format", None) != FORMAT:
        raise CorruptError(
            "is not a plan of this version",
            place=str(path),
            expected=f'"format": "{FORMAT}"',
            remedy="run autoseg_plan with this version of autoseg",
        )
    try:
        plan = from_json(Plan, data, str(path))
        check_plan(plan, f"{path}: ")
    except CorruptError as error:
        raise by_hand(error, remedy) from error
    return plan


def check_plan(plan: Plan, prefix: str = "") -> None:
    """Raise CorruptError when parts of a plan, which may be edited by hand, do not fit together."""
    if sorted(plan.axis_order) != [0, 1, 2]:
        fact = f"axis_order is {', '.join(map(str, plan.axis_order))}"
        raise CorruptError(fact, place=prefix.rstrip(": "), expected="0, 1, 2 in any order")
    if plan.orientation not in (CANONICAL, STORED, RAS):
        fact, expected = f"orientation is '{plan.orientation}'", f"{CANONICAL}, {STORED} or {RAS}"
        raise CorruptError(fact, place=prefix.rstrip(": "), expected=expected)
    if plan.usual is not None:
        _check_usual(plan.usual, len(plan.channels), f"{prefix}usual")
    for name, configuration in plan.configurations.items():
        place = f"{prefix}configurations.{name}"
        _check_configuration(configuration, plan, name, place)
        for size, design in configuration.sizes.items():
            check_slices(configuration, design, f"{place}.sizes.{size}")
            check_design(design, f"{place}.sizes.{size}")


def _check_usual(usual: Usual, channels: int, place: str) -> None:
    if len(usual.channels) != channels:
        fact = f"{len(usual.channels)} channels"
        raise CorruptError(fact, place=place, expected=f"{channels}")
    if not {*GRID} <= {*usual.grid}:
        raise CorruptError("grid lacks a range", place=place, expected=", ".join(GRID))


def _check_configuration(configuration: Configuration, plan: Plan, name: str, place: str) -> None:
    if configuration.name != name:
        raise CorruptError(f"name is '{configuration.name}'", place=place, expected=f"'{name}'")
    for field_name in ("normalizers", "mask_normalization"):
        entries, channels = len(getattr(configuration, field_name)), len(plan.channels)
        if entries != channels:
            fact = f"{field_name} has {entries} entries"
            raise CorruptError(fact, place=place, expected=f"one per channel ({channels})")
    if not all(edge is None or 0 < edge < float("inf") for edge in configuration.spacing):
        fact = f"spacing is {', '.join(map(str, configuration.spacing))}"
        raise CorruptError(fact, place=place, expected="lengths above 0 mm")
    if configuration.previous is None:
        return
    fact, others = f"previous is '{configuration.previous}'", {*plan.configurations} - {name}
    if configuration.previous not in others:
        raise CorruptError(fact, place=place, remedy=suggest(configuration.previous, others))
    if plan.configurations[configuration.previous].previous is not None:
        expected = "a configuration without a previous stage of its own"
        raise CorruptError(fact, place=place, expected=expected)


def check_slices(configuration: Configuration, design: Design, place: str) -> None:
    """Raise CorruptError when the samples of a network of slices are volumes."""
    if configuration.is_2d and not design.is_2d:
        fact = f"patch_size[0] = {design.patch_size[0]}"
        raise CorruptError(fact, place=place, expected=f"1: {configuration.name} learns slices")


def check_design(design: Design, place: str) -> None:
    """Raise CorruptError when patch, strides, kernels and features do not fit together."""
    network = design.network
    stages = len(network.features)
    lengths = {
        "strides": len(network.strides) - stages,
        "kernels": len(network.kernels) - stages,
        "encoder_blocks": len(network.encoder_blocks) - stages,
        "decoder_blocks": len(network.decoder_blocks) - stages + 1,
    }
    for name, surplus in lengths.items():
        if surplus:
            expected = f"one entry per stage ({stages} in features)"
            raise CorruptError(f"{name} has {surplus:+d} entries", place=place, expected=expected)
    blocks = sum(network.encoder_blocks) + sum(network.decoder_blocks)
    if blocks > MOST_BLOCKS:
        raise CorruptError(f"{blocks} blocks", place=place, expected=f"at most {MOST_BLOCKS}")
    numbers = [*network.features, *sum(network.strides, ()), *sum(network.kernels, ())]
    numbers += [
        *network.encoder_blocks,
        *network.decoder_blocks,
        *design.patch_size,
        design.batch_size,
    ]
    if min(numbers) < 1:
        raise CorruptError("a size, stride, kernel or block count is below 1", place=place)
    divisors = [math.prod(stride[axis] for stride in network.strides) for axis in range(3)]
    for axis, (size, divisor) in enumerate(zip(design.patch_size, divisors, strict=True)):
        if size % divisor:
            raise CorruptError(
                f"patch_size[{axis}] = {size}",
                place=place,
                expected=f"a multiple of {divisor} (the product of the strides of that axis)",
            )
    if design.patch_size == tuple(divisors):
        patch = "x".join(map(str, design.patch_size))
        raise CorruptError(
            f"patch_size = {patch} leaves the deepest stage a single voxel, which has no variance",
            place=place,
            expected="more along one axis",
        )
