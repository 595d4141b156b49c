"""A budget for each case: the most that fits is chosen, said, written down, and kept to."""

from __future__ import annotations

import json

import pytest

from autoseg.errors import UsageError
from autoseg.image import Geometry
from autoseg.inference.effort import efforts
from autoseg.workflows import predict_budget
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_record import FINAL
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle
from tests.workflows.test_predict import names, write_scan


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "bundle", ("0", "1", "2"))


@pytest.fixture
def scans(tmp_path):
    write_scan(tmp_path / "in" / "small.nii.gz", 1, Geometry((16, 24, 16)))
    write_scan(tmp_path / "in" / "wide.nii.gz", 2, Geometry((16, 24, 80)))
    return tmp_path / "in"


def run(tmp_path, scans, out, bundle, budget, **options):
    return predict(Workspace(tmp_path), scans, out, bundles=[bundle], budget=budget, **options)


@pytest.fixture
def pace(monkeypatch):
    """Set the time that networks take: seconds for a tile of 16 x 24 x 16, for ever."""

    def setting(seconds):
        voxel = seconds / (16 * 24 * 16)
        monkeypatch.setattr(predict_budget, "seconds_per_voxel", lambda predictor: voxel)
        monkeypatch.setattr(predict_budget.Budget, "learn", lambda *_: None)

    return setting


def test_a_generous_budget_changes_nothing_but_is_written_down(bundle, scans, tmp_path):
    plain = predict(Workspace(tmp_path), scans, tmp_path / "a", bundles=[bundle], speed="accurate")
    manifest = run(tmp_path, scans, tmp_path / "b", bundle, "10m")
    assert manifest["budget_s"] == 600
    assert manifest == json.loads((tmp_path / "b" / FINAL).read_text())
    for name, case in manifest["cases"].items():
        assert case["sha256"] == plain["cases"][name]["sha256"]
        assert case["effort"] == {
            "folds": [["0", "1", "2"]], "mirror": "all", "step": 0.5, "longer_tiles": False,
        }  # fmt: skip


def test_with_a_budget_a_case_is_written_before_the_next_one_begins(
    bundle, scans, tmp_path, pace, monkeypatch
):
    pace(0.001)
    choose, there = predict_budget.Budget.choose, []

    def look(self, *args):
        there.append(sorted(path.name for path in (tmp_path / "out").glob("*.nii.gz")))
        return choose(self, *args)

    monkeypatch.setattr(predict_budget.Budget, "choose", look)
    run(tmp_path, scans, tmp_path / "out", bundle, "10m")
    assert there == [[], ["small.nii.gz"]]


def test_a_large_case_gets_less_than_a_small_one_and_both_are_told(
    bundle, scans, tmp_path, pace, caplog
):
    caplog.set_level("INFO", "autoseg")
    pace(1.0)  # small: 1 tile x 8 images x 3 folds = 24 s; wide: 9 tiles at half overlap
    manifest = run(tmp_path, scans, tmp_path / "out", bundle, "40s")
    small, wide = (manifest["cases"][name]["effort"] for name in ("small", "wide"))
    assert (small["mirror"], small["step"], len(small["folds"][0])) == ("all", 0.5, 3)
    assert (wide["mirror"], wide["step"], len(wide["folds"][0])) == ("half", 0.5, 1)
    assert "at most 40 s a case, and speed accurate" in caplog.text
    assert "from small on, about 24" in caplog.text
    assert "from wide on, about 36" in caplog.text
    assert "fold 0, every other mirror image averaged" in caplog.text
    assert names(tmp_path / "out") == [FINAL, "small.nii.gz", "wide.nii.gz"]


def test_the_speed_is_the_most_that_is_done(bundle, scans, tmp_path, pace):
    pace(0.001)
    manifest = run(tmp_path, scans, tmp_path / "out", bundle, "40s", speed="fast")
    assert {case["effort"]["mirror"] for case in manifest["cases"].values()} == {"off"}


def test_the_least_is_done_with_a_warning_when_nothing_fits(bundle, scans, tmp_path, pace, caplog):
    pace(100.0)
    manifest = run(tmp_path, scans, tmp_path / "out", bundle, "40s")
    assert "small: expected to take 100 s, more than the budget of 40 s, though no" in caplog.text
    efforts_ = [case["effort"] for case in manifest["cases"].values()]
    assert [effort["folds"] for effort in efforts_] == [[["0"]], [["0"]]]


def test_named_folds_and_settings_are_kept(bundle, scans, tmp_path, pace):
    pace(100.0)
    manifest = run(tmp_path, scans, tmp_path / "out", bundle, "40s", folds=["1", "2"],
                   settings=["mirror=half"])  # fmt: skip
    for case in manifest["cases"].values():
        assert (case["effort"]["folds"], case["effort"]["mirror"]) == ([["1", "2"]], "half")


@pytest.mark.parametrize("budget", ["200epochs", "0s", "soon"])
def test_a_budget_is_a_time(bundle, scans, tmp_path, budget):
    with pytest.raises(UsageError, match=f"--budget {budget}"):
        run(tmp_path, scans, tmp_path / "out", bundle, budget)


def test_a_run_of_another_budget_is_another_run(bundle, scans, tmp_path):
    (scans / "bad.nii.gz").write_bytes(b"broken")
    for budget in ("10m", "9m"):
        with pytest.raises(Exception, match=r"1 of 3|other models or settings") as caught:
            run(tmp_path, scans, tmp_path / "out", bundle, budget)
    assert isinstance(caught.value, UsageError)


def test_the_pace_follows_what_cases_take():
    from autoseg.config import PredictConfig

    ladder = efforts(PredictConfig(speed="fast"), 1)
    budget = predict_budget.Budget(10.0, ladder, ((),), (("0",),), pace=[1.0, 3.0])
    expected = predict_budget.WithinBudget(ladder[0], (), seconds=4.0)
    budget.learn(expected, networks_s=8.0, beside_s=2.0, voxels=100)
    assert budget.pace == [1.5, 4.5]
    assert budget.beside == pytest.approx(0.02)
    budget.learn(expected, networks_s=4.0, beside_s=4.0, voxels=100)
    assert budget.pace == [1.5, 4.5]
    assert budget.beside == pytest.approx(0.03)
