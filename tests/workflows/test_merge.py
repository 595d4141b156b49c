"""The verb import --merge: sources become one, each class where it is known, no voxel changed."""

import gzip
import json
import os
import shutil

import numpy as np
import pytest

from autoseg.dataset import find_cases, load_dataset
from autoseg.errors import DataError, UsageError
from autoseg.files import read_json, sha256
from autoseg.image import Geometry, Image
from autoseg.io import read_image, read_labels, read_names, write_image, write_labels
from autoseg.workflows import merge as module
from autoseg.workflows.check import check
from autoseg.workflows.import_data import import_data
from autoseg.workflows.merge import merge, place_labels
from autoseg.workspace import Workspace

GRID = Geometry((4, 5, 6), (2.0, 1.0, 1.0))


def scan(seed, channels=1):
    return np.random.default_rng(seed).integers(-500, 500, (channels, 4, 5, 6)).astype(np.int16)


def write_source(workspace, name, scans, labels, ending=".nii.gz", channels=("CT",), **keys):
    """Write a data set; `scans` is case -> (seed of its image, label map (4, 5, 6))."""
    raw = workspace.raw(name)
    for case, (seed, label_map) in scans.items():
        for index, channel in enumerate(scan(seed, len(channels))):
            image = Image(channel[None], GRID)
            write_image(raw / "imagesTr" / f"{case}_{index:04d}{ending}", image)
        write_labels(raw / "labelsTr" / f"{case}{ending}", label_map, GRID)
    named = {str(index): channel for index, channel in enumerate(channels)}
    text = {"channel_names": named, "labels": {"background": 0, **labels}, "file_ending": ending}
    (raw / "dataset.json").write_text(json.dumps(text | keys))


def boxes(*values):
    """Return a label map in which each value has two voxels more than the one before."""
    label_map = np.zeros((4, 5, 6), np.uint8)
    for index, value in enumerate(values):
        label_map[index, 0, : 2 + index] = value
    return label_map


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path)
    pku = {"1": (1, boxes(1, 2, 3)), "2": (2, boxes(2))}
    write_source(workspace, "pku", pku, {"femur_left": 1, "femur_right": 2, "liver": 3},
                 licence="private")  # fmt: skip
    a1k = {"7": (3, boxes(1, 2)), "8": (4, boxes(2))}
    write_source(workspace, "a1k", a1k, {"liver": 1, "spleen": 2}, license="CC-BY",
                 cases={"8": {"group": "anna", "tags": ["late"], "meta": {"age": 7}}})  # fmt: skip
    return workspace


FEMUR = ["pku:1=femur,2=femur,liver=liver"]


def merged(workspace, **options):
    options = {"label_map": FEMUR, **options}
    return merge(workspace, "ABD", ["pku", "a1k"], **options)


def test_names_stand_beside_the_union_and_in_headers_that_were_written_anew(workspace):
    merged(workspace)
    raw = workspace.raw("ABD")
    named = {1: "femur", 2: "liver", 3: "spleen"}
    assert read_names(raw / "labelsTr" / "pku_1.nii.gz") == named
    assert '"spleen"' in (raw / "labels.txt").read_text()
    assert "\n2 liver " in (raw / "labels.ctbl").read_text()


def test_two_sources_become_one_data_set(workspace):
    """A10: named classes, who annotated what, where cases come from, voxels by class and source."""
    dataset, table = merged(workspace)
    assert dataset.labels.targets == {"femur": (1,), "liver": (2,), "spleen": (3,)}
    cases = {case.id: case for case in dataset.cases}
    assert list(cases) == ["a1k_7", "a1k_8", "pku_1", "pku_2"]
    assert cases["pku_1"].annotated == ("femur", "liver")
    assert cases["a1k_7"].annotated == ("liver", "spleen")
    assert cases["a1k_8"].group == "anna"
    assert [case.tags for case in dataset.cases] == [
        ("a1k",), ("late", "a1k"), ("pku",), ("pku",)
    ]  # fmt: skip
    assert table == (
        "voxels  pku (2 cases)  a1k (2 cases)\n"
        "femur               7              -\n"
        "liver               4              2\n"
        "spleen              -              5"
    )
    label_map = read_labels(cases["pku_1"].labels).array[0]
    assert np.array_equal(label_map, boxes(1, 1, 2))
    declared = read_json(workspace.raw("ABD") / "dataset.json")
    assert declared["cases"]["a1k_8"] == {
        "source": "a1k", "group": "anna", "tags": ["late"], "meta": {"age": 7},
        "annotated": ["liver", "spleen"],
    }  # fmt: skip
    assert declared["licence"] == "pku: private; a1k: CC-BY"
    assert declared["labels"] == {"background": 0, "femur": 1, "liver": 2, "spleen": 3}


