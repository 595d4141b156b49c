"""`autoseg report --mesh`, `--gif`, `--sheet`: pictures of a case, and what is refused."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
from PIL import Image as Picture

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.image import Geometry, Image
from autoseg.io import write_image, write_labels
from tests.synthetic import DATASET, make_workspace

GRID = Geometry((6, 8, 10), (2.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("workspace"), cases=2)


@pytest.fixture(scope="module")
def case(workspace):
    return load_dataset(workspace.raw(DATASET)).cases[0]


@pytest.fixture
def words(workspace, case, tmp_path, monkeypatch):
    """The command without what to draw, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(case.labels, tmp_path / "network.nii.gz")
    pred = str(tmp_path / "network.nii.gz")
    return ["report", "-w", str(workspace.root), "--pred", pred]


def test_surfaces_of_a_case_with_its_prediction(words, case, tmp_path, capsys):
    pytest.importorskip("skimage", reason="scikit-image finds surfaces")
    pytest.importorskip("plotly", reason="Plotly turns them")
    assert main([*words, "--mesh", case.id]) == 0
    page = tmp_path / f"{case.id}-mesh.html"
    assert capsys.readouterr().out.startswith(page.name)
    assert re.findall("<th>([^<]*), mL", page.read_text()) == ["reference", "network"]
    assert main([*words, "--mesh", "--case", case.id, "--anonymous", "-o", "m.html"]) == 0
    text = (tmp_path / "m.html").read_text()
    assert case.id not in text
    assert "prediction 1" in text
    page.write_text("mine")
    assert main([*words, "--mesh", case.id]) == 2


def test_surfaces_of_files_alone_have_the_names_of_their_header(tmp_path, monkeypatch, capsys):
    pytest.importorskip("skimage", reason="scikit-image finds surfaces")
    pytest.importorskip("plotly", reason="Plotly turns them")
    monkeypatch.chdir(tmp_path)
    label_map = np.zeros(GRID.shape, np.uint8)
    label_map[2:4, 2:6, 2:6] = 5
    write_labels(tmp_path / "a.nii.gz", label_map, GRID, names={5: "pancreas"})
    write_labels(tmp_path / "b.nii.gz", label_map * 0, GRID)
    assert main(["report", "--mesh", "--gt", "a.nii.gz", "--pred", "b.nii.gz"]) == 0
    assert "<span>pancreas</span>" in (tmp_path / "a-mesh.html").read_text()
    write_labels(tmp_path / "a.nii.gz", label_map, GRID)
    assert main(["report", "--mesh", "--gt", "a.nii.gz"]) == 0
    assert "<span>5</span>" in (tmp_path / "a-mesh.html").read_text()
    assert main(["report", "--mesh", "--pred", "b.nii.gz"]) == 3
    assert "no target in" in capsys.readouterr().err


