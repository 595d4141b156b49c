"""NIfTI: the same grid as ITK's, damage named, crooked headers repaired, bombs never unpacked."""

import contextlib
import gzip
import itertools
import logging
import struct
import time
import zlib

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.errors import DataError
from autoseg.image import Geometry, Image, grid_differences
from autoseg.io import read_header, read_image, write_image
from autoseg.nifti import geometry_of, read_nifti_header
from autoseg.nifti_header import new_header, parse_header

RNG = np.random.default_rng(0)
ARRAY = RNG.integers(0, 1000, (4, 5, 6)).astype(np.int16)
UPRIGHT = np.eye(3)
ANGLE = np.radians(20)
TILT = np.array([[np.cos(ANGLE), -np.sin(ANGLE), 0], [np.sin(ANGLE), np.cos(ANGLE), 0], [0, 0, 1]])


def write_itk(path, array=ARRAY, direction=UPRIGHT, spacing=(0.7, 0.8, 2.5)):
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-11.5, 22.25, 33.0))
    image.SetDirection(np.ravel(direction).tolist())
    sitk.WriteImage(image, str(path))


def itk_geometry(path):
    image = sitk.ReadImage(str(path))
    direction = np.reshape(image.GetDirection(), (3, 3))[::-1, ::-1]
    return Geometry(
        image.GetSize()[::-1],
        image.GetSpacing()[::-1],
        image.GetOrigin()[::-1],
        tuple(direction.ravel()),
    )


def with_fields(path, **fields):
    """Overwrite fields of an uncompressed file: name -> (offset, struct code, *values)."""
    data = bytearray(path.read_bytes())
    for offset, code, *values in fields.values():
        struct.pack_into(code, data, offset, *values)
    path.write_bytes(data)


def upright_48():
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            yield np.eye(3)[list(order)] * signs


def test_all_48_orientations_lie_where_itk_says(tmp_path):
    for number, direction in enumerate(upright_48()):
        path = tmp_path / f"{number}.nii"
        write_itk(path, direction=direction @ TILT)
        image = read_image(path)
        assert np.array_equal(image.array[0], ARRAY)
        assert not grid_differences(image.geometry, itk_geometry(path))


def test_our_own_file_lies_where_itk_says(tmp_path):
    for number, direction in enumerate(upright_48()):
        cosines = (direction @ TILT)[::-1, ::-1]
        geometry = Geometry((4, 5, 6), (2.5, 0.8, 0.7), (3.0, -4.0, 5.0), tuple(cosines.ravel()))
        path = tmp_path / f"{number}.nii.gz"
        write_image(path, Image(ARRAY[None], geometry))
        assert not grid_differences(itk_geometry(path), geometry)
        assert not grid_differences(read_image(path).geometry, geometry)


def test_qform_alone_places_the_scan_like_itk(tmp_path):
    path = tmp_path / "q.nii"
    write_itk(path, direction=TILT @ np.diag([-1, 1, 1]))
    expected = itk_geometry(path)
    with_fields(path, sform_code=(254, "<h", 0))
    assert not grid_differences(read_image(path).geometry, expected)


def test_a_header_without_orientation_is_upright_as_in_itk(tmp_path):
    path = tmp_path / "none.nii"
    write_itk(path)
    with_fields(path, codes=(252, "<2h", 0, 0))
    geometry = read_image(path).geometry
    assert geometry.spacing == pytest.approx((2.5, 0.8, 0.7))
    assert np.allclose(geometry.direction, itk_geometry(path).direction)


