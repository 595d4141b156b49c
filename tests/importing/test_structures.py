"""RTSTRUCT and DICOM-SEG there and back, and what is wrong with those of others."""

import contextlib
from pathlib import Path

import numpy as np
import pytest

from autoseg.dicom import read_series
from autoseg.errors import DataError, UsageError
from autoseg.importing.structures import Wanted, is_structures, parse_structures, read_structures
from autoseg.labels import Labels
from autoseg.sharing.dicom_seg import write_seg
from autoseg.sharing.rtstruct import write_rtstruct
from tests.dicom_series import MAP_SHAPE, make_map, make_series, write_series

pydicom = pytest.importorskip("pydicom")

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dicom_ct"
LABELS = Labels({"Liver": (1,), "spleen": (2,), "gall bladder": (3,)})
VALUES = {"Liver": 1, "spleen": 2, "gall bladder": 3}
WANTED = parse_structures([], VALUES)


@pytest.fixture
def series(tmp_path):
    return read_series(write_series(tmp_path / "ct", make_series(shape=MAP_SHAPE)))


def write(kind, tmp_path, series, label_map=None, labels=LABELS):
    if kind == "seg":
        pytest.importorskip("highdicom")
    path = tmp_path / f"{kind}.dcm"
    label_map = make_map() if label_map is None else label_map
    (write_seg if kind == "seg" else write_rtstruct)(path, label_map, labels, series)
    return path


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_there_and_back_not_a_voxel_changes(tmp_path, series, kind):
    path = write(kind, tmp_path, series)
    assert is_structures(path)
    label_map, present = read_structures(path, series, WANTED)
    np.testing.assert_array_equal(label_map, make_map())
    assert present == ("Liver", "spleen", "gall bladder")  # an empty one was looked for, too


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_overlapping_targets_and_empty_maps(tmp_path, series, kind):
    labels = Labels({"kidney": (1, 2), "tumour": (2,)})
    label_map = np.zeros(MAP_SHAPE, np.uint8)
    label_map[2:5, 5:15, 5:15] = 1
    label_map[3, 8:12, 8:12] = 2
    wanted = parse_structures([], {"kidney": [1, 2], "tumour": 2})
    path = write(kind, tmp_path, series, label_map, labels)
    np.testing.assert_array_equal(read_structures(path, series, wanted)[0], label_map)
    # The whole kidney is there, under the tumour too.
    kidney, _ = read_structures(path, series, wanted[:1])
    np.testing.assert_array_equal(kidney, label_map > 0)
    path = write(kind, tmp_path, series, label_map * 0, labels)
    assert not read_structures(path, series, wanted)[0].any()


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_on_the_real_series(tmp_path, kind):
    series = read_series(DATA)
    z, y, x = np.mgrid[:20, :512, :512]
    label_map = ((np.hypot(y - 250, x - 200) < 80) & (z > 3) & (z < 16)).astype(np.uint8)
    label_map[np.hypot(y - 240, x - 190) < 25] = 0
    label_map[(np.hypot(y - 240, x - 190) < 8) & (z > 6)] = 1
    label_map[(np.hypot(y - 100, x - 400) < 15.5) & (z > 6)] = 1
    path = write(kind, tmp_path, series, label_map, Labels({"Liver": (1,)}))
    np.testing.assert_array_equal(read_structures(path, series, WANTED[:1])[0], label_map)


def test_names_are_matched_as_people_write_them(tmp_path, series):
    path = write("rtstruct", tmp_path, series)
    wanted = parse_structures(["organ=LIVER,Spl*", "gallbladder=Gall_Bladder"], {
        "organ": 4, "gallbladder": 5,
    })  # fmt: skip
    label_map, present = read_structures(path, series, wanted)
    np.testing.assert_array_equal(label_map, np.where(make_map() > 0, 4, 0))
    assert present == ("organ", "gallbladder")
    assert wanted[0] == Wanted("organ", 4, ("LIVER", "Spl*"))
    with pytest.raises(UsageError, match=r"--structures lung=x, expected one of organ"):
        parse_structures(["lung=x"], {"organ": 4})


def test_a_structure_that_is_not_there(tmp_path, series):
    path = write("rtstruct", tmp_path, series)
    values = {"spleen": 1, "lung": 2}
    assert read_structures(path, series, parse_structures([], values))[1] == ("spleen",)
    with pytest.raises(DataError, match=r"holds the structures Liver, spleen, gall bladder, expec"):
        read_structures(path, series, parse_structures([], {"lung": 2}))


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_a_file_that_is_cut_anywhere_is_refused_or_whole(tmp_path, series, kind):
    path = write(kind, tmp_path, series)
    whole = path.read_bytes()
    for length in range(700, len(whole), len(whole) // 40):
        path.write_bytes(whole[:length])
        with contextlib.suppress(DataError):
            label_map, _ = read_structures(path, series, WANTED)
            np.testing.assert_array_equal(label_map, make_map())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="copy or export it again"):
        read_structures(path, series, WANTED)


