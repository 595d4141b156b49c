"""A name is a built-in function, or the user's own as package.module:function."""

import importlib
import math
from pathlib import Path

import pytest

from autoseg.errors import CorruptError, UsageError
from autoseg.registry import blame, resolve

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


@pytest.fixture
def write_module(tmp_path, monkeypatch):
    """Write a module of the user's own; every test gets another name for it."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        importlib.invalidate_caches()
        path = Path(tmp_path / f"{name}.py")
        path.write_text(text)
        return path

    return write


def test_a_module_that_fails_when_imported_says_where(write_module):
    path = write_module("own_broken", "import math\n\nHALF = 1 / 0\n")
    with pytest.raises(UsageError, match="ZeroDivisionError: division by zero") as caught:
        resolve("loss", "own_broken:focal", TABLE)
    assert caught.value.place == f"{path}, line 3"
    assert caught.value.fact.startswith("loss 'own_broken:focal' failed")


def test_a_module_that_is_no_python_says_where(write_module):
    path = write_module("own_syntax", "\ndef f(:\n")
    with pytest.raises(UsageError, match="cannot import loss 'own_syntax:f'") as caught:
        resolve("loss", "own_syntax:f", TABLE)
    assert caught.value.place == f"{path}, line 2"


def fails(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error
    raise AssertionError("it did not fail")


def test_what_fails_in_the_users_own_function_names_it_and_the_innermost_line(write_module):
    text = "def half(x):\n    return x / nothing\n\ndef focal(x):\n    return half(x)\n"
    path = write_module("own_loss", text)
    told = blame(fails(resolve("loss", "own_loss:focal", TABLE), 1))
    assert str(told) == (
        f"{path}, line 2: loss 'own_loss:focal' failed: NameError: name 'nothing' is not defined"
        " -> correct it; --debug shows the traceback"
    )
    assert told.exit_code == 2


def test_what_a_network_of_the_users_own_does_later_is_theirs_too(write_module):
    text = (
        "class Net:\n    def __call__(self, x):\n        return len(x)\n\n"
        "def net():\n    return Net()\n"
    )
    path = write_module("own_net", text)
    told = blame(fails(resolve("network", "own_net:net", TABLE)(), 1))
    assert told.place == f"{path}, line 3"
    assert told.fact.startswith("network 'own_net:net' failed: TypeError: ")


@pytest.mark.parametrize("error", ["MemoryError()", "OSError(28, 'No space left on device')"])
def test_what_the_machine_refuses_is_nobodys_mistake(write_module, error):
    name = f"own_{error[:5].lower()}"
    write_module(name, f"def f():\n    raise {error}\n")
    assert blame(fails(resolve("loss", f"{name}:f", TABLE))) is None


def test_our_own_mistakes_stay_ours():
    assert blame(fails(len, 3)) is None
