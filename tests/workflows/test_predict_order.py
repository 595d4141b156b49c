"""The order in which files, folds and models are named never changes a result."""

from __future__ import annotations

import itertools

import pytest

from autoseg.errors import UsageError
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_choice import choose_models
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle
from tests.workflows.test_predict import write_scan


@pytest.fixture
def scans(tmp_path):
    for number in range(2):
        write_scan(tmp_path / "images" / f"case_{number}.nii.gz", number)
    return tmp_path / "images"


@pytest.fixture
def three(tmp_path):
    return [make_bundle(tmp_path / name, (name,)) for name in ("7", "8", "9")]


def results(manifest):
    return {name: case["sha256"] for name, case in manifest["cases"].items()}


def test_folds_are_summed_in_one_order_however_they_are_named(scans, tmp_path):
    folder = make_bundle(tmp_path / "bundle", ("0", "1", "2"))
    workspace = Workspace(tmp_path)
    manifests = [
        predict(workspace, scans, tmp_path / "".join(folds), bundles=[folder], folds=folds)
        for folds in itertools.permutations("012")
    ]
    assert all(manifest == manifests[0] for manifest in manifests)
    assert list(manifests[0]["models"][0]["weights_sha256"]) == ["0", "1", "2"]


def test_models_are_summed_in_one_order_however_they_are_named(three, scans, tmp_path):
    workspace = Workspace(tmp_path)

    def chosen(order):
        return choose_models(
            workspace, dataset=None, configuration=None, size=None, folds=None, bundles=order
        ).models

    orders = list(itertools.permutations(three))
    assert all(chosen(order) == chosen(three) for order in orders)
    manifests = [
        predict(workspace, scans, tmp_path / f"out_{index}", bundles=order)
        for index, order in enumerate(orders[:3])
    ]
    assert all(manifest == manifests[0] for manifest in manifests)


def test_a_model_does_not_count_twice(three, scans, tmp_path):
    with pytest.raises(UsageError, match="is the same model as"):
        predict(Workspace(tmp_path), scans, tmp_path / "out", bundles=[three[0], three[0]])


def test_files_may_be_named_in_any_order(three, scans, tmp_path):
    files = sorted(scans.iterdir())
    orders = [predict(Workspace(tmp_path), order, tmp_path / name, bundles=three[:1])
              for name, order in (("one", files), ("two", files[::-1]))]  # fmt: skip
    whole = predict(Workspace(tmp_path), scans, tmp_path / "whole", bundles=three[:1])
    assert orders[0] == orders[1] == whole
    assert len(set(results(whole).values())) == 2
