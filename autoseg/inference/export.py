"""Labels are decided while scores are brought back to the scan's grid, block by block.

All K scores on the grid of a large scan may be twenty times larger than the scan. But only the best
one matters: each block is restored target by target, and what is kept is one label and one score a
voxel. A block stays in the cache of the one core that decodes it, and a target that cannot be the
best anywhere in the block is left out: interpolation never leaves the range of what it is made
from. The operators are those of `preprocessing.resample`, applied on the device of the scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg.hardware import cores
from autoseg.inference.blocks import Bands, Source, block_size, restored
from autoseg.inference.runtime import Load, shared_executor
from autoseg.labels import Labels
from autoseg.preprocessing.crop import Box
from autoseg.preprocessing.prepare import Frame, place

DOUBT = 1e-3  # of a score: sums in float32 may leave the range of their terms by less


@dataclass(frozen=True)
class _Decision:
    """How scores become labels: the largest of them wins, or each is held against its limit."""

    written: np.ndarray  # (channels,) label values
    limits: tuple[float, ...] | None  # (channels,); None: the largest wins


def decode_restored(scores: Tensor, frame: Frame, labels: Labels) -> np.ndarray:
    """Return the label map (Z, Y, X) on the source grid of prepared `scores` (channels, z, y, x).

    Equals `labels.decode(restore(scores, frame))` without ever holding more than a block of scores.
    Outside the frame's box everything is background.
    """
    return decode_mean([(scores, frame)], labels)


def decode_mean(
    members: Sequence[tuple[Tensor, Frame]],
    labels: Labels,
    thresholds: Sequence[float] | None = None,
) -> np.ndarray:
    """Return the label map (Z, Y, X) of several models' scores of one scan.

    One member: its logits decide. Several: the mean of their probabilities. `thresholds` (K,) are
    the probabilities above which overlapping targets, or a single exclusive one, are present; None:
    0.5. All frames are of the same scan, with the same orientation, axis order and box; each has
    its own prepared grid. Scores may be of any floating type; arithmetic is float32.
    """
    decision = _decision_of(labels, thresholds, alone=len(members) == 1)
    if labels.exclusive and decision.limits is not None:
        # A softmax of two is a sigmoid of their difference.
        members = [(scores[1:].float() - scores[:1], own) for scores, own in members]
    frame, device, sources = _sources_of(members, labels)
    label_map = np.empty(frame.cropped_shape, dtype=labels.dtype)

    def decode(bands: Sequence[Bands]) -> None:
        with torch.inference_mode():
            targets = _targets(sources, bands, decision)
            where = tuple(band.rows for band in bands[0])
            label_map[where] = _decide(targets, decision)

    places = zip(*(source.blocks() for source in sources), strict=True)
    _run(decode, places, device)
    return place(label_map, frame)


def restore_probabilities(
    members: Sequence[tuple[Tensor, Frame]], labels: Labels, box: Box, out: np.ndarray
) -> None:
    """Write the mean probabilities of several models (or one) to `out` (channels, z, y, x).

    `box`, which has the shape of `out`, is in voxels of the frames' box. Where they decide, they do
    as `decode_mean` does.
    """
    _, device, sources = _sources_of(members, labels)
    kind = torch.float16 if out.dtype == np.float16 else torch.float32

    def put(bands: Sequence[Bands]) -> None:
        overlap = [
            (max(band.rows.start, start), min(band.rows.stop, stop))
            for band, (start, stop) in zip(bands[0], box, strict=True)
        ]
        if any(start >= stop for start, stop in overlap):
            return
        with torch.inference_mode():
            block = _mean_probability(sources, bands, labels.exclusive)
        there, here = (
            tuple(
                slice(start - o, stop - o) for (start, stop), o in zip(overlap, origin, strict=True)
            )
            for origin in ([start for start, _ in box], [band.rows.start for band in bands[0]])
        )
        # Rounded by torch: NumPy takes a hundred times longer where numbers are tiny.
        part = block[(slice(None), *here)].to(kind)
        out[(slice(None), *there)] = part.cpu().numpy()

    _run(put, zip(*(source.blocks() for source in sources), strict=True), device)


def _decision_of(labels: Labels, thresholds: Sequence[float] | None, alone: bool) -> _Decision:
    """Return how to decide; limits are logits where one model is `alone`, else probabilities."""
    if labels.exclusive and (thresholds is None or len(labels.names) > 1):
        return _Decision(labels.written, None)
    limits = tuple(thresholds or [0.5] * len(labels.names))
    if alone:
        limits = tuple(math.log(p / (1 - p)) for p in limits)
    return _Decision(labels.written[1:] if labels.exclusive else labels.written, limits)


def _sources_of(
    members: Sequence[tuple[Tensor, Frame]], labels: Labels
) -> tuple[Frame, torch.device, list[Source]]:
    frame = members[0][1]
    shown = (frame.box, frame.axis_order, frame.orientation)
    if any((f.box, f.axis_order, f.orientation) != shown for _, f in members):
        raise ValueError("the members do not show the same part of one scan")
    # Those of a large scan may lie in main memory, beside others on a GPU.
    places = {scores.device for scores, _ in members}
    device = places.pop() if len(places) == 1 else torch.device("cpu")
    members = [(scores.to(device), own) for scores, own in members]
    block = block_size(device, labels.channels)
    return frame, device, [Source.of(scores, own, block) for scores, own in members]


def _run(
    decode: Callable[[Sequence[Bands]], None],
    places: Iterable[Sequence[Bands]],
    device: torch.device,
) -> None:
    """Call `decode` for every place: on a CPU one block a core, at most."""
    workers = min(cores(), torch.get_num_threads()) if device.type == "cpu" else 1
    executor = shared_executor(Load(1, workers, 1))
    for _ in map(decode, places) if executor is None else executor.map(decode, places):
        pass


def _targets(
    sources: Sequence[Source], bands: Sequence[Bands], decision: _Decision
) -> Iterator[tuple[int, Tensor | None]]:
    """Yield the channels that may be present in a block, ascending, with their scores (z, y, x).

    A single one that is present everywhere comes without scores.
    """
    if len(sources) > 1:
        yield from enumerate(_mean_probability(sources, bands, decision.limits is None))
        return
    scores = sources[0].cut(bands[0])
    present = _rivals(scores) if decision.limits is None else _above(scores, decision.limits)
    if decision.limits is None and len(present) == 1:
        yield present[0], None
        return
    for channel in present:
        yield channel, restored(scores[channel], bands[0])


def _rivals(scores: Tensor) -> list[int]:
    """Return the channels of `scores` (channels, ...) that interpolation can make the best one.

    A channel that stays below what is surely reached cannot: the largest minimum of any channel, or
    the smallest mean, voxel by voxel, of the channels that are best somewhere.
    """
    flat = scores.flatten(1)
    highest = flat.amax(1).float()
    floor = flat.amin(1).max().float()
    near = torch.nonzero(highest >= floor - DOUBT).flatten()
    if len(near) > 2:
        part = flat[near].float()
        winning = (part == part.amax(0)).any(1)
        floor = torch.maximum(floor, part[winning].mean(0).min())
        near = near[winning | (highest[near] >= floor - DOUBT)]
    return [int(channel) for channel in near.tolist()]


def _above(scores: Tensor, limits: Sequence[float]) -> list[int]:
    """Return the channels of `scores` (K, ...) that are above their limit somewhere."""
    highest = scores.flatten(1).amax(1).tolist()
    return [k for k, limit in enumerate(limits) if highest[k] > limit - DOUBT]


def _decide(targets: Iterator[tuple[int, Tensor | None]], decision: _Decision) -> np.ndarray:
    """Return the labels of a block, or one for all of it, from scores of ascending channels."""
    # Channels ascend, so the one that counts last is the largest that ever won: a maximum, which is
    # several times faster than filling where a mask is set.
    best: Tensor | None = None
    winner: Tensor | None = None
    for channel, score in targets:
        if score is None:
            return decision.written[channel]
        if decision.limits is not None:
            won = _numbered(score > decision.limits[channel], channel + 1)
        elif best is None:
            best, won = score.clone(), _numbered(torch.ones_like(score, dtype=torch.bool), channel)
        else:
            # In a tie the first channel wins, as in argmax.
            won = _numbered(score > best, channel)
            torch.maximum(best, score, out=best)
        winner = won if winner is None else _larger(winner, won)
    values = decision.written if decision.limits is None else np.insert(decision.written, 0, 0)
    if winner is None:
        return values[0]
    return np.asarray(values[winner.cpu().numpy()])


def _numbered(mask: Tensor, number: int) -> Tensor:
    """Return `number` where `mask` holds, else 0, in one byte where that is enough."""
    if number < 256:
        return mask.view(torch.uint8).mul_(number)
    return mask.to(torch.int16).mul_(number)


def _larger(one: Tensor, other: Tensor) -> Tensor:
    if one.dtype == other.dtype:
        return torch.maximum(one, other, out=one)
    return torch.maximum(one.to(torch.int16), other.to(torch.int16))


def _mean_probability(sources: Sequence[Source], bands: Sequence[Bands], exclusive: bool) -> Tensor:
    """Return the mean of the sources' probabilities (channels, z, y, x) in a block."""
    total: Tensor | None = None
    for source, own in zip(sources, bands, strict=True):
        logits = torch.stack([restored(channel, own) for channel in source.cut(own)])
        chances = logits.softmax(0) if exclusive else logits.sigmoid()
        total = chances if total is None else total.add_(chances)
    assert total is not None
    return total.div_(len(sources))
