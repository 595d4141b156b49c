"""Colours of targets: different, and never another one because targets were added."""

from itertools import combinations

from autoseg.colours import FIRST, hexadecimal, target_colours


def test_colours_are_different_and_bright_enough_to_be_seen():
    colours = target_colours(117)
    assert len(set(colours)) == 117
    apart = min(
        max(abs(one - other) for one, other in zip(*pair, strict=True))
        for pair in combinations(colours, 2)
    )
    assert apart >= 5
    assert min(max(colour) for colour in colours) > 127


def test_more_targets_keep_the_colours_of_the_first():
    assert target_colours(0) == ()
    assert target_colours(3) == FIRST[:3]
    assert target_colours(40) == target_colours(117)[:40]


def test_as_text():
    assert [hexadecimal(colour) for colour in ((0, 158, 115), (255, 255, 0))] == [
        "#009E73", "#FFFF00",
    ]  # fmt: skip
