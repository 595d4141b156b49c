"""The DICOM objects that are written: what they refer to, and what other readers see in them."""

import numpy as np
import pytest

from autoseg.dicom import read_series
from autoseg.labels import Labels
from autoseg.sharing.dicom_seg import write_seg
from autoseg.sharing.rtstruct import write_rtstruct
from tests.dicom_series import FRAME, MAP_SHAPE, SERIES, STUDY, make_map, make_series, write_series

pydicom = pytest.importorskip("pydicom")

LABELS = Labels({"liver": (1,), "spleen": (2,)})


@pytest.fixture
def series(tmp_path):
    return read_series(write_series(tmp_path / "ct", make_series(shape=MAP_SHAPE)))


def write(writer, tmp_path, series):
    path = tmp_path / "object.dcm"
    writer(path, make_map(), LABELS, series)
    return path


def test_an_rtstruct_refers_to_every_slice_of_its_series(tmp_path, series):
    dataset = pydicom.dcmread(write(write_rtstruct, tmp_path, series))
    frame = dataset.ReferencedFrameOfReferenceSequence[0]
    study = frame.RTReferencedStudySequence[0]
    referred = study.RTReferencedSeriesSequence[0]
    assert (
        frame.FrameOfReferenceUID
        == FRAME
        == dataset.StructureSetROISequence[0]["ReferencedFrameOfReferenceUID"].value
    )
    assert study.ReferencedSOPInstanceUID == STUDY == dataset.StudyInstanceUID
    assert referred.SeriesInstanceUID == SERIES != dataset.SeriesInstanceUID
    slices = [image.ReferencedSOPInstanceUID for image in referred.ContourImageSequence]
    assert slices == [f"{SERIES}.{z + 1}" for z in range(6)]
    assert (dataset.PatientName, dataset.PatientID, dataset.Modality) == ("A^B", "7", "RTSTRUCT")
    assert [roi.ROIName for roi in dataset.StructureSetROISequence] == list(LABELS.names)
    for contour in dataset.ROIContourSequence[0].ContourSequence:
        points = np.reshape(contour.ContourData, (-1, 3)).astype(float)
        index = series.geometry.index(points[:, ::-1])
        z = round(index[0, 0])
        np.testing.assert_allclose(index[:, 0], z, atol=1e-3)
        assert contour.ContourImageSequence[0].ReferencedSOPInstanceUID == f"{SERIES}.{z + 1}"
        assert contour.NumberOfContourPoints == len(points)
        assert contour.ContourGeometricType == "CLOSED_PLANAR"
    # Slice 2: the ring with its keyhole, the island in the hole, the island beside.
    on_slice = [
        contour
        for contour in dataset.ROIContourSequence[0].ContourSequence
        if contour.ContourImageSequence[0].ReferencedSOPInstanceUID == f"{SERIES}.3"
    ]
    assert len(on_slice) == 3


def test_a_seg_refers_to_the_slices_it_marks(tmp_path, series):
    pytest.importorskip("highdicom")
    dataset = pydicom.dcmread(write(write_seg, tmp_path, series))
    assert dataset.ReferencedSeriesSequence[0].SeriesInstanceUID == SERIES
    assert dataset.FrameOfReferenceUID == FRAME
    assert dataset.SegmentationType == "BINARY"
    assert [segment.SegmentLabel for segment in dataset.SegmentSequence] == list(LABELS.names)
    for group in dataset.PerFrameFunctionalGroupsSequence:
        source = group.DerivationImageSequence[0].SourceImageSequence[0]
        x, y, z = group.PlanePositionSequence[0].ImagePositionPatient
        index = series.geometry.index(np.array([z, y, x], float))
        np.testing.assert_allclose(index[1:], 0, atol=1e-4)
        assert source.ReferencedSOPInstanceUID == f"{SERIES}.{round(index[0]) + 1}"


def test_highdicom_reads_the_same_voxels(tmp_path, series):
    highdicom = pytest.importorskip("highdicom")
    segmentation = highdicom.seg.segread(write(write_seg, tmp_path, series))
    instances = [one.instance for one in series.slices]
    found = segmentation.get_pixels_by_source_instance(
        instances, combine_segments=True, assert_missing_frames_are_empty=True
    )
    np.testing.assert_array_equal(found, make_map())


@pytest.mark.parametrize("writer", [write_seg, write_rtstruct])
def test_a_label_map_of_another_shape_is_our_mistake(tmp_path, series, writer):
    with pytest.raises(ValueError, match=r"label map \(6, 30, 25\) on a series of \(6, 30, 26\)"):
        writer(tmp_path / "object.dcm", make_map()[..., 1:], LABELS, series)


def test_emptied_uids_are_made_the_same_for_every_object(tmp_path, caplog):
    def empty(z, one):
        one.SeriesInstanceUID = one.StudyInstanceUID = one.SOPInstanceUID = ""

    folder = write_series(tmp_path / "ct", make_series(empty, shape=MAP_SHAPE))
    series = read_series(folder)
    study = pydicom.dcmread(write(write_rtstruct, tmp_path, series))
    referred = study.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    referred = referred.RTReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == series.uid == read_series(folder).uid
    # The slices' own are in the file's group 0002 still.
    assert referred.ContourImageSequence[0].ReferencedSOPInstanceUID == f"{SERIES}.1"
    assert f"the series has no UID; the result refers to {series.uid}" in caplog.text
