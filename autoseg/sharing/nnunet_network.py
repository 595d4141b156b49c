"""nnU-Net's architecture, as its plans spell it, and a `NetworkSpec` say the same thing.

Theirs: one list per property, finest stage first, but the decoder's coarsest first; two numbers per
stage in 2-D, where ours have three and the first is 1. What our U-Nets cannot compute is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from autoseg.errors import DataError, UsageError
from autoseg.plan import NetworkSpec

Triple = tuple[int, int, int]

ARCHITECTURES = {"PlainConvUNet": "plain_unet", "ResidualEncoderUNet": "residual_unet"}
BLOCKS = {"plain_unet": "n_conv_per_stage", "residual_unet": "n_blocks_per_stage"}
HOME = "dynamic_network_architectures.architectures.unet"
# Their plans may ask for more than planned networks use; these are the values that change nothing.
HARMLESS: dict[str, tuple[Any, ...]] = {
    "nonlin_first": (None, False),
    "stem_channels": (None,),
    "bottleneck_channels": (None,),
    "block": (None, "dynamic_network_architectures.building_blocks.residual.BasicBlockD"),
}
READ = (
    "n_stages", "features_per_stage", "conv_op", "kernel_sizes", "strides", "n_conv_per_stage",
    "n_blocks_per_stage", "n_conv_per_stage_decoder", "conv_bias", "norm_op", "norm_op_kwargs",
    "dropout_op", "dropout_op_kwargs", "nonlin", "nonlin_kwargs", "deep_supervision",
)  # fmt: skip
LARGEST = {"n_stages": 12, "features_per_stage": 4096, "kernel_sizes": 31, "strides": 16}
MOST_BLOCKS = 64
SLOPE, EPSILON = 0.01, 1e-5  # of our leaky ReLU and our normalisation


def read_network(configuration: Mapping[str, Any], place: str) -> NetworkSpec:
    """Return the network of one (resolved) configuration of nnU-Net's plans.

    Raises DataError naming the property that our U-Nets do not have.
    """
    name, given = _architecture(configuration, place)
    axes = len(configuration["patch_size"])
    _check_parts(given, axes, place)
    stages = _whole(given, "n_stages", place)
    features = _per_stage(given, "features_per_stage", stages, place)
    encoder = _per_stage(given, BLOCKS[name], stages, place, MOST_BLOCKS)
    decoder = _per_stage(given, "n_conv_per_stage_decoder", stages - 1, place, MOST_BLOCKS)
    return NetworkSpec(
        name,
        features,
        _triples(given, "strides", stages, axes, place),
        _triples(given, "kernel_sizes", stages, axes, place),
        encoder,
        decoder[::-1],
    )


def write_network(spec: NetworkSpec) -> dict[str, Any]:
    """Return the `architecture` entry of nnU-Net's plans for `spec`; undo `read_network`."""
    if spec.name not in BLOCKS:
        raise UsageError(
            f"nnU-Net has no network '{spec.name}'", expected=" or ".join(sorted(BLOCKS))
        )
    flat = all(size[0] == 1 for size in (*spec.kernels, *spec.strides))
    kind = next(theirs for theirs, ours in ARCHITECTURES.items() if ours == spec.name)
    axes = 2 if flat else 3
    return {
        "network_class_name": f"{HOME}.{kind}",
        "arch_kwargs": {
            "n_stages": len(spec.features),
            "features_per_stage": list(spec.features),
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [list(size[flat:]) for size in spec.kernels],
            "strides": [list(size[flat:]) for size in spec.strides],
            BLOCKS[spec.name]: list(spec.encoder_blocks),
            "n_conv_per_stage_decoder": list(spec.decoder_blocks[::-1]),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": EPSILON, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _architecture(configuration: Mapping[str, Any], place: str) -> tuple[str, Mapping[str, Any]]:
    """Return our name of the network, and nnU-Net's arguments of it."""
    if "architecture" in configuration:
        architecture = configuration["architecture"]
        path, given = architecture["network_class_name"], architecture["arch_kwargs"]
    elif "UNet_class_name" in configuration:  # before version 2.5
        path, given = configuration["UNet_class_name"], _old_arguments(configuration)
    else:
        raise DataError("misses the architecture", place=place)
    kind = str(path).rpartition(".")[2]
    if kind not in ARCHITECTURES:
        raise DataError(
            f"the network is {path}",
            place=place,
            expected=" or ".join(ARCHITECTURES),
            remedy="only nnU-Net's U-Nets can be converted",
        )
    return ARCHITECTURES[kind], given


def _old_arguments(old: Mapping[str, Any]) -> dict[str, Any]:
    residual = old["UNet_class_name"] == "ResidualEncoderUNet"
    counts = old["n_conv_per_stage_encoder"]
    widest, base = old["unet_max_num_features"], old["UNet_base_num_features"]
    return {
        "n_stages": len(counts),
        "features_per_stage": [min(base * 2**stage, widest) for stage in range(len(counts))],
        "kernel_sizes": old["conv_kernel_sizes"],
        "strides": old["pool_op_kernel_sizes"],
        BLOCKS["residual_unet" if residual else "plain_unet"]: counts,
        "n_conv_per_stage_decoder": old["n_conv_per_stage_decoder"],
    }


def _check_parts(given: Mapping[str, Any], axes: int, place: str) -> None:
    """Raise DataError when a layer is not what our blocks compute."""
    norm = given.get("norm_op_kwargs") or {}
    slope = (given.get("nonlin_kwargs") or {}).get("negative_slope", SLOPE)
    parts = [
        ("conv_op", _last(given, "conv_op"), ("", f"Conv{axes}d")),
        ("norm_op", _last(given, "norm_op"), ("", f"InstanceNorm{axes}d")),
        ("norm_op_kwargs.eps", norm.get("eps", EPSILON), (EPSILON,)),
        ("norm_op_kwargs.affine", norm.get("affine", "norm_op" not in given), (True,)),
        ("nonlin", _last(given, "nonlin"), ("", "LeakyReLU")),
        ("nonlin_kwargs.negative_slope", slope, (SLOPE,)),
    ]
    unknown = set(given) - set(READ) - set(HARMLESS)
    parts += [(name, given[name], ("no such entry",)) for name in sorted(unknown)]
    parts += [(name, given.get(name), usual) for name, usual in HARMLESS.items()]
    for name, value, usual in parts:
        if value not in usual:
            raise DataError(
                f"arch_kwargs.{name} is {value!r}",
                place=place,
                expected=" or ".join(str(one) for one in usual if one != ""),
                remedy="networks with other layers cannot be converted",
            )


def _last(given: Mapping[str, Any], name: str) -> str:
    return str(given.get(name) or "").rpartition(".")[2]


def _whole(given: Mapping[str, Any], name: str, place: str) -> int:
    value = given.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DataError(f"arch_kwargs.{name} is {value!r}", place=place, expected="a whole number")
    _bounded(name, [value], LARGEST.get(name, MOST_BLOCKS), place)
    return value


def _per_stage(
    given: Mapping[str, Any], name: str, stages: int, place: str, largest: int | None = None
) -> tuple[int, ...]:
    value = given.get(name)
    numbers: Any = [value] * stages if isinstance(value, int) else value
    if not _are_numbers(numbers, stages):
        raise DataError(
            f"arch_kwargs.{name} is {value!r}", place=place, expected=f"{stages} whole numbers"
        )
    _bounded(name, numbers, largest or LARGEST[name], place)
    return tuple(numbers)


def _triples(
    given: Mapping[str, Any], name: str, stages: int, axes: int, place: str
) -> tuple[Triple, ...]:
    value = given.get(name)
    whole: Any = [value] * stages if isinstance(value, int) else value
    rows: list[Any] = [[row] * axes if isinstance(row, int) else row for row in whole or ()]
    if len(rows) != stages or not all(_are_numbers(row, axes) for row in rows):
        expected = f"{stages} times {axes} whole numbers"
        raise DataError(f"arch_kwargs.{name} is {value!r}", place=place, expected=expected)
    _bounded(name, [number for row in rows for number in row], LARGEST[name], place)
    return tuple(as_triple(row) for row in rows)


def as_triple(numbers: Sequence[int]) -> Triple:
    """Return `numbers` of two or three axes as (Z, Y, X), Z = 1 in 2-D."""
    z, y, x = (1,) * (3 - len(numbers)) + tuple(int(number) for number in numbers)
    return z, y, x


def _are_numbers(value: Any, count: int) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == count
        and all(isinstance(number, int) and not isinstance(number, bool) for number in value)
    )


def _bounded(name: str, numbers: Sequence[int], largest: int, place: str) -> None:
    if numbers and not (min(numbers) >= 1 and max(numbers) <= largest):
        fact = f"arch_kwargs.{name} holds {min(numbers)} to {max(numbers)}"
        raise DataError(fact, place=place, expected=f"1 to {largest}")
