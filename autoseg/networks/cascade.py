"""What the second stage of a cascade sees: the image, and a mask for each target of the first."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoseg.labels import Labels


def append_masks(image: Tensor, indices: Tensor, labels: Labels) -> Tensor:
    """Return `image` (B, C, *P) with the masks of the K targets as further channels (B, C + K, *P).

    `indices` (B, *P) are the value indices that the previous stage predicted, never ignored ones.
    They travel instead of the masks, which exist for one batch of patches at a time: of exclusive
    targets they are the one-hot code without background.
    """
    table = torch.from_numpy(labels.membership.T.copy()).to(image, non_blocking=True)  # (V + 1, K)
    masks = functional.embedding(indices.long(), table)
    return torch.cat([image, masks.movedim(-1, 1)], 1)
