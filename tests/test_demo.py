"""The demo as a new user runs it: six stages, good scores, a picture, a report, in five minutes."""

import re
import time
from pathlib import Path

import pytest

from autoseg.cli import main
from autoseg.phantom import write_raw_circles

LONGEST_S = 300


@pytest.mark.slow
def test_the_demo_ends_in_time_with_a_table_and_a_picture(tmp_path, capsys):
    start = time.monotonic()
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    assert time.monotonic() - start < LONGEST_S
    text = capsys.readouterr().out
    assert all(target in text for target in ("liver", "spleen", "lesion"))
    assert (tmp_path / "demo" / "demo.png").exists()
    assert (tmp_path / "demo" / "models" / "PHANTOM" / "report.html").exists()
    assert f"the report: {tmp_path}/demo/models/PHANTOM/report.html" in text


@pytest.mark.slow
def test_the_toy_is_learnt_to_a_dice_above_95_in_time(tmp_path, capsys):
    start = time.monotonic()
    assert main(["demo", "--toy", "-o", str(tmp_path / "a toy")]) == 0
    assert time.monotonic() - start < LONGEST_S
    text = capsys.readouterr().out
    for target in ("dark", "bright"):
        dice = re.search(rf"^{target} +([\d.]+)", text, re.MULTILINE)
        assert dice is not None
        assert float(dice[1]) > 0.95
    assert (tmp_path / "a toy" / "demo.png").exists()


def test_a_finished_demo_is_not_run_over(tmp_path, capsys):
    (tmp_path / "demo.png").touch()
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert "holds a finished demo -> name a new one with -o" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "holds TOY with 3 images to learn from, not PHANTOM with 12 -> name a new folder"),
        (["--toy", "-n", "4", "1"], "holds TOY with 3 images to learn from, not TOY with 4 ->"),
        (["--toy", "circles", "-n", "3", "0"], "-n 3 0, expected two numbers above zero"),
        (["--toy", "squares"], "argument --toy: invalid choice: 'squares'"),
    ],
)
def test_another_demo_is_not_continued(words: list[str], message: str, tmp_path: Path, capsys):
    write_raw_circles(tmp_path / "raw" / "TOY", 3)
    assert main(["demo", "-o", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err
