"""What a service answers with: settings take effect, errors name no files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DataError
from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image
from autoseg.serving.model import load_model
from autoseg.serving.refusal import Refusal
from autoseg.workflows.predict import predict
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle, make_plan
from tests.serving.flat import make_flat_bundle, picture


def load(tmp_path: Path, *bundles: Path, folds=None, settings=()):
    where = Workspace(tmp_path)
    return load_model(where, bundles=bundles, folds=folds, settings=settings, device="cpu")


@pytest.fixture
def image(tmp_path):
    (tmp_path / "image.png").write_bytes(picture(60, 50))
    return tmp_path / "image.png"


@pytest.mark.parametrize(
    ("folds", "settings"),
    [
        (None, ()), (("1",), ()), (None, ("mirror=off",)),
        (None, ("rules=tumour:threshold:0.55",)), (None, ("rules=tumour:largest_component",)),
    ],
)  # fmt: skip
def test_labels_are_those_of_predict_with_the_same_settings(
    flat_bundle, image, tmp_path, folds, settings
):
    model = load(tmp_path, flat_bundle, folds=folds, settings=settings)
    model.segment(image, tmp_path / "served.png")
    predict(
        Workspace(tmp_path), image, tmp_path / "predicted.png", bundles=[flat_bundle], folds=folds,
        settings=settings, device="cpu",
    )  # fmt: skip
    assert (tmp_path / "served.png").read_bytes() == (tmp_path / "predicted.png").read_bytes()


def test_settings_and_folds_take_effect(flat_bundle, image, tmp_path):
    maps = []
    for folds, settings in ((None, ()), (("1",), ()), (None, ("rules=tumour:threshold:0.55",))):
        load(tmp_path, flat_bundle, folds=folds, settings=settings).segment(
            image, tmp_path / "labels.png"
        )
        maps.append(read_labels(tmp_path / "labels.png").array)
    assert not np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_several_bundles_are_an_ensemble(flat_bundle, image, tmp_path):
    other = make_flat_bundle(tmp_path / "other", ("5",))
    model = load(tmp_path, flat_bundle, other)
    assert sorted(len(said["folds"]) for said in model.description()) == [1, 2]
    model.segment(image, tmp_path / "served.png")
    predict(
        Workspace(tmp_path), image, tmp_path / "predicted.png", bundles=[other, flat_bundle],
        device="cpu",
    )  # fmt: skip
    assert (tmp_path / "served.png").read_bytes() == (tmp_path / "predicted.png").read_bytes()


def test_progress_counts_up_to_what_was_announced(flat_bundle, tmp_path):
    (tmp_path / "large.png").write_bytes(picture(700, 300))
    model, announced, looks = load(tmp_path, flat_bundle), [], []
    model.segment(
        tmp_path / "large.png", tmp_path / "labels.png", lambda: looks.append(1), announced.append
    )
    assert [len(looks)] == announced
    assert len(looks) > 1


def test_small_files_of_large_voxels_are_refused_before_they_are_resampled(tmp_path):
    bundle = make_bundle(tmp_path / "bundle", plan=make_plan())
    grid = Geometry((60, 60, 60), (50.0, 50.0, 50.0))
    write_image(tmp_path / "image.nii.gz", Image(np.ones((1, 60, 60, 60), np.int16), grid))
    with pytest.raises(Refusal, match=r"the image has .* at the model's voxel size, at most 500,"):
        load(tmp_path, bundle).segment(tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz")


def bundle_of(folder, channels):
    one, many = make_plan(), len(channels)
    configuration = replace(
        one.configurations["3d_fullres"], normalizers=("zscore",) * many,
        mask_normalization=(False,) * many,
    )  # fmt: skip
    plan = replace(
        one, channels=channels, intensities=one.intensities * many,
        configurations={"3d_fullres": configuration},
    )  # fmt: skip
    return make_bundle(folder, ("0", "1"), plan)


def test_channels_of_one_file_are_those_of_several(tmp_path):
    bundle, grid = bundle_of(tmp_path / "bundle", ("T1", "T2")), Geometry((22, 27, 18))
    array = np.random.default_rng(0).normal(0, 100, (2, *grid.shape)).astype(np.float32)
    write_image(tmp_path / "image.nii.gz", Image(array, grid))
    several = [tmp_path / f"case_{n:04}.nii.gz" for n in range(2)]
    for n, file in enumerate(several):
        write_image(file, Image(array[n : n + 1], grid))
    load(tmp_path, bundle).segment(tmp_path / "image.nii.gz", tmp_path / "served.nii.gz")
    predict(
        Workspace(tmp_path), several, tmp_path / "predicted.nii.gz", bundles=[bundle], device="cpu"
    )
    served, predicted = (tmp_path / f"{name}.nii.gz" for name in ("served", "predicted"))
    assert len(np.unique(read_labels(served).array)) == 3
    assert served.read_bytes() == predicted.read_bytes()


@pytest.mark.parametrize(
    ("channels", "sent", "fact"),
    [
        (("CT",), 2, "the image holds 2 channels, expected 1: CT"),
        (("T1", "T2"), 1, "the image holds 1 channel, expected 2: T1, T2 -> send one 4-D NIfTI fi"),
    ],
)
def test_a_volume_has_the_channels_of_the_model(tmp_path, channels, sent, fact):
    bundle = bundle_of(tmp_path / "bundle", channels)
    array = np.random.default_rng(0).normal(0, 100, (sent, 9, 9, 9)).astype(np.float32)
    write_image(tmp_path / "image.nii", Image(array, Geometry((9, 9, 9))))
    with pytest.raises(Refusal) as caught:
        load(tmp_path, bundle).segment(tmp_path / "image.nii", tmp_path / "labels.nii")
    assert (caught.value.status, caught.value.fact[: len(fact)]) == (422, fact)


def test_errors_do_not_say_where_files_lie(tmp_path):
    bundle = make_bundle(tmp_path / "bundle", plan=make_plan())
    scan = np.full((1, 9, 9, 9), np.nan, np.float32)
    write_image(tmp_path / "image.nii", Image(scan, Geometry((9, 9, 9))))
    with pytest.raises(DataError) as caught:
        load(tmp_path, bundle).segment(tmp_path / "image.nii", tmp_path / "labels.nii")
    assert str(caught.value).startswith("the image: 729 voxels are NaN or infinite")
    assert str(tmp_path) not in str(caught.value)
