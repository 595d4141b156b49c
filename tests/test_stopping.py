"""Signals only ask."""

from __future__ import annotations

import os
import signal

import pytest

from autoseg.errors import Stopped
from autoseg.stopping import stop_on_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_a_signal_asks_for_a_stop_and_afterwards_all_is_as_before(number: signal.Signals):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.signal_name == number.name
        with pytest.raises(Stopped, match=f"stopped by {number.name} -> run the same command"):
            stop.check()
    assert signal.getsignal(number) is before


def test_many_signals_are_one_where_the_starter_repeats_them():
    with stop_on_signals(patient=True) as stop:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.number == signal.SIGTERM


def test_the_end_of_the_starter_is_a_request():
    with stop_on_signals(parent=os.getppid()) as stop:
        assert stop.number == 0
    with stop_on_signals(parent=-1) as stop:
        assert stop.number == signal.SIGHUP
        with pytest.raises(Stopped, match="stopped by SIGHUP"):
            stop.check()