@pytest.mark.parametrize("kind", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_number_type_in_both_byte_orders(tmp_path, kind, order):
    array = np.arange(24).reshape(2, 3, 4).astype(kind)
    header = new_header(Geometry((2, 3, 4)), 1, array.dtype)
    path = tmp_path / "a.nii"
    if order == ">":
        swapped = bytearray(header)
        for offset, code in ((0, "i"), (40, "8h"), (70, "h"), (72, "h"), (76, "8f"), (108, "f"),
                             (112, "2f"), (252, "2h"), (256, "6f"), (280, "12f")):  # fmt: skip
            struct.pack_into(
                ">" + code, swapped, offset, *struct.unpack_from("<" + code, header, offset)
            )
        header = bytes(swapped)
    path.write_bytes(header + bytes(4) + array.astype(order + kind).tobytes())
    image = read_image(path)
    assert image.array.dtype == np.dtype(kind)
    assert np.array_equal(image.array[0], array)
    assert read_header(path).pixel_type == np.dtype(kind).name


def test_a_slope_is_applied_and_a_slope_of_zero_or_nan_is_not(tmp_path):
    path = tmp_path / "a.nii"
    write_itk(path)
    for slope, intercept, expected in ((2, -5, ARRAY * 2.0 - 5), (0, 7, ARRAY), (np.nan, 0, ARRAY)):
        with_fields(path, scale=(112, "<2f", slope, intercept))
        assert np.array_equal(read_image(path).array[0], expected)


def test_metres_and_micrometres_become_millimetres(tmp_path):
    path = tmp_path / "a.nii"
    for unit, factor in ((1, 1e-3), (3, 1e3)):
        write_itk(path, spacing=(0.7 * factor, 0.8 * factor, 2.5 * factor))
        with_fields(path, unit=(123, "<B", unit))
        assert read_image(path).geometry.spacing == pytest.approx((2.5, 0.8, 0.7), rel=1e-5)


@pytest.mark.parametrize("size", [0.0, 1e-6, 1e6, np.nan])
def test_an_impossible_voxel_size_is_named(tmp_path, size):
    path = tmp_path / "a.nii"
    write_itk(path)
    with_fields(path, srow=(280, "<12f", -0.7, 0, 0, 0, 0, -0.8, 0, 0, 0, 0, size, 0))
    with pytest.raises(DataError, match=r"0\.001 to 100 mm|not finite"):
        read_image(path)


def sheared(path, degrees):
    write_itk(path)
    lean = np.tan(np.radians(degrees))
    with_fields(path, srow=(280, "<12f", -1, lean, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0))


@pytest.mark.parametrize("degrees", [6e-5, 6e-3, 0.5])
def test_directions_slightly_off_open_by_themselves(tmp_path, degrees, caplog):
    path = tmp_path / "a.nii"
    sheared(path, degrees)
    with caplog.at_level(logging.INFO, logger="autoseg"):
        direction = read_image(path).geometry.direction_matrix
    assert np.allclose(direction.T @ direction, np.eye(3), atol=1e-12)
    assert ("repaired" in caplog.text) == (degrees == 0.5 or degrees == 6e-3)


def test_a_shear_of_five_degrees_is_refused_with_its_angle(tmp_path):
    sheared(tmp_path / "a.nii", 5)
    with pytest.raises(DataError, match=r"sheared by 5\.0. degrees"):
        read_image(tmp_path / "a.nii")


def test_four_dimensions_become_channels(tmp_path):
    array = RNG.integers(0, 9, (3, 4, 5, 6)).astype(np.uint8)
    image = sitk.GetImageFromArray(array, isVector=False)
    image.SetSpacing((0.5, 0.6, 3.0, 1.0))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    read = read_image(tmp_path / "a.nii.gz")
    assert np.array_equal(read.array, array)
    assert read.geometry.shape == (4, 5, 6)
    assert read_header(tmp_path / "a.nii.gz").channels == 3


def test_a_flat_file_has_depth_one(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(ARRAY[0]), str(tmp_path / "a.nii.gz"))
    assert read_image(tmp_path / "a.nii.gz").array.shape == (1, 1, 5, 6)
    assert read_header(tmp_path / "a.nii.gz").dimension == 2


@pytest.mark.parametrize("part", [0.02, 0.1, 0.5, 0.99])
def test_a_file_cut_short_is_named(tmp_path, part):
    path = tmp_path / "a.nii.gz"
    write_itk(path, RNG.integers(0, 1000, (20, 20, 20)).astype(np.int16))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=r"a\.nii\.gz: (is cut short|ends inside its header)"):
        read_image(path)


def test_a_wrong_check_sum_is_found(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_itk(path)
    data = bytearray(path.read_bytes())
    data[-6] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="its check sum is wrong"):
        read_image(path)