def test_the_abdominal_project_from_its_two_downloads(tmp_path):
    """A10 and A11: both layouts, twelve classes in the end, one CT that is in both."""
    workspace = Workspace(tmp_path)
    for seed, image, labels, values in (
        (1, "pku/ct/1.nii.gz", "pku/label/1.nii.gz", (1, 4, 11)),
        (2, "pku/ct/2.nii.gz", "pku/label/2.nii.gz", (7,)),
        (3, "a1k/Image/Case_00001_0000.nii.gz", "a1k/Mask/Case_00001.nii.gz", (1, 2, 3, 4)),
        (2, "a1k/Image/Case_00002_0000.nii.gz", "a1k/Mask/Case_00002.nii.gz", (1,)),
    ):
        write_image(tmp_path / image, Image(scan(seed), GRID))
        write_labels(tmp_path / labels, boxes(*values), GRID)
    import_data(workspace, "pku", layout="pku", source=tmp_path / "pku")
    import_data(workspace, "a1k", layout="abdomenct1k", source=tmp_path / "a1k")
    with pytest.raises(DataError, match=r"a1k_Case_00002 .*: the same voxels as pku_2"):
        merge(workspace, "ABD12", ["pku", "a1k"])
    dataset, _ = merge(workspace, "ABD12", ["pku", "a1k"], duplicates="group")
    assert dataset.labels.names == (
        "bladder", "colon", "femur_head", "kidney", "liver", "rectum", "small_intestine",
        "spinal_cord", "stomach", "spleen", "pancreas",
    )  # fmt: skip
    cases = {case.id: case for case in dataset.cases}
    assert cases["pku_1"].annotated == dataset.labels.names[:9]
    assert cases["a1k_Case_00001"].annotated == ("kidney", "liver", "spleen", "pancreas")
    label_map = read_labels(cases["a1k_Case_00001"].labels).array[0]
    assert np.array_equal(label_map, boxes(5, 4, 10, 11))
    report = check(workspace, "ABD12")
    assert not report.problems
    assert any("the same voxels as" in str(warning) for warning in report.warnings)


def test_what_happened_is_recorded_with_check_sums(workspace):
    merged(workspace)
    record = read_json(workspace.raw("ABD") / "conversion.json")
    assert record["label_map"] == {"pku": {"1": "femur", "2": "femur", "liver": "liver"}}
    assert record["voxels"]["a1k"] == {"femur": None, "liver": 2, "spleen": 5}
    entry = record["cases"]["a1k_7"]
    assert (entry["source"], entry["case"]) == ("a1k", "7")
    image = workspace.raw("a1k") / "imagesTr" / "7_0000.nii.gz"
    assert entry["files"][str(image)] == sha256(image)


def test_files_are_linked_and_only_changed_labels_written_anew(workspace):
    sources = {name: bytes_of(workspace.raw(name)) for name in ("pku", "a1k")}
    dataset, _ = merge(workspace, "ABD", ["a1k", "pku"], label_map=FEMUR)
    for case in dataset.cases:
        assert all(image.stat().st_nlink == 2 for image in case.images)
        assert case.labels.stat().st_nlink == (2 if case.id.startswith("a1k") else 1)
    assert {name: bytes_of(workspace.raw(name)) for name in ("pku", "a1k")} == sources
    shutil.rmtree(workspace.raw("a1k"))  # the union needs its sources no more
    assert np.array_equal(
        read_image(load_dataset(dataset.folder).cases[0].images[0]).array, scan(3)
    )


