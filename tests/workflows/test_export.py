"""`export --to nnunet`: the way back, judged by importing it again."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle
from autoseg.bundle_writer import save_weights
from autoseg.cli import main
from autoseg.config import TrainConfig
from autoseg.errors import UsageError
from autoseg.image import RAS, STORED
from autoseg.inference.predictor import Predictor
from autoseg.labels import Labels
from autoseg.workflows.export import export
from autoseg.workflows.import_model import import_model
from autoseg.workspace import Workspace
from tests.inference.conftest import make_bundle, make_plan, make_weights
from tests.inference.test_cascade import cascade_plan, make_cascade
from tests.sharing.nnunet_folders import KINDS, make_folder

TILTED = (1, 0, 0, 0, -1, 0, 0, 0, -1)  # stored towards head, front and right


to_nnunet = partial(export, to="nnunet")


def back(tmp_path, folder):
    return import_model(Workspace(tmp_path), folder, output=tmp_path / "again")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [2, 3])
def test_a_model_of_nnunet_comes_back_as_it_was(tmp_path, kind, axes):
    folder = make_folder(tmp_path / "theirs", kind, axes, folds=("0", "2"))
    bundle = import_model(Workspace(tmp_path), folder, output=tmp_path / "bundle")
    out = to_nnunet(bundle, tmp_path / "back")
    for fold in ("0", "2"):
        one, other = (
            torch.load(f / f"fold_{fold}/checkpoint_final.pth", weights_only=False)
            for f in (folder, out)
        )
        assert set(one["network_weights"]) == set(other["network_weights"])
        assert one["inference_allowed_mirroring_axes"] == other["inference_allowed_mirroring_axes"]
    theirs, ours = (json.loads((f / "plans.json").read_text()) for f in (folder, out))
    name = "3d_fullres" if axes == 3 else "2d"
    row, same = theirs["configurations"][name], ours["configurations"][name]
    assert {key: same[key] for key in row if key != "data_identifier"} == {
        key: value for key, value in row.items() if key != "data_identifier"
    }
    assert ours["transpose_backward"] == theirs["transpose_backward"]
    before, after = load_bundle(bundle), load_bundle(back(tmp_path, out))
    assert after.plan.orientation == STORED
    assert (after.design, after.config) == (before.design, before.config)
    for fold, state in before.weights.items():
        assert all(torch.equal(after.weights[fold][n], t) for n, t in state.items())


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_our_own_model_predicts_the_same_through_their_orientation(tmp_path, order):
    labels = Labels({"left": (2,), "right": (1,)})  # a pair, and outputs not in order
    plan = dataclasses.replace(make_plan(labels, (16, 24, 16)), axis_order=order)
    bundle = make_bundle(tmp_path / "bundle", ("0",), plan)
    again = back(tmp_path, to_nnunet(bundle, tmp_path / "theirs"))
    model = load_bundle(again)
    assert model.plan.orientation == RAS
    assert list(model.plan.labels.targets.values()) == [(1,), (2,)]
    assert set(model.config.mirror_axes) == {0, 1, 2} - {order.index(2)}
    # Without mirror images: ours would exchange left and right, theirs cannot.
    config = TrainConfig(mirror_axes=())
    for fold, folder in (("0", bundle), ("0", again)):
        whole = load_bundle(folder)
        save_weights(
            folder, fold, whole.weights[fold], whole.plan, "3d_fullres", whole.size, config, {}
        )
    # Odd margins, and a tile between two voxels: everything that has a side.
    array = np.random.default_rng(1).normal(size=(15, 21, 27)).astype(np.float32)
    for direction in (None, TILTED):
        ours = Predictor(bundle, "cpu", "accurate")(array, (1, 1, 1), direction)
        theirs = Predictor(again, "cpu", "accurate")(array, (1, 1, 1), direction)
        assert (ours != theirs).sum() <= 2  # rounding decides the odd voxel of 8,505
        assert len(np.unique(ours)) > 1


def test_values_with_gaps_are_numbered_anew_and_that_is_told(tmp_path, caplog):
    bundle = make_bundle(tmp_path / "b", ("0",), make_plan(Labels({"x": (7,), "y": (4,)})))
    out = to_nnunet(bundle, tmp_path / "theirs")
    dataset = json.loads((out / "dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, "y": 1, "x": 2}
    assert "it will write 4 as 1, 7 as 2" in caplog.text


def test_regions_keep_order_and_written_values(tmp_path):
    labels = Labels({"whole": (1, 2), "core": (2,)}, ignore=3)
    out = to_nnunet(make_bundle(tmp_path / "b", ("0",), make_plan(labels)), tmp_path / "theirs")
    dataset = json.loads((out / "dataset.json").read_text())
    assert dataset["labels"] == {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    assert dataset["regions_class_order"] == [1, 2]
    assert load_bundle(back(tmp_path, out)).plan.labels == labels


def test_nothing_private_is_in_the_folder(tmp_path):
    bundle = make_bundle(tmp_path / "secret_patient", ("0", "full"))
    out = to_nnunet(bundle, tmp_path / "theirs", folds=["0", "full"])
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    parts = ["fold_0/checkpoint_final.pth", "fold_all/checkpoint_final.pth"]
    assert files == ["dataset.json", *parts, "plans.json"]
    assert not any(b"secret_patient" in (out / name).read_bytes() for name in files)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".theirs")] == []


def test_what_nnunet_does_not_have_is_named_and_nothing_is_written(tmp_path):
    plan = make_plan()
    settings = plan.configurations["3d_fullres"]
    strange = dataclasses.replace(settings, normalizers=("my.module:norm",))
    plan = dataclasses.replace(plan, configurations={"3d_fullres": strange})
    bundle = tmp_path / "b"
    save_weights(bundle, "0", make_weights(plan, 0), plan, "3d_fullres", "S", TrainConfig(), {})
    with pytest.raises(UsageError, match=r"no normaliser 'my\.module:norm', expected ct, none"):
        to_nnunet(bundle, tmp_path / "theirs", trust=True)
    assert not (tmp_path / "theirs").exists()


def test_an_existing_folder_stays_unless_it_is_an_export_that_is_given_up(tmp_path):
    bundle = make_bundle(tmp_path / "b", ("0",))
    out = to_nnunet(bundle, tmp_path / "theirs")
    with pytest.raises(UsageError, match="theirs: is there already -> choose another place"):
        to_nnunet(bundle, out)
    assert to_nnunet(bundle, out, overwrite=True) == out
    (tmp_path / "thesis").mkdir()
    with pytest.raises(UsageError, match="thesis: holds something else"):
        to_nnunet(bundle, tmp_path / "thesis", overwrite=True)


def test_repeated_folds_and_the_model_of_all_cases_get_names_that_nnunet_can_ask_for(
    tmp_path, caplog
):
    folds = ("0", "0-seed1", "3", "3-seed1", "full")
    out = to_nnunet(make_bundle(tmp_path / "b", folds), tmp_path / "theirs", folds=folds)
    names = sorted(path.name for path in out.glob("fold_*"))
    assert names == ["fold_0", "fold_3", "fold_4", "fold_5", "fold_all"]
    assert "fold 0-seed1 is fold 4 there" in caplog.text
    assert "fold 3-seed1 is fold 5 there" in caplog.text
    assert "fold 3 is" not in caplog.text


@pytest.mark.parametrize(
    ("ending", "slices", "reader", "turned"),
    [
        (".nii.gz", 20, "SimpleITKIOWithReorient", (1, 2)),
        (".mha", 20, "SimpleITKIOWithReorient", (1, 2)),
        (".png", 1, "NaturalImage2DIO", ()),
        (".tif", 1, "NaturalImage2DIO", ()),
        (".tif", 20, "Tiff3DIO", ()),
    ],
)
def test_scans_are_turned_where_their_files_have_an_orientation(
    tmp_path, ending, slices, reader, turned
):
    plan = make_plan()
    settings = dataclasses.replace(plan.configurations["3d_fullres"], median_shape=(slices, 24, 20))
    plan = dataclasses.replace(plan, file_ending=ending, configurations={"3d_fullres": settings})
    assert plan.reversed_axes == turned
    out = to_nnunet(make_bundle(tmp_path / "b", ("0",), plan), tmp_path / "theirs")
    assert json.loads((out / "plans.json").read_text())["image_reader_writer"] == reader


def test_a_cascade_comes_back_with_its_first_stage_and_targets_in_their_order(tmp_path):
    labels = Labels({"b": (2,), "a": (1,)})  # nnU-Net sorts them, the masks at the input too
    bundle = make_cascade(tmp_path, cascade_plan(labels))
    out = to_nnunet(bundle, tmp_path / "theirs")
    assert sorted(p.name for p in out.iterdir()) == [
        "3d_lowres", "dataset.json", "fold_0", "plans.json",
    ]  # fmt: skip
    row = json.loads((out / "plans.json").read_text())["configurations"]["3d_cascade_fullres"]
    assert row["previous_stage"] == "3d_lowres"
    again = load_bundle(back(tmp_path, out))
    assert [stage.configuration for stage in again.stages] == ["3d_lowres", "3d_cascade_fullres"]
    array = np.random.default_rng(1).normal(size=(15, 21, 27)).astype(np.float32)
    ours = Predictor(bundle, "cpu", "accurate")(array, (1, 1, 1))
    theirs = Predictor(again, "cpu", "accurate")(array, (1, 1, 1))
    assert (ours != theirs).sum() <= 4
    assert len(np.unique(ours)) > 1


def test_the_command_predicts_a_cascade_stage_by_stage(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_cascade(tmp_path, cascade_plan())
    assert main(["export", "--to", "nnunet", "-m", "cascade", "-o", "theirs"]) == 0
    command = "nnUNetv2_predict_from_modelfolder -m theirs"
    assert capsys.readouterr().out == (
        f"next: {command}/3d_lowres -i IMAGES -o PREVIOUS -f 0 1 && "
        f"{command} -i IMAGES -o LABELS -f 0 -prev_stage_predictions PREVIOUS\n"
    )


def test_a_cascade_of_regions_is_refused(tmp_path):
    bundle = make_cascade(tmp_path, cascade_plan(Labels({"whole": (1, 2), "core": (2,)})))
    with pytest.raises(UsageError, match="a cascade of regions, expected targets that nnU-Net"):
        to_nnunet(bundle, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_the_command_says_how_to_predict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_bundle(tmp_path / "b", ("0", "1"))
    assert main(["export", "--to", "nnunet", "-m", "b", "-o", "theirs"]) == 0
    told = "next: nnUNetv2_predict_from_modelfolder -m theirs -i IMAGES -o LABELS -f 0 1\n"
    assert capsys.readouterr().out == told
