"""The store of a search: what it proposes, that it forgets nothing, when it ends a trial early."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

from autoseg.errors import CorruptError, ResourceError
from autoseg.training.search_space import combinations, parse_space
from autoseg.training.study import (
    BLIND,
    COMPLETE,
    FAILED,
    JOURNAL,
    PRUNED,
    RUNNING,
    STARTUP,
    WAITING,
    Study,
    Tried,
    best_of,
)

SPACE = parse_space(["loss=dice_ce/ce/dice", "batch_size=2..8", "learning_rate=log:1e-4..1e-2"])
pytest.importorskip("optuna", reason="it proposes what is tried: pip install 'autoseg[search]'")


def score_of(trial: Tried) -> float:
    """Any function of the settings."""
    return float(trial.values["batch_size"]) / 10 + float(trial.values["learning_rate"])


def test_a_search_that_is_opened_again_proposes_what_it_would_have_proposed(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = Study(tmp_path / "a", SPACE, seed=3)
    for _ in range(STARTUP + 4):
        trial = whole.take_up(whole.ask())
        whole.finish(trial.number, COMPLETE, score_of(trial))
        again = Study(tmp_path / "b", SPACE, seed=3)
        other = again.take_up(again.ask())
        again.finish(other.number, COMPLETE, score_of(other))
    assert Study(tmp_path / "b", SPACE).tried() == whole.tried()
    assert len({str(trial.values) for trial in whole.tried()}) == STARTUP + 4


@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_the_first_trials_try_every_part_of_every_range(tmp_path: Path, seed: int):
    space = parse_space(["learning_rate=log:1e-4..1e-2", "ema=0..1", "loss=dice_ce/ce"])
    study = Study(tmp_path, space, seed=seed)
    tried = [study.take_up(study.ask()).values for _ in range(STARTUP)]
    rates = sorted(math.log10(float(values["learning_rate"])) for values in tried)
    shares = sorted(float(values["ema"]) for values in tried)
    for part in range(STARTUP):
        assert part / STARTUP <= (rates[part] + 4) / 2 <= (part + 1) / STARTUP
        assert part / STARTUP <= shares[part] <= (part + 1) / STARTUP
    assert {values["loss"] for values in tried} == {"dice_ce", "ce"}


def test_values_lie_in_their_ranges_and_after_some_trials_nearer_to_the_best(tmp_path: Path):
    study = Study(tmp_path, SPACE)
    for _ in range(40):
        trial = study.take_up(study.ask())
        study.finish(trial.number, COMPLETE, score_of(trial))
    sizes = [int(trial.values["batch_size"]) for trial in study.tried()]
    rates = [float(trial.values["learning_rate"]) for trial in study.tried()]
    assert set(sizes) <= set(range(2, 9))
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    assert sum(sizes[20:]) / 20 > 1 + sum(sizes[:STARTUP]) / STARTUP
    assert study.tried()[-1].state == COMPLETE  # nobody waits in line


def test_a_grid_stands_in_line_once_and_is_tried_in_order(tmp_path: Path):
    space = parse_space(["loss=dice/ce", "batch_size=2/4"])
    every = combinations(space)
    Study(tmp_path, space).put_in_line(every[:3])  # and was killed
    study = Study(tmp_path, space)
    study.put_in_line(every)
    study.put_in_line(every)
    assert [trial.values for trial in study.tried()] == every
    assert {trial.state for trial in study.tried()} == {WAITING}
    assert [study.take_up(study.ask()).values for _ in every] == every


def test_a_trial_that_another_process_left_keeps_its_values_and_what_is_noted(tmp_path: Path):
    study = Study(tmp_path, SPACE)
    number = study.ask()
    study.note(number, begun=1, seconds=4.5)
    left = Study(tmp_path, SPACE).take_up(number)
    assert left == study.tried()[0]
    assert (left.number, left.state, left.begun, left.seconds) == (1, RUNNING, 1, 4.5)
    assert set(left.values) == {"loss", "batch_size", "learning_rate"}


@pytest.mark.parametrize(("pruner", "ends"), [("median", True), ("none", False)])
def test_a_trial_below_the_median_ends_once_enough_is_known(
    tmp_path: Path, pruner: str, ends: bool
):
    study = Study(tmp_path, SPACE, pruner=pruner)
    for n in range(STARTUP):
        number = study.ask()
        told = [study.report(number, look, 0.5 + n / 100) for look in (1, BLIND, BLIND + 1)]
        assert not any(told)
        study.finish(number, COMPLETE, 0.8)
    number = study.ask()
    assert not study.report(number, 1, 0.1)
    assert not study.report(number, BLIND, 0.1)
    assert study.report(number, BLIND + 1, 0.1) is ends
    assert not study.report(study.ask(), BLIND + 1, 0.6)
    study.finish(number, PRUNED)
    assert study.tried()[number - 1].score is None


def test_halving_keeps_the_best_third(tmp_path: Path):
    study = Study(tmp_path, SPACE, pruner="halving")
    ended = [study.report(study.ask(), BLIND, value) for value in (0.9, 0.2, 0.1)]
    assert ended == [False, True, True]


def test_the_best_is_the_earlier_one_of_equals_and_was_trained_to_its_end():
    tried = [
        Tried(1, FAILED, {}), Tried(2, COMPLETE, {}, 0.7), Tried(3, COMPLETE, {}, 0.8),
        Tried(4, COMPLETE, {}, 0.8), Tried(5, PRUNED, {}),
    ]  # fmt: skip
    assert best_of(tried) == tried[2]
    assert best_of(tried[:1]) is None


def test_a_damaged_journal_is_told(tmp_path: Path):
    Study(tmp_path, SPACE).ask()
    path = tmp_path / JOURNAL
    path.write_text("not JSON\n" + path.read_text())
    with pytest.raises(CorruptError, match=r"journal.log: is damaged .*--overwrite begins"):
        Study(tmp_path, SPACE)


def test_without_optuna_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ResourceError, match=r"needs Optuna.*pip install 'autoseg\[search\]'"):
        Study(tmp_path, SPACE)
