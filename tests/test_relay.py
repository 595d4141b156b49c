"""What workers warn of comes back with their results, in order, and once."""

from __future__ import annotations

import logging
import warnings

from autoseg.errors import DataError
from autoseg.parallel import map_cases


def talk(number: int) -> int:
    log = logging.getLogger("autoseg.io")
    log.warning("reading %d", number)
    log.info("nobody wants to know")
    warnings.warn(f"{number} is odd", stacklevel=1)
    if number == 1:
        log.warning("no good")
        raise DataError("bad")
    return number * number


def test_lines_and_warnings_of_workers_are_said_here_with_their_case(caplog, capfd, monkeypatch):
    log = logging.getLogger("autoseg")  # as it is before a command has run
    monkeypatch.setattr(log, "handlers", [])
    monkeypatch.setattr(log, "propagate", True)
    outcomes = map_cases(talk, range(4), workers=2)
    with caplog.at_level(logging.INFO, logger="autoseg"):
        assert next(outcomes).value == 0
        assert "reading 0" in caplog.text
        assert "1 is odd" not in caplog.text
        failed = next(outcomes)
        assert str(failed.error) == "1: bad"
        assert 'in talk\n    raise DataError("bad")' in str(failed.error.__cause__)
        assert [outcome.value for outcome in outcomes] == [4, 9]
    said = [record for record in caplog.records if "odd" not in record.getMessage()]
    assert {record.levelname for record in said} == {"WARNING"}
    assert [record.getMessage() for record in said] == [
        "reading 0", "reading 1", "no good", "reading 2", "reading 3",
    ]  # fmt: skip
    assert sum("UserWarning: 2 is odd" in record.getMessage() for record in caplog.records) == 1
    assert capfd.readouterr().err == ""
