"""Three steps of a case beside those of its neighbours: order, errors, how much waits."""

import threading
import time

import pytest

from autoseg.overlapping import overlapped
from autoseg.progress import Count


def test_three_items_are_worked_on_at_once_and_their_order_is_kept():
    """Each step of item n waits for its neighbours: without the overlap it would wait for ever."""
    meets = {number: threading.Barrier(3, timeout=10) for number in (1, 2)}

    def before(number):
        if number >= 2:
            meets[number - 1].wait()
        return number + 0.5

    def during(number, ready):
        assert ready == number + 0.5
        if number in meets:
            meets[number].wait()
        return number * 2

    def after(number, made):
        assert made == number * 2
        if number < 2:
            meets[number + 1].wait()
        return number**2

    outcomes = list(overlapped(before, during, after, [0, 1, 2, 3]))
    assert [outcome.result() for outcome in outcomes] == [0, 1, 4, 9]


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_any_step_is_the_outcome_of_its_item_alone(threads):
    def fail_on(wrong):
        def step(number, *more):
            if number == wrong:
                raise ValueError(f"item {number}")
            return number

        return step

    steps = [fail_on(wrong) for wrong in (1, 3, 5)]
    outcomes = list(overlapped(*steps, range(7), threads=threads))
    assert [outcome.item for outcome in outcomes] == list(range(7))
    assert [outcome.value for outcome in outcomes] == [0, None, 2, None, 4, None, 6]
    assert [str(outcome.error) for outcome in outcomes[1::2]] == ["item 1", "item 3", "item 5"]
    assert list(overlapped(*steps, [])) == []


def test_an_item_that_fails_while_worked_on_is_told_before_the_next_one_is_begun():
    worked = []

    def during(number, ready):
        worked.append(number)
        if number == 1:
            raise ValueError("stop")

    outcomes = overlapped(str, during, lambda *_: None, range(10))
    assert next(outcomes).error is None
    assert str(next(outcomes).error) == "stop"
    outcomes.close()
    assert worked == [0, 1]


def test_one_item_ahead_and_one_behind_is_all_that_waits():
    ready, ended, most = [], [], []

    def before(number):
        ready.append(number)
        return number

    def during(number, _):
        time.sleep(0.01)
        most.append((len(ready) - number, number - len(ended)))

    def after(number, _):
        time.sleep(0.02)
        ended.append(number)

    list(overlapped(before, during, after, range(8)))
    assert max(ahead for ahead, _ in most) <= 2  # itself and the next one
    assert max(behind for _, behind in most) <= 1


def test_one_thread_beside_ends_an_item_before_it_begins_another():
    order, threads = [], set()

    def note(step):
        def do(number, *_):
            order.append((step, number))
            threads.add(threading.current_thread().name)

        return do

    list(
        overlapped(note("before"), lambda *_: time.sleep(0.02), note("after"), range(4), threads=1)
    )
    assert len(threads) == 1
    assert order == [("before", 0), ("before", 1), *(
        (step, number) for n in range(2) for step, number in (("after", n), ("before", n + 2))
    ), ("after", 2), ("after", 3)]  # fmt: skip


def test_overlapped_work_can_be_left_early():
    done = []
    outcomes = overlapped(done.append, lambda *_: None, lambda *_: None, range(100))
    next(outcomes)
    outcomes.close()
    assert len(done) < 10


def test_an_item_counts_as_soon_as_it_has_been_worked_on():
    count, seen = Count("squares", 3), []

    def during(*_):
        seen.append(count.done)

    assert len(list(overlapped(str, during, lambda *_: None, range(3), count=count))) == count.done
    assert seen == [0, 1, 2]
