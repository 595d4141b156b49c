"""Sizes S, M, M-residual, L and XL: what each may cost, and the design that follows from it.

A size is a budget; `make_design` spends it on one configuration. The references are nnU-Net's
(conv output elements of its networks at 8, 24 and 40 GB). Two rules are ours for residual sizes:
the batch never covers more than 5 % of the data whatever the memory, and a network never has more
weights than the data have voxels. On 260 hippocampus scans nnU-Net's larger presets, which lift the
first rule and lack the second, score lower (88.75 and 88.62 against 89.04 Dice) at 5 to 15 times
the cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from autoseg.architectures import RESIDUAL_BLOCKS
from autoseg.plan import Design, NetworkSpec, Triple
from autoseg.planning.memory import conv_output_elements, weight_count
from autoseg.planning.spacing import filled_patch, percent, start_patch, times
from autoseg.planning.topology import Topology, make_topology, shrink_to_fit

SMALLEST_BATCH = 2
LARGEST_DATA_SHARE = 0.05  # of all voxels in one batch
REFERENCE_BATCH = {2: 12, 3: 2}  # the batch for which the references hold
START_VOXELS = {2: 2048**2, 3: 256**3}  # a patch certainly too large
BLOCK_SCALES = (1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6)
NARROWER = (32, 24, 16)  # base features tried once blocks cannot shrink further


@dataclass(frozen=True)
class Budget:
    """What one size may cost; mappings are by the number of dimensions, 2 or 3."""

    network: str
    base_features: int
    most_features: Mapping[int, int]
    elements: Mapping[int, float] | None = None  # conv outputs at the reference batch
    memory_gb: float | None = None  # of a GPU, which `elements` stand for
    patch_voxels: Mapping[int, int] | None = None  # size S: the patch itself is bounded,
    batch_voxels: Mapping[int, int] | None = None  # and the voxels of a batch,
    largest_batch: int | None = None  # and their number


_WIDTHS = {2: 512, 3: 320}
BUDGETS: dict[str, Budget] = {
    "S": Budget(
        "plain_unet",
        16,
        {2: 256, 3: 160},
        patch_voxels={2: 65_536, 3: 200_000},
        batch_voxels={2: 400_000, 3: 200_000},
        largest_batch=64,
    ),
    "M": Budget("plain_unet", 32, _WIDTHS, {2: 85e6, 3: 560e6}, 8),
    "M-residual": Budget("residual_unet", 32, _WIDTHS, {2: 135e6, 3: 680e6}, 8),
    "L": Budget("residual_unet", 32, _WIDTHS, {2: 380e6, 3: 2.1e9}, 24),
    "XL": Budget("residual_unet", 32, _WIDTHS, {2: 560e6, 3: 3.6e9}, 40),
}


@dataclass(frozen=True)
class Task:
    """What a configuration asks of every size; two axes (Y, X) or three."""

    spacing: tuple[float, ...]  # mm
    median_shape: tuple[float, ...]  # voxels at that spacing
    data_voxels: float  # of the whole data set
    in_channels: int
    out_channels: int

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return len(self.spacing)


def budget_of(size: str) -> Budget:
    """Return the budget of a named size, or of a GPU memory such as "16GB"."""
    return BUDGETS[size] if size in BUDGETS else _budget_for_memory(float(size.removesuffix("GB")))


def _budget_for_memory(memory_gb: float) -> Budget:
    """Return a residual budget between those of M-residual, L and XL; proportional outside."""
    known = [BUDGETS[name] for name in ("M-residual", "L", "XL")]
    memories = [budget.memory_gb or 0 for budget in known]
    elements = {}
    for dimensions in (2, 3):
        references = [(budget.elements or {})[dimensions] for budget in known]
        inside = float(np.clip(memory_gb, memories[0], memories[-1]))
        elements[dimensions] = float(np.interp(inside, memories, references)) * memory_gb / inside
    return Budget("residual_unet", 32, _WIDTHS, elements, memory_gb)


def make_design(
    task: Task, budget: Budget, patch_size: Sequence[int] | None = None
) -> tuple[Design, str]:
    """Return patch, network and batch for one size, and why; `patch_size` is forced when given."""
    if patch_size is not None:
        topology, patch_reason = make_topology(task.spacing, patch_size), "set by hand"
    elif budget.patch_voxels is not None:
        topology, patch_reason = _patch_within_voxels(task, budget.patch_voxels[task.dimensions])
    else:
        topology, patch_reason = _patch_within_memory(task, budget)
    network, network_reason = _choose_network(task, budget, topology)
    batch, batch_reason = _choose_batch(task, budget, topology, network)
    design = Design(as_triple(topology.patch_size), batch, network)
    stages = "-".join(map(str, network.features))
    reason = (
        f"patch {times(topology.patch_size)}, {patch_reason}; {topology.stages} stages, "
        f"features {stages}{network_reason}; batch {batch}, {batch_reason}"
    )
    return design, reason


# --- patch ---------------------------------------------------------------------------------------


def _patch_within_memory(task: Task, budget: Budget) -> tuple[Topology, str]:
    assert budget.elements is not None
    dimensions, reference = task.dimensions, budget.elements[task.dimensions]
    # The plain reference holds for its own batch; the smallest batch must fit. The residual one is
    # compared as it is (nnU-Net), which matters in 2-D only.
    share = SMALLEST_BATCH / REFERENCE_BATCH[dimensions] if budget.network == "plain_unet" else 1.0

    def too_large(topology: Topology) -> bool:
        return share * _elements(task, _full_network(budget, topology), topology) > reference

    start = start_patch(task.spacing, task.median_shape, START_VOXELS[dimensions])
    topology = shrink_to_fit(task.spacing, task.median_shape, start, too_large)
    limit = f"the largest in shape with the median case that fits {budget.memory_gb:g} GB"
    return topology, _cover(task, topology, limit)


def _patch_within_voxels(task: Task, voxels: int) -> tuple[Topology, str]:
    start = filled_patch(task.spacing, task.median_shape, voxels)
    topology = shrink_to_fit(
        task.spacing, task.median_shape, start, lambda t: prod(t.patch_size) > voxels
    )
    return topology, _cover(task, topology, f"at most {voxels} voxels, for a CPU")


def _cover(task: Task, topology: Topology, limit: str) -> str:
    pairs = list(zip(topology.patch_size, task.median_shape, strict=True))
    if all(edge >= median for edge, median in pairs):
        return "the whole median case in whole strides"
    share = prod(min(edge / median, 1.0) for edge, median in pairs)
    return f"{limit}, {percent(share)} of the median case"


def _elements(task: Task, network: NetworkSpec, topology: Topology) -> int:
    return conv_output_elements(network, as_triple(topology.patch_size), task.out_channels)


def as_triple(size: Sequence[int]) -> Triple:
    """Return (1, Y, X) for two axes, the same for three."""
    z, y, x = (1, *size) if len(size) == 2 else tuple(size)
    return int(z), int(y), int(x)


# --- network -------------------------------------------------------------------------------------


def _full_network(
    budget: Budget, topology: Topology, base: int | None = None, scale: float = 1.0
) -> NetworkSpec:
    stages, dimensions = topology.stages, len(topology.patch_size)
    residual = budget.network == "residual_unet"
    blocks = [RESIDUAL_BLOCKS[min(stage, len(RESIDUAL_BLOCKS) - 1)] for stage in range(stages)]
    features = [
        min(budget.most_features[dimensions], (base or budget.base_features) * 2**stage)
        for stage in range(stages)
    ]
    return NetworkSpec(
        budget.network,
        tuple(features),
        tuple(as_triple(stride) for stride in topology.strides),
        tuple(as_triple(kernel) for kernel in topology.kernels),
        tuple(max(1, round(b * scale)) for b in blocks) if residual else (2,) * stages,
        ((1 if residual else 2),) * (stages - 1),
    )


def _choose_network(task: Task, budget: Budget, topology: Topology) -> tuple[NetworkSpec, str]:
    """Return the network; a residual one as deep and wide as the data can feed."""
    full = _full_network(budget, topology)
    if budget.network == "plain_unet":
        return full, ""
    attempts = [(NARROWER[0], scale) for scale in BLOCK_SCALES]
    attempts += [(base, BLOCK_SCALES[-1]) for base in NARROWER[1:]]
    network = full
    for base, scale in attempts:
        network = _full_network(budget, topology, base, scale)
        if weight_count(network, task.in_channels, task.out_channels) <= task.data_voxels:
            break
    blocks = "-".join(map(str, network.encoder_blocks))
    reason = f", residual blocks {blocks}"
    if network != full:
        before = weight_count(full, task.in_channels, task.out_channels) / 1e6
        after = weight_count(network, task.in_channels, task.out_channels) / 1e6
        reason += (
            f" ({after:.3g} instead of {before:.3g} million weights: "
            f"the data have {task.data_voxels / 1e6:.3g} million voxels)"
        )
    return network, reason


# --- batch ---------------------------------------------------------------------------------------


def _choose_batch(
    task: Task, budget: Budget, topology: Topology, network: NetworkSpec
) -> tuple[int, str]:
    """Return what fits, but at most 5 % of the data's voxels, and at least 2."""
    voxels = prod(topology.patch_size)
    if budget.elements is None:
        batch_voxels = (budget.batch_voxels or {})[task.dimensions]
        fits = round(batch_voxels / voxels)
        limit = "many small steps teach more than few large ones"
        fits = min(fits, budget.largest_batch or fits)
    else:
        reference = budget.elements[task.dimensions]
        fits = round(
            reference / _elements(task, network, topology) * REFERENCE_BATCH[task.dimensions]
        )
        limit = f"what fits {budget.memory_gb:g} GB"
    share = round(task.data_voxels * LARGEST_DATA_SHARE / voxels)
    if max(SMALLEST_BATCH, min(fits, share)) == SMALLEST_BATCH and min(fits, share) < 2:
        limit = "the smallest allowed"
    elif share < fits:
        limit = f"{percent(LARGEST_DATA_SHARE)} of all voxels (memory would allow {fits})"
    return max(SMALLEST_BATCH, min(fits, share)), limit
