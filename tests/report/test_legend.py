"""Names below pictures and beside them: where they stand, and which letters there are."""

import numpy as np
import pytest

from autoseg.report.legend import LINE, text_line, with_legend
from autoseg.report.outlines import colour_of

ENTRIES = [(int(colour_of(number)), f"target {number}") for number in range(30)]


def swatches(picture):
    return [int(np.count_nonzero(picture == colour)) for colour, _ in ENTRIES]


def test_names_stand_below_each_picture_which_stays_as_it_is():
    pictures = [np.full((400, 500), grey, np.uint8) for grey in (3, 7)]
    both = with_legend(pictures, ENTRIES[:4], "reference: solid")
    for picture, result in zip(pictures, both, strict=True):
        assert (result[:400, :500] == picture).all()
        assert result.shape == (400 + 2 * LINE, 500)  # one line of names, one of text
        assert len(set(swatches(result)[:4])) == 1
        assert swatches(result)[0] > 0
    assert (both[0][400:] == both[1][400:]).all()


def test_many_names_stand_beside_a_picture_and_none_is_left_out():
    (result,) = with_legend([np.zeros((300, 320), np.uint8)], ENTRIES, "")
    assert result.shape[0] == 300
    assert (result[:, :320] == 0).all()
    assert min(swatches(result)) == max(swatches(result)) > 0


def test_without_names_and_text_pictures_are_what_they_were():
    picture = np.ones((5, 6), np.uint8)
    assert with_legend([picture], [], "")[0] is picture


@pytest.mark.parametrize("letters", ["ÄÖÜßéñø", "αβγ", "Щжя"])
def test_letters_of_many_languages_are_there(letters):
    missing = text_line("\uffff", 40)
    drawn = [text_line(letter, 40) for letter in letters]
    assert not any((each == missing).all() for each in drawn)
    assert len({each.tobytes() for each in drawn}) == len(letters)
