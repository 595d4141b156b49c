"""Label maps as one binary file for each target, and back, bit for bit."""

import json
import struct

import numpy as np
import pytest

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.image import Geometry, Image
from autoseg.io import read_header, read_image, read_labels, write_image, write_labels
from autoseg.labels import Labels
from autoseg.workflows.export_masks import export_masks
from autoseg.workspace import Workspace

GRID = Geometry((3, 5, 4), (2.0, 1.0, 0.5), (1.0, -2.0, 3.0), (1, 0, 0, 0, -1, 0, 0, 0, -1))
LABELS = {"background": 0, "spleen": 3, "liver_left": 1, "gland": 700}


def make_workspace(root, labels=LABELS, ending=".nii.gz", grid=GRID, **more):
    raw, values = root / "raw" / "D", sorted({0, *np.hstack(list(labels.values()))})
    rng = np.random.default_rng(0)
    for name in ("a", "b c"):
        image = Image(rng.integers(0, 99, (1, *grid.shape)).astype(np.uint8), grid)
        write_image(raw / "imagesTr" / f"{name}_0000{ending}", image)
        label_map = rng.choice(values, grid.shape).astype(np.uint16)
        write_labels(raw / "labelsTr" / f"{name}{ending}", label_map, grid)
    declared = {"channel_names": {"0": "CT"}, "labels": labels, **more}
    (raw / "dataset.json").write_text(json.dumps(declared))
    return Workspace(root)


def test_masks_are_binary_on_the_grid_of_their_label_map(tmp_path):
    workspace = make_workspace(tmp_path)
    made = export_masks(workspace, tmp_path / "out")
    assert made.labels.names == ("spleen", "liver_left", "gland")
    assert (made.cases, made.ending) == (2, ".nii.gz")
    for name, value in (("spleen", 3), ("liver_left", 1), ("gland", 700)):
        path = tmp_path / "out" / "b c" / f"{name}.nii.gz"
        whole = read_labels(workspace.raw("D") / "labelsTr" / "b c.nii.gz")
        mask = read_image(path)
        assert mask.array.dtype == np.uint8
        assert np.array_equal(mask.array, whole.array == value)
        assert mask.geometry == whole.geometry
    record = json.loads((tmp_path / "out" / "masks.json").read_text())
    assert record["labels"] == {"spleen": [3], "liver_left": [1], "gland": [700]}


@pytest.mark.parametrize(
    ("labels", "more"),
    [
        (LABELS, {}),
        ({**LABELS, "ignore": 9}, {}),
        (
            {"background": 0, "kidney": [1, 2], "tumour": 2},
            {"regions_class_order": [1, 2]},
        ),
    ],
)
def test_imported_again_the_label_map_is_the_same(tmp_path, capsys, labels, more):
    workspace = make_workspace(tmp_path, labels, **more)
    where = ["-w", str(tmp_path)]
    assert main(["export", "--masks", str(tmp_path / "out"), *where]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"2 cases in {tmp_path / 'out'}\nback: autoseg import -d NAME")
    words = text.split("back: autoseg ")[1].replace("'", "").split()
    words[words.index("NAME")] = "BACK"
    words[words.index("SCANS")] = f"{workspace.raw('D')}/imagesTr/{{case}}_0000.nii.gz"
    words[words.index("CHANNEL")] = "CT"
    assert main([*words, *where]) == 0
    before, after = (load_dataset(workspace.raw(name)) for name in ("D", "BACK"))
    assert after.labels == before.labels
    for old, new in zip(before.cases, after.cases, strict=True):
        one, other = read_labels(old.labels), read_labels(new.labels)
        assert np.array_equal(one.array, other.array)
        assert one.geometry == other.geometry


