"""DICOM through the verbs: a series predicted, objects written, series and labels imported."""

import json

import numpy as np
import pytest

from autoseg.cli import main_predict
from autoseg.dicom import read_series
from autoseg.errors import DataError, PartlyDone, UsageError
from autoseg.importing.structures import parse_structures, read_structures
from autoseg.io import read_image, read_labels
from autoseg.label_table import TABLES
from autoseg.labels import Labels
from autoseg.sharing.rtstruct import write_rtstruct
from autoseg.workflows.check import check
from autoseg.workflows.import_data import import_data
from autoseg.workflows.predict import predict
from autoseg.workflows.predict_record import FAILED, FINAL
from autoseg.workspace import Workspace
from tests.dicom_series import make_series, write_series
from tests.inference.conftest import make_bundle

pytest.importorskip("pydicom")

SHAPE = (14, 30, 26)
LABELS = Labels({"liver": (1,), "spleen": (2,)})


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "work")
    make_bundle(workspace.bundle("TOY", "3d_fullres", "S"))
    return workspace


def names(folder):
    """What lies there, besides hidden files and the tables of names and colours."""
    there = (path.name for path in folder.iterdir() if path.name not in TABLES)
    return sorted(name for name in there if not name.startswith("."))


def missing_slice():
    return make_series(lambda z, one: z != 3, shape=SHAPE)


# --- predict --------------------------------------------------------------------------------------


def test_a_series_folder_is_one_case(workspace, tmp_path):
    folder = write_series(tmp_path / "patient_7", make_series(shape=SHAPE))
    predict(workspace, folder, tmp_path / "out")
    assert names(tmp_path / "out") == ["patient_7.nii.gz", FINAL]
    found, series = read_labels(tmp_path / "out" / "patient_7.nii.gz"), read_series(folder)
    np.testing.assert_allclose(found.geometry.origin, series.geometry.origin, atol=1e-4)
    np.testing.assert_allclose(found.geometry.direction, series.geometry.direction, atol=1e-6)
    assert found.array.any()


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_the_result_as_a_dicom_object_holds_the_same_labels(workspace, tmp_path, kind):
    if kind == "seg":
        pytest.importorskip("highdicom")
    folder = write_series(tmp_path / "p", make_series(shape=SHAPE))
    predict(workspace, folder, tmp_path / "labels")
    predict(workspace, folder, tmp_path / "object")
    predict(workspace, folder, tmp_path / "object", write=kind, overwrite=True)
    assert names(tmp_path / "object") == [f"p.{kind}.dcm", FINAL]
    assert not any((tmp_path / "object" / name).exists() for name in TABLES)  # it holds its own
    wanted = parse_structures([], {"anterior": 1, "posterior": 2})
    found, _ = read_structures(tmp_path / "object" / f"p.{kind}.dcm", read_series(folder), wanted)
    expected = read_labels(tmp_path / "labels" / "p.nii.gz").array[0]
    np.testing.assert_array_equal(found, expected)
    assert set(np.unique(found)) >= {1, 2}


def test_folders_in_a_folder_are_cases_and_a_bad_one_does_not_stop_the_others(workspace, tmp_path):
    write_series(tmp_path / "scans" / "a", make_series(shape=SHAPE))
    write_series(tmp_path / "scans" / "b", missing_slice())
    with pytest.raises(PartlyDone):
        predict(workspace, tmp_path / "scans", tmp_path / "out")
    assert names(tmp_path / "out") == ["a.nii.gz", FAILED, FINAL, "predictions.partial.jsonl"]
    why = json.loads((tmp_path / "out" / FAILED).read_text())["b"]
    assert "1 slice missing after this one" in why
    # Mended, only the bad one is predicted; its slices are new, not the folder.
    for path in (tmp_path / "scans" / "b").iterdir():
        path.unlink()
    write_series(tmp_path / "scans" / "b", make_series(shape=SHAPE))
    predict(workspace, tmp_path / "scans", tmp_path / "out")
    assert names(tmp_path / "out") == ["a.nii.gz", "b.nii.gz", FINAL]


def test_a_wrong_series_is_refused_before_anything_is_written(workspace, tmp_path, capsys):
    folder = write_series(tmp_path / "p", missing_slice())
    words = ["-i", str(folder), "-o", str(tmp_path / "out"), "-w", str(workspace.root)]
    assert main_predict(words) == 3
    said = capsys.readouterr().err
    assert "CT.97.dcm: 1 slice missing after this one: CT.96.dcm is 5 mm away" in said
    assert "in series 1.2.3.4 'thorax'" in said
    assert not (tmp_path / "out").exists()
    write_series(tmp_path / "q", missing_slice())
    with pytest.raises(DataError, match="none of 2 series can be used"):
        predict(workspace, tmp_path, tmp_path / "out")


