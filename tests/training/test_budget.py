"""Laws of budgets: what their words mean, and that promises about time are kept."""

from __future__ import annotations

import pytest

from autoseg.errors import UsageError
from autoseg.training.budget import Budget, Length, Pace, parse_budget


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("40s", Budget(seconds=40)),
        ("30m", Budget(seconds=1800)),
        ("8h", Budget(seconds=28800)),
        ("1.5h", Budget(seconds=5400)),
        ("200epochs", Budget(epochs=200)),
        ("1 epoch", Budget(epochs=1)),
        (None, Budget()),
    ],
)
def test_budgets_are_times_or_epochs(text: str | None, budget: Budget):
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "20", "m", "0s", "1.5epochs", "-3h", "20 minutes please"])
def test_anything_else_is_refused_with_examples(text: str):
    with pytest.raises(UsageError, match='for example "40s", "30m"'):
        parse_budget(text)


def test_progress_runs_from_zero_to_one():
    assert [Length(4).progress(step) for step in range(5)] == [0, 0.25, 0.5, 0.75, 1]
    assert Length(4).progress(9) == 1


def test_a_new_plan_goes_on_where_progress_is_and_still_ends_at_one():
    length = Length(100).replanned(50, 60)
    assert length.progress(50) == 0.5
    assert length.progress(55) == pytest.approx(0.75)
    assert length.progress(60) == 1
    assert Length(100).replanned(50, 20).steps == 51


class Machine:
    """A clock that a simulated training moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def simulate(pace: Pace, machine: Machine, length: Length, seconds_of_step) -> Length:
    step = 0
    while step < length.steps:
        machine.now += seconds_of_step(step)
        step += 1
        if pace.is_due(step):
            length = pace.look(step, length) or length
    return length


@pytest.mark.parametrize(
    ("name", "seconds_of_step"),
    [
        ("as estimated", lambda step: 1.0),
        ("three times slower", lambda step: 3.0),
        ("five times faster", lambda step: 0.2),
        ("slower half way", lambda step: 1.0 if step < 150 else 2.5),
        ("warming up", lambda step: 10.0 if step == 0 else 1.0),
        ("uneven", lambda step: (0.5, 0.5, 2.0)[step % 3]),
    ],
)
def test_training_ends_within_four_per_cent_of_the_deadline(name: str, seconds_of_step):
    machine = Machine()
    pace = Pace(300.0, 300.0, step_seconds=1.0, clock=machine)
    length = simulate(pace, machine, Length(pace.steps_in_time(0)), seconds_of_step)
    assert machine.now == pytest.approx(300, rel=0.04), name
    assert length.progress(length.steps) == 1


def test_a_deadline_that_is_revised_late_is_met():
    machine, asked = Machine(), []

    def revise() -> float:
        asked.append(machine.now)
        return 350.0

    pace = Pace(300.0, 400.0, step_seconds=1.0, clock=machine, revise=revise)
    simulate(pace, machine, Length(300), lambda step: 1.0)
    assert len(asked) == 1
    assert 200 <= asked[0] <= 225
    assert machine.now == pytest.approx(350, abs=8)


def test_without_a_deadline_nothing_is_ever_changed():
    machine = Machine()
    pace = Pace(None, None, clock=machine)
    assert simulate(pace, machine, Length(50), lambda step: 100.0) == Length(50)


def test_a_training_that_is_out_of_time_still_anneals():
    machine = Machine()
    machine.now = 400.0
    pace = Pace(300.0, 300.0, step_seconds=1.0, clock=machine)
    length = Length(2000).replanned(1000, 1500)
    for step in range(1000, 1000 + 7):
        machine.now += 2.0
        length = (pace.look(step, length) if pace.is_due(step) else None) or length
    # 2 % of the steps that were done, granted at the first look and never again.
    assert length.steps == 1005 + 20
    assert length.progress(length.steps) == 1


def test_a_machine_that_slows_down_at_the_end_does_not_move_the_deadline_for_ever():
    machine = Machine()
    pace = Pace(300.0, 300.0, step_seconds=1.0, clock=machine)
    simulate(pace, machine, Length(300), lambda step: 1.0 if step < 250 else 8.0)
    assert machine.now < 300 * 1.08


def test_the_end_of_all_stays_where_it_is_when_the_deadline_is_moved():
    now = [0.0]
    pace = Pace(80.0, 100.0, 1.0, clock=lambda: now[0], revise=lambda: 70.0, after_s=20.0)
    pace.is_due(0)
    now[0] = 60.0
    pace.look(60, Length(80))
    assert (pace.deadline, pace.after_s) == (70.0, 30.0)
    assert pace.foresee() == 0.0


def test_without_a_deadline_what_follows_is_measured_once():
    now, asked = [0.0], []

    def measure():
        asked.append(now[0])
        now[0] += 5.0
        return 40.0

    pace = Pace(None, None, clock=lambda: now[0], foresee=measure)
    assert (pace.after_s, pace.foresee(), pace.foresee()) == (0.0, 5.0, 0.0)
    assert (pace.after_s, asked) == (40.0, [0.0])
