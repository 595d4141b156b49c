"""`autoseg report --case`: the page of one case, and what is said about places that are wrong."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.image import Geometry, Image
from autoseg.io import read_labels, write_image, write_labels
from autoseg.workflows.view import view_of_case, view_of_files
from autoseg.workflows.view_case import view_case
from tests.report.test_packing import unpack
from tests.synthetic import DATASET, make_workspace

TURNED = (-1, 0, 0, 0, 0, 1, 0, -1, 0)  # Z to the feet, Y to the right, X to the back


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("workspace"), cases=2)


@pytest.fixture(scope="module")
def case(workspace):
    return load_dataset(workspace.raw(DATASET)).cases[0]


def scene_of(path):
    page = path.read_text(encoding="utf-8")
    found = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    return json.loads(found.group(1))


def test_a_case_is_shown_with_its_labels_and_predictions(workspace, case, tmp_path, capsys):
    folder = tmp_path / "network"
    folder.mkdir()
    shutil.copy(case.labels, folder)
    shutil.copy(case.labels, tmp_path / "other.nii.gz")
    page = tmp_path / "case.html"
    words = ["report", "-w", str(workspace.root), "--case", case.id, "-o", str(page)]
    words += ["--pred", str(folder), "--pred", str(tmp_path / "other.nii.gz")]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith(f"{page} (")
    scene = scene_of(page)
    assert scene["title"] == case.id
    assert scene["channels"][0]["unit"] == "HU"
    assert [layer["name"] for layer in scene["layers"]] == ["reference", "network", "other"]
    assert main(words) == 0  # a page of ours is replaced
    page.write_text("mine")
    assert main(words) == 2
    assert "give --overwrite" in capsys.readouterr().err
    assert main([*words, "--overwrite", "--anonymous"]) == 0
    text = page.read_text(encoding="utf-8")
    assert case.id not in text
    assert [layer["name"] for layer in scene_of(page)["layers"]][1:] == [
        "prediction 1", "prediction 2",
    ]  # fmt: skip


def test_any_scan_is_turned_to_canonical_and_keeps_its_places(tmp_path):
    rng = np.random.default_rng(0)
    array = rng.integers(0, 200, (1, 3, 4, 5)).astype(np.int16)
    grid = Geometry((3, 4, 5), (2.0, 1.0, 3.0), (5.0, 6.0, 7.0), TURNED)
    write_image(tmp_path / "mr.nii.gz", Image(array, grid))
    write_labels(tmp_path / "gt.nii.gz", (array[0] > 100).astype(np.uint8) * 4, grid)
    view = view_of_files(tmp_path / "mr.nii.gz", tmp_path / "gt.nii.gz")
    scene = scene_of(view_case(view, output=tmp_path / "mr.html"))
    assert scene["shape"] == [3, 5, 4]
    assert scene["spacing"] == pytest.approx([2, 3, 1])
    # Canonical (z, y, x) is the file's (2 - z, 3 - x reversed, y): flipped Z, and Y and X swapped.
    expected = array[0][::-1, ::-1].transpose(0, 2, 1)
    shown = unpack(type("Packed", (), scene["channels"][0]["image"]), (3, 5, 4))
    assert (shown == expected).all()
    assert scene["origin"] == pytest.approx(grid.position(np.array([2, 3, 0])))
    assert [(t["name"], t["values"]) for t in scene["targets"]] == [("4", [4])]
    assert scene["channels"][0]["unit"] == ""


def test_names_of_a_dataset_may_be_given_to_any_scan(workspace, case, tmp_path):
    words = ["report", "-w", str(workspace.root), "-d", DATASET, "--image", str(case.images[0])]
    assert main([*words, "--gt", str(case.labels), "-o", str(tmp_path / "p.html")]) == 0
    names = [target["name"] for target in scene_of(tmp_path / "p.html")["targets"]]
    assert names == list(load_dataset(workspace.raw(DATASET)).labels.names)


def test_wrong_places_are_told(workspace, case, tmp_path):
    with pytest.raises(UsageError, match=rf"no case 'x_{case.id}' -> did you mean '{case.id}'"):
        view_of_case(workspace, None, f"x_{case.id}")
    with pytest.raises(UsageError, match=r"unknown channel 'MR'"):
        view_of_case(workspace, None, case.id, "MR")
    view = view_of_case(workspace, None, case.id)
    (tmp_path / "empty").mkdir()
    shutil.copy(case.labels, tmp_path / "empty" / "other.nii.gz")
    with pytest.raises(UsageError, match=f"holds no label map of {case.id}, .* not other"):
        view_case(view, [tmp_path / "empty"], tmp_path / "p.html")
    with pytest.raises(DataError, match=r"values from -1024 to \d+, expected a label map"):
        view_case(view, [case.labels.parents[1] / "imagesTr"], tmp_path / "p.html")
    with pytest.raises(UsageError, match="not found, expected a label map"):
        view_case(view, [tmp_path / "none.nii.gz"], tmp_path / "p.html")
    with pytest.raises(UsageError, match="not found, expected an image"):
        view_of_files(tmp_path / "none.nii.gz")
    assert not (tmp_path / "p.html").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pred", "a"], "--gt, --pred and --channel belong to one case -> name it: --case ID"),
        (["--case", "a", "--image", "b"], "--case and --image, expected one of them"),
        (["--image", "b", "--channel", "CT"], "--channel without --case -> of a file the first"),
    ],
)
def test_options_that_do_not_go_together_are_told(workspace, words, told, capsys):
    assert main(["report", "-w", str(workspace.root), *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("what", ["shape", "spacing", "origin", "direction"])
def test_a_prediction_on_another_grid_is_told_with_both_grids(workspace, case, tmp_path, what):
    labels = read_labels(case.labels)
    array, grid = labels.array[0], labels.geometry
    z, y, x = grid.shape
    spacing = ", ".join(f"{mm:.6g}" for mm in grid.spacing)
    other, told = {
        "shape": (Geometry((z - 1, y, x)), f"shape {z - 1}x{y}x{x}, expected {z}x{y}x{x}"),
        "spacing": (
            replace(grid, spacing=(9.0, 1.0, 1.0)), f"spacing (9, 1, 1), expected ({spacing})",
        ),
        "origin": (replace(grid, origin=(7.5, 8.0, 9.0)), "origin (7.5, 8, 9), expected ("),
        "direction": (
            replace(grid, direction=(1.0, 0, 0, 0, 0, 1, 0, -1, 0)),
            "direction (1, 0, 0, 0, 0, 1, 0, -1, 0), expected (",
        ),
    }[what]  # fmt: skip
    path = tmp_path / "other.nii.gz"
    write_labels(path, array[: other.shape[0]], other)
    view = view_of_case(workspace, None, case.id)
    with pytest.raises(DataError) as raised:
        view_case(view, [path], tmp_path / "p.html")
    text = str(raised.value)
    assert text.startswith(f"{path}: {told}")
    assert text.endswith(
        "as in its scan -> a label map of this very scan: is it another case's, or resampled?"
    )
    assert not (tmp_path / "p.html").exists()


def test_values_that_the_dataset_does_not_know_are_told_and_shown(
    workspace, case, tmp_path, caplog
):
    labels = read_labels(case.labels)
    array = labels.array[0].astype(np.uint16)
    array[0, 0, :3] = (77, 0, 99)
    write_labels(tmp_path / "other.nii.gz", array, labels.geometry)
    view = view_of_case(workspace, None, case.id)
    page = view_case(view, [tmp_path / "other.nii.gz"], tmp_path / "p.html")
    assert (
        f"{tmp_path / 'other.nii.gz'} holds 77, 99, values that {DATASET} does not know:"
        " shown as targets of their own"
    ) in caplog.text
    shown = {target["name"]: target["amounts"] for target in scene_of(page)["targets"]}
    assert [name for name in shown if name.startswith("value")] == ["value 77", "value 99"]
    each = np.prod(labels.geometry.spacing) / 1000
    assert shown["value 99"] == pytest.approx([0, each])
    array[0, 0, :] = 1000 + np.arange(array.shape[2])
    array[0, 1, :] = 2000 + np.arange(array.shape[2])
    write_labels(tmp_path / "other.nii.gz", array, labels.geometry)
    told = (
        rf"holds 1000, 1001, .* more, values that {DATASET} does not know, expected a label map of"
    )
    with pytest.raises(DataError, match=told):
        view_case(view, [tmp_path / "other.nii.gz"], tmp_path / "p.html")


def test_a_prediction_in_a_folder_is_found_by_the_name_of_a_scan_with_its_channel(case, tmp_path):
    folder = tmp_path / "pred"
    folder.mkdir()
    shutil.copy(case.labels, folder / "scan.nii.gz")
    shutil.copy(case.images[0], tmp_path / "scan_0000.nii.gz")
    view = view_of_files(tmp_path / "scan_0000.nii.gz")
    scene = scene_of(view_case(view, [folder], tmp_path / "p.html"))
    assert [layer["name"] for layer in scene["layers"]] == ["pred"]
