"""What a training would be, without one: `autoseg_train --dry-run`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from autoseg.config import TrainConfig
from autoseg.errors import number_of
from autoseg.networks import build_network
from autoseg.preprocessing.store import PreparedCase
from autoseg.progress import say_duration
from autoseg.training.decide import natural_length
from autoseg.training.loader import samples_per_step
from autoseg.training.recipe import choose_recipe
from autoseg.training.sampling import Pool, choose_cases, make_pool
from autoseg.training.schedules import learning_rate
from autoseg.workflows.fold import weigh_targets
from autoseg.workflows.fold_validation import open_cases
from autoseg.workflows.order import read_orders
from autoseg.workflows.train_report import describe_network
from autoseg.workspace import Workspace

BATCHES = 1000  # whose centres are counted
LOOKS = (0.0, 0.25, 0.5, 0.75, 1.0)  # of the training: where the rate is told
SHOWN = 10  # names in a line
CONTROL, ANYWHERE = "a control", "anywhere"


def rehearse(
    workspace: Workspace,
    configuration: str,
    fold: str,
    *,
    dataset: str | None = None,
    size: str | None = None,
    budget: str | None = None,
    settings: Sequence[str] = (),
    device: str | None = None,
) -> str:
    """Return lines on what `train` would do with the first fold meant; nothing is written.

    The centres are those of the very batches that the training would see.
    """
    order = read_orders(
        workspace, configuration, fold, dataset=dataset, size=size, budget=budget,
        settings=settings, device=device,
    )[0]  # fmt: skip
    cases, _ = open_cases(order, order.cases)
    plan, config = order.plan, weigh_targets(order)
    channels = plan.input_channels(order.configuration.name), plan.labels.channels
    network = build_network(order.design.network, *channels)
    patch = "x".join(map(str, order.design.patch_size))
    lines = [
        f"dataset {plan.dataset}, {order.configuration.name}, fold {order.fold}: "
        f"{number_of(len(cases), 'case')}, {len(order.cases.validation)} for validation",
        f"size {order.size} ({order.why_size}): patch {patch}, batch {order.design.batch_size}"
        + f", {config.accumulate} of them a step" * (config.accumulate > 1),
        describe_network(order.design.network, network),
    ]
    on_gpu = order.device.type == "cuda"
    steps, why = natural_length(config, order.configuration, order.design, len(cases), on_gpu)
    if order.budget.seconds is not None:
        why = f"as many steps as {say_duration(order.budget.seconds)} allow; the rest as for {why}"
    config, reasons = choose_recipe(config, steps)
    rates = " ".join(f"{learning_rate(config, progress):.2g}" for progress in LOOKS)
    shares = " ".join(f"{progress:.0%}" for progress in LOOKS)
    lines += [why, *reasons, f"learning rate at {shares}: {rates}"]
    pool = make_pool(cases, plan.labels, config)
    counts = count_centres(pool, samples_per_step(order.design, config), config, plan.labels.names)
    return "\n".join([*lines, *_histogram(counts, cases)])


def count_centres(
    pool: Pool, size: int, config: TrainConfig, names: Sequence[str]
) -> dict[str, int]:
    """Return how many patches of the first batches of `size` are centred on which target."""
    counts = Counter(dict.fromkeys((*names, CONTROL, ANYWHERE), 0))
    for step in range(BATCHES):
        rng = np.random.default_rng([config.seed, step])  # as `loader.make_batch` draws it
        for choice in choose_cases(pool, size, config, rng):
            other = CONTROL if pool.control[choice.case] else ANYWHERE
            counts[other if choice.target is None else names[choice.target]] += 1
    return dict(counts)


def _histogram(counts: dict[str, int], cases: Sequence[PreparedCase]) -> list[str]:
    total = sum(counts.values())
    if not any("control" in case.tags for case in cases):
        del counts[CONTROL]
    drawn = {name: count for name, count in counts.items() if count}
    width = max(map(len, drawn))
    lines = [f"centres of the {total:,} patches of the first {BATCHES:,} batches:"] + [
        f"  {name:{width}}  {count / total:6.1%}  {'#' * round(40 * count / total)}".rstrip()
        for name, count in drawn.items()
    ]
    never = [name for name, count in counts.items() if not count]
    if never:
        told = ", ".join(never[:SHOWN]) + ", ..." * (len(never) > SHOWN)
        lines.append(f"  never: {told} ({len(never)} of {len(counts)})")
    return lines
