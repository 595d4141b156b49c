"""`--weights`: a training that begins with the weights of another model, or of an encoder."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from autoseg.bundle import BundleInfo
from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.errors import UsageError
from autoseg.members import is_full, split_member
from autoseg.plan import NetworkSpec, Plan
from autoseg.records import to_json
from autoseg.training.transfer import Ends, Transfer, describe_transfer, transfer
from autoseg.workflows.encoder_weights import EncoderWeights, find_encoder_weights

log = logging.getLogger(__name__)

LITTLE = 0.5  # of the parameters: less is worth a warning


@dataclass(frozen=True)
class InitialWeights:
    """The weights of one fold of a bundle."""

    info: BundleInfo
    fold: str

    @property
    def sha256(self) -> str:
        """Of the file of weights."""
        return self.info.fold_cards[self.fold].sha256

    @property
    def words(self) -> str:
        """What `--weights` has to say to mean them."""
        return f"{self.info.folder.resolve()}#{self.fold}"

    def describe(self) -> str:
        """Return `HIPPO 3d_fullres-S fold 0 (sha256 1a2b3c4d5e6f)`."""
        info = self.info
        model = f"{info.plan.dataset} {info.configuration}-{info.size}"
        return f"{model} fold {self.fold} (sha256 {self.sha256[:12]})"

    def origin(self) -> dict[str, Any]:
        """Return what is kept with the model, without any path."""
        info = self.info
        model = f"{info.configuration}-{info.size}"
        return {
            "dataset": info.plan.dataset, "model": model, "fold": self.fold, "sha256": self.sha256
        }  # fmt: skip


Source = InitialWeights | EncoderWeights


def find_source(text: str, spec: NetworkSpec) -> Source:
    """Return what `--weights` means for a network of `spec`: a bundle, a file, or ImageNet."""
    return find_encoder_weights(text, spec) or find_weights(text)


def find_weights(text: str) -> InitialWeights:
    """Return what "BUNDLE" or "BUNDLE#fold" means; of several folds "full", or the first.

    A model's folder means the bundle in it. Raises UsageError when there is none, or not that fold.
    """
    place, mark, fold = text.rpartition("#")
    folder = Path(place if mark and not Path(text).exists() else text)
    wanted = fold if mark and not Path(text).exists() else None
    folder = folder / "bundle" if (folder / "bundle" / "card.json").is_file() else folder
    # Tensors only are read of it, so nothing that it names is imported.
    info = open_bundle(folder, None if wanted is None else [wanted], trust=True)
    known = [wanted] if wanted is not None else list(info.fold_cards)
    chosen = next((name for name in known if is_full(name)), known[0])
    if len(known) > 1:
        log.info("weights: fold %s of %s; BUNDLE#fold takes another one", chosen, " ".join(known))
    return InitialWeights(info, chosen)


def begin_with(source: Source, network: nn.Module, plan: Plan, configuration: str) -> Transfer:
    """Load what fits into `network`; raise UsageError when nothing does."""
    if isinstance(source, EncoderWeights):
        return source.begin(network)
    info = source.info
    state = load_bundle(info.folder, [source.fold], trust=True).weights[source.fold]
    report = transfer(
        network, state, ends_of(info.plan, info.configuration), ends_of(plan, configuration)
    )
    if report.nothing:
        raise UsageError(
            f"nothing of {source.describe()} fits this network",
            place=str(info.folder),
            expected=f"{info.configuration} with features like "
            f"{', '.join(map(str, info.design.network.features))}",
            remedy="plan these data like those: autoseg_plan --plan-from, with this bundle",
        )
    return report


def ends_of(plan: Plan, configuration: str) -> Ends:
    """Return the names of what a network of that configuration sees and scores."""
    labels, cascade = plan.labels, plan.configuration(configuration).previous is not None
    masks = [f"mask of {name}" for name in labels.names] if cascade else []
    background = ("",) if labels.exclusive else ()
    return Ends((*plan.channels, *masks), (*background, *labels.names))


def report_weights(source: Source, report: Transfer, plan: Plan, fold: str) -> None:
    """Log what was loaded, and what to think of it."""
    log.info("weights: %s", source.describe())
    for line in describe_transfer(report):
        log.info("weights: %s", line)
    if isinstance(source, EncoderWeights):
        return
    if report.share < LITTLE:
        log.warning(
            "only %.0f %% of the network come from these weights; autoseg_plan --plan-from plans "
            "these data like those", 100 * report.share,
        )  # fmt: skip
    theirs, ours = split_member(source.fold)[0], split_member(fold)[0]
    if source.info.plan.dataset == plan.dataset and theirs != ours:
        log.warning(
            "fold %s of the same data set may have learnt from the validation cases of fold %s: "
            "its scores would flatter", source.fold, fold,
        )  # fmt: skip


def weights_json(source: Source, report: Transfer) -> dict[str, Any]:
    """Return what is kept with the model: where its weights began, without any path."""
    return {
        **source.origin(),
        "share": round(report.share, 4),
        "loaded": len(report.loaded),
        "adapted": to_json(report.adapted),
        "new": list(report.new),
    }
