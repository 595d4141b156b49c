"""A model card as a page of Markdown: what the model is, for whom, how well it does, how to run it.

Written from what the bundle holds and from nothing else; what nobody stated is said to be not
stated.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from autoseg.card import ModelCard, Range, Score, TrainingData
from autoseg.config import TrainConfig
from autoseg.errors import number_of
from autoseg.image import CANONICAL
from autoseg.labels import Labels
from autoseg.plan import Configuration, Design, IntensityStats, Plan

NOT_STATED = "not stated"
AXES = ("head-foot (Z)", "front-back (Y)", "left-right (X)")
UNITS = {
    "ct": "Hounsfield units, clipped to {lo:.6g} to {hi:.6g}, minus {mean:.6g}, divided by "
    "{std:.6g}",
    "zscore": "any units: each scan is given mean 0 and standard deviation 1{mask}",
    "rescale": "any units: each scan is mapped to 0 to 1",
    "rgb": "0 to 255, mapped to 0 to 1",
    "none": "as they are: the network expects the units of the training data",
}  # fmt: skip
METRICS = {"dice": "Dice", "hd95": "HD95 in mm", "nsd": "NSD"}


def card_text(
    card: ModelCard, plan: Plan, settings: Configuration, size: str, design: Design,
    config: TrainConfig, version: str,
) -> str:  # fmt: skip
    """Return the page for a model of `settings` (one configuration of `plan`) and `size`."""
    title = f"# Model card: {plan.dataset}, {settings.name}, size {size}"
    sections = (
        _about(card),
        _channels(plan, settings, card.data),
        _targets(plan.labels),
        _training(card.data, design, config),
        _results(card),
        _running(len(plan.channels), plan.file_ending, version),
    )
    return "\n".join([title, *(f"\n{section}" for section in sections)]) + "\n"


def _about(card: ModelCard) -> str:
    about = card.about
    description = [f"{about.description}\n"] if about.description else []
    return "\n".join([
        *description,
        f"- **Intended use**: {about.intended_use or NOT_STATED}",
        f"- **Licence**: {about.licence or NOT_STATED}",
        *([f"- **Reference**: {about.reference}"] if about.reference else []),
        *([f"- **Author**: {about.author}"] if about.author else []),
        *([f"- **Contact**: {about.contact}"] if about.contact else []),
        "\nThese sentences are the author's, or those of the training data's `dataset.json`. "
        "A research prototype: not a medical device.",
    ])  # fmt: skip


def _channels(plan: Plan, settings: Configuration, data: TrainingData | None) -> str:
    rows = [
        (str(i), name, _units(settings, i, _stats(plan, i)))
        for i, name in enumerate(plan.channels)
    ]  # fmt: skip
    spacing = ", ".join("each scan's own" if s is None else f"{s:g}" for s in settings.spacing)
    order = "" if plan.axis_order == (0, 1, 2) else f" (axes in the order {plan.axis_order})"
    turned = "canonical" if plan.orientation == CANONICAL else plan.orientation
    lines = [
        "## What it sees\n",
        _table(("channel", "name", "intensities"), rows),
        f"\nScans are turned ({turned}), cropped to what is not zero and resampled to "
        f"{spacing} mm{order}.",
    ]
    if data is not None:
        ranges = zip(AXES, data.spacing_mm, data.extent_mm, strict=True)
        rows = [(axis, _spread(mm), _spread(extent)) for axis, mm, extent in ranges]
        head = ("axis", "voxel size, mm", "field of view, mm")
        lines += [
            "\nThe scans it learnt from (smallest / median / largest, inside the non-zero box); "
            "others are outside of what was tested:\n",
            _table(head, rows),
        ]
    return "\n".join(lines)


def _stats(plan: Plan, channel: int) -> IntensityStats | None:
    return plan.intensities[channel] if channel < len(plan.intensities) else None


def _units(settings: Configuration, channel: int, stats: IntensityStats | None) -> str:
    name = settings.normalizers[channel]
    mask = " inside the body" if settings.mask_normalization[channel] else ""
    if name not in UNITS or (name == "ct" and stats is None):
        return f"normalised by `{name}`"
    low, high, mean, std = (stats.p0_5, stats.p99_5, stats.mean, stats.std) if stats else [0.0] * 4
    return UNITS[name].format(lo=low, hi=high, mean=mean, std=std, mask=mask)


def _targets(labels: Labels) -> str:
    shared = {
        name: [o for o in labels.names if o != name and set(values) & set(labels.targets[o])]
        for name, values in labels.targets.items()
    }
    sides = {a: b for pair in labels.pairs for a, b in (pair, pair[::-1])}
    rows = [
        (
            name,
            ", ".join(map(str, values)),
            ", ".join(shared[name]) or "-",
            sides.get(name, "-"),
        )
        for name, values in labels.targets.items()
    ]
    kind = "exclude each other" if labels.exclusive else "may overlap"
    ignored = "" if labels.ignore is None else f" Value {labels.ignore} was ignored in training."
    head = ("target", "label values", "overlaps with", "other side")
    return f"## What it finds\n\n{_table(head, rows)}\n\nTargets {kind}.{ignored}"


def _training(data: TrainingData | None, design: Design, config: TrainConfig) -> str:
    cases = NOT_STATED if data is None else str(data.cases)
    patch = " x ".join(map(str, design.patch_size))
    # A budget of time gives each fold its own number; the settings are those of the last one.
    steps = f", {config.steps:,} steps in the fold trained last" if config.steps else ""
    return "\n".join([
        "## How it was trained\n",
        f"- Cases: {cases} (each network of a cross-validation has seen a part of them)",
        f"- Network: {design.network.name}, features {'-'.join(map(str, design.network.features))}",
        f"- Patch: {patch} voxels, batch {design.batch_size}",
        f"- Recipe: {config.recipe}, loss {config.loss}{steps}",
    ])  # fmt: skip


def _results(card: ModelCard) -> str:
    head, results = "## How well it does\n", card.results
    if results is None:
        return f"{head}\nNo cross-validation was recorded with this model."
    metrics = [m for m in METRICS if any(m in row for row in results.targets.values())]
    rows = [
        (target, *(_score(row.get(metric)) for metric in metrics))
        for target, row in results.targets.items()
    ]
    if len(rows) > 1:
        rows.append(("mean", *(_foreground(results.foreground.get(m)) for m in metrics)))
    folds = f"fold{'s' * (len(results.folds) > 1)} {', '.join(results.folds)}"
    named = {f"{name} {mm:g}" for name, mm in results.nsd_tolerance_mm.items()}
    tolerance = f" NSD tolerance in mm: {', '.join(sorted(named))}." if "nsd" in metrics else ""
    return "\n".join([
        head,
        f"Cross-validation: {folds}, {number_of(results.cases, 'case')}, "
        "each predicted by a network that "
        "has not seen it. Mean [95 % interval], n = cases in which the number is defined, before "
        f"any rules on label maps.{tolerance}\n",
        _table(("target", *(METRICS[m] for m in metrics)), rows),
        *_rules(card),
        "\nOther scanners, sites and patients may do worse: no external test is recorded here.",
    ])  # fmt: skip


def _rules(card: ModelCard) -> list[str]:
    if not card.rules:
        return []
    chosen = "; ".join(
        f"{target}: {', '.join(' '.join(f'{k} {v}' for k, v in rule.items()) for rule in rules)}"
        for target, rules in card.rules.items()
    )
    return [
        f"\nThe cross-validation chose rules on label maps ({chosen}); they are applied where "
        "`best.json` of its workspace is followed, not when the bundle is named with `-m`."
    ]


def _score(score: Score | None) -> str:
    if score is None or score.mean is None:
        return f"- (n = 0 of {score.of})" if score else "-"
    interval = f" [{score.ci95[0]:.4g}, {score.ci95[1]:.4g}]" if score.ci95 else ""
    return f"{score.mean:.4g}{interval}, n = {score.n} of {score.of}"


def _foreground(score: Score | None) -> str:
    """Return the mean over targets; its n counts targets."""
    if score is None or score.mean is None:
        return "-"
    return f"{score.mean:.4g}, of {score.n} target{'s' * (score.n > 1)}"


def _running(channels: int, ending: str, version: str) -> str:
    files = f"`CASE_0000{ending}`" + (f" to `CASE_{channels - 1:04d}{ending}`" * (channels > 1))
    return "\n".join([
        "## How to run it\n",
        f"Written by autoseg {version}. Images: one file per channel, {files}.\n",
        "```",
        "autoseg verify -m BUNDLE                     # is it intact, and right on this machine?",
        "autoseg_predict -m BUNDLE -i IMAGES -o LABELS",
        "```",
        "\nThe networks in `fold_*` are averaged. Nothing here is a pickle; the SHA-256 of every "
        "file is in `card.json` or `fold_*/card.json`.",
    ])  # fmt: skip


def _spread(values: Range) -> str:
    return " / ".join(f"{value:.4g}" for value in values)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