def bytes_of(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {str(path.relative_to(folder)): path.read_bytes() for path in paths}
    return {name: data for name, data in named.items() if name != ".autoseg.lock"}


def test_labels_that_are_written_anew_keep_their_header(workspace):
    path = workspace.raw("pku") / "labelsTr" / "1.nii.gz"
    data = bytearray(gzip.decompress(path.read_bytes()))
    data[148:152] = b"mine"  # descrip
    path.write_bytes(gzip.compress(bytes(data)))
    dataset, _ = merged(workspace)
    header = gzip.decompress((dataset.folder / "labelsTr" / "pku_1.nii.gz").read_bytes())[:348]
    assert header[:108] == bytes(data[:108])
    assert header[112:] == bytes(data[112:348])  # between them: where the voxels start


def test_links_of_a_source_stay_links_and_another_disk_gets_copies(workspace, monkeypatch):
    image = workspace.raw("a1k") / "imagesTr" / "7_0000.nii.gz"
    elsewhere = image.rename(workspace.root / "scan.nii.gz")
    image.symlink_to(elsewhere)

    def other_disk(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_disk)
    dataset, _ = merged(workspace)
    images = [case.images[0] for case in dataset.cases]
    assert [image.is_symlink() for image in images] == [True, False, False, False]
    assert images[0].resolve() == elsewhere
    assert images[1].stat().st_nlink == 1


def test_the_same_merge_again_does_nothing_and_another_one_is_refused(workspace, caplog):
    caplog.set_level("INFO")
    _, table = merged(workspace)
    before = {p: p.stat().st_mtime_ns for p in workspace.raw("ABD").rglob("[!.]*.*")}
    assert merged(workspace)[1] == table
    assert "merged already, nothing to do" in caplog.text
    assert {p: p.stat().st_mtime_ns for p in workspace.raw("ABD").rglob("[!.]*.*")} == before
    with pytest.raises(UsageError, match="holds another dataset"):
        merged(workspace, absent=["liver"])
    foreign = workspace.raw("foreign") / "notes.txt"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    with pytest.raises(UsageError, match="holds another dataset"):
        merge(workspace, "foreign", ["pku", "a1k"], label_map=FEMUR)
    assert [path.name for path in foreign.parent.iterdir()] == ["notes.txt"]
    merged(workspace, absent=["liver"], overwrite=True)
    known = {case.id: case.annotated for case in load_dataset(workspace.raw("ABD")).cases}
    assert known == {"a1k_7": ("liver", "spleen"), "a1k_8": ("spleen",),
                     "pku_1": ("femur", "liver"), "pku_2": ("femur",)}  # fmt: skip


def test_an_unfinished_merge_is_done_again(workspace, monkeypatch):
    with monkeypatch.context() as patched:
        placers = iter([place_labels, place_labels, stop])
        patched.setattr(module, "place_labels", lambda *arguments: next(placers)(*arguments))
        with pytest.raises(KeyboardInterrupt):
            merged(workspace)
    assert [path.name for path in workspace.raw("ABD").iterdir()] == [".autoseg.lock"]
    merged(workspace)
    whole = bytes_of(workspace.raw("ABD"))
    # Stopped just before the end: everything is in place, but for what vouches for it.
    (workspace.raw("ABD") / "dataset.json").unlink()
    shutil.rmtree(workspace.raw("ABD") / "labelsTr")
    merged(workspace)
    assert bytes_of(workspace.raw("ABD")) == whole


def test_a_merge_that_replaces_another_one_leaves_it_in_place_until_it_is_whole(workspace):
    merged(workspace)
    before = bytes_of(workspace.raw("ABD"))
    write_labels(workspace.raw("a1k") / "labelsTr" / "7.nii.gz", boxes(1, 9), GRID)
    with pytest.raises(DataError, match="1 undeclared value"):
        merged(workspace, overwrite=True)
    assert bytes_of(workspace.raw("ABD")) == before


def stop(*arguments):
    raise KeyboardInterrupt


def test_the_same_scan_in_two_sources_is_refused_with_both_cases(workspace):
    """A11: stored with exchanged axes and as floats, as another archive may have it."""
    twice(workspace)
    with pytest.raises(DataError) as caught:
        merged(workspace)
    image = workspace.raw("a1k") / "imagesTr" / "8_0000.nii.gz"
    assert str(caught.value) == (
        f"a1k_8 ({image}): the same voxels, turned or mirrored, as pku_2, expected different "
        "scans\n1 scan is there twice -> --duplicates group keeps both in one fold, --duplicates "
        "drop only the first"
    )
    assert not (workspace.raw("ABD") / "imagesTr").exists()


def twice(workspace):
    turned = scan(2).transpose(0, 3, 2, 1)[:, ::-1].astype(np.float32)
    grid = Geometry(turned.shape[1:])
    raw = workspace.raw("a1k")
    write_image(raw / "imagesTr" / "8_0000.nii.gz", Image(turned, grid))
    write_labels(raw / "labelsTr" / "8.nii.gz", np.ones(grid.shape, np.uint8), grid)


def test_the_same_scan_twice_can_share_a_fold_or_be_dropped(workspace):
    twice(workspace)
    dataset, _ = merged(workspace, duplicates="group")
    assert {case.id: case.group for case in dataset.cases} == {
        "a1k_7": None, "a1k_8": "pku_2", "pku_1": None, "pku_2": "pku_2"
    }  # fmt: skip
    dataset, table = merged(workspace, duplicates="drop", overwrite=True)
    assert [case.id for case in dataset.cases] == ["a1k_7", "pku_1", "pku_2"]
    assert "a1k (1 case)" in table
    warnings = read_json(workspace.raw("ABD") / "conversion.json")["warnings"]
    assert warnings == ["a1k_8: the same voxels, turned or mirrored, as pku_2: left out"]


def test_channels_agree_by_name_in_any_order(workspace):
    cases = {"x": (5, boxes(1))}
    write_source(workspace, "one", cases, {"tumour": 1}, channels=("T1", "FLAIR"))
    write_source(workspace, "two", {"y": (6, boxes(1))}, {"tumour": 1}, channels=("flair", "t1"))
    dataset, _ = merge(workspace, "BOTH", ["one", "two"])
    assert dataset.channels == ("T1", "FLAIR")
    files = {case.id: [read_image(path).array for path in case.images] for case in dataset.cases}
    assert np.array_equal(files["two_y"][0], scan(6, 2)[1:])
    with pytest.raises(UsageError, match=r"pku: has the channels CT, expected T1, FLAIR as in one"):
        merge(workspace, "WRONG", ["one", "pku"])


def test_other_file_types_are_written_as_the_first_ones(workspace):
    write_source(workspace, "mha", {"z": (9, boxes(1))}, {"liver": 1}, ending=".mha")
    dataset, _ = merge(workspace, "MIXED", ["a1k", "mha"])
    assert [case.images[0].name for case in dataset.cases] == [
        "a1k_7_0000.nii.gz", "a1k_8_0000.nii.gz", "mha_z_0000.nii.gz"
    ]  # fmt: skip
    assert np.array_equal(read_image(dataset.cases[2].images[0]).array, scan(9))
    assert read_image(dataset.cases[2].images[0]).geometry == GRID


def test_images_to_predict_come_along(workspace):
    image = Image(scan(11), GRID)
    write_image(workspace.raw("a1k") / "imagesTs" / "t1_0000.nii.gz", image)
    dataset, _ = merged(workspace)
    assert [p.name for p in (dataset.folder / "imagesTs").iterdir()] == ["a1k_t1_0000.nii.gz"]


def test_an_image_to_predict_that_another_source_trains_on_is_told(workspace):
    image = Image(scan(1), GRID)
    write_image(workspace.raw("a1k") / "imagesTs" / "7_0000.nii.gz", image)
    with pytest.raises(DataError, match=r"a1k_7 .*: the same voxels as pku_1, expected images th"):
        merged(workspace)
    dataset, _ = merged(workspace, duplicates="drop")
    assert not (dataset.folder / "imagesTs").exists()
    assert [case.id for case in dataset.cases] == ["a1k_7", "a1k_8", "pku_1", "pku_2"]


def test_images_that_hold_all_channels_are_found_again(workspace):
    """The plain name T_0012 would be channel 12 of T."""
    write_source(workspace, "S", {"x": (1, boxes(1))}, {"tumour": 1}, channels=("T1", "T2"))
    write_source(workspace, "T", {"0012": (2, boxes(1))}, {"tumour": 1}, channels=("T1", "T2"))
    raw = workspace.raw("T")
    for path in (raw / "imagesTr").iterdir():
        path.unlink()
    for seed, place in ((2, "imagesTr/0012.nii.gz"), (3, "imagesTs/0013.nii.gz")):
        write_image(raw / place, Image(scan(seed, 2), GRID))
    dataset, _ = merge(workspace, "ST", ["S", "T"])
    assert [(case.id, len(case.images)) for case in dataset.cases] == [("S_x", 2), ("T_0012", 1)]
    assert [case.id for case in find_cases(dataset.folder / "imagesTs", 2)] == ["T_0013"]


def test_cases_that_would_have_one_name_are_refused(workspace):
    write_source(workspace, "A", {"1_x": (1, boxes(1))}, {"liver": 1})
    write_source(workspace, "a_1", {"X": (2, boxes(1))}, {"liver": 1})
    with pytest.raises(UsageError, match="a_1: 'X' would be named as '1_x' of A -> rename one of"):
        merge(workspace, "AB", ["A", "a_1"])


def test_a_union_can_be_merged_again_and_keeps_where_cases_came_from(workspace):
    merged(workspace)
    write_source(workspace, "third", {"t": (12, boxes(1))}, {"spleen": 1})
    dataset, _ = merge(workspace, "ALL", ["ABD", "third"])
    assert dataset.cases[0].id == "ABD_a1k_7"
    assert dataset.cases[0].tags == ("a1k",)
    assert dataset.cases[0].annotated == ("liver", "spleen")
    assert dataset.cases[-1].annotated == ("spleen",)


def test_undeclared_values_of_all_cases_are_told(workspace):
    for case in ("7", "8"):
        path = workspace.raw("a1k") / "labelsTr" / f"{case}.nii.gz"
        write_labels(path, boxes(1, 5), GRID)
    with pytest.raises(DataError) as caught:
        merged(workspace)
    place = workspace.raw("a1k") / "labelsTr" / "7.nii.gz"
    lines = str(caught.value).splitlines()
    assert lines[0] == (
        f"{place}: label value 5 in 3 voxels, expected the declared values 0, 1, 2 of a1k -> "
        "autoseg check -d a1k lists all such"
    )
    assert lines[-1] == "2 undeclared values"


def test_what_cannot_be_merged_is_told_before_a_voxel_is_read(workspace, monkeypatch):
    monkeypatch.setattr(module, "look_at", None)
    for name, sources, options, told in (
        ("pku", ["pku", "a1k"], {}, "'pku' is merged itself -> choose a new name"),
        ("X", ["pku"], {}, "data sets to merge: pku, expected two or more, each once"),
        ("X", ["pku", "pku"], {}, "data sets to merge: pku, pku, expected two or more"),
        ("X", ["pku", "a1q"], {}, "unknown dataset 'a1q' -> did you mean 'a1k'?"),
        ("a b", ["pku", "a1k"], {}, "'a b' cannot name a dataset"),
        ("X", ["pku", "a1k"], {"duplicates": "dorp"}, "duplicates: 'dorp' -> did you mean 'drop'"),
        ("X", ["pku", "a1k"], {"absent": ["lever"]}, "lever -> did you mean 'liver'"),
        ("X", ["pku", "a1k"], {"label_map": ["pku:1=femur"]}, "value 2 .femur_right. is not in"),
    ):
        with pytest.raises(UsageError, match=told):
            merge(workspace, name, sources, **options)
    assert sorted(workspace.raw_datasets()) == ["a1k", "pku"]