def test_slices_of_a_case(words, case, tmp_path):
    assert main([*words, "--case", case.id, "--gif", "sagittal"]) == 0
    with Picture.open(tmp_path / f"{case.id}-sagittal.gif") as picture:
        assert picture.n_frames > 5
    assert main([*words, "--case", case.id, "--sheet", "2x3", "--plane", "coronal"]) == 0
    assert main([*words, "--case", case.id, "--sheet", "2x3", "-o", "s.png"]) == 0
    sizes = [Picture.open(tmp_path / name).size for name in (f"{case.id}-coronal.png", "s.png")]
    assert sizes[0] != sizes[1]
    assert main([*words, "--case", case.id, "--sheet", "2x3", "--anonymous"]) == 0
    assert (tmp_path / "case-axial.png").is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--sheet", "4"], '--sheet 4, expected rows and columns, such as "4x4"'),
        (["--sheet", "0x4"], "--sheet 0x4, expected 1 to 400 slices"),
        (["--sheet", "2x2", "-o", "a.jpg"], "a.jpg: '.jpg', expected a name that ends in .png"),
        (["--gif", "axial", "--plane", "axial"], "--plane without --sheet"),
        (["--gif", "axial", "--pred", "network.nii.gz"], "outlines of 3 label maps, expected at"),
        (["--gif", "axial", "-o", "there.gif"], "there.gif: is there already"),
    ],
)
def test_what_cannot_be_drawn_is_told(words, case, tmp_path, capsys, options, said):
    (tmp_path / "there.gif").write_text("mine")
    assert main([*words, "--case", case.id, *options]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("what", [["--gif", "sagittal"], ["--sheet", "2x2"]])
def test_without_a_name_the_first_case_is_drawn_and_named(
    workspace, case, tmp_path, monkeypatch, capsys, what
):
    monkeypatch.chdir(tmp_path)
    assert main(["report", "-w", str(workspace.root), *what]) == 0
    said = capsys.readouterr()
    assert f"drawn is {case.id}, the first case; --case names another" in said.err
    assert said.out.startswith(f"{case.id}-")


def test_a_flat_picture_has_one_plane_and_does_not_move(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Picture.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save("flat.png")
    words = ["report", "--image", "flat.png"]
    assert main([*words, "--sheet", "4x4"]) == 0
    with Picture.open("flat-axial.png") as sheet:
        assert sheet.size[0] == 480  # one large slice
    assert main([*words, "--gif", "sagittal"]) == 2
    assert (
        "flat.png: a flat picture has no sagittal slices, expected axial" in capsys.readouterr().err
    )
    assert main([*words, "--gif", "axial"]) == 2
    assert (
        "an animation of one slice -> --sheet 1x1 --plane axial draws it" in capsys.readouterr().err
    )


def test_a_sheet_of_a_flat_scan_is_in_the_plane_it_lies_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    image = np.arange(24, dtype=np.float32).reshape(1, 4, 1, 6)
    write_image(tmp_path / "front.nii.gz", Image(image, Geometry((4, 1, 6))))
    assert main(["report", "--image", "front.nii.gz", "--sheet", "2x2"]) == 0
    assert (tmp_path / "front-coronal.png").exists()


@pytest.mark.parametrize("what", [["--gif", "sagittal"], ["--sheet", "2x2"], ["--mesh"]])
def test_what_is_no_label_map_is_told_in_every_picture(tmp_path, monkeypatch, capsys, what):
    pytest.importorskip("plotly", reason="Plotly turns surfaces")
    monkeypatch.chdir(tmp_path)
    write_image(tmp_path / "scan.nii.gz", Image(np.zeros((1, *GRID.shape), np.int16), GRID))
    for value in (-1, 70_000):
        write_labels(tmp_path / "other.nii.gz", np.full(GRID.shape, value, np.int32), GRID)
        assert main(["report", "--image", "scan.nii.gz", "--pred", "other.nii.gz", *what]) == 3
        said = capsys.readouterr().err
        assert f"values from {value} to {value}, expected a label map, 0 to 65535" in said


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("what", [["--gif", "sagittal"], ["--sheet", "2x2"], []])
def test_voxels_without_a_number_are_told_and_drawn(
    tmp_path, monkeypatch, capsys, recwarn, what, known
):
    monkeypatch.chdir(tmp_path)
    array = np.arange(480, dtype=np.float32).reshape(1, *GRID.shape) if known else np.nan
    image = np.broadcast_to(array, (1, *GRID.shape)).copy()
    image[0, 0, 0, :2] = np.nan, np.inf
    write_image(tmp_path / "scan.nii.gz", Image(image, GRID))
    assert main(["report", "--image", "scan.nii.gz", *what]) == 0
    told = f"{2 if known else 480} voxels without a finite value: shown as the lowest"
    assert told in capsys.readouterr().err
    assert not recwarn.list


def test_a_flat_picture_has_no_surfaces(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Picture.fromarray(np.ones((10, 20), np.uint8)).save("flat.png")
    assert main(["report", "--mesh", "--gt", "flat.png"]) == 2
    said = capsys.readouterr().err
    assert "flat.png: a flat picture has no surfaces -> --sheet 1x1 draws outlines on its" in said


def test_a_picture_needs_a_case(words, capsys):
    assert main([*words, "--sheet", "4x4"]) == 2
    assert "which case? -> name it: --case ID" in capsys.readouterr().err
