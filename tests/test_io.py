"""Images and label maps in every file type: same voxels, same grid, same header."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.dataset import Case
from autoseg.errors import DataError
from autoseg.image import Geometry, Image, same_grid
from autoseg.io import read_case, read_header, read_image, read_labels, write_image, write_labels

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
RNG = np.random.default_rng(0)
LEFT = (1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, -1.0, 0.0)
GEOMETRY = Geometry((4, 5, 6), (2.5, 0.8, 0.7), (3.0, -4.0, 5.0), LEFT)
LABELS = RNG.integers(0, 4, (4, 5, 6)).astype(np.uint8)
VOLUMES = [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"]
ALL = [*VOLUMES, ".png", ".tif", ".tiff", ".bmp"]


@pytest.mark.parametrize("ending", VOLUMES)
def test_labels_come_back_on_their_grid(tmp_path, ending):
    path = tmp_path / f"a{ending}"
    write_labels(path, LABELS, GEOMETRY)
    back = read_labels(path)
    assert np.array_equal(back.array[0], LABELS)
    assert back.array.dtype == np.uint8
    assert same_grid(back.geometry, GEOMETRY)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", ALL)
def test_flat_labels_come_back_in_every_type(tmp_path, ending):
    flat = Geometry((1, 5, 6))
    write_labels(tmp_path / f"a{ending}", LABELS[:1], flat)
    back = read_labels(tmp_path / f"a{ending}")
    assert np.array_equal(back.array[0], LABELS[:1])
    assert same_grid(back.geometry, flat)
    assert read_header(tmp_path / f"a{ending}").geometry == back.geometry


@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("ending", VOLUMES)
def test_images_keep_type_and_channels(tmp_path, ending, kind):
    array = RNG.integers(0, 100, (2, 4, 5, 6)).astype(kind)
    path = tmp_path / f"a{ending}"
    write_image(path, Image(array, GEOMETRY))
    back = read_image(path)
    assert back.array.dtype == array.dtype
    assert np.array_equal(back.array, array)
    header = read_header(path)
    assert (header.channels, header.pixel_type) == (2, np.dtype(kind).name)


def test_a_tiff_stack_keeps_its_spacing_in_a_file_beside_it(tmp_path):
    path = tmp_path / "case.tif"
    write_labels(path, LABELS, Geometry((4, 5, 6), (2.5, 0.8, 0.7)))
    assert json.loads((tmp_path / "case.json").read_text()) == {"spacing": [2.5, 0.8, 0.7]}
    assert read_labels(path).geometry == Geometry((4, 5, 6), (2.5, 0.8, 0.7))
    assert np.array_equal(read_labels(path).array[0], LABELS)


def test_a_prediction_has_the_header_of_its_image_bit_for_bit(tmp_path):
    image, result = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    write_image(image, Image(LABELS[None].astype(np.float32), GEOMETRY))
    header = bytearray(gzip.decompress(image.read_bytes()))
    struct.pack_into("<80s", header, 148, b"scanner 7")
    struct.pack_into("<12f", header, 280, -0.7, 0.004, 0, 3, 0, -0.8, 0, 4, 0, 0, 2.5, 5)  # crooked
    struct.pack_into("<2h", header, 252, 1, 2)
    image.write_bytes(gzip.compress(bytes(header)))
    write_labels(result, LABELS, read_image(image).geometry, like=image)
    kept = gzip.decompress(result.read_bytes())
    assert kept[252:344] == header[252:344]  # codes, quaternion, affine
    assert kept[76:108] == header[76:108]  # voxel sizes
    assert kept[148:228] == header[148:228]  # description
    assert same_grid(read_labels(result).geometry, read_image(image).geometry)


@pytest.mark.parametrize("ending", [".mha", ".nrrd"])
def test_a_prediction_for_two_dimensions_has_two(tmp_path, ending):
    image = sitk.GetImageFromArray(RNG.integers(0, 99, (5, 6)).astype(np.int16))
    image.SetSpacing((0.7, 0.9))
    image.SetOrigin((3.0, -4.0))
    image.SetDirection((0.0, 1.0, 1.0, 0.0))
    sitk.WriteImage(image, str(tmp_path / f"a{ending}"))
    found = read_image(tmp_path / f"a{ending}").geometry
    write_labels(tmp_path / f"b{ending}", LABELS[:1], found, like=tmp_path / f"a{ending}")
    back = sitk.ReadImage(str(tmp_path / f"b{ending}"))
    assert back.IsSameImageGeometryAs(image)
    assert np.array_equal(sitk.GetArrayFromImage(back), LABELS[0])


def test_a_prediction_for_four_dimensions_has_three(tmp_path):
    image, result = tmp_path / "a.nii.gz", tmp_path / "b.nii.gz"
    write_image(image, Image(np.zeros((3, 4, 5, 6), np.int16), GEOMETRY))
    write_labels(result, LABELS, GEOMETRY, like=image)
    assert sitk.ReadImage(str(result)).GetDimension() == 3
    assert np.array_equal(read_labels(result).array[0], LABELS)


def test_the_same_result_is_the_same_bytes(tmp_path):
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, LABELS, GEOMETRY)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


@pytest.mark.parametrize(("top", "kind"), [(254, "u1"), (255, "u1"), (256, "u2"), (300, "u2")])
def test_the_smallest_type_holds_the_largest_label(tmp_path, top, kind):
    label_map = np.full((1, 5, 6), top, np.int64)
    write_labels(tmp_path / "a.nii.gz", label_map, Geometry((1, 5, 6)))
    back = read_labels(tmp_path / "a.nii.gz")
    assert (back.array == top).all()
    assert back.array.dtype == np.dtype(kind)


def test_grey_colours_become_one_channel_and_colours_stay_three(tmp_path):
    grey = RNG.integers(0, 255, (7, 8)).astype(np.uint8)
    opaque = np.full_like(grey, 255)
    colour = RNG.integers(0, 255, (7, 8, 3)).astype(np.uint8)
    for name, array in (
        ("rgba", np.dstack([grey, grey, grey, opaque])),
        ("rgb", np.dstack([grey, grey, grey])),
        ("colour", colour),
    ):
        image = sitk.GetImageFromArray(array, isVector=True)
        sitk.WriteImage(image, str(tmp_path / f"{name}.png"))
    assert np.array_equal(read_image(tmp_path / "rgba.png").array, grey[None, None])
    assert np.array_equal(read_image(tmp_path / "rgb.png").array, grey[None, None])
    assert np.array_equal(
        read_image(tmp_path / "colour.png").array[:, 0], colour.transpose(2, 0, 1)
    )
    assert np.array_equal(read_labels(tmp_path / "rgba.png").array[0, 0], grey)
    assert read_case(Case("g", (tmp_path / "rgb.png",)), 3).array.shape == (3, 1, 7, 8)


def test_a_transparent_picture_is_refused(tmp_path):
    array = RNG.integers(0, 255, (7, 8, 4)).astype(np.uint8)
    sitk.WriteImage(sitk.GetImageFromArray(array, isVector=True), str(tmp_path / "a.png"))
    with pytest.raises(DataError, match=r"a\.png: is partly transparent"):
        read_image(tmp_path / "a.png")


def test_float_labels_are_rounded_or_refused_with_their_values(tmp_path):
    path = tmp_path / "a.nii.gz"
    floats = LABELS.astype(np.float32) + np.float32(0.0005)
    write_image(path, Image(floats[None], GEOMETRY))
    assert np.array_equal(read_labels(path).array[0], LABELS)
    floats[0, 0, :3] = 1.4, 0.5, np.nan
    write_image(path, Image(floats[None], GEOMETRY))
    with pytest.raises(DataError, match=r"3 voxels are not whole numbers: 0\.5, 1\.4, nan"):
        read_labels(path)


def test_channels_are_stacked_and_their_grids_compared(tmp_path):
    paths = tuple(tmp_path / f"a_000{i}.nii.gz" for i in range(2))
    for path in paths:
        write_image(path, Image(LABELS[None].astype(np.int16), GEOMETRY))
    image = read_case(Case("a", paths), 2)
    assert image.array.shape == (2, 4, 5, 6)
    assert image.array.dtype == np.int16
    with pytest.raises(DataError, match="holds 2 channels, expected 3"):
        read_case(Case("a", paths), 3)
    moved = Geometry(GEOMETRY.shape, GEOMETRY.spacing, (3.0, -4.0, 8.0), GEOMETRY.direction)
    write_image(paths[1], Image(LABELS[None], moved))
    with pytest.raises(DataError, match=r"a_0001\.nii\.gz: origin .*8\), expected .*a_0000"):
        read_case(Case("a", paths), 2)


def test_names_with_blanks_and_signs_are_read(tmp_path):
    for name in ("a b", "ü-漢", "-x", "y" * 180):
        for ending in (".nii.gz", ".mha", ".png"):
            write_labels(tmp_path / f"{name}{ending}", LABELS[:1], Geometry((1, 5, 6)))
            assert np.array_equal(read_labels(tmp_path / f"{name}{ending}").array[0], LABELS[:1])


def test_upper_case_endings_are_endings(tmp_path):
    write_labels(tmp_path / "a.NII.GZ", LABELS, GEOMETRY)
    assert np.array_equal(read_labels(tmp_path / "a.NII.GZ").array[0], LABELS)


@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_real_files_are_read_as_itk_reads_them():
    paths = sorted((DATA / "hippocampus" / "imagesTr").glob("*.nii.gz"))[:5]
    paths += sorted((DATA / "spleen_ct").glob("*.nii.gz"))
    paths += sorted((DATA / "totalsegmentator").rglob("*.nii.gz"))[:5]
    for path in paths:
        ours, theirs = read_image(path), sitk.ReadImage(str(path))
        assert np.array_equal(ours.array[0], sitk.GetArrayFromImage(theirs))
        assert np.allclose(ours.geometry.spacing, theirs.GetSpacing()[::-1])
        assert np.allclose(ours.geometry.origin, theirs.GetOrigin()[::-1], atol=1e-4)
