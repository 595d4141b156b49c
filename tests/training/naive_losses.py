"""Every loss written down slowly and plainly, for autograd: the oracle of the fast ones."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.training.batch import Batch


def naive_loss(
    factors: dict[str, float], config: TrainConfig, weights: list[float] | None, scores: Tensor,
    batch: Batch, labels: Labels, batch_dice: bool,
) -> Tensor:  # fmt: skip
    """The sum of `factors` of a loss; `weights` one per channel."""
    smoothing = config.label_smoothing
    parts = (exclusive if labels.exclusive else overlapping)(scores, batch, labels, smoothing)
    p, truth, entropy, known, channel, annotated = parts
    weights = torch.ones(scores.shape[1]) if weights is None else torch.tensor(weights)
    weight = known * weights[channel]
    total = scores.new_zeros(())
    for name, factor in factors.items():
        if name in ("ce", "bce"):
            term = (weight * entropy).sum() / weight.sum()
        elif name == "focal":
            probability = torch.exp(-entropy)
            term = (weight * (1 - probability) ** config.focal_gamma * entropy).sum() / weight.sum()
        elif name == "topk":
            term = topk(weight, entropy, config.topk_percent)
        elif name == "boundary":
            near = nearness(batch, labels, config.boundary_sigma_mm).flatten(1)
            near = near if labels.exclusive else near[:, None]
            term = (weight * near * entropy).sum() / known.sum()
        else:
            term = region(name, p, truth, annotated, weights[-truth.shape[1] :], config, batch_dice)
        total = total + factor * term
    return total


def exclusive(scores: Tensor, batch: Batch, labels: Labels, smoothing: float) -> tuple[Tensor, ...]:
    p = torch.softmax(scores, 1).flatten(2)
    known = (batch.target != labels.ignored_index).flatten(1)
    index = torch.where(known, batch.target.flatten(1), 0).long()
    onehot = torch.zeros_like(p)
    for sample in range(len(p)):
        for voxel, value in enumerate(index[sample].tolist()):
            onehot[sample, int(labels.channel_of_value[value]), voxel] = 1
    for sample, k in np.argwhere(~batch.annotated.numpy()):
        p, onehot = (into_background(x, int(sample), int(k) + 1) for x in (p, onehot))
    there = torch.nn.functional.pad(batch.annotated, (1, 0), value=True)[:, :, None]
    soft = (1 - smoothing) * onehot + smoothing * there / there.sum(1, keepdim=True)
    entropy = -(torch.log(torch.where(there, p, 1)) * soft).sum(1)
    p, truth = p * known[:, None], onehot * known[:, None]
    return p[:, 1:], truth[:, 1:], entropy, known.to(p.dtype), onehot.argmax(1), batch.annotated


def into_background(x: Tensor, sample: int, channel: int) -> Tensor:
    """Add one channel of one sample to background's and empty it."""
    moved = x.clone()
    moved[sample, 0] = moved[sample, 0] + x[sample, channel]
    moved[sample, channel] = 0
    return moved


def overlapping(
    scores: Tensor, batch: Batch, labels: Labels, smoothing: float
) -> tuple[Tensor, ...]:
    p = torch.sigmoid(scores).flatten(2)
    valid = (batch.target != labels.ignored_index).flatten(1)
    members = torch.from_numpy(labels.membership)
    index = torch.where(valid, batch.target.flatten(1), 0).long()
    truth = members[:, index].transpose(0, 1).to(p.dtype)
    soft = (1 - smoothing) * truth + smoothing / 2
    entropy = torch.nn.functional.binary_cross_entropy(p, soft, reduction="none")
    known = (valid[:, None] & batch.annotated[:, :, None]).to(p.dtype)
    channel = torch.arange(p.shape[1])[None, :, None].expand(p.shape)
    return p * valid[:, None], truth * valid[:, None], entropy, known, channel, batch.annotated


def topk(weight: Tensor, entropy: Tensor, percent: float) -> Tensor:
    above, below = [], []
    for w, h in zip(weight.flatten(0, -2), entropy.flatten(0, -2), strict=True):
        counted = [i for i in range(len(w)) if w[i] > 0]
        hardest = sorted(counted, key=lambda i: -float((w[i] * h[i]).detach()))
        for i in hardest[: math.ceil(len(counted) * percent / 100)]:
            above.append(w[i] * h[i])
            below.append(w[i])
    return torch.stack(above).sum() / torch.stack(below).sum()


def region(
    name: str, p: Tensor, truth: Tensor, counted: Tensor, weights: Tensor, config: TrainConfig,
    batch_dice: bool,
) -> Tensor:  # fmt: skip
    hits, extra, missed = (p * truth).sum(2), (p * (1 - truth)).sum(2), ((1 - p) * truth).sum(2)
    if batch_dice:
        hits, extra, missed = ((x * counted).sum(0)[None] for x in (hits, extra, missed))
        counted = counted.any(0)[None]
    smooth = config.dice_smooth
    if name == "dice":
        costs = 1 - (2 * hits + smooth) / (2 * hits + extra + missed + smooth)
    else:
        wrong = config.tversky_alpha * extra + config.tversky_beta * missed
        costs = 1 - (hits + smooth) / (hits + wrong + smooth)
    if name == "focal_tversky":
        costs = costs ** (1 / config.focal_tversky_gamma)
    share = counted * weights
    return (share * costs).sum() / share.sum()


def nearness(batch: Batch, labels: Labels, sigma_mm: float) -> Tensor:
    """By brute force over all faces between voxels that differ."""
    found = torch.zeros(batch.target.shape)
    for sample, target in enumerate(batch.target.numpy()):
        known = target != labels.ignored_index
        values = np.where(known, target, 0)
        if labels.exclusive:
            values = labels.channel_of_value[values]
            missing = [k + 1 for k in np.flatnonzero(~batch.annotated[sample].numpy())]
            values = np.where(np.isin(values, missing), 0, values)
        spacing = batch.spacing_mm[sample].double().numpy()
        faces = []
        for place in np.ndindex(target.shape):
            for axis in range(3):
                other = tuple(np.add(place, np.eye(3, dtype=int)[axis]))
                if other[axis] == target.shape[axis] or not (known[place] and known[other]):
                    continue
                if values[place] != values[other]:
                    faces.append(np.add(place, np.eye(3)[axis] / 2) * spacing)
        for place in np.ndindex(target.shape):
            if faces:
                d = min(np.linalg.norm(np.asarray(place) * spacing - face) for face in faces)
                if d <= 3 * sigma_mm:
                    found[(sample, *place)] = math.exp(-(d**2) / (2 * sigma_mm**2))
    return found
