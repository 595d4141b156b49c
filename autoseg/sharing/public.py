"""A bundle without anything that is nobody else's business.

What a bundle consists of is written anew from its records, so that nothing that stands beside them
comes along. Numbers and names of the model stay; of every path that slipped into a sentence or a
setting only the last part does.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoseg.bundle import PREVIOUS, TEST, WEIGHTS, BundleInfo
from autoseg.bundle_reader import check_hash, open_bundle
from autoseg.bundle_writer import write_card
from autoseg.files import json_text, sha256, write_text
from autoseg.plan_file import save_plan
from autoseg.records import from_json, to_json

# Folders before the last part of an absolute path; not of an address (https://...).
ABSOLUTE = re.compile(r"(?<![\w.:/\\~-])(?:~[\w.-]*|[A-Za-z]:)?[/\\](?:[^\s/\\:'\"<>|,;()]+[/\\])+")
WHOLE = re.compile(r"(?:~[\w.-]*|[A-Za-z]:)?[/\\][^\n]*[/\\]")


@dataclass(frozen=True)
class _Shortener:
    """Takes the folders of this computer out of texts."""

    folders: tuple[str, ...]  # known ones, longest first

    def __call__(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self(item) for item in value]
        return self.text(value) if isinstance(value, str) else value

    def text(self, words: str) -> str:
        for folder in self.folders:
            words = words.replace(f"{folder}/", "").replace(folder, "")
        if WHOLE.match(words) and "://" not in words:
            return re.split(r"[/\\]", words.rstrip("/\\"))[-1]
        return ABSOLUTE.sub("", words)


def copy_public(bundle: Path, target: Path, folds: Sequence[str] | None, trust: bool) -> list[str]:
    """Write the bundle (its `folds`; None: every one) to the new folder `target`.

    Every hash is verified on the way. Returns the names of files in which something was shortened.
    """
    every = list(open_bundle(bundle, None, trust).fold_cards)
    info = open_bundle(bundle, every if folds is None else folds, trust)
    shorten = _Shortener(_folders_of(bundle))
    if info.previous is not None:
        copy_public(bundle / PREVIOUS, target / PREVIOUS, None, trust)
    for fold in info.folds:
        _copy_fold(info, fold, target / f"fold_{fold}", shorten)
    plan = replace(
        info.plan,
        reasons=tuple(map(shorten.text, info.plan.reasons)),
        overrides=tuple(map(shorten.text, info.plan.overrides)),
    )
    config = from_json(type(info.config), shorten(to_json(info.config)))
    about = from_json(
        type(info.card.model_card.about), shorten(to_json(info.card.model_card.about))
    )
    save_plan(target / "plan.json", plan)
    write_text(target / "train.json", json_text(to_json(config)))
    hashes = {name: sha256(target / name) for name in ("plan.json", "train.json")}
    known = replace(info.card.model_card, about=about)
    write_card(target, replace(info.card, sha256=hashes, model_card=known), plan, config)
    pairs = {
        "plan.json": (info.plan, plan),
        "train.json": (info.config, config),
        "card.json": (info.card.model_card, known),
    }
    return [name for name, (before, after) in pairs.items() if before != after]


def _copy_fold(info: BundleInfo, fold: str, target: Path, shorten: _Shortener) -> None:
    source, card = info.folder / f"fold_{fold}", info.fold_cards[fold]
    target.mkdir(parents=True)
    for name, digest in ((WEIGHTS, card.sha256), (TEST, card.test_sha256)):
        if digest:
            check_hash(source / name, digest)
            shutil.copyfile(source / name, target / name)
    public = replace(card, card=shorten(dict(card.card)))
    write_text(target / "card.json", json_text(to_json(public)))


def _folders_of(bundle: Path) -> tuple[str, ...]:
    here = bundle.resolve()
    known = {str(folder) for folder in (here, *here.parents, Path.home())}
    deep = [folder for folder in known if folder.count("/") > 1]
    return tuple(sorted(deep, key=len, reverse=True))