def test_wrong_names_and_double_compression_are_told_apart(tmp_path):
    plain, packed = tmp_path / "a.nii", tmp_path / "a.nii.gz"
    write_itk(plain)
    packed.write_bytes(plain.read_bytes())
    with pytest.raises(DataError, match=r"is plain NIfTI, not compressed -> rename it to \.nii"):
        read_image(packed)
    packed.write_bytes(gzip.compress(gzip.compress(plain.read_bytes())))
    with pytest.raises(DataError, match="compressed once too often"):
        read_image(packed)
    plain.write_bytes(gzip.compress(plain.read_bytes()))
    with pytest.raises(DataError, match="misnamed"):
        read_image(plain)


def test_several_gzip_members_are_one_file(tmp_path):
    path = tmp_path / "a.nii"
    write_itk(path)
    data = path.read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data[:400]) + gzip.compress(data[400:]))
    assert np.array_equal(read_image(tmp_path / "b.nii.gz").array[0], ARRAY)


def test_a_small_file_with_huge_claims_is_refused_at_once(tmp_path):
    for sizes, fact in (((32767, 32767, 32767), "claims"), ((1200, 1200, 1200), "is cut short")):
        header = bytearray(new_header(Geometry((1, 1, 1)), 1, np.dtype("f4")))
        struct.pack_into("<4h", header, 40, 3, *sizes)
        for name, pack in (("a.nii", bytes), ("a.nii.gz", gzip.compress)):
            (tmp_path / name).write_bytes(pack(bytes(header) + bytes(60)))
            started = time.monotonic()
            with pytest.raises(DataError, match=fact):
                read_image(tmp_path / name)
            assert time.monotonic() - started < 0.5


def test_a_bomb_is_not_unpacked(tmp_path):
    path = tmp_path / "a.nii.gz"
    header = new_header(Geometry((2, 2, 2)), 1, np.dtype("u1"))
    packer = zlib.compressobj(wbits=31)
    data = packer.compress(header + bytes(12))
    data += b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    path.write_bytes(data)
    with pytest.raises(DataError, match="goes on after its last voxel"):
        read_image(path)


@pytest.mark.parametrize(
    ("offset", "code", "value", "fact"),
    [
        (40, "<h", 0, "impossible dimensions"),
        (40, "<h", 9, "impossible dimensions"),
        (42, "<h", -3, "impossible dimensions"),
        (70, "<h", 32, "the pixel type is complex"),
        (70, "<h", 128, "the pixel type is RGB"),
        (70, "<h", 77, "unknown"),
        (72, "<h", 64, "64 bits per voxel"),
        (108, "<f", np.nan, "cannot start at byte"),
        (344, "<4s", b"ni1\0", "half of a .hdr/.img pair"),
    ],
)
def test_a_contradictory_header_is_refused(tmp_path, offset, code, value, fact):
    path = tmp_path / "a.nii"
    write_itk(path)
    with_fields(path, it=(offset, code, value))
    with pytest.raises(DataError, match=fact):
        read_image(path)


def test_mutated_headers_are_read_or_refused_but_never_crash(tmp_path):
    path = tmp_path / "a.nii"
    write_itk(path)
    whole = path.read_bytes()
    for _ in range(2000):
        data = bytearray(whole[:352])
        for place in RNG.integers(0, 352, 4):
            data[place] = RNG.integers(0, 256)
        with contextlib.suppress(DataError):
            geometry_of(parse_header(bytes(data), "a"), "a")


def test_reading_the_header_reads_no_voxels(tmp_path):
    path = tmp_path / "a.nii.gz"
    write_itk(path, RNG.integers(0, 1000, (20, 20, 20)).astype(np.int16))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert read_nifti_header(path).shape == (20, 20, 20, 1)


def test_half_turns_survive_the_rounding_of_float32(tmp_path, caplog):
    """b = -c = -sqrt(1/2): the squares of the stored numbers do not add up to one."""
    caplog.set_level(logging.INFO)
    direction = (0.0, 0.0, -1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0)  # world (z, y, x) of KiTS' files
    grid = Geometry((4, 5, 6), (0.9765625, 0.9765625, 4.0), (0.0, 0.0, 0.0), direction)
    path = tmp_path / "a.nii"
    write_image(path, Image(ARRAY[None], grid))
    with_fields(path, sform=(254, "<h", 0))
    assert not grid_differences(read_header(path).geometry, grid)
    assert np.abs(np.subtract(read_header(path).geometry.direction, direction)).max() < 1e-6
    with_fields(path, sform=(254, "<h", 1))
    read_header(path)
    assert "sform and qform differ" not in caplog.text
