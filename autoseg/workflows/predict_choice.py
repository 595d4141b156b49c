"""Which models predict: the bundles that were named, the best known choice, or what there is."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from autoseg.bundle import BundleInfo, describe
from autoseg.bundle_reader import open_bundle
from autoseg.errors import UsageError, suggest
from autoseg.files import read_json
from autoseg.plan import PRESET
from autoseg.records import from_json
from autoseg.results import Choice
from autoseg.rules import Rules, parse_rules, read_rules
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """The models of one prediction, and the sentence that says why these."""

    models: tuple[BundleInfo, ...]
    reason: str
    trust: bool  # may names in them import the user's own code?
    rules: Rules = field(default_factory=dict)  # chosen for exactly these models


def choose_models(
    workspace: Workspace,
    *,
    dataset: str | None,
    configuration: str | None,
    size: str | None,
    folds: Sequence[str] | None,
    bundles: Sequence[Path] | None,
    trust: bool = False,
) -> Chosen:
    """Return the models to predict with; raise UsageError when none, or no single one, is meant.

    Models of the own workspace are trusted, `bundles` that somebody sent only with `trust`.
    """
    if folds is not None and list(folds) == ["all"]:
        folds = None
    if bundles:
        infos = _in_order([open_bundle(Path(folder), folds, trust) for folder in bundles])
        reason = f"model {' + '.join(describe(info) for info in infos)}, as named"
        return Chosen(_check_together(infos), reason, trust)
    name = _find_dataset(workspace, dataset)
    trained = trained_models(workspace, name)
    names, why, best = _choose_names(workspace, name, trained, configuration, size)
    folders = [workspace.models(name) / n / "bundle" for n in names]
    infos = _in_order([open_bundle(folder, folds, True) for folder in folders])
    models = " + ".join(describe(info) for info in infos)
    reason = f"dataset {name}, model {models}: {why}"
    together = _check_together(infos)
    if best is None:
        return Chosen(together, reason, True)
    rules = read_rules(best.rules, together[0].plan.labels, str(workspace.best(name)))
    return Chosen(together, reason, True, rules)


def with_rules(chosen: Chosen, rules: str) -> Chosen:
    """Return `chosen` with the rules that a setting names; "best" leaves those of best.json."""
    if rules == "best":
        return chosen
    return replace(chosen, rules=parse_rules(rules, chosen.models[0].plan.labels))


def trained_models(workspace: Workspace, dataset: str) -> list[str]:
    """Return the names ("3d_fullres-S") of the models of a dataset that have a trained fold."""
    cards = workspace.models(dataset).glob("*/bundle/fold_*/card.json")
    return sorted({card.parents[2].name for card in cards})


def _find_dataset(workspace: Workspace, dataset: str | None) -> str:
    if workspace.planned_datasets():
        return workspace.find_planned(dataset)
    known = sorted(
        {path.parents[2].name for path in workspace.root.glob("models/*/*/bundle/card.json")}
    )
    if dataset is None and len(known) == 1:
        return known[0]
    if dataset in known:
        return str(dataset)
    place = str(workspace.root)
    if dataset is None:
        remedy = (
            f"name one with -d: {', '.join(known)}"
            if known
            else "autoseg_train, or name a bundle with -m"
        )
        fact = "no dataset named" if known else "there is no model"
        raise UsageError(fact, place=place, remedy=remedy)
    raise UsageError(f"unknown dataset '{dataset}'", place=place, remedy=suggest(dataset, known))


def _choose_names(
    workspace: Workspace,
    dataset: str,
    trained: list[str],
    configuration: str | None,
    size: str | None,
) -> tuple[list[str], str, Choice | None]:
    """Return the models, why these, and the choice that is followed, if one is."""
    place = str(workspace.models(dataset))
    if not trained:
        remedy = "train one first with autoseg_train, or name a bundle with -m"
        raise UsageError("no trained model", place=place, remedy=remedy)
    asked = [
        name
        for name in trained
        if configuration in (None, name.rpartition("-")[0], split_model(name)[0])
        and size in (None, split_model(name)[1])
    ]
    if configuration is None and size is None:
        best = _best_choice(workspace.best(dataset), trained)
        if best:
            return list(best.models), "the best known choice (best.json)", best
        if len(trained) == 1:
            told = workspace.best(dataset).is_file()
            why = "the only model trained so far"
            why += "" if told else "; there is no best.json to choose by"
            return trained, why, None
    if len(asked) == 1:
        return asked, "as asked", None
    if not asked:
        wanted = "-".join(word for word in (configuration, size) if word)
        remedy = f"trained: {', '.join(trained)}"
        raise UsageError(f"'{wanted}' is not trained", place=place, remedy=remedy)
    raise UsageError(
        f"several models are trained: {', '.join(asked)}",
        place=place,
        remedy="choose with -c and --size, or let autoseg_evaluate choose (best.json)",
    )


def split_model(model: str) -> tuple[str, str]:
    """Return configuration and size of "3d_fullres-M-enet" or "segthor-enet-preset".

    Sizes may hold a hyphen, and so may the names of presets, which have a single size.
    """
    head, found, tail = model.partition(f"-{PRESET}")
    if found:
        return head, PRESET + tail
    configuration, _, size = model.partition("-")
    return configuration, size


def _best_choice(path: Path, trained: list[str]) -> Choice | None:
    if not path.is_file():
        return None
    choice = from_json(Choice, read_json(path), str(path))
    lost = [name for name in choice.models if name not in trained]
    if lost:
        log.warning(
            "%s is not followed: it chose %s, but %s is not trained (any more) -> "
            "let autoseg_evaluate choose again",
            path, " + ".join(choice.models), ", ".join(lost),
        )  # fmt: skip
    return choice if choice.models and not lost else None


def _in_order(infos: list[BundleInfo]) -> list[BundleInfo]:
    """Return models in an order of their own: sums of floats depend on it, results must not.

    Raises UsageError when the same weights are there twice, as they would count twice.
    """

    def identity(info: BundleInfo) -> list[str]:
        cards = [info.fold_cards[fold] for fold in info.folds]
        return [info.configuration, info.size, cards[0].model_id, *(card.sha256 for card in cards)]

    ordered = sorted(infos, key=identity)
    for one, next_one in itertools.pairwise(ordered):
        if identity(one) == identity(next_one):
            remedy = "name each model once"
            fact = f"is the same model as {next_one.folder}"
            raise UsageError(fact, place=str(one.folder), remedy=remedy)
    return ordered


def _check_together(infos: list[BundleInfo]) -> tuple[BundleInfo, ...]:
    first = infos[0].plan
    for info in infos[1:]:
        for what in ("channels", "labels", "axis_order", "orientation"):
            # The order of the targets is that of the scores; equal mappings may differ in it.
            same_order = what != "labels" or info.plan.labels.names == first.labels.names
            if getattr(info.plan, what) != getattr(first, what) or not same_order:
                raise UsageError(
                    f"{what.replace('_', ' ')} differ from those of {infos[0].folder}",
                    place=str(info.folder),
                    remedy="predict with models of one dataset at a time",
                )
    return tuple(infos)
