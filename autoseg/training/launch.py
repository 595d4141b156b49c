"""What torchrun tells each process that it starts: the one place that reads the environment.

SLURM's own tasks are not taken for ranks (five of them may train five folds); a job script that
wants them to be exports torchrun's names, see docs/training.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.errors import UsageError

NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """This process is number `rank` of `size`, and number `local_rank` on its machine."""

    rank: int
    size: int
    local_rank: int


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return what torchrun said; None when it did not start this process, or only this one."""
    if not all(environment.get(name) for name in NAMES):
        return None
    rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if not 0 <= rank < size:
        raise UsageError(f"RANK={rank} and WORLD_SIZE={size}", expected="ranks from 0 on")
    local = _number(environment, "LOCAL_RANK") if environment.get("LOCAL_RANK") else rank
    return Launch(rank, size, local) if size > 1 else None


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not text.isdigit():
        raise UsageError(f"{name}={text}", expected="a number, as torchrun sets it")
    return int(text)
