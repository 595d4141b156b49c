"""The table of grids beside slices: JSON, or a pickle of plain numbers that runs nothing."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from autoseg.errors import CorruptError, DataError
from autoseg.files import read_json
from autoseg.image import DIRECTION_TOLERANCE, Geometry
from autoseg.importing.stacks import SlicedGrid
from autoseg.nifti import check_spacing
from autoseg.records import from_json
from autoseg.sniff import check_file

EXPECTED = '{"case": [x, y, z]} in mm'
LARGEST_BYTES = 1 << 24


class _Kind:
    """What a pickled numpy number says about its bytes, in place of numpy's own class."""

    def __init__(self, name: str, *_: Any) -> None:
        self.name, self.order = str(name), "<"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = str(state[1])


def _number(kind: _Kind, data: bytes) -> float:
    if kind.name not in ("f4", "f8", "i4", "i8"):
        raise pickle.UnpicklingError(f"holds a {kind.name}")
    return float(np.frombuffer(data, kind.order + kind.name)[0])


class _PlainUnpickler(pickle.Unpickler):
    """Builds dictionaries, tuples, lists, texts and numbers; imports and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "dtype"):
            return _Kind
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "scalar":
            return _number
        raise pickle.UnpicklingError(f"asks for {module}.{name}")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise pickle.UnpicklingError("refers to something outside")


def read_grids(path: Path, original: tuple[int, int]) -> dict[str, SlicedGrid]:
    """Return case -> the grid that its slices were cut from, out of a `.pkl` or `.json` file.

    A voxel size alone is [x, y, z] mm, as nibabel gives it, and belongs to `original` (y, x)
    pixels; a whole grid is an object with shape, spacing, origin and direction, Z first, and
    perhaps with `rows`, "x" or "y", the axis that runs down a picture. It is x for a pickle, whose
    slices were cut out of arrays as nibabel gives them, else y.
    Raises DataError for anything else, and for a pickle that wants to call something.
    """
    pickled = path.suffix == ".pkl"
    table = _unpickle(path) if pickled else read_json(path)
    if not isinstance(table, dict) or not table:
        raise DataError("is no table of voxel sizes", place=str(path), expected=EXPECTED)
    rows = "x" if pickled else "y"
    return {
        str(case): _sliced(value, path, str(case), original, rows) for case, value in table.items()
    }


def _unpickle(path: Path) -> Any:
    check_file(path)
    data = path.read_bytes()[:LARGEST_BYTES]
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except Exception as error:  # damaged pickles raise whatever they run into
        raise DataError(
            f"is not a pickle of plain numbers: {error}",
            place=str(path),
            expected=EXPECTED,
            remedy="write the table as JSON",
        ) from error


def _sliced(value: Any, path: Path, case: str, original: tuple[int, int], rows: str) -> SlicedGrid:
    if isinstance(value, Mapping) and "rows" in value:
        rows, value = value["rows"], {k: v for k, v in value.items() if k != "rows"}
        if rows not in ("x", "y"):
            raise DataError(f"rows {rows!r}", place=f"{path}: {case}", expected='"x" or "y"')
    return SlicedGrid(_grid(value, path, case, original), rows)


def _grid(value: Any, path: Path, case: str, original: tuple[int, int]) -> Geometry:
    place = f"{path}: {case}"
    if isinstance(value, Mapping):
        try:
            grid = from_json(Geometry, value, place)
        except CorruptError as error:
            raise DataError(error.fact, place=error.place, expected=error.expected) from error
        check_spacing(grid.spacing, place)
        _check_direction(grid, place)
        return grid
    numbers = isinstance(value, tuple | list) and all(type(x) in (int, float) for x in value)
    if not numbers or len(value) != 3:
        raise DataError(f"found {str(value)[:60]}", place=place, expected=EXPECTED)
    x, y, z = map(float, value)
    check_spacing((z, y, x), place)
    return Geometry((0, *original), (z, y, x))


def _check_direction(grid: Geometry, place: str) -> None:
    if len(grid.direction) == 9:
        matrix = grid.direction_matrix
        if np.abs(matrix @ matrix.T - np.eye(3)).max() <= DIRECTION_TOLERANCE:
            return
    raise DataError(
        "its direction is no rotation", place=place, expected="nine cosines, row by row"
    )
