"""Many cases at once: in order, failures kept apart, killed workers named."""

import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from autoseg.errors import DataError, Problem, ResourceError, UsageError
from autoseg.parallel import map_cases, overlapped
from autoseg.progress import Count
from autoseg.registry import resolve


def square(number):
    return number * number


def trouble(number):
    if number == 2:
        raise DataError("bad", problems=[Problem("a", "b")])
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 4:
        raise ZeroDivisionError("oops")
    return number * number


def test_a_plain_loop_keeps_order_and_errors():
    outcomes = list(map_cases(trouble, [0, 1, 2, 4, 5], title="squares"))
    assert [outcome.item for outcome in outcomes] == [0, 1, 2, 4, 5]
    assert [outcome.value for outcome in outcomes] == [0, 1, None, None, 25]
    assert str(outcomes[2].error).endswith("2: bad")
    with pytest.raises(ZeroDivisionError):
        outcomes[3].result()


def call_own(number):
    return resolve("normaliser", "tests.failing:fail", {})(number)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_fails_in_a_function_of_the_users_own_is_told_from_any_process(workers):
    outcomes = list(map_cases(call_own, [1, 2], workers=workers))
    for outcome in outcomes:
        assert isinstance(outcome.error, UsageError)
        assert outcome.error.place.endswith("failing.py, line 5")
        assert outcome.error.fact == "normaliser 'tests.failing:fail' failed: KeyError: 'nothing'"


def test_workers_give_the_same_and_a_killed_one_costs_only_its_case():
    outcomes = list(map_cases(trouble, range(8), workers=2))
    assert [outcome.value for outcome in outcomes] == [0, 1, None, None, None, 25, 36, 49]
    assert isinstance(outcomes[2].error, DataError)
    assert outcomes[2].error.problems == (Problem("a", "b"),)
    assert isinstance(outcomes[3].error, ResourceError)
    assert "killed by the operating system" in str(outcomes[3].error)
    assert "trouble" in str(outcomes[4].error.__cause__)  # the worker's traceback travels along


def test_any_executor_will_do_and_stays_open():
    with ThreadPoolExecutor(2) as pool:
        assert [o.value for o in map_cases(square, range(20), executor=pool)] == [
            n * n for n in range(20)
        ]
        assert pool.submit(square, 3).result() == 9


def test_few_results_wait_in_memory():
    running = []

    def count(number):
        running.append(number)
        return number

    with ThreadPoolExecutor(1) as pool:
        outcomes = map_cases(count, range(100), executor=pool)
        next(outcomes)
        time.sleep(0.1)
        assert len(running) <= 6
        outcomes.close()
    assert len(running) < 20


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
