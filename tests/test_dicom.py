"""DICOM series from files: HU, grid, what is no slice, and what cannot be read."""

import logging
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dicom import need_packages, read_series
from autoseg.dicom_files import file_meta, is_series, kind_of, series_files
from autoseg.errors import DataError, ResourceError
from autoseg.io import read_header, read_image
from tests.dicom_series import SERIES, SHAPE, SPACING, make_series, write_series

pydicom = pytest.importorskip("pydicom")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "dicom_ct"


def by_itk(folder):
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def agrees_with_itk(folder):
    image, expected = read_image(folder), by_itk(folder)
    np.testing.assert_array_equal(image.array[0], sitk.GetArrayFromImage(expected))
    np.testing.assert_allclose(image.geometry.spacing, expected.GetSpacing()[::-1], rtol=1e-6)
    np.testing.assert_allclose(image.geometry.origin, expected.GetOrigin()[::-1], atol=1e-6)
    direction = np.reshape(expected.GetDirection(), (3, 3))[::-1, ::-1]
    np.testing.assert_allclose(image.geometry.direction_matrix, direction, atol=1e-6)
    assert read_header(folder).geometry == image.geometry
    return image


def refused(folder):
    with pytest.raises(DataError) as caught:
        read_image(folder)
    return str(caught.value)


def test_values_and_grid_are_those_of_itks_own_series_reader(tmp_path):
    image = agrees_with_itk(write_series(tmp_path))
    assert image.array.shape == (1, *SHAPE)
    assert image.array.dtype == np.int16
    assert image.array.min() >= -1024  # HU: stored values less 1024
    np.testing.assert_allclose(image.geometry.spacing, SPACING)


@pytest.mark.parametrize(
    "axes",
    [
        ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),
        ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)),  # normal to the feet
        ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0)),  # sagittal
        ((1.0, 0.0, 0.0), (0.0, 0.6, 0.8)),  # oblique
    ],
)
def test_every_orientation_is_read_as_itk_does(tmp_path, axes):
    agrees_with_itk(write_series(tmp_path, make_series(axes=axes)))


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_the_real_series_compressed_and_without_uids(caplog):
    series = read_series(DATA)
    assert series.geometry.shape == (20, 512, 512)
    assert series.geometry.spacing == (2.0, 0.9765625, 0.9765625)
    assert series.geometry.origin == (-804.5, -437.51171875, -249.51171875)
    assert series.uid.startswith("2.25.")
    assert series.slices[0].instance == "1.3.12.2.1107.5.1.4.60064.30000022120808113428000016592"


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_the_real_series_has_the_hu_of_itks_reader():
    assert agrees_with_itk(DATA).array.min() == -1024


def test_slices_of_pet_keep_their_own_scale(tmp_path):
    def rescale(z, one):
        one.RescaleSlope, one.RescaleIntercept = 0.5 * (z + 1), 0

    slices = make_series(rescale, modality="PT")
    stored = np.stack([one.pixel_array for one in slices]).astype(float)
    image = read_image(write_series(tmp_path, slices))
    assert image.array.dtype == np.float32
    expected = stored * 0.5 * np.arange(1, 7)[:, None, None]
    np.testing.assert_allclose(image.array[0], expected)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RescaleSlope", 2, "the rescale slope and intercept of this slice is (2, -1024)"),
        ("PixelSpacing", [0.8, 0.9], "the pixel spacing of this slice is (0.8, 0.9)"),
        ("FrameOfReferenceUID", "1.7", "the frame of reference of this slice is 1.7"),
        ("ImagePositionPatient", None, "ImagePositionPatient is missing"),
        ("NumberOfFrames", 2, "holds 2 frames"),
    ],
)
def test_a_spoilt_header_is_named_with_slice_and_series(tmp_path, name, value, said):
    def spoil(z, one):
        if z == 2:
            setattr(one, name, value)

    text = refused(write_series(tmp_path, make_series(spoil)))
    assert f"CT.97.dcm: {said}" in text
    assert f"in series {SERIES}" in text


def test_sizes_differ_and_a_slice_is_missing(tmp_path):
    def cut(z, one):
        if z == 2:
            one.Rows = 11
            one.PixelData = one.PixelData[: 11 * 10 * 2]

    text = refused(write_series(tmp_path / "size", make_series(cut)))
    assert "CT.97.dcm: the size of this slice is (11, 10)" in text
    text = refused(write_series(tmp_path / "gap", make_series(lambda z, one: z != 2)))
    assert (
        "CT.98.dcm: 1 slice missing after this one: CT.97.dcm is 5 mm away, in series 1.2" in text
    )


def test_two_series_in_one_folder(tmp_path):
    write_series(tmp_path, make_series() + make_series(series="1.2.3.5")[:4])
    text = refused(tmp_path)
    assert "holds 2 series: series 1.2.3.4 'thorax' (6 slices" in text
    assert "; series 1.2.3.5 'thorax' (4 slices" in text


@pytest.mark.parametrize("which", [range(6), [3]])
def test_a_compression_that_no_reader_knows(tmp_path, which):
    slices = make_series()
    for z in which:
        one = slices[z]
        one.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51" + bytes(100)])
        one["PixelData"].VR = "OB"
        one["PixelData"].is_undefined_length = True
        one.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
    folder = write_series(tmp_path, slices)
    with pytest.raises(DataError) as caught:
        read_series(folder)  # from headers, and one slice of each compression
    text = str(caught.value)
    assert f"CT.{99 - which[0]}.dcm: its compression, HTJ2K lossless, cannot be read" in text
    assert "decompress" in text
    assert f"in series {SERIES}" in text


def test_damaged_files_are_named(tmp_path):
    folder = write_series(tmp_path)
    whole = (folder / "CT.97.dcm").read_bytes()
    (folder / "CT.97.dcm").write_bytes(whole[:-50])
    assert (
        "CT.97.dcm: cannot be decoded (transfer syntax 1.2.840.10008.1.2.1), in series 1.2"
        in refused(folder)
    )
    (folder / "CT.97.dcm").write_bytes(b"not dicom at all")
    assert "CT.97.dcm: is not a DICOM file, in series 1.2.3.4" in refused(folder)
    (folder / "CT.97.dcm").write_bytes(b"")
    assert "CT.97.dcm: is empty (0 bytes)" in refused(folder)


def test_what_lies_beside_the_slices_is_left_out_and_told(tmp_path, caplog):
    caplog.set_level(logging.INFO, "autoseg")
    folder = write_series(tmp_path)
    (folder / "notes.txt").write_text("x")
    (folder / ".hidden.dcm").write_text("x")
    structure = make_series()[0]
    structure.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.481.3"
    structure.save_as(folder / "RS.dcm")
    assert kind_of(folder / "RS.dcm") == "rtstruct"
    assert kind_of(folder / "CT.97.dcm") == "image"
    assert kind_of(folder / "notes.txt") == ""
    assert file_meta(folder / "CT.97.dcm")[3] == f"{SERIES}.3"
    assert len(series_files(folder)) == 6
    assert "2 files are not images of a series: RS.dcm, notes.txt" in caplog.text
    assert is_series(folder)
    assert not is_series(folder / "CT.97.dcm")


def test_a_missing_package_is_named_with_its_pip_install():
    with pytest.raises(ResourceError, match=r"needs no_such, not.*pip install 'autoseg\[dicom\]'"):
        need_packages("pydicom", "no_such")
