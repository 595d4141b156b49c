"""Saved probabilities of a run: beside the label maps, listed, resumed, and judged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from autoseg.errors import PartlyDone
from autoseg.evaluation.optional import OptionalGroups
from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image
from autoseg.labels import Labels
from autoseg.probabilities import read_probabilities
from autoseg.workflows.evaluate import evaluate
from autoseg.workflows.evaluate_extras import Extras
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_record import FINAL, PARTIAL
from tests.inference.conftest import make_bundle
from tests.workflows.test_predict import images, names, workspace, write_scan

__all__ = ["images", "workspace"]  # fixtures


def test_they_lie_beside_the_label_maps_on_the_same_grid(workspace, images, tmp_path):
    plain = predict(workspace, images, tmp_path / "plain")
    manifest = predict(workspace, images, tmp_path / "out", save_probabilities=True)
    files = [f"case_{n}.{e}" for n in range(3) for e in ("nii.gz", "npz")]
    assert names(tmp_path / "out") == [*files, FINAL]
    for name, case in manifest["cases"].items():
        assert case["sha256"] == plain["cases"][name]["sha256"]
        assert list(case["more"]) == [f"{name}.npz"]
        label_map = read_labels(tmp_path / "out" / case["file"])
        saved = read_probabilities(tmp_path / "out" / f"{name}.npz")
        assert saved.geometry == label_map.geometry
        whole = saved.whole()
        top = np.sort(whole, 0)
        decided = np.asarray(saved.values)[whole.argmax(0)]
        assert np.array_equal(decided[top[-1] > top[-2]], label_map.array[0][top[-1] > top[-2]])


def test_their_bytes_do_not_depend_on_the_order_of_folds_and_models(images, tmp_path, workspace):
    three = [make_bundle(tmp_path / name, (name, f"1{name}")) for name in ("7", "8", "9")]
    found = []
    for number, order in enumerate(itertools.permutations(three)):
        folds = None
        out = tmp_path / f"out{number}"
        predict(workspace, images / "case_0.nii.gz", out, bundles=order, folds=folds,
                save_probabilities=True)  # fmt: skip
        found.append((out / "case_0.npz").read_bytes())
    assert len(set(found)) == 1
    bundle = make_bundle(tmp_path / "folds", ("0", "1", "2"))
    for number, order in enumerate(itertools.permutations("012")):
        out = tmp_path / f"fold{number}"
        predict(workspace, images / "case_0.nii.gz", out, bundles=[bundle], folds=order,
                save_probabilities=True)  # fmt: skip
        found.append((out / "case_0.npz").read_bytes())
    assert len(set(found)) == 2


def test_a_damaged_one_is_made_again(workspace, images, tmp_path):
    out, bad = tmp_path / "out", images / "case_2.nii.gz"
    good = bad.read_bytes()
    bad.write_bytes(good[:2000])
    with pytest.raises(PartlyDone):
        predict(workspace, images, out, save_probabilities=True)
    before = (out / "case_0.npz").read_bytes()
    (out / "case_0.npz").write_bytes(before[:-1])
    bad.write_bytes(good)
    predict(workspace, images, out, save_probabilities=True)
    assert (out / "case_0.npz").read_bytes() == before
    assert not (out / PARTIAL).exists()
    predict(workspace, images, out, overwrite=True)
    assert [name for name in names(out) if name.endswith(".npz")] == []


def test_an_empty_image_has_certain_background(workspace, tmp_path):
    (tmp_path / "in").mkdir()
    empty = Image(np.zeros((1, 4, 5, 6), np.float32), Geometry((4, 5, 6)))
    write_image(tmp_path / "in" / "empty.nii.gz", empty)
    predict(workspace, tmp_path / "in", tmp_path / "out", save_probabilities=True)
    saved = read_probabilities(tmp_path / "out" / "empty.npz")
    assert saved.inside.size == 0
    assert saved.whole()[0].min() == 1


def test_of_one_file_they_have_its_name(workspace, tmp_path):
    write_scan(tmp_path / "scan.nii.gz")
    predict(workspace, tmp_path / "scan.nii.gz", tmp_path / "o" / "seg.nii.gz",
            save_probabilities=True)  # fmt: skip
    assert names(tmp_path / "o") == ["seg.nii.gz", "seg.npz"]


def test_calibration_is_measured_on_them(workspace, images, tmp_path):
    out, truth = tmp_path / "out", tmp_path / "truth"
    predict(workspace, images, out, save_probabilities=True)
    predict(workspace, images, truth, speed="fast")
    extras = Extras(optional=OptionalGroups(("calibration",), probabilities=out))
    labels = Labels({"anterior": (1,), "posterior": (2,)})
    summary = evaluate(predictions=out, references=truth, targets=labels, extras=extras,
                       output=tmp_path / "scores", workers=0)  # fmt: skip
    brier = [case.metrics["anterior"]["brier"].value for case in summary.cases]
    assert all(0 < value < 2 for value in brier)
