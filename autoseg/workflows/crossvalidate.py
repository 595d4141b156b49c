"""Choose from the cross-validation so far: a model or a pair, its rules; write `best.json`."""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import combinations
from math import prod
from pathlib import Path

from autoseg.evaluation.crossvalidation import CrossValidation, decide, score_again
from autoseg.evaluation.measured import Decode, predict_again, read_prediction
from autoseg.evaluation.select import PLUS, usable
from autoseg.evaluation.summary import summarise
from autoseg.evaluation.tables import write_summary
from autoseg.evaluation.trained import Trained, collect_models
from autoseg.files import write_json
from autoseg.hardware import cores
from autoseg.labels import Labels
from autoseg.plan_file import load_plan
from autoseg.planning.folds import load_folds
from autoseg.results import Summary
from autoseg.rules import read_rules
from autoseg.workflows.card import record_results
from autoseg.workspace import Workspace

VOXELS_FOR_WORKERS = 300_000_000  # below, one process is done before others have started


def evaluate_crossvalidation(
    workspace: Workspace, dataset: str | None = None, workers: int | None = None
) -> CrossValidation:
    """Pool the validations of every trained model, choose a model or pair and rules for it.

    Writes `best.json`, the pooled summary of a model to its `run/crossvalidation/`, that of a pair
    to `ensembles/<A>+<B>/`, and the chosen one's with its rules to `best/`. One finished fold is
    enough.
    """
    name = workspace.find_planned(dataset)
    labels = load_plan(workspace.plan(name)).labels
    path = workspace.folds(name)
    split = [fold.validation for fold in load_folds(path)] if path.is_file() else []
    models = workspace.models(name)
    trained = collect_models(models, labels, split)
    for model, summary in trained.summaries.items():
        write_summary(models / model / "run" / "crossvalidation", summary)
    prepared, found_models = workspace.prepared(name), tuple(trained.summaries)
    trained = _add_pairs(trained, models, prepared, labels)
    workers = _choose_workers(trained) if workers is None else workers
    decoders = _decoders(trained, models, labels)
    result = decide(name, trained, labels, split, prepared, workers, decoders)
    for model in found_models:
        rules = result.choice.rules if result.choice.models == (model,) else {}
        record_results(models / model, trained.folds[model], trained.summaries[model], rules)
    shutil.rmtree(models / "best", ignore_errors=True)  # of an earlier choice
    if result.choice.rules:
        final = _score_with_rules(result, labels, prepared)
        write_summary(models / "best", final)
        result = replace(result, final=final)
    if result.choice.models:
        write_json(workspace.best(name), result.choice)
    return result


def _add_pairs(trained: Trained, models: Path, prepared: Path, labels: Labels) -> Trained:
    """Return `trained` with each pair of models whose validation scores were kept."""
    candidates = usable(trained.summaries)
    pairs = list(combinations(sorted(candidates), 2))
    if not pairs:
        return trained
    # The only import of torch on this path: with a single model there is no pair to score.
    from autoseg.workflows.pairs import score_pair

    summaries, folds, maps = dict(trained.summaries), dict(trained.folds), dict(trained.label_maps)
    notes = list(trained.notes)
    for pair in pairs:
        found = score_pair(pair, trained, models, prepared, labels)
        if isinstance(found, str):
            notes.append(f"{PLUS.join(pair)}: {found}")
            continue
        name = PLUS.join(pair)
        summaries[name], maps[name] = found
        folds[name] = tuple(f for f in trained.folds[pair[0]] if f in trained.folds[pair[1]])
    return replace(trained, summaries=summaries, folds=folds, label_maps=maps, notes=tuple(notes))


def _decoders(trained: Trained, models: Path, labels: Labels) -> dict[str, Decode]:
    """Return what decodes the kept scores of each model anew; for overlapping targets only."""
    if labels.exclusive:
        return {}
    from autoseg.workflows.pairs import make_decoder

    found: dict[str, Decode] = {}
    for name, summary in usable(trained.summaries).items():
        cases = [case.case for case in summary.cases]
        decoder = make_decoder(name.split(PLUS), cases, trained, models, labels)
        if decoder is not None:
            found[name] = decoder
    return found


def _score_with_rules(result: CrossValidation, labels: Labels, prepared: Path) -> Summary:
    """Return the summary of the chosen model's cases after its rules, with every metric."""
    rules = read_rules(result.choice.rules, labels, "best.json")
    chosen = result.chosen
    data = result.measured[PLUS.join(result.choice.models)]
    scores = []
    for case, predicted in zip(chosen.cases, data.cases, strict=True):
        label_map = predict_again(predicted, data, rules)
        scores.append(score_again(label_map, case, labels, prepared, chosen.header))
    return summarise(scores, labels, {**chosen.header, "rules": result.choice.rules})


def _choose_workers(trained: Trained) -> int:
    """Return 0 (no further processes) unless there are enough voxels to pay for starting them."""
    maps = max(trained.label_maps.values(), key=len)
    first = next((path for path in maps.values() if path.is_file()), None)
    if first is None or cores() < 2:
        return 0
    voxels = prod(read_prediction(first).shape) * len(maps)
    return cores() if voxels > VOXELS_FOR_WORKERS else 0
