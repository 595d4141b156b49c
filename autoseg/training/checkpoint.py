"""An unfinished training on disk: tensors as safetensors, the rest as JSON, the last two kept.

    resume/  step_000001250.safetensors  step_000001250.json      current
             step_000001000.safetensors  step_000001000.json      previous

The JSON file is written last and holds the hash of the tensors: a pair is whole or does not count.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from autoseg.errors import AutosegError, CorruptError, ResourceError
from autoseg.files import json_text, read_json, sha256, write_atomically, write_text
from autoseg.records import fingerprint_of

log = logging.getLogger(__name__)

FORMAT = "autoseg-resume-1"
KEPT = 2
SAVE_EVERY_SECONDS = 60.0
SAVING_SHARE = 0.03  # of the time at most: big models are saved less often
FAILURES_ALLOWED = 3  # full disk: go on, try again, stop at the third


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name ("network/...", "average/...", "optimizer/<index>/...") and JSON facts."""

    tensors: Mapping[str, torch.Tensor]
    facts: Mapping[str, Any]


def save_checkpoint(folder: Path, step: int, checkpoint: Checkpoint) -> None:
    """Write one pair of files and remove all but the newest two pairs.

    Raises CorruptError rather than save a NaN; the older pairs stay then.
    """
    tensors = {name: t.detach().cpu().contiguous() for name, t in checkpoint.tensors.items()}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise CorruptError(f"'{name}' holds NaN or infinity; not saved", place=str(folder))
    content = save(tensors)
    path = folder / f"step_{step:09d}.safetensors"
    write_atomically(path, lambda stream: stream.write(content))
    about = {
        "format": FORMAT,
        "sha256": hashlib.sha256(content).hexdigest(),
        "facts_hash": fingerprint_of(checkpoint.facts),
        "facts": checkpoint.facts,
    }
    write_text(path.with_suffix(".json"), json_text(about))
    # Of later steps are only those that were damaged, and that this training went on without.
    kept = {step, *sorted((s for s in _steps(folder) if s < step), reverse=True)[: KEPT - 1]}
    for old in set(_steps(folder)) - kept:
        for ending in (".json", ".safetensors"):
            (folder / f"step_{old:09d}{ending}").unlink(missing_ok=True)


def _steps(folder: Path) -> list[int]:
    names = [path.stem[5:] for path in folder.glob("step_*.safetensors")]
    return [int(name) for name in names if name.isdigit()]


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest whole checkpoint, with a warning if a newer one is damaged; None: none yet.

    Raises CorruptError when there are checkpoints and all are damaged: nothing is begun anew by
    itself.
    """
    damaged: list[str] = []
    for step in sorted(_steps(folder), reverse=True):
        path = folder / f"step_{step:09d}.safetensors"
        try:
            checkpoint = _read(path)
        except AutosegError as error:
            damaged.append(f"{path.name} {error.fact}")
            continue
        if damaged:
            log.warning("%s; continuing from %s", "; ".join(damaged), path.name)
        return checkpoint
    # A first save cut short leaves tensors without their JSON: that is the same as no checkpoint.
    if not any(folder.glob("step_*.json")):
        return None
    raise CorruptError(
        f"no checkpoint is whole: {'; '.join(damaged) or 'the tensors are missing'}",
        place=str(folder),
        remedy="start again with --overwrite",
    )


def _read(path: Path) -> Checkpoint:
    about = read_json(path.with_suffix(".json"))
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise CorruptError("is not a checkpoint of this version", place=str(path))
    facts = about.get("facts") or {}
    if sha256(path) != about.get("sha256") or fingerprint_of(facts) != about.get("facts_hash"):
        raise CorruptError("is damaged", place=str(path))
    try:
        return Checkpoint(load_file(path), facts)
    except (SafetensorError, ValueError, OSError) as error:
        raise CorruptError(f"is not safetensors: {error}", place=str(path)) from error


# --- optimisers as tensors -----------------------------------------------------------------------


def pack_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """Return the optimiser's state as "optimizer/<parameter>/<name>"."""
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer/{index}/{name}": value if torch.is_tensor(value) else torch.tensor(value)
        for index, values in state.items()
        for name, value in values.items()
        if value is not None
    }


def unpack_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put the state of `pack_optimizer` back; the rates and decays stay those of `optimizer`."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, field_name = name.split("/", 2)
            state.setdefault(int(index), {})[field_name] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def select(tensors: Mapping[str, torch.Tensor], kind: str) -> dict[str, torch.Tensor]:
    """Return the tensors called "<kind>/<name>" as {name: tensor}."""
    head = f"{kind}/"
    return {name[len(head) :]: t for name, t in tensors.items() if name.startswith(head)}


# --- when to save --------------------------------------------------------------------------------


@dataclass
class Keeper:
    """Saves every minute; survives a full disk twice."""

    folder: Path
    every_seconds: float = SAVE_EVERY_SECONDS
    clock: Callable[[], float] = time.monotonic
    _last: float = field(init=False)
    _failures: int = 0

    def __post_init__(self) -> None:
        self._last = self.clock()

    def is_due(self) -> bool:
        """Tell whether the last save is old enough."""
        return self.clock() - self._last >= self.every_seconds

    def save(self, step: int, checkpoint: Checkpoint, must: bool = False) -> None:
        """Write a checkpoint; a failing disk is fatal the third time in a row, or if it `must`."""
        begin = self.clock()
        try:
            save_checkpoint(self.folder, step, checkpoint)
            self._failures = 0
        except ResourceError as error:
            self._failures += 1
            if must or self._failures >= FAILURES_ALLOWED:
                raise
            log.warning("checkpoint not written, trying again later: %s", error)
        self._last = self.clock()
        self.every_seconds = max(self.every_seconds, (self._last - begin) / SAVING_SHARE)


class NoKeeper(Keeper):
    """Saves nothing: for the ranks beside the first."""

    def is_due(self) -> bool:
        """Return False."""
        return False

    def save(self, step: int, checkpoint: Checkpoint, must: bool = False) -> None:
        """Do nothing."""
