"""What `autoseg_train` was asked to do, checked in full before anything heavy begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from autoseg.architectures import with_network
from autoseg.bundle import BundleInfo, model_id, stage_id, trained_design
from autoseg.config import TrainConfig, override
from autoseg.device import pick_device
from autoseg.errors import DataError, UsageError
from autoseg.members import FULL, member_name, split_member
from autoseg.plan import Configuration, Design, Plan
from autoseg.plan_file import load_plan
from autoseg.planning.folds import Fold, choose_folds, load_folds
from autoseg.preprocessing.manifest import home_of, read_manifest, recipe_of
from autoseg.training.budget import Budget, parse_budget, refuse_two_lengths
from autoseg.workflows.initial_weights import Source, find_source
from autoseg.workflows.method import check_method
from autoseg.workflows.previous import PreviousStage, find_previous
from autoseg.workflows.train_settings import begun_with, choose_size, configure, refuse_twice
from autoseg.workspace import Workspace


@dataclass(frozen=True)
class Order:
    """One fold to train."""

    plan: Plan
    configuration: Configuration
    size: str
    why_size: str
    config: TrainConfig  # as asked; open choices are None
    budget: Budget
    device: torch.device
    fold: str  # "0", "full", or with a further seed "0-seed1"
    cases: Fold
    prepared: Path  # prepared/<dataset>
    run: Path  # models/<dataset>/<configuration>-<size>/run/fold_<f>
    bundle: Path
    first_seed: int = 0  # of the model; that of this fold is `config.seed`
    previous: PreviousStage | None = None  # what a cascade continues
    weights: Source | None = None  # to begin with

    @property
    def design(self) -> Design:
        """Patch, batch and network, with what the user changed."""
        return trained_design(self.plan, self.configuration.name, self.size, self.config)

    @property
    def arrays(self) -> Path:
        """The prepared arrays of the cases."""
        return self.prepared / home_of(self.plan, self.configuration)

    @property
    def model_id(self) -> str:
        """Which model this will be."""
        before = stage_id(self.previous_bundle)
        return model_id(self.plan, self.configuration.name, self.size, self.config, before)

    @property
    def previous_bundle(self) -> BundleInfo | None:
        """The bundle of the stage that a cascade continues."""
        return self.previous.info if self.previous else None

    @property
    def resume(self) -> Path:
        """Checkpoints, as long as the training is not finished."""
        return self.run / "resume"

    @property
    def validation(self) -> Path:
        """Predictions and scores of the fold's validation cases."""
        return self.run / "validation"

    @property
    def result(self) -> Path:
        """Written last: where it stands, the fold is finished."""
        return self.run / "result.json"


def read_orders(
    workspace: Workspace,
    configuration: str,
    fold: str,
    *,
    dataset: str | None = None,
    size: str | None = None,
    budget: str | None = None,
    settings: Sequence[str] = (),
    further_seeds: Sequence[int] = (),
    weights: str | None = None,
    device: str | None = None,
) -> list[Order]:
    """Return one order per fold; raise UsageError or DataError for whatever cannot be trained.

    With `further_seeds` each fold is trained once more for each, as "0-seed1", ....
    """
    name = workspace.find_planned(dataset)
    plan = load_plan(workspace.plan(name))
    chosen = plan.configuration(configuration)
    where = pick_device(device)
    size, why = choose_size(size, chosen, where)
    length = parse_budget(budget)
    config = configure(chosen, settings, budget)
    refuse_two_lengths(budget, override(TrainConfig(), settings))
    if length.epochs is not None:
        config = dataclasses.replace(config, epochs=length.epochs, steps=None)
    first_size = size  # a cascade continues the planned network, whatever its own one is
    plan = _with_trained_size(
        workspace.bundle(name, configuration, size), plan, configuration, size
    )
    plan, size = with_network(plan, configuration, size, config.network, config.network_options)
    chosen = plan.configuration(configuration)
    initial = None if weights is None else find_source(weights, chosen.design(size).network)
    config = begun_with(config, initial)
    check_method(plan, configuration, size, config, where)
    folder = workspace.prepared(name)
    wanted, seed = split_member(fold)
    folds = _choose_folds(wanted, workspace.folds(name), _prepared_cases(folder, plan, chosen))
    if seed is not None and further_seeds:
        fact = f"fold {fold} names its seed, and --seed names several"
        raise UsageError(fact, expected="one of them")
    refuse_twice(config.seed, further_seeds if seed is None else [seed])
    for setting in ("patience", "target_dice"):
        value = getattr(config, setting)
        if value is not None and any(not cases.validation for cases in folds.values()):
            fact = f"{setting}={value} looks at validation cases, and fold {fold} has none"
            raise UsageError(fact, remedy="leave it out, or train a fold of the cross-validation")
    previous = None
    if chosen.previous is not None:
        every = {case for cases in folds.values() for case in cases.train + cases.validation}
        previous = find_previous(workspace, plan, chosen, first_size, sorted(every))
    return [
        Order(
            plan, chosen, size, why,
            config if further is None else dataclasses.replace(config, seed=further),
            length, where, member_name(fold_name, further), cases, folder,
            workspace.run(name, configuration, size, member_name(fold_name, further)),
            workspace.bundle(name, configuration, size), config.seed, previous, initial,
        )
        for further in ([seed] if seed is not None else [None, *further_seeds])
        for fold_name, cases in folds.items()
    ]  # fmt: skip


def _with_trained_size(bundle: Path, plan: Plan, configuration: str, size: str) -> Plan:
    """Return `plan` with a size that is no planned one, but that of a model: "M-enet"."""
    known = plan.configuration(configuration)
    if size in known.sizes or not (bundle / "plan.json").is_file():
        return plan
    trained = load_plan(bundle / "plan.json")
    sizes = {**known.sizes, size: trained.configuration(configuration).design(size)}
    changed = dataclasses.replace(known, sizes=sizes)
    return dataclasses.replace(plan, configurations={**plan.configurations, configuration: changed})


def _prepared_cases(folder: Path, plan: Plan, configuration: Configuration) -> tuple[str, ...]:
    home = folder / home_of(plan, configuration)
    manifest = read_manifest(home)
    if manifest.recipe != recipe_of(plan, configuration):
        raise DataError(
            "the plan was changed after these data were prepared",
            place=str(home),
            remedy="run autoseg_plan again: it prepares them anew",
        )
    return tuple(manifest.cases)


def _choose_folds(fold: str, path: Path, cases: Sequence[str]) -> dict[str, Fold]:
    if fold == FULL:
        return {FULL: Fold(tuple(sorted(cases)), ())}
    chosen = choose_folds(fold, load_folds(path), str(path))
    missing = {case for entry in chosen.values() for case in entry.train + entry.validation}
    missing -= set(cases)
    if missing:
        raise DataError(
            f"{len(missing)} cases of the folds are not prepared, such as {min(missing)}",
            place=str(path),
            remedy="run autoseg_plan again",
        )
    return chosen
