"""`import --model`: a whole bundle or none."""

import numpy as np
import pytest
import torch

from autoseg.bundle_reader import load_bundle, open_bundle
from autoseg.cli import main
from autoseg.errors import CorruptError, DataError, UsageError
from autoseg.inference.predictor import Predictor
from autoseg.workflows.import_model import import_model
from autoseg.workspace import Workspace
from tests.sharing.nnunet_folders import KINDS, make_cascade, make_folder, make_plans, make_state


def convert(tmp_path, folder, **options):
    return import_model(Workspace(tmp_path), folder, **options)


def test_the_bundle_lies_in_models_and_holds_every_fold(tmp_path):
    folder = make_folder(tmp_path / "theirs", folds=("0", "3", "all"))
    bundle = convert(tmp_path, folder)
    assert bundle == tmp_path / "models/Dataset004_Toy/3d_fullres-nnunet/bundle"
    info = open_bundle(bundle)
    assert (info.folds, sorted(info.fold_cards)) == (("0", "3"), ["0", "3", "full"])
    assert info.config.mirror_axes == (0, 1, 2)
    card = info.fold_cards["0"].card
    assert card == {"from": "nnU-Net", "trainer": "nnUNetTrainer", "epochs": 5}
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("axes", [2, 3])
def test_the_bundle_predicts(tmp_path, kind, axes):
    bundle = convert(tmp_path, make_folder(tmp_path / "theirs", kind, axes), dataset="TOY")
    array = np.random.default_rng(0).normal(size=(6, 18, 20)).astype(np.float32)
    label_map = Predictor(bundle, "cpu", "accurate")(array, (3.0, 1.0, 0.5))
    assert label_map.shape == (6, 18, 20)
    assert set(np.unique(label_map)) <= {0, 1, 2}


def test_a_scan_stored_the_other_way_round_is_predicted_the_other_way_round(tmp_path):
    folder = make_folder(tmp_path / "theirs", inference_allowed_mirroring_axes=None)
    predict = Predictor(convert(tmp_path, folder), "cpu", "accurate")
    array = np.random.default_rng(0).normal(size=(9, 20, 18)).astype(np.float32)
    flipped = (1, 0, 0, 0, -1, 0, 0, 0, -1)
    # The header says another direction; nnU-Net, which does not turn scans, would not notice.
    assert np.array_equal(predict(array, (1, 1, 3)), predict(array, (1, 1, 3), flipped))


def test_one_fold_and_another_place_may_be_chosen(tmp_path):
    folder = make_folder(tmp_path / "theirs", folds=("0", "1"))
    bundle = convert(tmp_path, folder, output=tmp_path / "here", folds=["1"], dataset="TOY")
    assert bundle == tmp_path / "here"
    assert (open_bundle(bundle).folds, open_bundle(bundle).plan.dataset) == (("1",), "TOY")


def test_an_existing_bundle_stays_unless_it_is_given_up(tmp_path):
    folder = make_folder(tmp_path / "theirs")
    bundle = convert(tmp_path, folder, output=tmp_path / "here")
    with pytest.raises(UsageError, match="here: is there already -> choose another place with -o"):
        convert(tmp_path, folder, output=bundle)
    make_folder(tmp_path / "theirs", network_weights=make_state(heads=3) | {"x": torch.ones(1)})
    before = load_bundle(bundle).weights["0"]
    with pytest.raises(DataError, match="holds 'x'"):
        convert(tmp_path, folder, output=bundle, overwrite=True)
    assert all(torch.equal(t, before[n]) for n, t in load_bundle(bundle).weights["0"].items())
    make_folder(tmp_path / "theirs", inference_allowed_mirroring_axes=(1,))
    convert(tmp_path, folder, output=bundle, overwrite=True)
    assert load_bundle(bundle).config.mirror_axes == (1,)


