"""Named networks as numbers: the options of each, and the `NetworkSpec` that a plan gets for it.

Nothing is built here, so that plans can be made and read without torch; `networks/` builds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, TypeVar

from autoseg.config import override
from autoseg.errors import CorruptError, UsageError, suggest
from autoseg.network_options import (
    EfficientnetOptions,
    EnetOptions,
    LwunetOptions,
    ScseOptions,
    UnetOptions,
    UnetrOptions,
)
from autoseg.plan import Design, NetworkSpec, Plan, Triple
from autoseg.records import from_json, to_json


class Checked(Protocol):
    """Options that know which values cannot be meant."""

    def check(self) -> None:
        """Raise UsageError for those."""


Options = TypeVar("Options", bound=Checked)

RESIDUAL_BLOCKS = (1, 3, 4, 6)  # of an encoder, finest stage first; the last repeats (nnU-Net)
IMAGE = "image"  # option of networks that are built for one size


@dataclass(frozen=True)
class Architecture:
    """What is known of a network before it is built."""

    options: type[Any]  # a frozen record
    spec: Callable[[Design, Any], NetworkSpec]  # of what was planned, and options
    only_2d: bool = False


def make_spec(name: str, options: str | None, design: Design) -> NetworkSpec:
    """Return the numbers of the network `name` for what was planned.

    `options` is "features=8,dropout=0.2"; a network of the user's own ("package.module:function")
    gets them as they are, beside the numbers of the planned U-Net. Raises UsageError for an unknown
    name or option, and where a network of slices is asked to see volumes.
    """
    settings = [part.strip() for part in (options or "").split(",") if part.strip()]
    if name not in ARCHITECTURES:
        if ":" not in name:
            known = f"{suggest(name, ARCHITECTURES)} (or your own as package.module:function)"
            raise UsageError(f"unknown network '{name}'", remedy=known)
        return replace(design.network, name=name, options=_as_they_are(settings))
    architecture = ARCHITECTURES[name]
    if architecture.only_2d and not design.is_2d:
        fact, remedy = f"{name} sees slices only", "train the configuration 2d with it"
        raise UsageError(fact, place="--set network", remedy=remedy)
    record = _read(name, architecture, settings)
    record.check()
    spec = architecture.spec(design, record)
    return for_patch(replace(spec, name=name), design.patch_size)


def options_of(spec: NetworkSpec, kind: type[Options]) -> Options:
    """Return the options that a plan keeps for a network; what it does not name is the default.

    Raises CorruptError for an unknown one, one of the wrong type, or one that cannot be meant.
    """
    place = f"{spec.name}.options"
    options = from_json(kind, {**spec.options, "features": spec.features[0]}, place)
    try:
        options.check()
    except UsageError as error:
        raise CorruptError(error.fact, place=place, expected=error.expected) from error
    return options


def is_of_one_size(spec: NetworkSpec) -> bool:
    """Tell whether a network takes nothing but patches, or is one that may."""
    known = ARCHITECTURES.get(spec.name)
    return known is None or IMAGE in [f.name for f in fields(known.options)]


def for_patch(spec: NetworkSpec, patch_size: Triple) -> NetworkSpec:
    """Return the numbers of a network that sees patches of this size."""
    if spec.name not in ARCHITECTURES or not is_of_one_size(spec):
        return spec
    return replace(spec, options={**spec.options, IMAGE: list(patch_size)})


def with_network(
    plan: Plan, configuration: str, size: str, network: str | None, options: str | None
) -> tuple[Plan, str]:
    """Return a plan that holds the design to train, and the name of its size.

    Another network than the planned one is a size of its own, "M-enet", so that models of both lie
    side by side; the plan that goes into the bundle says how to build it. Raises UsageError for
    what cannot be built.
    """
    known = plan.configuration(configuration)
    design = known.design(size)
    if network is None:
        if options is not None:
            raise UsageError(
                f"network_options={options} without a network", remedy="add --set network=..."
            )
        return plan, size
    spec = make_spec(network, options, design)
    if spec == design.network:
        return plan, size
    short = re.sub(r"\W+", "_", network.rpartition(":")[2])
    name = f"{size}-{short}"
    changed = replace(known, sizes={**known.sizes, name: replace(design, network=spec)})
    return replace(plan, configurations={**plan.configurations, configuration: changed}), name


def _as_they_are(settings: list[str]) -> Mapping[str, Any]:
    pairs = [setting.partition("=") for setting in settings]
    wrong = [setting for setting, (_, mark, _) in zip(settings, pairs, strict=True) if not mark]
    if wrong:
        raise UsageError(f"network_options={wrong[0]}", expected="name=value,name=value")
    return {name.strip(): value.strip() for name, _, value in pairs}


def _read(name: str, architecture: Architecture, settings: list[str]) -> Any:
    record = architecture.options()
    known = [f.name for f in fields(record) if f.name != IMAGE]
    for setting in settings:
        option, mark, value = setting.partition("=")
        if not mark:
            raise UsageError(f"network_options={setting}", expected="name=value,name=value")
        if option.strip() not in known:
            fact = f"network_options: {name} has no '{option.strip()}'"
            raise UsageError(fact, remedy=suggest(option.strip(), known))
        try:
            record = override(record, [f"{option.strip()}={value}"])
        except UsageError as error:
            fact = f"network_options: {option.strip()}={value} of {name}"
            raise UsageError(fact, expected=error.expected) from error
    return record


# --- what follows for a design -------------------------------------------------------------------


def _unet(design: Design, options: UnetOptions | ScseOptions) -> NetworkSpec:
    spec = design.network
    features, stages = spec.features, len(spec.features)
    if options.features is not None:
        features = tuple(min(options.features * 2**s, max(features)) for s in range(stages))
    blocks = spec.encoder_blocks
    if options.blocks is not None:
        blocks = (options.blocks,) * stages
    return replace(spec, features=features, encoder_blocks=blocks, options={})


def _residual(design: Design, options: UnetOptions) -> NetworkSpec:
    spec, planned = _unet(design, options), design.network
    stages = range(len(spec.features))
    if planned.name == "residual_unet" or options.blocks is not None:
        return spec
    blocks = tuple(RESIDUAL_BLOCKS[min(s, len(RESIDUAL_BLOCKS) - 1)] for s in stages)
    return replace(spec, encoder_blocks=blocks, decoder_blocks=(1,) * (len(blocks) - 1))


def _scse(design: Design, options: ScseOptions) -> NetworkSpec:
    return replace(_unet(design, options), options={"reduction": options.reduction})


def _of_any_size(design: Design, options: Any) -> NetworkSpec:
    """Return a spec with one stage: the network brings any size to what it needs by itself."""
    kept = {name: value for name, value in to_json(options).items() if name != "features"}
    kernel = (1, 3, 3) if design.is_2d else (3, 3, 3)
    return NetworkSpec("", (options.features,), ((1, 1, 1),), (kernel,), (1,), (), kept)


ARCHITECTURES: dict[str, Architecture] = {
    "plain_unet": Architecture(UnetOptions, _unet),
    "residual_unet": Architecture(UnetOptions, _residual),
    "scse_unet": Architecture(ScseOptions, _scse),
    "enet": Architecture(EnetOptions, _of_any_size, only_2d=True),
    "lwunet": Architecture(LwunetOptions, _of_any_size, only_2d=True),
    "unetr": Architecture(UnetrOptions, _of_any_size),
    "efficientnet_unet": Architecture(EfficientnetOptions, _of_any_size),
}
