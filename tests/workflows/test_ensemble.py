"""Label maps from saved probabilities: those of the models in one run, whatever the order."""

from __future__ import annotations

import itertools
import shutil

import numpy as np
import pytest

from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.image import Geometry
from autoseg.io import read_labels
from autoseg.labels import Labels
from autoseg.probabilities import read_about, read_probabilities, write_probabilities
from autoseg.workflows.ensemble import ensemble, mean_labels
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_record import FINAL
from tests.inference.conftest import make_bundle
from tests.workflows.test_predict import images, names, workspace

__all__ = ["images", "workspace"]  # fixtures
REGIONS = Labels({"whole": (1, 2), "core": (2,)})
ORGANS = Labels({"liver": (3,), "spleen": (1,)})


@pytest.fixture
def runs(workspace, images, tmp_path):
    bundles = [make_bundle(tmp_path / name, (name,)) for name in ("7", "8")]
    for bundle in bundles:
        predict(workspace, images, tmp_path / f"run_{bundle.name}", bundles=[bundle],
                save_probabilities=True)  # fmt: skip
    predict(workspace, images, tmp_path / "together", bundles=bundles)
    return [tmp_path / "run_7", tmp_path / "run_8"]


def test_it_is_the_ensemble_of_one_run_but_for_rounding(runs, tmp_path):
    manifest = ensemble(runs, tmp_path / "out")
    assert names(tmp_path / "out") == [*(f"case_{n}.nii.gz" for n in range(3)), FINAL]
    assert [len(run["models"]) for run in manifest["ensemble"]] == [1, 1]
    for number in range(3):
        ours, theirs = (
            read_labels(tmp_path / folder / f"case_{number}.nii.gz")
            for folder in ("out", "together")
        )
        assert ours.geometry == theirs.geometry
        assert (ours.array != theirs.array).mean() < 1e-3
    with pytest.raises(UsageError, match="holds a finished prediction"):
        ensemble(runs, tmp_path / "out")
    assert ensemble(runs[::-1], tmp_path / "turned") == manifest


@pytest.mark.parametrize(
    ("box", "shape"),
    [(((0, 4), (0, 7), (0, 9)), (3, 4, 7, 9)), (((0, 10**6), (0, 10**6), (0, 10**6)), None),
     (((-1, 3), (0, 7), (0, 8)), None), (((3, 1), (0, 7), (0, 8)), None),
     (((0, 4), (0, 7), (0, 8)), (2, 4, 7, 8))],
)  # fmt: skip
def test_a_box_that_is_not_in_the_scan_or_not_that_of_its_probabilities(tmp_path, box, shape):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path, whole = tmp_path / folder / "case.npz", ((0, 6), (0, 7), (0, 8))
        write_probabilities(path, Geometry((6, 7, 8)), whole, ORGANS, lambda out: out.fill(0))
    arrays = dict(np.load(path)) | {"box": np.array(box)}
    if shape:
        arrays["probabilities"] = np.zeros(shape, np.float16)
    np.savez(path, **arrays)
    with pytest.raises(CorruptError, match="is damaged"):
        ensemble([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("labels", [REGIONS, ORGANS])
def test_the_mean_is_that_of_the_whole_grids_in_any_order(tmp_path, labels):
    grid, rng = Geometry((6, 7, 8)), np.random.default_rng(0)
    paths = []
    boxes = [((0, 3), (1, 7), (2, 5)), ((2, 6), (0, 4), (0, 8)), ((0, 0), (0, 0), (0, 0))][
        : 3 if not labels.exclusive else 2
    ]
    for number, box in enumerate(boxes):

        def fill(array):
            values = rng.random(array.shape) ** (6 if labels.exclusive else 0.3)
            array[...] = values / values.sum(0) if labels.exclusive else values

        paths.append(tmp_path / f"{number}.npz")
        write_probabilities(paths[-1], grid, box, labels, fill)
    mean = np.mean([read_probabilities(path).whole().astype(float) for path in paths], axis=0)
    expected = np.zeros(grid.shape, int)
    if labels.exclusive:
        expected = np.array([0, 3, 1])[mean.argmax(0)]
    else:
        for value, probability in zip((1, 2), mean, strict=True):
            expected[probability > 0.5] = value
    for order in itertools.permutations(paths):
        found = mean_labels(order, [read_about(path) for path in order])
        assert np.array_equal(found, expected)
    assert len(np.unique(expected)) > 1


def test_what_does_not_fit_is_listed_and_nothing_is_written(runs, tmp_path):
    (runs[1] / "case_1.npz").unlink()
    with pytest.raises(DataError, match=r"run_8: has no case_1\.npz") as caught:
        ensemble(runs, tmp_path / "out")
    assert len(caught.value.problems) == 1
    write_probabilities(runs[1] / "case_1.npz", Geometry((1, 1, 1)), ((0, 0),) * 3, ORGANS, print)
    with pytest.raises(DataError, match=r"is of background, liver, spleen, expected background, a"):
        ensemble(runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="an ensemble of one folder"):
        ensemble([runs[0], tmp_path / "run_8" / ".." / "run_7"], tmp_path / "out")
    with pytest.raises(UsageError, match="is an input"):
        ensemble(runs, runs[0])
    for folder in runs:
        for path in folder.glob("*.npz"):
            path.unlink()
    with pytest.raises(UsageError, match=r"no <case>\.npz -> autoseg_predict --save-prob"):
        ensemble(runs, tmp_path / "out")


def test_without_label_maps_the_result_is_nifti_on_the_saved_grid(runs, tmp_path):
    expected = ensemble(runs, tmp_path / "out")
    for folder in runs:
        bare = tmp_path / f"bare_{folder.name}"
        bare.mkdir()
        for path in folder.glob("*.npz"):
            shutil.copy(path, bare)
    manifest = ensemble(sorted(tmp_path.glob("bare_*")), tmp_path / "out2")
    assert manifest["ensemble"] == ["unknown", "unknown"]
    assert list(manifest["cases"]) == list(expected["cases"])
    ours, theirs = (read_labels(tmp_path / o / "case_0.nii.gz") for o in ("out", "out2"))
    assert np.array_equal(ours.array, theirs.array)
    np.testing.assert_allclose(ours.geometry.direction, theirs.geometry.direction, atol=1e-6)