def test_a_mask_keeps_the_header_of_its_label_map(tmp_path):
    path = tmp_path / "pred" / "x.nii"
    write_labels(path, np.ones(GRID.shape, np.uint8), GRID)
    data = bytearray(path.read_bytes())
    data[254:256] = struct.pack("<h", 4)  # sform_code: where the coordinates come from
    path.write_bytes(data)
    targets = Labels({"cyst": (1,)})
    export_masks(
        Workspace(tmp_path), tmp_path / "out", predictions=tmp_path / "pred", targets=targets
    )
    assert (tmp_path / "out" / "x" / "cyst.nii").read_bytes()[254:256] == b"\4\0"


def test_pictures_stay_pictures_and_inside_is_white(tmp_path):
    workspace = make_workspace(tmp_path, {"background": 0, "x": 1}, ".png", Geometry((1, 6, 7)))
    export_masks(workspace, tmp_path / "out")
    mask = read_image(tmp_path / "out" / "a" / "x.png").array
    assert set(np.unique(mask)) == {0, 255}
    assert np.array_equal(mask > 0, read_labels(workspace.raw("D") / "labelsTr/a.png").array == 1)


def test_what_was_not_annotated_has_no_file_and_what_is_absent_an_empty_one(tmp_path):
    workspace = make_workspace(tmp_path, cases={"a": {"annotated": ["spleen", "gland"]}})
    path = workspace.raw("D") / "labelsTr" / "a.nii.gz"
    write_labels(path, np.full(GRID.shape, 3, np.uint16), GRID)
    export_masks(workspace, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out" / "a").iterdir()) == [
        "gland.nii.gz",
        "spleen.nii.gz",
    ]
    assert not read_image(tmp_path / "out" / "a" / "gland.nii.gz").array.any()


def test_a_folder_of_predictions_needs_to_know_what_values_mean(tmp_path, capsys):
    folder = tmp_path / "elsewhere" / "pred"
    write_labels(folder / "x.nii.gz", np.full(GRID.shape, 2, np.uint8), GRID)
    with pytest.raises(UsageError, match="what do the values mean\\? -> name the dataset with -d"):
        export_masks(Workspace(tmp_path), tmp_path / "out", predictions=folder)
    words = ["export", "--masks", str(tmp_path / "out"), "-i", str(folder)]
    assert main([*words, "--targets", "kidney=1,2", "tumour=2"]) == 0
    for name in ("kidney", "tumour"):
        assert read_image(tmp_path / "out" / "x" / f"{name}.nii.gz").array.all()
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "cyst": 2}}))
    export_masks(Workspace(tmp_path), tmp_path / "two", predictions=folder)
    assert read_header(tmp_path / "two" / "x" / "cyst.nii.gz").pixel_type == "uint8"


def test_other_values_are_told_and_nothing_is_written(tmp_path):
    workspace = make_workspace(tmp_path)
    targets = Labels({"spleen": (3,)})
    with pytest.raises(DataError, match="2 of 2 label maps cannot be used, nothing was written"):
        export_masks(workspace, tmp_path / "out", dataset="D", targets=targets)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a/b"], "'a/b' cannot be the name of a file"),
        ([".hidden"], "'.hidden' cannot be the name of a file"),
        (["Liver", "liver"], "two targets are called 'Liver' where A and a are the same"),
    ],
)
def test_targets_must_be_names_of_files(tmp_path, names, message):
    targets = Labels({name: (value,) for value, name in enumerate(names, 1)})
    with pytest.raises(UsageError, match=message):
        export_masks(make_workspace(tmp_path), tmp_path / "out", targets=targets)


def test_masks_of_others_are_not_replaced(tmp_path):
    workspace = make_workspace(tmp_path)
    export_masks(workspace, tmp_path / "out")
    with pytest.raises(UsageError, match="is there already"):
        export_masks(workspace, tmp_path / "out")
    export_masks(workspace, tmp_path / "out", overwrite=True, workers=2)
    with pytest.raises(UsageError, match="holds something else"):
        export_masks(workspace, tmp_path / "raw", overwrite=True)
