"""`autoseg check --fix-geometry image`: label maps get their image's header, nothing is lost."""

import json

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.files import sha256
from autoseg.image import Geometry, Image
from autoseg.io import read_header, read_labels, read_names, write_image, write_labels
from autoseg.workflows import fix_geometry as module
from autoseg.workspace import Workspace

GRID = Geometry((3, 4, 5), (2.5, 0.977, 0.977), (-40.0, 7.0, 3.0), (1, 0, 0, 0, -1, 0, 0, 0, -1))
LABELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 2


@pytest.fixture(params=[".nii.gz", ".mha"])
def workspace(tmp_path, request):
    raw = tmp_path / "raw" / "D"
    rng = np.random.default_rng(0)
    for number, grid in enumerate((GRID, Geometry((3, 4, 5)), Geometry((2, 4, 5)))):
        image = Image(rng.integers(-900, 900, (1, 3, 4, 5)).astype(np.int16), GRID)
        write_image(raw / "imagesTr" / f"c{number}{request.param}", image)
        label_map = LABELS[: grid.shape[0]]
        write_labels(raw / "labelsTr" / f"c{number}{request.param}", label_map, grid)
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "heart": 1}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    return Workspace(tmp_path)


def label_file(workspace, number):
    return next((workspace.raw("D") / "labelsTr").glob(f"c{number}.*"))


def test_a_lost_header_is_an_error_before_and_restored_after(workspace, capsys):
    """A09: labels with an identity affine."""
    words = ["check", "-w", str(workspace.root), "-d", "D"]
    path, other = label_file(workspace, 1), label_file(workspace, 2)
    before, untouched = path.read_bytes(), sha256(label_file(workspace, 0))
    assert main(words) == 3
    told = capsys.readouterr().err
    assert f"labelsTr/{path.name}: spacing (1, 1, 1), origin (0, 0, 0), direction" in told
    assert "expected spacing (2.5, 0.977, 0.977) to 0.1 %, origin (-40, 7, 3) to 0.01 mm" in told
    assert "autoseg check -d D --fix-geometry image" in told
    assert main([*words, "--fix-geometry", "image"]) == 3  # another shape stays an error
    told = capsys.readouterr().err
    assert f"labelsTr/{path.name}: spacing (2.5, 0.977, 0.977), origin (-40, 7, 3)" in told
    assert "was spacing (1, 1, 1)" in told
    assert f"labelsTr/{other.name}: shape 2x4x5, expected shape 3x4x5" in told
    other.write_bytes(label_file(workspace, 0).read_bytes())
    assert main(words) == 0
    assert np.allclose(read_header(path).geometry.spacing, GRID.spacing)
    assert np.array_equal(read_labels(path).array[0], LABELS)
    assert sha256(label_file(workspace, 0)) == untouched
    record = json.loads((workspace.raw("D") / "fix_geometry.json").read_text())["files"]
    assert [(one["case"], one["before"]["origin"]) for one in record] == [("c1", "(0, 0, 0)")]
    assert (workspace.raw("D") / record[0]["kept"]).read_bytes() == before


def test_a_second_run_changes_nothing_and_a_new_fault_keeps_the_old_record(workspace):
    words = ["check", "-w", str(workspace.root), "--fix-geometry", "image"]
    path = label_file(workspace, 1)
    main(words)
    fixed = path.read_bytes()
    main(words)
    assert path.read_bytes() == fixed
    write_labels(path, 1 - LABELS, Geometry((3, 4, 5), (9.0, 9.0, 9.0)))
    main(words)
    record = json.loads((workspace.raw("D") / "fix_geometry.json").read_text())["files"]
    assert len({one["kept"] for one in record}) == 2
    for one in record:
        assert sha256(workspace.raw("D") / one["kept"]) == one["sha256"]


def test_a_linked_original_is_left_as_it_is(workspace):
    path = label_file(workspace, 1)
    original = workspace.root / path.name
    path.rename(original)
    path.symlink_to(original)
    before = sha256(original)
    main(["check", "-w", str(workspace.root), "--fix-geometry", "image"])
    assert sha256(original) == before
    assert not path.is_symlink()
    assert np.allclose(read_header(path).geometry.spacing, GRID.spacing)


def test_an_interrupted_run_is_done_again_and_told_once(workspace, monkeypatch):
    words = ["check", "-w", str(workspace.root), "--fix-geometry", "image"]
    path = label_file(workspace, 1)
    before = path.read_bytes()

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_labels", interrupted)
        assert main(words) == 130
    assert path.read_bytes() == before
    main(words)
    record = json.loads((workspace.raw("D") / "fix_geometry.json").read_text())["files"]
    assert [one["case"] for one in record] == ["c1"]
    assert (workspace.raw("D") / record[0]["kept"]).read_bytes() == before
    assert np.allclose(read_header(path).geometry.spacing, GRID.spacing)


def test_the_names_in_a_header_stay_in_it(tmp_path):
    raw = tmp_path / "raw" / "D"
    write_image(raw / "imagesTr" / "a.nii.gz", Image(np.zeros((1, 3, 4, 5), np.int16), GRID))
    write_labels(raw / "labelsTr" / "a.nii.gz", LABELS, Geometry((3, 4, 5)), names={1: "heart"})
    declared = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "heart": 1}}
    (raw / "dataset.json").write_text(json.dumps(declared))
    assert len(module.fix_geometry(Workspace(tmp_path))) == 1
    assert read_names(raw / "labelsTr" / "a.nii.gz") == {1: "heart"}
