"""What was measured of a data set, as a file."""

from __future__ import annotations

import json

import pytest

from autoseg.errors import CorruptError
from autoseg.files import read_json
from autoseg.fingerprint_file import load_fingerprint, save_fingerprint
from autoseg.plan import Fingerprint, IntensityStats

FOUND = Fingerprint(
    cases=("a", "b"),
    spacings=((3.0, 1.0, 1.0), (2.0, 1.0, 1.0)),
    shapes=((10, 20, 20), (12, 20, 20)),
    kept_fraction=0.5,
    channels=("CT",),
    intensities=(IntensityStats(40.0, 10.0, -5.0, 90.0, -100.0, 200.0),),
    target_volumes_ml={"liver": (1500.0, 0.0)},
)


def test_a_fingerprint_comes_back_with_what_it_depends_on(tmp_path):
    save_fingerprint(tmp_path / "f.json", FOUND, "abc")
    assert load_fingerprint(tmp_path / "f.json") == (FOUND, "abc")


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("format", "autoseg-fingerprint-0", "no fingerprint of this version"),
        ("shapes", [[10, 20, 20]], "1 entries of shapes for 2 cases"),
        ("target_volumes_ml", {"liver": []}, "0 entries of liver for 2 cases"),
        ("channels", ["CT", "PET"], "1 intensities for 2 channels"),
        ("kept_fraction", float("nan"), "expected a finite number"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(tmp_path, field, value, told):
    path = tmp_path / "f.json"
    save_fingerprint(path, FOUND, "abc")
    record = read_json(path) | {field: value}
    path.write_text(json.dumps(record))
    with pytest.raises(CorruptError, match=told):
        load_fingerprint(path)
