"""What is looked at: channels, and the prediction of the model that has not seen a case."""

import numpy as np

from autoseg.cli import main
from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.io import write_image, write_labels
from autoseg.planning.folds import load_folds
from autoseg.workflows.view import view_of_case, view_of_files
from autoseg.workflows.view_case import view_case
from autoseg.workspace import Workspace
from tests.report.test_packing import unpack
from tests.workflows.prepared import make_scan
from tests.workflows.prepared import make_workspace as make_balls
from tests.workflows.test_crossvalidate import A, validate
from tests.workflows.test_view_case import scene_of


def validated(root):
    """Return a workspace whose model A has validated folds 0 and 1 of BALLS, and a case of each."""
    workspace = make_balls(root, cases=10)
    validate(workspace, A, {})
    cases = {}
    for number, fold in enumerate(load_folds(workspace.folds("BALLS"))):
        case = fold.validation[0]
        image, label_map = make_scan(np.random.default_rng(int(case.removeprefix("ball_"))))
        folder, cases[number] = workspace.raw("BALLS"), case
        write_image(folder / "imagesTr" / f"{case}_0000.nii.gz", image)
        write_labels(folder / "labelsTr" / f"{case}.nii.gz", label_map, image.geometry)
    write_json(folder / "dataset.json", {
        "channel_names": {"0": "MR"}, "labels": {"background": 0, "core": 1, "shell": 2},
        "numTraining": len(cases), "file_ending": ".nii.gz",
    })  # fmt: skip
    return workspace, cases


def test_without_pred_what_the_model_predicted_out_of_fold_is_shown(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workspace, cases = validated(tmp_path)
    words = ["report", "-w", str(tmp_path), "-d", "BALLS", "--case", cases[1]]
    assert main(words) == 0
    name = f"{A}, out of fold 1"
    assert f"shown with {name}: a prediction of a model that has not" in capsys.readouterr().err
    page = tmp_path / f"{cases[1]}.html"
    assert [layer["name"] for layer in scene_of(page)["layers"]] == ["reference", name]
    label = workspace.raw("BALLS") / "labelsTr" / f"{cases[1]}.nii.gz"
    assert main([*words, "--pred", str(label)]) == 0
    assert [layer["name"] for layer in scene_of(page)["layers"]] == ["reference", cases[1]]
    assert main([*words[:-1], cases[2]]) == 0  # fold 2 is not validated
    scene = scene_of(tmp_path / f"{cases[2]}.html")
    assert [layer["name"] for layer in scene["layers"]] == ["reference"]


def test_the_first_channels_of_a_film_are_shown(tmp_path, caplog):
    caplog.set_level("INFO")
    array = np.arange(12 * 24).reshape(12, 2, 3, 4).astype(np.int16)
    write_image(tmp_path / "film.nii.gz", Image(array, Geometry((2, 3, 4))))
    scene = scene_of(view_case(view_of_files(tmp_path / "film.nii.gz"), (), tmp_path / "p.html"))
    names = [channel["name"] for channel in scene["channels"]]
    assert names == [f"channel {number}" for number in range(1, 9)]
    assert "shown are the first 8 of 12 channels" in caplog.text
    last = unpack(type("Packed", (), scene["channels"][7]["image"]), (2, 3, 4))
    assert (last == array[7]).all()


def test_a_channel_that_is_named_comes_first(tmp_path):
    for number, value in enumerate((10, 20, 30)):
        image = Image(np.full((1, 2, 3, 4), value, np.int16), Geometry((2, 3, 4)))
        write_image(tmp_path / f"raw/MR/imagesTr/a_{number:04}.nii.gz", image)
    write_labels(
        tmp_path / "raw/MR/labelsTr/a.nii.gz", np.ones((2, 3, 4), np.uint8), Geometry((2, 3, 4))
    )
    write_json(tmp_path / "raw/MR/dataset.json", {
        "channel_names": {"0": "T1", "1": "T2", "2": "FLAIR"}, "labels": {"background": 0, "x": 1},
        "numTraining": 1, "file_ending": ".nii.gz",
    })  # fmt: skip
    view = view_of_case(Workspace(tmp_path), "MR", "a", "T2")
    assert view.channels == ("T2", "T1", "FLAIR")
    assert view.image.array[:, 0, 0, 0].tolist() == [20, 10, 30]
