"""Job files for SLURM, one for each fold, and handing them in: `autoseg_train ... --slurm`."""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from autoseg.errors import ResourceError, UsageError
from autoseg.files import write_text
from autoseg.members import FULL, split_member
from autoseg.planning.folds import choose_folds, load_folds
from autoseg.workspace import Workspace

log = logging.getLogger(__name__)

HEADER = {"ntasks": "1", "cpus-per-task": "8", "time": "08:00:00"}  # what is not said
LOGS = "logs/%x/%j_%x.log"  # of SLURM: %x is the name of the job, %j its number
SAVE_BEFORE_S = 120  # the end of its time: a signal, upon which the training saves and stops
STOPPED = 75  # our exit code for that
FIELD = re.compile(r"[a-z][a-z-]*")


def make_jobs(
    workspace: Workspace,
    dataset: str,
    configuration: str,
    fold: str,
    fields: Sequence[str],
    words: Sequence[str],
    *,
    overwrite: bool = False,
    only_write: bool = False,
) -> list[Path]:
    """Write a job file for each fold meant by `fold` and hand it in; return the files.

    `fields` are "partition=gpu", "time=04:00:00": lines of the header; `words` are the options of
    `autoseg_train` to repeat. A job that runs out of time saves and hands itself in again; it
    overwrites what is there, if that is wanted, when it first begins.
    Files lie in `<workspace>/jobs/`, logs in `<workspace>/logs/<job>/`. Raises UsageError for a
    field that is none, ResourceError where `sbatch` is not there, with the files written, or
    refuses one.
    """
    header = HEADER | dict(_split(field) for field in fields)
    path = workspace.folds(dataset)
    plain, seed = split_member(fold)
    folds = [FULL] if plain == FULL else [*choose_folds(plain, load_folds(path), str(path))]
    folds = [fold] if seed is not None else folds
    written = []
    for one in folds:
        name = re.sub(r"[^\w.-]", "_", f"{dataset}-{configuration}-{one}")
        # SLURM does not make the folder of a log, and loses the log without it.
        (workspace.root / "logs" / name).mkdir(parents=True, exist_ok=True)
        command = shlex.join(["autoseg_train", configuration, one, "-d", dataset, *words])
        path = workspace.root / "jobs" / f"{name}.sh"
        path.parent.mkdir(exist_ok=True)
        write_text(path, job_text(name, header, command, workspace.root, overwrite))
        written.append(path)
    if not only_write:
        _hand_in(written)
    return written


def job_text(
    name: str, header: dict[str, str], command: str, folder: Path, overwrite: bool = False
) -> str:
    """Return the job file of one training."""
    fields = {
        "job-name": name,
        **header,
        "output": LOGS,
        "open-mode": "append",
        "chdir": str(folder.resolve()),
        "signal": f"B:USR1@{SAVE_BEFORE_S}",
    }
    before = []
    if overwrite:
        command += " $overwrite"
        before = [
            "overwrite=--overwrite",
            '[ -z "$SLURM_RESTART_COUNT" ] || overwrite=  # it was handed in again, and goes on',
        ]
    return "\n".join(
        [
            "#!/bin/bash",
            *(f"#SBATCH --{field}={value}" for field, value in fields.items()),
            "",
            *before,
            "# Bash heeds a signal only between commands, or while it waits.",
            f"{command} &",
            "training=$!; trap 'kill -USR1 $training' USR1",
            "wait $training  # or until the signal",
            "wait $training; code=$?",
            f'if [ $code -eq {STOPPED} ]; then scontrol requeue "$SLURM_JOB_ID"; fi',
            "exit $code",
            "",
        ]
    )


def _split(field: str) -> tuple[str, str]:
    name, separator, value = field.partition("=")
    if not separator or not FIELD.fullmatch(name) or not value or "\n" in value:
        raise UsageError(f"--slurm {field}", expected="for example partition=gpu time=04:00:00")
    return name, value


def _hand_in(files: Sequence[Path]) -> None:
    sbatch = shutil.which("sbatch")
    if sbatch is None:
        raise ResourceError(
            f"sbatch is not on this machine; {len(files)} job files are written",
            place=str(files[0].parent),
            remedy="hand them in where it is, or add --print",
        )
    for path in files:
        done = subprocess.run([sbatch, str(path)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ResourceError(
                f"sbatch refused the job: {done.stderr.strip()[:300]}",
                place=str(path),
                remedy="correct the fields after --slurm",
            )
        log.info("%s: %s", path.name, done.stdout.strip())
