"""The demo as a new user runs it: five stages, good scores, one picture, under five minutes."""

import time

import pytest

from autoseg.cli import main

LONGEST_S = 300


@pytest.mark.slow
def test_the_demo_ends_in_time_with_a_table_and_a_picture(tmp_path, capsys):
    start = time.monotonic()
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    assert time.monotonic() - start < LONGEST_S
    text = capsys.readouterr().out
    assert all(target in text for target in ("liver", "spleen", "lesion"))
    assert (tmp_path / "demo" / "demo.png").exists()


def test_a_finished_demo_is_not_run_over(tmp_path, capsys):
    (tmp_path / "demo.png").touch()
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert "holds a finished demo -> name a new one with -o" in capsys.readouterr().err
