"""Job files for SLURM: their header, what they run, what a signal does, and handing them in."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

import pytest

from autoseg.cli import main
from autoseg.errors import ResourceError, UsageError
from autoseg.workflows.jobs import make_jobs
from autoseg.workspace import Workspace
from tests.workflows.prepared import make_workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return make_workspace(tmp_path / "w s")


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH for programs that are not on this machine."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def program(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(f"#!/bin/bash\n{text}\n")
    (folder / name).chmod(0o755)


def test_each_fold_has_a_file_with_its_header_and_a_folder_for_its_log(workspace: Workspace):
    fields = ["partition=gpu_a100", "gpus=1", "time=01:00:00"]
    words = ["--set", "loss=0.5*dice+ce", "network=enet"]
    files = make_jobs(workspace, "BALLS", "2d", "all", fields, words, only_write=True)
    assert [path.name for path in files] == [f"BALLS-2d-{fold}.sh" for fold in range(5)]
    lines = files[3].read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    assert {
        "#SBATCH --job-name=BALLS-2d-3", "#SBATCH --partition=gpu_a100", "#SBATCH --gpus=1",
        "#SBATCH --time=01:00:00", "#SBATCH --ntasks=1", "#SBATCH --cpus-per-task=8",
        "#SBATCH --output=logs/%x/%j_%x.log", f"#SBATCH --chdir={workspace.root}",
    } <= set(lines)  # fmt: skip
    assert "autoseg_train 2d 3 -d BALLS --set 'loss=0.5*dice+ce' network=enet &" in lines
    assert (workspace.root / "logs" / "BALLS-2d-3").is_dir()
    (full,) = make_jobs(workspace, "BALLS", "2d", "full", [], [], only_write=True)
    assert full.name == "BALLS-2d-full.sh"


@pytest.mark.parametrize(
    "field", ["partition", "=x", "time=", "Time=1", "a=b\n#SBATCH --x=y", "-t"]
)
def test_a_field_that_is_none_is_answered(workspace: Workspace, field: str):
    with pytest.raises(UsageError, match=r"(?s)--slurm .*expected for example partition=gpu"):
        make_jobs(workspace, "BALLS", "2d", "0", [field], [])
    assert not (workspace.root / "jobs").exists()


def test_jobs_are_handed_in_one_by_one(workspace: Workspace, programs: Path, caplog):
    program(programs, "sbatch", 'echo "Submitted batch job 7 $(basename "$1")"')
    caplog.set_level("INFO", "autoseg")
    make_jobs(workspace, "BALLS", "2d", "all", [], [])
    assert caplog.messages[4] == "BALLS-2d-4.sh: Submitted batch job 7 BALLS-2d-4.sh"
    program(programs, "sbatch", "echo invalid partition >&2; exit 1")
    with pytest.raises(ResourceError, match="sbatch refused the job: invalid partition"):
        make_jobs(workspace, "BALLS", "2d", "0", [], [])


def test_without_sbatch_the_files_are_left_and_that_is_said(workspace: Workspace, monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ResourceError, match="sbatch is not on this machine; 5 job files are writ"):
        make_jobs(workspace, "BALLS", "2d", "all", [], [])
    assert len(list((workspace.root / "jobs").iterdir())) == 5


@pytest.mark.parametrize(("code", "again"), [(75, True), (0, False), (3, False)])
def test_a_job_at_the_end_of_its_time_saves_and_is_handed_in_again(
    workspace: Workspace, programs: Path, tmp_path: Path, code: int, again: bool
):
    said, started = tmp_path / "said", tmp_path / "started"
    saving = f"trap 'sleep 0.2; echo saved > {said}; exit {code}' USR1"
    program(programs, "autoseg_train", f"{saving}; touch {started}; while :; do sleep 0.05; done")
    program(programs, "scontrol", f'echo "$@" >> {said}')
    (path,) = make_jobs(workspace, "BALLS", "2d", "0", [], [], only_write=True)
    job = subprocess.Popen(["bash", str(path)], env={**os.environ, "SLURM_JOB_ID": "42"})
    while not started.exists():
        time.sleep(0.02)
    time.sleep(0.1)
    job.send_signal(signal.SIGUSR1)
    assert job.wait(timeout=20) == code
    assert said.read_text() == "saved\n" + "requeue 42\n" * again


def test_a_job_that_is_handed_in_again_does_not_overwrite_what_it_saved(
    workspace: Workspace, programs: Path, tmp_path: Path
):
    said = tmp_path / "said"
    program(programs, "autoseg_train", f'echo "$@" >> {said}')
    (path,) = make_jobs(workspace, "BALLS", "2d", "0", [], [], overwrite=True, only_write=True)
    for restarts in ({}, {"SLURM_RESTART_COUNT": "1"}):
        subprocess.run(["bash", str(path)], env={**os.environ, **restarts}, check=True)
    assert said.read_text() == "2d 0 -d BALLS --overwrite\n2d 0 -d BALLS\n"


def test_a_further_seed_of_a_fold_is_a_job_of_its_own(workspace: Workspace):
    (path,) = make_jobs(workspace, "BALLS", "2d", "0-seed3", [], [], only_write=True)
    assert "autoseg_train 2d 0-seed3 -d BALLS &" in path.read_text().splitlines()
    with pytest.raises(UsageError, match="there is no fold '9'"):
        make_jobs(workspace, "BALLS", "2d", "9-seed3", [], [], only_write=True)


def test_the_command_writes_files_with_every_option_that_shapes_the_training(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    words = ["train", "3d_fullres", "1", "-w", str(workspace.root), "--budget", "2h", "--size", "S"]
    words += ["--seed", "4", "5", "--set", "loss=ce", "--slurm", "partition=gpu", "--print"]
    assert main(words) == 0
    (path,) = (workspace.root / "jobs").iterdir()
    said = (
        "autoseg_train 3d_fullres 1 -d BALLS --size S --budget 2h --seed 4 5 --set seed=4 loss=ce &"
    )
    assert said in path.read_text().splitlines()
    assert capsys.readouterr().out.startswith(f"{path}:\n#!/bin/bash\n#SBATCH --job-name=BALLS-")
    assert main([*words[:4], "--set", "los=ce", "--slurm", "--print"]) == 2
    for given, named in (("imagenet", "imagenet"), ("prepared#0", f"{workspace.root}/prepared#0")):
        monkeypatch.chdir(workspace.root)
        assert main([*words, "--weights", given]) == 0
        assert shlex.join(["--weights", named]) in path.read_text()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("loss=cee", "unknown loss 'cee'"),
        ("optimizer=sdg", "unknown optimizer 'sdg'"),
        ("network=enett", "unknown network 'enett'"),
    ],
)
def test_a_setting_that_means_nothing_is_refused_before_a_job_is_written(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], setting: str, words: str
):
    where = ["-d", "BALLS", "-w", str(workspace.root)]
    assert main(["train", "3d_fullres", "0", *where, "--slurm", "--set", setting]) == 2
    assert words in capsys.readouterr().err
    assert not (workspace.root / "jobs").exists()
