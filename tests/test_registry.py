"""A name is a built-in function, or the user's own as package.module:function."""

import math

import pytest

from autoseg.errors import CorruptError, UsageError
from autoseg.registry import resolve

TABLE = {"dice_ce": len}


def test_a_built_in_name_is_resolved_even_without_trust():
    assert resolve("loss", "dice_ce", TABLE, trust=False) is len


def test_a_dotted_name_is_imported():
    assert resolve("loss", "math:sqrt", TABLE) is math.sqrt


def test_a_name_that_came_with_a_model_is_not_imported():
    with pytest.raises(CorruptError, match="--trust"):
        resolve("loss", "math:sqrt", TABLE, trust=False)


def test_a_misspelled_name_is_answered_with_the_near_one():
    with pytest.raises(UsageError, match="unknown loss 'dice_cee' -> did you mean 'dice_ce'"):
        resolve("loss", "dice_cee", TABLE)


@pytest.mark.parametrize("name", ["no_such_module:f", "math:no_such_function"])
def test_what_cannot_be_imported_is_a_usage_error(name):
    with pytest.raises(UsageError, match="cannot import loss"):
        resolve("loss", name, TABLE)
