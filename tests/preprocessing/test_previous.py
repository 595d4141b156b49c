"""What the previous stage predicted, on the grid of the next one."""

from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import CorruptError, DataError
from autoseg.image import Geometry, Orientation
from autoseg.labels import Labels
from autoseg.preprocessing.prepare import Frame
from autoseg.preprocessing.previous import (
    Origin,
    is_current,
    previous_indices,
    with_previous,
    write_previous,
)
from autoseg.preprocessing.store import _open_previous

LABELS = Labels({"a": (3,), "b": (5,)}, ignore=9)
ORIGIN = Origin("3d_lowres-S", "1", "abc", ("case.nii.gz", 10, 20), "recipe")
FRAME = Frame(
    source=Geometry((4, 6, 8)), orientation=Orientation((0, 1, 2), (2,)),
    axis_order=(0, 1, 2), box=((0, 4), (2, 6), (0, 8)), prepared_shape=(4, 2, 8),
    spacing=(1.0, 1.0, 1.0), prepared_spacing=(1.0, 2.0, 1.0),
)  # fmt: skip


def test_a_label_map_is_turned_cut_and_resampled_as_its_scan_was() -> None:
    label_map = np.zeros((4, 6, 8), dtype=np.uint8)
    label_map[:, 2:4, 0] = 3
    label_map[:, 4:6, 7] = 5
    found = previous_indices(label_map, FRAME, LABELS)
    assert found.shape == (4, 2, 8)
    assert (found[:, 0, 7] == 1).all()  # x runs the other way
    assert (found[:, 1, 0] == 2).all()
    assert np.count_nonzero(found) == 8


def test_what_a_file_ignores_is_background() -> None:
    assert not previous_indices(np.full((4, 6, 8), 9), FRAME, LABELS).any()


@pytest.mark.parametrize(
    ("label_map", "message"),
    [(np.zeros((4, 6, 7)), "shape"), (np.full((4, 6, 8), 4), "undeclared")],
)
def test_another_shape_or_value_is_refused(label_map: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        previous_indices(label_map.astype(np.uint8), FRAME, LABELS)


def test_a_stored_map_comes_back_and_is_known_by_its_origin(tmp_path: Path) -> None:
    indices = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    assert not is_current(tmp_path, "case.1", ORIGIN)
    write_previous(tmp_path, "case.1", indices, ORIGIN)
    assert is_current(tmp_path, "case.1", ORIGIN)
    np.testing.assert_array_equal(_open_previous(tmp_path, "case.1", (2, 3, 4)), indices)
    other = Origin("3d_lowres-S", "1", "other weights", *list(vars(ORIGIN).values())[3:])
    assert not is_current(tmp_path, "case.1", other)
    with pytest.raises(CorruptError, match="shape"):
        _open_previous(tmp_path, "case.1", (2, 3, 5))


def test_a_map_cut_short_is_made_again(tmp_path: Path) -> None:
    write_previous(tmp_path, "case", np.zeros((2, 3, 4), np.uint8), ORIGIN)
    path = tmp_path / "case.npz"
    path.write_bytes(path.read_bytes()[:-7])
    assert not is_current(tmp_path, "case", ORIGIN)
    path.unlink()
    with pytest.raises(DataError, match="not found"):
        _open_previous(tmp_path, "case", (2, 3, 4))


def test_predictors_get_the_indices_as_the_last_channel() -> None:
    array = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    found = with_previous(array, np.full((3, 4, 5), 300, dtype=np.int16))
    np.testing.assert_array_equal(found[:2], array)
    assert (found[2] == 300).all()
    assert found.dtype == np.float32
