"""The verb import: files anywhere become raw/<NAME>, voxels and headers untouched."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.cli import main
from autoseg.dataset import load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.image import Geometry, Image
from autoseg.io import read_case, read_image, read_labels, read_names, write_image, write_labels
from autoseg.workflows.check import check
from autoseg.workflows.import_data import import_data
from autoseg.workspace import Workspace

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
GRID = Geometry((3, 4, 5), (2.0, 1.0, 1.0), (5.0, 6.0, 7.0))


def write_volumes(folder, names, ending=".nii.gz"):
    for name in names:
        image = RNG.integers(0, 99, (1, 3, 4, 5)).astype(np.int16)
        write_image(folder / "scans" / f"{name}{ending}", Image(image, GRID))
        label_map = RNG.integers(0, 2, (3, 4, 5)).astype(np.uint8)
        write_labels(folder / "masks" / f"{name}_seg{ending}", label_map, GRID)


def import_volumes(tmp_path, **options):
    given = {
        "images": f"{tmp_path}/scans/{{case}}.nii.gz",
        "labels": f"{tmp_path}/masks/{{case}}_seg.nii.gz",
        "channels": ["MR"],
        "classes": ["liver"],
    }
    return import_data(Workspace(tmp_path), "D", **{**given, **options})


def test_copies_are_the_same_bytes_in_nnunets_layout(tmp_path):
    write_volumes(tmp_path, ["a", "b"])
    dataset = import_volumes(tmp_path)
    raw = tmp_path / "raw" / "D"
    copy = raw / "imagesTr" / "a_0000.nii.gz"
    assert copy.read_bytes() == (tmp_path / "scans" / "a.nii.gz").read_bytes()
    assert not copy.is_symlink()
    assert (raw / "labelsTr" / "b.nii.gz").exists()
    assert [case.id for case in dataset.cases] == ["a", "b"]
    assert json.loads((raw / "dataset.json").read_text()) == {
        "name": "D",
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "liver": 1},
        "numTraining": 2,
        "file_ending": ".nii.gz",
    }
    assert '"liver"' in (raw / "labels.txt").read_text()
    assert "\n1 liver " in (raw / "labels.ctbl").read_text()
    assert check(Workspace(tmp_path), "D").problems == ()


def test_label_maps_that_are_written_anew_say_what_their_values_are(tmp_path):
    write_volumes(tmp_path, ["a"])
    import_volumes(tmp_path, classes=["liver=3", "ignore=4"], label_map=["1:3"])
    raw = tmp_path / "raw" / "D"
    assert read_names(raw / "labelsTr" / "a.nii.gz") == {3: "liver", 4: "ignore"}
    assert "\n4 ignore " in (raw / "labels.ctbl").read_text()


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd", ".tif"])
def test_every_file_type_stays_what_it_is(tmp_path, ending):
    write_volumes(tmp_path, ["a b"], ending)
    dataset = import_volumes(
        tmp_path,
        images=f"{tmp_path}/scans/{{case}}{ending}",
        labels=f"{tmp_path}/masks/{{case}}_seg{ending}",
    )
    (case,) = dataset.cases
    assert (case.id, dataset.file_ending) == ("a b", ending)
    assert case.images[0].read_bytes() == (tmp_path / "scans" / f"a b{ending}").read_bytes()
    assert read_labels(case.labels).geometry == read_image(case.images[0]).geometry


def test_a_direction_off_by_a_thousandth_is_kept_and_read(tmp_path):
    write_volumes(tmp_path, ["a"])
    for name in ("scans/a", "masks/a_seg"):
        path = tmp_path / f"{name}.nii.gz"
        data = bytearray(gzip.decompress(path.read_bytes()))
        data[284:288] = struct.pack("<f", 1e-3)  # the second number of srow_x
        path.write_bytes(gzip.compress(bytes(data)))
    (case,) = import_volumes(tmp_path).cases
    assert case.labels.read_bytes() == (tmp_path / "masks" / "a_seg.nii.gz").read_bytes()
    assert read_image(case.images[0]).geometry.spacing == pytest.approx((2.0, 1.0, 1.0), abs=1e-5)


@pytest.mark.parametrize("link", [True, "symlink", "hard"])
def test_links_take_no_space(tmp_path, link):
    write_volumes(tmp_path, ["a"])
    import_volumes(tmp_path, link=link)
    made = tmp_path / "raw" / "D" / "imagesTr" / "a_0000.nii.gz"
    assert made.samefile(tmp_path / "scans" / "a.nii.gz")
    assert made.is_symlink() == (link != "hard")


def test_the_same_import_again_does_nothing_and_another_is_refused(tmp_path):
    write_volumes(tmp_path, ["a"])
    import_volumes(tmp_path)
    made = tmp_path / "raw" / "D" / "dataset.json"
    before = made.stat().st_mtime_ns
    import_volumes(tmp_path)
    assert made.stat().st_mtime_ns == before
    with pytest.raises(UsageError, match="holds another dataset -> choose another name"):
        import_volumes(tmp_path, classes=["spleen"])


def test_an_unfinished_import_leaves_nothing_behind(tmp_path):
    write_volumes(tmp_path, ["a", "b"])
    import_volumes(tmp_path)
    raw = tmp_path / "raw" / "D"
    (raw / "dataset.json").unlink()
    (tmp_path / "scans" / "b.nii.gz").unlink()
    (tmp_path / "masks" / "b_seg.nii.gz").unlink()
    assert [case.id for case in import_volumes(tmp_path).cases] == ["a"]


def test_what_is_annotated_is_said_of_cases_by_their_names(tmp_path):
    write_volumes(tmp_path, ["site1_a", "site1_b", "site2_a"])
    classes = {"classes": ["liver", "spleen"], "annotated": ["site1_*=liver"]}
    dataset = import_volumes(tmp_path, **classes)
    assert [case.annotated for case in dataset.cases] == [("liver",), ("liver",), None]
    with pytest.raises(UsageError, match="holds another dataset"):
        import_volumes(tmp_path, **classes | {"annotated": ["site2_*=liver"]})


def test_regions_with_ignored_voxels_are_declared(tmp_path):
    write_volumes(tmp_path, ["a"])
    labels = import_volumes(tmp_path, classes=["whole=1,2", "core=2", "ignore=9"]).labels
    assert (labels.targets, labels.ignore) == ({"whole": (1, 2), "core": (2,)}, 9)


def test_a_folder_of_somebody_else_is_not_touched(tmp_path):
    write_volumes(tmp_path, ["a"])
    (tmp_path / "raw" / "D" / "imagesTr").mkdir(parents=True)
    with pytest.raises(UsageError, match="holds another dataset"):
        import_volumes(tmp_path)
    assert [path.name for path in (tmp_path / "raw" / "D").iterdir()] == ["imagesTr"]


def test_masks_of_255_controls_and_rgba_greys(tmp_path):
    for number in range(2):
        grey = RNG.integers(0, 255, (6, 7)).astype(np.uint8)
        mask = (RNG.random((6, 7)) > 0.5) * np.uint8(255)
        for name, array in (
            ("imgs/patient", grey),
            ("labels/seg", mask),
            ("controls/c", 99 - grey),
        ):
            path = tmp_path / f"{name}_{number}.png"
            path.parent.mkdir(exist_ok=True)
            rgba = np.dstack([array, array, array, np.full_like(array, 255)])
            sitk.WriteImage(sitk.GetImageFromArray(rgba, isVector=True), str(path))
    dataset = import_data(
        Workspace(tmp_path),
        "MIP",
        images=f"{tmp_path}/imgs/patient_{{case}}.png",
        labels=f"{tmp_path}/labels/seg_{{case}}.png",
        controls=f"{tmp_path}/controls/{{case}}.png",
        channels=["PET"],
        classes=["tumour"],
        label_map=["255:1"],
    )
    cases = {case.id: case for case in dataset.cases}
    assert sorted(cases) == ["0", "1", "c_0", "c_1"]
    assert cases["c_0"].tags == ("control",)
    assert cases["0"].tags == ()
    assert not read_labels(cases["c_1"].labels).array.any()
    before = read_image(tmp_path / "labels" / "seg_0.png").array
    assert np.array_equal(read_labels(cases["0"].labels).array, before // 255)
    assert read_case(cases["0"], 1).array.shape == (1, 1, 6, 7)
    assert check(Workspace(tmp_path), "MIP").problems == ()


def test_a_converted_label_map_keeps_its_header(tmp_path):
    write_volumes(tmp_path, ["a"])
    dataset = import_volumes(tmp_path, label_map=["1:2"], classes=["liver=2"])
    source = tmp_path / "masks" / "a_seg.nii.gz"
    made = read_labels(dataset.cases[0].labels)
    assert np.array_equal(made.array, 2 * read_labels(source).array)
    assert made.geometry == read_labels(source).geometry


def test_values_without_a_meaning_are_all_listed(tmp_path):
    write_volumes(tmp_path, ["a", "b"])
    with pytest.raises(DataError, match="2 problems with the files") as caught:
        import_volumes(tmp_path, label_map=["255:2"], classes=["liver=2"])
    assert "a_seg.nii.gz: label value 1 in" in str(caught.value)
    assert not (tmp_path / "raw" / "D" / "dataset.json").exists()


def test_greys_are_told_how_to_be_imported(tmp_path):
    write_volumes(tmp_path, ["a"])
    path = tmp_path / "masks" / "a_seg.nii.gz"
    write_labels(path, 255 * read_labels(path).array[0], GRID)
    with pytest.raises(DataError, match=r"expected a declared value -> --label-map 255:1"):
        import_volumes(tmp_path, absent=["liver"])
    import_volumes(tmp_path, absent=["liver"], label_map=["255:1"])


def test_channels_are_found_by_name(tmp_path):
    for case in ("a", "b"):
        for channel in ("flair", "t1", "t1_ce"):
            image = RNG.integers(0, 99, (1, 3, 4, 5)).astype(np.int16)
            write_image(tmp_path / case / f"{case}_{channel}.nii", Image(image, GRID))
        write_labels(tmp_path / case / f"{case}_seg.nii", np.ones((3, 4, 5), np.uint8), GRID)
    given = {
        "images": f"{tmp_path}/{{case}}/{{case}}_{{channel}}.nii",
        "labels": f"{tmp_path}/{{case}}/{{case}}_seg.nii",
        "classes": ["whole=1,2", "core=2"],
    }
    channels = ["T1", "CE=t1_ce", "FLAIR"]
    dataset = import_data(Workspace(tmp_path), "D", channels=channels, **given)
    image = read_case(dataset.cases[1], 3)
    for index, name in enumerate(("t1", "t1_ce", "flair")):
        expected = read_image(tmp_path / "b" / f"b_{name}.nii").array[0]
        assert np.array_equal(image.array[index], expected)
    assert dataset.channels == ("T1", "CE", "FLAIR")
    assert dataset.labels.targets == {"whole": (1, 2), "core": (2,)}
    (tmp_path / "a" / "a_t1.nii").unlink()
    with pytest.raises(DataError, match=r"case a misses T1, expected all of T1, CE, FLAIR"):
        import_data(Workspace(tmp_path), "E", channels=channels, **given)


def test_one_file_with_all_channels_keeps_its_plain_name(tmp_path):
    write_image(tmp_path / "scans" / "a.nii.gz", Image(np.zeros((2, 3, 4, 5), np.int16), GRID))
    write_labels(tmp_path / "masks" / "a_seg.nii.gz", np.ones((3, 4, 5), np.uint8), GRID)
    dataset = import_volumes(tmp_path, channels=["T1", "T2"])
    assert dataset.cases[0].images[0].name == "a.nii.gz"
    assert read_case(dataset.cases[0], 2).array.shape == (2, 3, 4, 5)


def test_images_without_labels_are_kept_for_prediction(tmp_path, caplog):
    write_volumes(tmp_path, ["a", "b"])
    (tmp_path / "masks" / "b_seg.nii.gz").unlink()
    assert [case.id for case in import_volumes(tmp_path).cases] == ["a"]
    assert (tmp_path / "raw" / "D" / "imagesTs" / "b_0000.nii.gz").exists()
    assert "1 image without labels, now in imagesTs" in caplog.text


def test_the_next_command_is_told_with_its_workspace(tmp_path, monkeypatch, capsys):
    write_volumes(tmp_path, ["a"])
    monkeypatch.chdir(tmp_path)
    words = ["import", "-d", "D", "--images", "scans/{case}.nii.gz", "--channels", "MR"]
    words += ["--labels", "masks/{case}_seg.nii.gz", "--classes", "x"]
    assert main(words) == 0
    assert capsys.readouterr().out == "next: autoseg_plan -d D\n"
    assert main([*words, "-w", "else where"]) == 0
    assert capsys.readouterr().out == "next: autoseg_plan -w 'else where' -d D\n"


def test_mistakes_of_the_command_are_named(tmp_path):
    write_volumes(tmp_path, ["a", "b"])
    with pytest.raises(UsageError, match="no file fits"):
        import_volumes(tmp_path, images=f"{tmp_path}/scans/{{case}}.mha")
    with pytest.raises(UsageError, match="cannot name a dataset"):
        import_data(Workspace(tmp_path), "../D", images="", labels="", channels=[], classes=[])
    (tmp_path / "scans" / "a.nii.gz").unlink()
    with pytest.raises(DataError, match=r"a_seg\.nii\.gz: labels without an image"):
        import_volumes(tmp_path)
    assert load_dataset is not None


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_the_real_sets_are_imported_and_clean(tmp_path):
    workspace = Workspace(tmp_path)
    import_data(
        workspace,
        "HIPPO",
        images=f"{DATA}/hippocampus/imagesTr/{{case}}.nii.gz",
        labels=f"{DATA}/hippocampus/labelsTr/{{case}}.nii.gz",
        channels=["MR"],
        classes=["anterior", "posterior"],
        link=True,
    )
    assert check(workspace, "HIPPO").problems == ()
    dataset = load_dataset(workspace.raw("HIPPO"))
    assert len(dataset.cases) == 200
