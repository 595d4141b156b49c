"""Names and colours beside label maps and in NIfTI headers, as other programs read them."""

from __future__ import annotations

import struct
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.colours import target_colours
from autoseg.image import Geometry
from autoseg.io import read_header, read_image, read_labels, read_names, write_image, write_labels
from autoseg.label_table import caret_names, value_names, write_tables
from autoseg.labels import Labels

NAMES = {1: "kidney left", 7: 'R&D <"cyst">', 300: "Niere größer"}
GRID = Geometry((3, 4, 5), (3.0, 0.7, 0.8), (5.0, -6.0, 7.0))
LABEL_MAP = np.arange(60, dtype=np.uint16).reshape(GRID.shape)


def test_a_value_is_called_by_what_it_is_written_for():
    tumour = Labels({"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)})
    assert value_names(tumour) == {1: "whole", 2: "core", 3: "enhancing"}
    shared = Labels({"left": (1, 9), "right": (2, 9)})
    assert value_names(shared) == {1: "left", 2: "right", 9: "left + right"}


def test_tables_as_itk_snap_and_slicer_read_them(tmp_path):
    write_tables(tmp_path, NAMES)
    snap = [
        line.split(maxsplit=7)
        for line in (tmp_path / "labels.txt").read_text(encoding="utf-8").splitlines()
        if not line.startswith("#")
    ]
    assert snap[0] == ["0", "0", "0", "0", "0", "0", "0", '"Clear Label"']
    slicer = (tmp_path / "labels.ctbl").read_text(encoding="utf-8").splitlines()
    assert slicer[:3] == [
        "# Color table file labels.ctbl", "# 4 values", "0 Background 0 0 0 0",
    ]  # fmt: skip
    colours = [list(map(str, colour)) for colour in target_colours(3)]
    assert [row[1:4] for row in snap[1:]] == colours
    assert [line.split()[2:5] for line in slicer[3:]] == colours
    assert [row[0] for row in snap[1:]] == ["1", "7", "300"]
    assert [row[7] for row in snap[1:]] == ['"kidney left"', "\"R&D <'cyst'>\"", '"Niere größer"']
    assert all(len(line.split()) == 6 for line in slicer[3:])
    assert slicer[3].startswith("1 kidney_left ")


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
def test_names_stand_in_the_header_and_the_voxels_behind_them(tmp_path, ending):
    path, plain = tmp_path / f"a{ending}", tmp_path / f"plain{ending}"
    write_labels(path, LABEL_MAP, GRID, names=NAMES)
    write_labels(plain, LABEL_MAP, GRID)
    assert read_names(path) == NAMES
    assert read_names(plain) == {}
    np.testing.assert_array_equal(read_labels(path).array[0], LABEL_MAP)
    image = sitk.ReadImage(str(path))  # another reader
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), LABEL_MAP)
    assert image.GetSpacing() == pytest.approx(GRID.spacing[::-1])
    assert read_header(path) == read_header(plain)
    again = tmp_path / f"again{ending}"
    write_labels(again, LABEL_MAP, GRID, names=NAMES)
    assert again.read_bytes() == path.read_bytes()


def test_the_extension_is_what_the_standard_says(tmp_path):
    write_labels(tmp_path / "a.nii", LABEL_MAP, GRID, names=NAMES)
    write_labels(tmp_path / "plain.nii", LABEL_MAP, GRID)
    data, plain = (tmp_path / "a.nii").read_bytes(), (tmp_path / "plain.nii").read_bytes()
    size, code = struct.unpack_from("<2i", data, 352)
    assert data[348:352] == b"\1\0\0\0"
    assert size % 16 == 0
    assert code == 0
    assert struct.unpack_from("<f", data, 108)[0] == 352 + size
    # But for where the voxels start, the header is the same.
    assert data[:108] + data[112:348] == plain[:108] + plain[112:348]
    assert data[352 + size :] == plain[352:]
    table = ET.fromstring(data[360 : 352 + size].rstrip(b"\0").decode())
    labels = table.findall("VolumeInformation/LabelTable/Label")
    assert {int(label.get("Key")): label.text for label in labels} == NAMES
    red = [round(255 * float(label.get("Red"))) for label in labels]
    assert red == [colour[0] for colour in target_colours(3)]


def test_the_header_of_the_image_is_kept(tmp_path):
    write_image(tmp_path / "scan.nii", read_image(_scan(tmp_path)))
    write_labels(tmp_path / "a.nii", LABEL_MAP, GRID, like=tmp_path / "scan.nii", names=NAMES)
    scan, result = ((tmp_path / name).read_bytes() for name in ("scan.nii", "a.nii"))
    assert result[252:344] == scan[252:344]  # codes, quaternion, affine
    assert read_names(tmp_path / "a.nii") == NAMES


def _scan(folder):
    path = folder / "made.nii"
    image = sitk.GetImageFromArray(LABEL_MAP.astype(np.int16))
    image.SetDirection((0, 1, 0, 1, 0, 0, 0, 0, -1))
    sitk.WriteImage(image, str(path))
    return path


def test_nibabel_reads_them(tmp_path):
    nibabel = pytest.importorskip("nibabel", reason="nibabel is the oracle")
    write_labels(tmp_path / "a.nii.gz", LABEL_MAP, GRID, names=NAMES)
    image = nibabel.load(tmp_path / "a.nii.gz")
    (extension,) = image.header.extensions
    assert extension.get_code() == 0
    assert caret_names(bytes(extension.get_content()).decode()) == NAMES
    np.testing.assert_array_equal(np.asarray(image.dataobj).T, LABEL_MAP)


def test_what_others_wrote_is_read_and_what_is_broken_is_no_name(tmp_path):
    theirs = (
        '<Label Key="3" Red="0.1" Alpha="1"><![CDATA[spleen]]></Label>\n<Label Key="x">n</Label>'
    )
    assert caret_names(f"<CaretExtension>{theirs}</CaretExtension>") == {3: "spleen"}
    assert caret_names("<CaretExtension><Label Key='1'") == {}
    write_labels(tmp_path / "a.nii", LABEL_MAP, GRID, names=NAMES)
    data = bytearray((tmp_path / "a.nii").read_bytes())
    for size in (0, -16, 1 << 30):
        struct.pack_into("<i", data, 352, size)
        (tmp_path / "a.nii").write_bytes(data)
        assert read_names(tmp_path / "a.nii") == {}
        np.testing.assert_array_equal(read_labels(tmp_path / "a.nii").array[0], LABEL_MAP)