@pytest.mark.parametrize("kind", ["seg", "rtstruct"])
def test_labels_of_another_series_are_refused(tmp_path, series, kind):
    other = read_series(write_series(tmp_path / "b", make_series(shape=MAP_SHAPE, series="1.2.8")))
    with pytest.raises(DataError, match=r"refers to the series 1\.2\.3\.4, expected 1\.2\.8"):
        read_structures(write(kind, tmp_path, series), other, WANTED)


def spoilt(path, change):
    dataset = pydicom.dcmread(path)
    change(dataset)
    dataset.save_as(path)
    return path


def moved(contour, **by):
    points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
    points[:, 2] += by["z"]
    contour.ContourData = [f"{number:.4f}" for number in points.ravel()]


@pytest.mark.parametrize(
    ("mm", "said"),
    [(1.25, "outline at slice index 1.50, expected one slice"), (-25.0, "9 slices outside")],
)
def test_outlines_off_the_slices_are_refused(tmp_path, series, mm, said):
    def change(dataset):
        moved(dataset.ROIContourSequence[0].ContourSequence[0], z=mm)

    path = spoilt(write("rtstruct", tmp_path, series), change)
    with pytest.raises(DataError) as caught:
        read_structures(path, series, WANTED)
    assert "structure 'Liver' has an " in str(caught.value)
    assert said in str(caught.value)


def test_separate_outlines_of_a_hole_are_understood_and_points_are_left_out(tmp_path, series):
    """As many planning systems write them: the hole as an outline of its own; a marker."""
    from autoseg.contours import trace

    def change(dataset):
        outer, inner = np.zeros((2, *MAP_SHAPE[1:]), bool)
        outer[2:16, 2:16] = inner[5:13, 5:13] = True
        contours = []
        for mask in (outer, inner):
            (outline,) = trace(mask)
            points = np.column_stack([np.full(len(outline), 2.0), outline])
            contour = pydicom.Dataset()
            contour.ContourGeometricType = "CLOSED_PLANAR"
            contour.ContourData = [
                f"{number:.3f}" for number in series.geometry.position(points)[:, ::-1].ravel()
            ]
            contours.append(contour)
        marker = pydicom.Dataset()
        marker.ContourGeometricType, marker.ContourData = "POINT", ["1", "2", "3"]
        dataset.ROIContourSequence[0].ContourSequence = [*contours, marker]

    path = spoilt(write("rtstruct", tmp_path, series), change)
    found = read_structures(path, series, WANTED[:1])[0]
    expected = np.zeros(MAP_SHAPE, np.uint8)
    expected[2, 2:16, 2:16] = 1
    expected[2, 5:13, 5:13] = 0
    np.testing.assert_array_equal(found, expected)


def test_outlines_of_thousands_of_points(tmp_path):
    shape = (2, 62, 62)
    series = read_series(write_series(tmp_path / "ct", make_series(shape=shape)))
    label_map = np.zeros(shape, np.uint8)
    label_map[1, 1:60, 1:60] = 1
    label_map[1, 2:60:2, 2:60:2] = 0  # 29 x 29 holes
    path = write("rtstruct", tmp_path, series, label_map, Labels({"Liver": (1,)}))
    np.testing.assert_array_equal(read_structures(path, series, WANTED[:1])[0], label_map)
    # In explicit files of others such outlines are of unknown type, for their length.
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    with pytest.warns(UserWarning, match="64 kByte"):
        dataset.save_as(path, implicit_vr=False)
    np.testing.assert_array_equal(read_structures(path, series, WANTED[:1])[0], label_map)


@pytest.mark.parametrize("numbers", [["1", "2", "3", "4"] * 4, ["1"] * 10])
def test_an_outline_without_points_is_refused(tmp_path, series, numbers):
    def change(dataset):
        dataset.ROIContourSequence[0].ContourSequence[0].ContourData = numbers

    path = spoilt(write("rtstruct", tmp_path, series), change)
    with pytest.raises(DataError, match="'Liver' has an outline that is not made of points"):
        read_structures(path, series, WANTED)


def test_a_seg_on_another_grid_is_refused(tmp_path, series):
    def change(dataset):
        measures = dataset.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
        measures.PixelSpacing = [1.0, 0.7]

    path = spoilt(write("seg", tmp_path, series), change)
    with pytest.raises(DataError, match=r"voxels of 1 x 0.7 mm, expected the grid of .*ct -> resa"):
        read_structures(path, series, WANTED)


def test_fractional_segments_count_from_one_half(tmp_path, series):
    highdicom = pytest.importorskip("highdicom")
    from autoseg.sharing.dicom_reference import headers_of
    from autoseg.sharing.dicom_seg import _describe

    fractions = np.zeros(MAP_SHAPE, np.float32)
    fractions[2, 3:6, 3:6], fractions[2, 10:12, 10:12] = 0.9, 0.3
    dataset = highdicom.seg.Segmentation(
        headers_of(series), fractions, "FRACTIONAL", [_describe(1, "liver")],
        highdicom.UID(), 1, highdicom.UID(), 1, "m", "m", "1", "1",
    )  # fmt: skip
    dataset.save_as(tmp_path / "f.dcm")
    found = read_structures(tmp_path / "f.dcm", series, WANTED[:1])[0]
    np.testing.assert_array_equal(found, fractions > 0.5)
