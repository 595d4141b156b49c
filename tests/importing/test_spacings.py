"""Tables of voxel sizes: as JSON, and as pickles that can run nothing."""

import json
import pickle

import numpy as np
import pytest

from autoseg.errors import DataError
from autoseg.image import Geometry
from autoseg.importing.spacings import read_grids


class Bomb:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


def pickled(tmp_path, value, protocol=pickle.HIGHEST_PROTOCOL):
    path = tmp_path / "spacing.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    return path


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("number", [float, np.float32, np.float64])
def test_plain_numbers_are_read_in_their_order(tmp_path, number, protocol):
    table = {"Patient_01": (number(0.5), number(0.75), number(2.5))}
    (sliced,) = read_grids(pickled(tmp_path, table, protocol), (512, 256)).values()
    assert sliced.grid == Geometry((0, 512, 256), (2.5, 0.75, 0.5))
    assert sliced.rows == "x"


@pytest.mark.parametrize(
    "value", [Bomb(), {"a": Bomb()}, {"a": (1.0, Bomb(), 1.0)}, {"a": np.zeros(3)}, {"a": open}]
)
def test_a_pickle_that_wants_more_is_refused(tmp_path, value):
    with pytest.raises(DataError, match="is not a pickle of plain numbers: asks for"):
        read_grids(pickled(tmp_path, value), (512, 512))


@pytest.mark.parametrize("data", [b"", b"\x80", b"not a pickle", b"\x80\x05K\x01."])
def test_what_is_no_table_is_refused(tmp_path, data):
    path = tmp_path / "spacing.pkl"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"spacing\.pkl: is"):
        read_grids(path, (512, 512))


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ([1.0, 1.0], "found .1.0, 1.0., expected"),
        ([1.0, 0.0, 1.0], "voxel size"),
        (["1", "1", "1"], "found"),
        ({"shape": [1, 2, 3], "spacing": [1, 1, 1], "direction": [1, 0]}, "is no rotation"),
        ({"shape": [1, 2, 3], "spacing": [1, 1, 1], "direction": [0] * 9}, "is no rotation"),
        ({"shape": [1, 2]}, "expected 3 entries"),
    ],
)
def test_odd_entries_are_named(tmp_path, entry, text):
    path = tmp_path / "spacing.json"
    path.write_text(json.dumps({"case_7": entry}))
    with pytest.raises(DataError, match=text) as caught:
        read_grids(path, (512, 512))
    assert "case_7" in str(caught.value)


def test_a_table_that_is_not_there_says_so(tmp_path):
    for name in ("gone.pkl", "gone.json"):
        with pytest.raises(DataError, match="file not found"):
            read_grids(tmp_path / name, (512, 512))