def test_a_folder_that_is_no_bundle_is_never_replaced(tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here/thesis.txt").write_text("years")
    with pytest.raises(UsageError, match="here: is not a bundle"):
        convert(
            tmp_path, make_folder(tmp_path / "theirs"), output=tmp_path / "here", overwrite=True
        )
    assert (tmp_path / "here/thesis.txt").exists()


def test_nothing_is_left_of_a_conversion_that_failed(tmp_path):
    folder = make_folder(tmp_path / "theirs", folds=("0", "1"))
    (folder / "fold_1/checkpoint_final.pth").write_bytes(b"\0cut")
    with pytest.raises(CorruptError, match=r"fold_1/checkpoint_final\.pth: cannot be read"):
        convert(tmp_path, folder, output=tmp_path / "here/bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["theirs"]


@pytest.mark.parametrize("name", ["../../x", "a/b", "", ".."])
def test_a_name_that_would_leave_the_workspace_is_refused(tmp_path, name):
    folder = make_folder(tmp_path / "theirs", plans=make_plans() | {"dataset_name": name})
    with pytest.raises(DataError, match="is no name, expected letters"):
        convert(tmp_path, folder)


def test_folds_that_differ_are_not_averaged(tmp_path):
    make_folder(tmp_path / "theirs", folds=("0",))
    folder = make_folder(tmp_path / "theirs", folds=("1",), inference_allowed_mirroring_axes=None)
    with pytest.raises(DataError, match=r"fold_1.*mirrored along \(\), expected the same as the"):
        convert(tmp_path, folder)


def test_a_cascade_brings_all_folds_of_its_first_stage(tmp_path):
    bundle = convert(tmp_path, make_cascade(tmp_path / "theirs"), dataset="TOY")
    whole = load_bundle(bundle)
    assert [(s.configuration, list(s.weights)) for s in whole.stages] == [
        ("3d_lowres", ["0", "1"]),
        ("3d_cascade_fullres", ["0"]),
    ]
    array = np.random.default_rng(0).normal(size=(9, 20, 18)).astype(np.float32)
    label_map = Predictor(bundle, "cpu", "accurate")(array, (3.0, 1.0, 0.5))
    assert label_map.shape == array.shape
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]


def test_a_cascade_without_its_first_stage_says_where_that_should_lie(tmp_path):
    folder = make_cascade(tmp_path / "theirs")
    beside = folder.with_name("nnUNetTrainer__nnUNetPlans__3d_lowres")
    beside.rename(tmp_path / "elsewhere")
    message = "3d_cascade_fullres continues the prediction of 3d_lowres, which is not beside it"
    with pytest.raises(UsageError, match=message):
        convert(tmp_path, folder)
    (tmp_path / "elsewhere").rename(beside)
    with pytest.raises(UsageError, match="expected folders named like nnUNetTrainer__nnUNetPlans"):
        convert(tmp_path, folder.rename(tmp_path / "cascade"))


def test_a_first_stage_of_other_data_is_refused(tmp_path):
    folder = make_cascade(tmp_path / "theirs")
    beside = folder.with_name("nnUNetTrainer__nnUNetPlans__3d_lowres")
    text = (beside / "dataset.json").read_text(encoding="utf-8")
    (beside / "dataset.json").write_text(text.replace("anterior", "liver"), encoding="utf-8")
    with pytest.raises(DataError, match="expected 3d_lowres with the channels, labels and reader"):
        convert(tmp_path, folder)


def test_another_trainer_is_told(tmp_path, caplog):
    convert(tmp_path, make_folder(tmp_path / "theirs", trainer_name="nnUNetTrainerMine"))
    assert "trained by nnUNetTrainerMine: converted as nnUNetTrainer" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--model", "nowhere"], "nowhere: no such file or folder, expected a bundle (card.json)"),
        (["--model", "theirs", "-f", "4"], "theirs: fold 4 is not in this model, expected one of"),
        (["--model", "theirs", "--checkpoint", "b.pth"], "theirs: no fold has b.pth -> --checkpoi"),
        (["--model", "theirs", "--images", "x"], "--images with --model, expected -d, -o and -f"),
        (["--checkpoint", "x"], "the following arguments are required: -d/--dataset, --images"),
    ],
)
def test_a_command_that_cannot_be_meant_exits_2(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "theirs")
    assert main(["import", *words]) == 2
    assert capsys.readouterr().err.startswith(f"autoseg: error: {message}")


def test_the_command_says_how_to_predict(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "theirs")
    assert main(["import", "--model", "theirs", "-o", "bundle", "-d", "TOY"]) == 0
    told = "next: autoseg_predict -m bundle --speed accurate -i IMAGES -o LABELS\n"
    assert capsys.readouterr().out == told
