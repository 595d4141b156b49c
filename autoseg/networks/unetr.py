"""UNETR (Hatamizadeh 2021, arXiv 2103.10504): a vision transformer as encoder, MONAI's, 2-D or 3-D.

Its positions are learnt for one size of image, so it takes patches and nothing else.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from autoseg.architectures import options_of
from autoseg.network_options import UnetrOptions
from autoseg.networks.blocks import CONVOLUTION
from autoseg.networks.fitting import fit, unfit
from autoseg.networks.library import monai_networks
from autoseg.plan import NetworkSpec

DIVISOR = 16  # voxels along an edge of what the transformer takes for a word


class Unetr(nn.Module):
    """MONAI's network with a head of ours; patches that are no multiple of 16 get zeros around."""

    def __init__(self, spec: NetworkSpec, in_channels: int, out_channels: int) -> None:
        super().__init__()
        options = options_of(spec, UnetrOptions)
        self.flat = options.image[0] == 1
        size = [-(-edge // DIVISOR) * DIVISOR for edge in options.image[self.flat :]]
        self.network = monai_networks("unetr").UNETR(
            in_channels,
            out_channels,
            size,
            feature_size=options.features,
            hidden_size=options.hidden,
            mlp_dim=options.mlp,
            num_heads=options.heads,
            norm_name=options.norm,
            dropout_rate=options.dropout,
            spatial_dims=len(size),
        )
        self.network.out = nn.Identity()
        for block in self.network.vit.blocks:
            if not block.with_cross_attention and hasattr(block, "norm_cross_attn"):
                del block.norm_cross_attn  # of a kind of attention that is not there
        self.heads = nn.ModuleList([CONVOLUTION[len(size)](options.features, out_channels, 1)])

    @property
    def encoder(self) -> nn.Module:
        """The transformer."""
        transformer: nn.Module = self.network.vit
        return transformer

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return [scores (B, K, *P)] of patches `image` (B, C, *P)."""
        x, place = fit(image, DIVISOR, self.flat)
        features: Any = self.network(x)
        return [unfit(self.heads[0](features), place, self.flat)]


def unetr(spec: NetworkSpec, in_channels: int, out_channels: int) -> Unetr:
    """Return the UNETR of a spec, whose option `image` is the patch."""
    return Unetr(spec, in_channels, out_channels)
