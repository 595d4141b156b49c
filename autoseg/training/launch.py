"""What torchrun tells each process that it starts: the one place that knows the environment.

SLURM's own tasks are not taken for ranks (five of them may train five folds); a job script that
wants them to be exports torchrun's names, see docs/training.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from autoseg.errors import UsageError

NAMES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
WATCHED = "TORCHELASTIC_RUN_ID"


@dataclass(frozen=True)
class Launch:
    """This process is number `rank` of `size`, and number `local_rank` on its machine."""

    rank: int
    size: int
    local_rank: int
    parent: int | None = None  # the process that must outlive this one


def read_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Return what torchrun said; None when it did not start this process, or only this one."""
    if not all(environment.get(name) for name in NAMES):
        return None
    rank, size = _number(environment, "RANK"), _number(environment, "WORLD_SIZE")
    if not 0 <= rank < size:
        raise UsageError(f"RANK={rank} and WORLD_SIZE={size}", expected="ranks from 0 on")
    local = _number(environment, "LOCAL_RANK") if environment.get("LOCAL_RANK") else rank
    # Who exports the names by hand may start a process and leave; torchrun stays.
    parent = os.getppid() if environment.get(WATCHED) else None
    return Launch(rank, size, local, parent) if size > 1 else None


def child_environment(
    threads: int,
    launch: Launch | None = None,
    port: int = 0,
    environment: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """Return the environment of a process that shares this machine, and may be a rank on it.

    It computes with so many `threads` unless the user has said how many.
    """
    ours = {"OMP_NUM_THREADS": str(threads), **environment}
    if launch is not None:
        values = launch.rank, launch.size, "127.0.0.1", port
        ours |= dict(zip(NAMES, map(str, values), strict=True))
        ours |= {"LOCAL_RANK": str(launch.local_rank), WATCHED: "autoseg"}
    return ours


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not text.isdigit():
        raise UsageError(f"{name}={text}", expected="a number, as torchrun sets it")
    return int(text)
