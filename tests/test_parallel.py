"""Many cases at once: in order, failures kept apart, killed workers named."""

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from autoseg.errors import DataError, Problem, ResourceError, UsageError
from autoseg.parallel import map_cases
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