def test_dicom_objects_are_made_of_series_only(workspace, tmp_path):
    image = read_image(write_series(tmp_path / "p", make_series(shape=SHAPE)))
    from autoseg.io import write_image

    write_image(tmp_path / "nifti" / "a.nii.gz", image)
    with pytest.raises(UsageError, match=r"cannot write DICOM \(seg\) of a file that is none"):
        predict(workspace, tmp_path / "nifti", tmp_path / "out", write="seg")
    with pytest.raises(UsageError, match=r"x\.dcm: label maps are no DICOM files -> --write seg"):
        predict(workspace, tmp_path / "p", tmp_path / "x.dcm")
    with pytest.raises(UsageError, match=r"x\.nii: --write seg makes DICOM files, expected a fold"):
        predict(workspace, tmp_path / "p", tmp_path / "x.nii", write="seg")


# --- import ---------------------------------------------------------------------------------------


def write_patients(tmp_path):
    """Two patients: series in CT/, structures in RS.dcm; the second one has no spleen."""
    rng = np.random.default_rng(1)
    for number, patient in enumerate("ab"):
        array = rng.integers(0, 4096, SHAPE)
        slices = make_series(shape=SHAPE, series=f"1.2.3.{number + 1}", array=array)
        folder = write_series(tmp_path / "study" / patient / "CT", slices)
        label_map = np.zeros(SHAPE, np.uint8)
        label_map[3:9, 4:20, 4:20] = 1
        label_map[5:7, 8:12, 8:12] = 2 - 2 * number
        labels = LABELS if number == 0 else Labels({"Leber": (1,)})
        path = tmp_path / "study" / patient / "RS.1.dcm"
        write_rtstruct(path, label_map, labels, read_series(folder))


def import_patients(tmp_path, **options):
    given = {
        "images": f"{tmp_path}/study/{{case}}/CT",
        "labels": f"{tmp_path}/study/{{case}}/RS*.dcm",
        "channels": ["CT"],
        "classes": ["liver", "spleen"],
        "structures": ["liver=liver,leber"],
    }
    return import_data(Workspace(tmp_path), "D", **{**given, **options})


def test_series_and_rtstruct_become_a_dataset(tmp_path):
    write_patients(tmp_path)
    dataset = import_patients(tmp_path)
    assert [case.id for case in dataset.cases] == ["a", "b"]
    case = dataset.cases[0]
    assert case.images[0].name == "a_0000.nii.gz"
    image, series = read_image(case.images[0]), read_series(tmp_path / "study" / "a" / "CT")
    np.testing.assert_array_equal(image.array, read_image(tmp_path / "study" / "a" / "CT").array)
    np.testing.assert_allclose(image.geometry.spacing, series.geometry.spacing, rtol=1e-6)
    labels = read_labels(case.labels)
    expected = np.zeros(SHAPE, np.uint8)
    expected[3:9, 4:20, 4:20], expected[5:7, 8:12, 8:12] = 1, 2
    np.testing.assert_array_equal(labels.array[0], expected)
    # What was not drawn is not annotated, rather than background.
    assert dataset.cases[0].annotated is None
    assert dataset.cases[1].annotated == ("liver",)
    assert check(Workspace(tmp_path), "D").problems == ()
    assert import_patients(tmp_path) == dataset  # again: nothing to do


def test_problems_of_several_patients_are_listed_together(tmp_path):
    write_patients(tmp_path)
    with pytest.raises(DataError) as caught:
        import_patients(tmp_path, classes=["lung"], structures=[])
    assert len(caught.value.problems) == 2
    assert "holds the structures liver, spleen, expected lung" in str(caught.value)
    for path in (tmp_path / "study" / "b" / "CT").glob("CT.9[67].dcm"):
        path.unlink()
    with pytest.raises(DataError, match="2 slices missing after this one"):
        import_patients(tmp_path)


def test_structures_need_their_series(tmp_path):
    write_patients(tmp_path)
    import_patients(tmp_path)
    images = f"{tmp_path}/raw/D/imagesTr/{{case}}_0000.nii.gz"
    with pytest.raises(DataError, match=r"structures in DICOM, but the image is a_0000\.nii\.gz"):
        import_data(
            Workspace(tmp_path), "E", images=images, labels=f"{tmp_path}/study/{{case}}/RS*.dcm",
            channels=["CT"], classes=["liver"],
        )  # fmt: skip
    with pytest.raises(DataError, match="let the pattern end at the series' folder"):
        import_patients(tmp_path, images=f"{tmp_path}/study/{{case}}/CT/CT.99.dcm")
    for pattern in ("CT", "CT/CT.99.dcm"):
        with pytest.raises(DataError, match=r"CT.*: holds scans, not labels, expected a label map"):
            import_patients(tmp_path, labels=f"{tmp_path}/study/{{case}}/{pattern}")
    (tmp_path / "study" / "a" / "notes.txt").write_text("liver")
    with pytest.raises(DataError, match=r"notes\.txt: is not a label file that autoseg reads"):
        import_patients(tmp_path, labels=f"{tmp_path}/study/{{case}}/notes.txt")
