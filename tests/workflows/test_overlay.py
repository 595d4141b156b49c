"""`autoseg overlay`: one picture a case, and what cannot be drawn is told after the others."""

import shutil

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.image import Geometry
from autoseg.io import read_labels, write_labels
from autoseg.workflows import overlay as module
from autoseg.workflows.overlay import overlay
from tests.synthetic import DATASET, make_workspace, write_unseen

SAGITTAL = (0, 0, -1, 1, 0, 0, 0, 1, 0)  # Z of the file towards the back, X towards the feet


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("workspace"), cases=2)


def test_every_training_case_is_drawn_with_its_labels(workspace, tmp_path, capsys):
    output = tmp_path / "pictures"
    assert main(["overlay", "-w", str(workspace.root), "-o", str(output), "--workers", "1"]) == 0
    cases = load_dataset(workspace.raw(DATASET)).cases
    assert sorted(p.name for p in output.iterdir()) == [f"{case.id}.png" for case in cases]
    assert capsys.readouterr().out == f"2 pictures in {output}\n"
    assert main(["overlay", "-w", str(workspace.root), "-o", str(output)]) == 2
    assert "holds phantom_00.png, phantom_01.png -> choose another place" in capsys.readouterr().err
    overlay(workspace, output, overwrite=True)


def test_scans_of_elsewhere_are_drawn_with_their_predictions(workspace, tmp_path):
    write_unseen(tmp_path, cases=2)
    (tmp_path / "labels" / "phantom_90.nii.gz").unlink()
    paths = overlay(
        workspace, tmp_path / "o", images=tmp_path / "images", predictions=tmp_path / "labels"
    )
    assert [path.name for path in paths] == ["phantom_91.png"]
    with pytest.raises(UsageError, match="-i without -p, expected label maps"):
        overlay(workspace, tmp_path / "p", images=tmp_path / "images")
    with pytest.raises(UsageError, match="holds no label map of them, expected files named"):
        overlay(workspace, tmp_path / "p", predictions=tmp_path / "labels")


@pytest.mark.parametrize("folder", ["imagesTr", "labelsTr"])
def test_pictures_never_lie_among_what_they_are_made_of(workspace, tmp_path, folder):
    raw = workspace.raw(DATASET)
    with pytest.raises(UsageError, match=r"an input, lies in the output -> choose another folder"):
        overlay(workspace, raw / folder, overwrite=True)
    (tmp_path / "link").symlink_to(raw / folder)
    with pytest.raises(UsageError, match="an input, lies in the output"):
        overlay(workspace, tmp_path / "link", overwrite=True)
    shutil.copytree(raw / "labelsTr", tmp_path / "pred")
    with pytest.raises(UsageError, match="an input, lies in the output"):
        overlay(workspace, tmp_path / "pred", predictions=tmp_path / "pred")


def test_a_label_map_on_another_grid_does_not_stop_the_others(workspace, tmp_path):
    shutil.copytree(workspace.raw(DATASET) / "labelsTr", tmp_path / "pred")
    write_labels(tmp_path / "pred/phantom_00.nii.gz", np.zeros((3, 4, 5), int), Geometry((3, 4, 5)))
    with pytest.raises(DataError, match=r"phantom_00\.nii\.gz: shape .*\n1 of 2 not drawn"):
        overlay(workspace, tmp_path / "o", predictions=tmp_path / "pred")
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["phantom_01.png"]


def test_slices_are_axial_however_the_scan_is_stored(tmp_path, monkeypatch):
    workspace = make_workspace(tmp_path, cases=1)
    for path in (tmp_path / "raw").rglob("*.nii.gz"):
        array = read_labels(path).array[0].astype(np.int16)
        shape = array.shape
        write_labels(path, np.abs(array), Geometry(shape, (1, 3, 2), direction=SAGITTAL))
    drawn = []
    monkeypatch.setattr(module, "draw_overlay", lambda *a, **k: drawn.append((a[0].shape, k)))
    overlay(workspace, tmp_path / "o")
    assert drawn[0][0] == (shape[2], shape[0], shape[1])
    assert drawn[0][1]["spacing"] == (2, 1, 3)
    assert drawn[0][1]["names"] == {1: "liver", 2: "spleen", 3: "lesion"}


def test_an_unknown_channel_is_answered(workspace, tmp_path):
    with pytest.raises(UsageError, match="unknown channel 'CTT' -> did you mean 'CT'"):
        overlay(workspace, tmp_path / "o", channel="CTT")
