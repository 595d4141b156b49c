"""Two folders: names, missing and extra files, grids, targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DataError, UsageError
from autoseg.evaluation.grids import grid_problems
from autoseg.evaluation.pair import Pair
from autoseg.evaluation.pairing import pair_folders
from autoseg.image import Geometry, Orientation, reorient
from autoseg.io import write_labels

GRID = Geometry((5, 6, 7), (2.0, 1.0, 0.5), (10.0, -20.0, 30.0))
LABEL_MAP = np.arange(210, dtype=np.uint8).reshape(5, 6, 7) % 3


def write(path: Path, geometry: Geometry = GRID, label_map: np.ndarray = LABEL_MAP) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_labels(path, label_map, geometry)
    return path


def test_cases_are_paired_by_name_whatever_their_type(tmp_path):
    write(tmp_path / "g" / "a.nii.gz")
    write(tmp_path / "g" / "b.x.nii")
    write(tmp_path / "p" / "a.mha")
    write(tmp_path / "p" / "b.x.nrrd")
    (tmp_path / "p" / "summary.json").write_text("{}")
    (tmp_path / "p" / "._a.nii.gz").write_text("hidden")
    pairing = pair_folders(tmp_path / "p", tmp_path / "g")
    names = [(pair.id, pair.reference.name, pair.prediction.name) for pair in pairing.pairs]
    assert names == [("a", "a.nii.gz", "a.mha"), ("b.x", "b.x.nii", "b.x.nrrd")]
    assert not pairing.extra
    assert not pairing.problems
    assert grid_problems(pairing.pairs) == []


def test_missing_extra_and_double_files_are_all_named(tmp_path):
    for name in ("a", "b", "c"):
        write(tmp_path / "g" / f"{name}.nii.gz")
    for name in ("a.nii.gz", "a.mha", "z.nii.gz"):
        write(tmp_path / "p" / name)
    pairing = pair_folders(tmp_path / "p", tmp_path / "g")
    assert [pair.id for pair in pairing.pairs] == ["a"]
    assert pairing.extra == ("z",)
    text = "\n".join(map(str, pairing.problems))
    assert "b: no prediction" in text
    assert "c: no prediction" in text
    assert "a.nii.gz: the same case as a.mha" in text
    allowed = pair_folders(tmp_path / "p", tmp_path / "g", ["b", "a", "b"], allow_missing=True)
    assert [pair.prediction is None for pair in allowed.pairs] == [False, True]


def test_a_case_asked_for_must_have_a_reference(tmp_path):
    write(tmp_path / "g" / "a.nii.gz")
    pairing = pair_folders(tmp_path / "g", tmp_path / "g", ["a", "q"])
    assert "q: no reference" in str(pairing.problems[0])


def test_two_files_are_one_case(tmp_path):
    one, other = write(tmp_path / "g.nii.gz"), write(tmp_path / "p.mha")
    (pair,) = pair_folders(other, one).pairs
    assert pair == Pair("g", one, other)


def test_folders_without_label_maps_or_without_a_common_name_are_refused(tmp_path):
    write(tmp_path / "g" / "a.nii.gz")
    write(tmp_path / "p" / "patient_a.nii.gz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="not found"):
        pair_folders(tmp_path / "nowhere", tmp_path / "g")
    with pytest.raises(UsageError, match="no label maps here"):
        pair_folders(tmp_path / "empty", tmp_path / "g")
    with pytest.raises(DataError, match="'a' and 'patient_a'"):
        pair_folders(tmp_path / "p", tmp_path / "g")


@pytest.mark.parametrize(
    ("moved", "found"),
    [
        (Geometry((5, 6, 7), (2.0, 1.0, 0.6), GRID.origin), "spacing (2, 1, 0.6)"),
        (Geometry((5, 6, 7), GRID.spacing, (10.0, -20.0, 31.0)), "origin (10, -20, 31)"),
    ],
)
def test_a_misplaced_prediction_is_named_with_both_values(tmp_path, moved, found):
    pair = Pair("a", write(tmp_path / "a.nii.gz"), write(tmp_path / "p_a.nii.gz", moved))
    (problem,) = grid_problems([pair])
    assert found in problem.found
    assert "as in a.nii.gz" in problem.expected
    assert "p_a.nii.gz" in problem.place
    assert grid_problems([pair], ignore_geometry=True) == []


def test_rounding_of_headers_is_no_problem(tmp_path):
    near = Geometry((5, 6, 7), (2.0, 1.00005, 0.5), (10.0003, -20.0, 30.0))
    pair = Pair("a", write(tmp_path / "a.nii.gz"), write(tmp_path / "p.nii.gz", near))
    assert grid_problems([pair]) == []


def test_a_flipped_prediction_is_told_to_be_reoriented(tmp_path):
    flip = Orientation((0, 1, 2), (0,))
    turned = write(tmp_path / "p.nii.gz", reorient(GRID, flip), flip.apply(LABEL_MAP))
    (problem,) = grid_problems([Pair("a", write(tmp_path / "a.nii.gz"), turned)])
    assert problem.found == "the same grid, stored with its axes flipped or exchanged"
    assert problem.remedy == "reorient it to the reference"


def test_another_shape_is_a_problem_even_when_geometry_is_ignored(tmp_path):
    small = write(tmp_path / "p.nii.gz", Geometry((4, 6, 7), GRID.spacing), LABEL_MAP[:4])
    pair = Pair("a", write(tmp_path / "a.nii.gz"), small)
    (problem,) = grid_problems([pair], ignore_geometry=True)
    assert (problem.found, problem.expected) == ("shape 4x6x7", "5x6x7 as in a.nii.gz")


def test_a_picture_is_compared_by_its_shape_alone(tmp_path):
    flat = Geometry((1, 6, 7), (1.0, 0.3, 0.3))
    volume = write(tmp_path / "a.nii.gz", flat, LABEL_MAP[:1])
    picture = write(tmp_path / "a.png", Geometry((1, 6, 7)), LABEL_MAP[:1])
    assert grid_problems([Pair("a", volume, picture)]) == []


def test_an_unreadable_file_is_one_problem_among_others(tmp_path):
    broken = tmp_path / "b.nii.gz"
    broken.write_bytes(b"")
    good = write(tmp_path / "a.nii.gz")
    small = write(tmp_path / "p.nii.gz", Geometry((4, 6, 7)), LABEL_MAP[:4])
    problems = grid_problems([Pair("b", good, broken), Pair("a", good, small)])
    assert len(problems) == 2
    assert "b.nii.gz" in problems[0].place
