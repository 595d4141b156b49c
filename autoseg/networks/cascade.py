"""What the second stage of a cascade sees: the image, and a mask for each target of the first."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def append_masks(image: Tensor, indices: Tensor, members: Tensor) -> Tensor:
    """Return `image` (B, C, *P) with the masks of the K targets as further channels (B, C + K, *P).

    `indices` (B, *P) are the value indices that the previous stage predicted, never ignored ones;
    `members` (V + 1, K) tells which value belongs to which target, as `Labels.membership` turned.
    Indices travel instead of the masks, which exist for one batch of patches at a time: of
    exclusive targets they are the one-hot code without background.
    """
    masks = functional.embedding(indices.long(), members.to(image.dtype))
    return torch.cat([image, masks.movedim(-1, 1)], 1)
