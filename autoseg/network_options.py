"""Options of named networks: frozen records of plain values, each of which knows what cannot be."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg.errors import UsageError
from autoseg.plan import Triple

ACTIVATIONS = ("prelu", "relu", "leaky_relu", "gelu")
EFFICIENTNETS = tuple(f"efficientnet-b{number}" for number in range(9))


@dataclass(frozen=True)
class UnetOptions:
    """Of `plain_unet` and `residual_unet`; None: as planned."""

    features: int | None = None  # of the finest stage; the next has twice as many, up to the plan's
    blocks: int | None = None  # of each encoder stage

    def check(self) -> None:
        """Raise UsageError for numbers that cannot be meant."""
        _at_least_one(self, "features", "blocks")


@dataclass(frozen=True)
class ScseOptions:
    """Of `scse_unet`."""

    features: int | None = None
    blocks: int | None = None
    reduction: int = 2  # the channels' gates pass through this many times fewer numbers (Roy 2018)

    def check(self) -> None:
        """Raise UsageError for numbers that cannot be meant."""
        _at_least_one(self, "features", "blocks", "reduction")


@dataclass(frozen=True)
class EnetOptions:
    """Of `enet`: the numbers of its paper."""

    features: int = 16  # of the first stage; the deeper ones have four and eight times as many
    factor: int = 4  # a bottleneck has this many times fewer
    dropout: float = 0.1  # of whole feature maps; a tenth of it in the first stage
    activation: str = "prelu"

    def check(self) -> None:
        """Raise UsageError for values that cannot be meant."""
        _at_least_one(self, "factor")
        _refuse_share(self.dropout)
        known = ", ".join(ACTIVATIONS)
        _refuse(self.activation not in ACTIVATIONS, f"activation={self.activation}", known)
        expected = f"at least factor={self.factor}"
        _refuse(self.features < self.factor, f"features={self.features}", expected)


@dataclass(frozen=True)
class LwunetOptions:
    """Of `lwunet`."""

    features: int = 4  # of the finest stage; the next has twice as many
    dilation: int = 2

    def check(self) -> None:
        """Raise UsageError for numbers that cannot be meant."""
        _at_least_one(self, "features", "dilation")


@dataclass(frozen=True)
class UnetrOptions:
    """Of `unetr`; `image` is the patch, which nobody sets by hand."""

    features: int = 16  # of the finest stage
    hidden: int = 768  # numbers that stand for a block of 16 voxels an edge
    heads: int = 12
    mlp: int = 3072
    dropout: float = 0.0
    norm: str = "instance"  # or "batch"
    image: Triple = (1, 1, 1)

    def check(self) -> None:
        """Raise UsageError for values that cannot be meant."""
        _at_least_one(self, "features", "hidden", "heads", "mlp")
        _refuse_share(self.dropout)
        _refuse(self.norm not in ("instance", "batch"), f"norm={self.norm}", "instance or batch")
        expected = f"a multiple of heads={self.heads}"
        _refuse(self.hidden % self.heads > 0, f"hidden={self.hidden}", expected)


@dataclass(frozen=True)
class EfficientnetOptions:
    """Of `efficientnet_unet`."""

    features: int = 16  # of the last decoder step; the one before has twice as many
    encoder: str = "efficientnet-b3"
    reduction: int = 16  # of the gates for channels (see `ScseOptions`); 0: no gates at all

    def check(self) -> None:
        """Raise UsageError for values that cannot be meant."""
        expected = f"{EFFICIENTNETS[0]} to {EFFICIENTNETS[-1]}"
        _refuse(self.encoder not in EFFICIENTNETS, f"encoder={self.encoder}", expected)
        _at_least_one(self, "features")
        _refuse(self.reduction < 0, f"reduction={self.reduction}", "0 or more")


def _at_least_one(options: object, *names: str) -> None:
    for name in names:
        value = getattr(options, name)
        _refuse(value is not None and value < 1, f"{name}={value}", "1 or more")


def _refuse_share(dropout: float) -> None:
    _refuse(not 0 <= dropout < 1, f"dropout={dropout}", "at least 0 and below 1")


def _refuse(wrong: bool, fact: str, expected: str) -> None:
    if wrong:
        raise UsageError(f"network_options: {fact}", expected=expected)
