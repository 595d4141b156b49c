"""Parts of a run: disjoint and covering, side by side in one folder, together the same as one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autoseg.dataset import Case
from autoseg.errors import LockedError, PartlyDone, UsageError
from autoseg.locks import locked
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_parts import Part, part_locked
from autoseg.workflows.predict_record import FAILED, FINAL, PARTS
from tests.workflows.test_predict import images, names, workspace, write_scan

ROOT = Path(__file__).parents[2]
__all__ = ["images", "workspace"]  # fixtures


@pytest.mark.parametrize("parts", [1, 2, 3, 7, 20])
def test_parts_are_disjoint_and_cover_everything(parts):
    cases = [Case(str(number), ()) for number in range(13)]
    shares = [Part(number, parts).share(cases) for number in range(parts)]
    assert sorted(case.id for share in shares for case in share) == sorted(c.id for c in cases)
    sizes = [len(share) for share in shares]
    assert max(sizes) - min(sizes) <= 1


def run(workspace, images, out, part, parts=3, **options):
    return predict(workspace, images, out, parts=parts, part=part, **options)


def test_the_last_part_leaves_the_folder_of_a_run_in_one_piece(workspace, images, tmp_path):
    write_scan(images / "case_9.nii.gz", 9)
    predict(workspace, images, tmp_path / "whole")
    for part in (2, 0):
        manifest = run(workspace, images, tmp_path / "out", part)
        assert not (tmp_path / "out" / FINAL).exists()
    assert list(manifest["cases"]) == ["case_0", "case_9"]
    run(workspace, images, tmp_path / "out", 1)
    assert names(tmp_path / "out") == names(tmp_path / "whole")
    for name in names(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    with pytest.raises(UsageError, match="holds a finished prediction"):
        run(workspace, images, tmp_path / "out", 1)


def test_more_parts_than_cases_leave_some_with_nothing_to_do(workspace, images, tmp_path):
    for part in range(5):
        run(workspace, images, tmp_path / "out", part, parts=5)
    assert len(json.loads((tmp_path / "out" / FINAL).read_text())["cases"]) == 3


def test_parts_run_at_the_same_time_and_are_killed_and_continued(workspace, images, tmp_path):
    for number in range(3, 10):
        write_scan(images / f"case_{number}.nii.gz", number)
    predict(workspace, images, tmp_path / "whole")
    out = tmp_path / "out"
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-i", str(images), "-o", str(out)]
    command += ["-w", str(workspace.root), "--parts", "2", "--part"]
    runs = [subprocess.Popen([*command, k], cwd=ROOT, stderr=subprocess.DEVNULL) for k in "01"]
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and runs[0].poll() is None and not list(out.glob("case_*")):
        time.sleep(0.01)
    os.kill(runs[0].pid, signal.SIGKILL)
    assert runs[1].wait() == 0
    killed = runs[0].wait() != 0
    assert killed == (not (out / FINAL).exists())
    if killed:
        run(workspace, images, out, 0, parts=2)
    assert names(out) == names(tmp_path / "whole")
    for name in names(tmp_path / "whole"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_part_with_a_bad_case_is_tried_again_by_itself(workspace, images, tmp_path):
    out, bad = tmp_path / "out", images / "case_1.nii.gz"
    good = bad.read_bytes()
    bad.write_bytes(good[:2000])
    run(workspace, images, out, 0)
    with pytest.raises(PartlyDone, match="1 of 1 cases failed: case_1"):
        run(workspace, images, out, 1)
    run(workspace, images, out, 2)
    assert json.loads((out / FINAL).read_text())["failed"] == ["case_1"]
    assert "cut short" in json.loads((out / FAILED).read_text())["case_1"]
    with pytest.raises(UsageError, match="part 2 of 3 is finished -> run the parts"):
        run(workspace, images, out, 2)
    with pytest.raises(UsageError, match=r"in parts that is not finished -> run the parts"):
        predict(workspace, images, out)
    bad.write_bytes(good)
    run(workspace, images, out, 1)
    assert json.loads((out / FINAL).read_text())["failed"] == []
    assert names(out) == [f"case_{n}.nii.gz" for n in range(3)] + [FINAL]


def test_a_part_that_was_killed_before_the_whole_was_written_is_not_lost(
    workspace, images, tmp_path, monkeypatch
):
    from autoseg.workflows import predict_parts

    out = tmp_path / "out"
    run(workspace, images, out, 0, parts=2)
    with monkeypatch.context() as patch:
        patch.setattr(predict_parts, "_merge", lambda *_: None)
        run(workspace, images, out, 1, parts=2)
    assert not (out / FINAL).exists()
    with pytest.raises(UsageError, match="part 1 of 2 is finished"):
        run(workspace, images, out, 1, parts=2)
    assert len(json.loads((out / FINAL).read_text())["cases"]) == 3


def test_parts_of_different_runs_do_not_mix(workspace, images, tmp_path):
    out = tmp_path / "out"
    run(workspace, images, out, 0)
    with pytest.raises(UsageError, match="parts of a run with other models, settings"):
        run(workspace, images, out, 1, speed="fast")
    with pytest.raises(UsageError, match="or number of parts"):
        run(workspace, images, out, 1, parts=4)
    write_scan(images / "case_7.nii.gz")
    with pytest.raises(UsageError, match="cases or number"):
        run(workspace, images, out, 1)
    # In one piece, and on purpose: what the parts wrote is replaced.
    predict(workspace, images, out, overwrite=True)
    assert names(out) == [*(f"case_{n}.nii.gz" for n in (0, 1, 2, 7)), FINAL]


def test_nothing_is_made_in_a_folder_of_somebody_else(workspace, images, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"not empty.*thesis\.txt"):
        run(workspace, images, tmp_path / "mine", 0)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_part_is_locked_against_itself_and_the_folder_against_a_whole_run(
    workspace, images, tmp_path
):
    out = tmp_path / "out"
    with part_locked(out, Part(0, 3), ""):
        with pytest.raises(LockedError, match="in use"):
            run(workspace, images, out, 0)
        with pytest.raises(LockedError, match="in use"):
            predict(workspace, images, out)
        run(workspace, images, out, 1)
    with locked(tmp_path / "whole"), pytest.raises(LockedError):
        run(workspace, images, tmp_path / "whole", 0)
    assert not (tmp_path / "whole" / PARTS).exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"parts": 2}, r"belong together -> add --part K"),
        ({"part": 2}, r"belong together -> add --parts N"),
        ({"parts": 0, "part": 0}, "--parts 0, expected 1 or more"),
        ({"parts": 3, "part": 3}, "--part 3 of --parts 3, expected 0 to 2"),
        ({"parts": 3, "part": 0, "overwrite": True}, "what other parts write"),
    ],
)
def test_nonsense_is_refused(workspace, images, tmp_path, options, match):
    with pytest.raises(UsageError, match=match):
        predict(workspace, images, tmp_path / "out", **options)


def test_one_file_has_no_parts(workspace, images, tmp_path):
    with pytest.raises(UsageError, match="one file cannot be shared out"):
        run(workspace, images / "case_0.nii.gz", tmp_path / "seg.nii.gz", 0)
