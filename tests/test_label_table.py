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
from autoseg.label_table import (
    caret_names,
    caret_xml,
    declared_names,
    itk_snap_text,
    segment_fields,
    segment_names,
    slicer_text,
    value_names,
    write_tables,
)
from autoseg.labels import Labels

NAMES = {1: "kidney left", 7: 'R&D <"cyst">', 300: "Niere größer"}
GRID = Geometry((3, 4, 5), (3.0, 0.7, 0.8), (5.0, -6.0, 7.0))
LABEL_MAP = np.arange(60, dtype=np.uint16).reshape(GRID.shape)


def test_a_value_is_called_by_what_it_is_written_for():
    tumour = Labels({"whole": (1, 2, 3), "core": (2, 3), "enhancing": (3,)})
    assert value_names(tumour) == {1: "whole", 2: "core", 3: "enhancing"}
    shared = Labels({"left": (1, 9), "right": (2, 9)})
    assert value_names(shared) == {1: "left", 2: "right", 9: "left + right"}


def test_the_ignored_value_has_a_name_where_it_may_occur():
    labels = Labels({"organ": (1, 2), "tumour": (2,)}, ignore=9)
    assert value_names(labels) == {1: "organ", 2: "tumour"}
    assert declared_names(labels) == {1: "organ", 2: "tumour", 9: "ignore"}


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


def read_itk_snap(text):
    """Read label descriptions as ITK-SNAP does: numbers, then what stands between two quotes."""
    rows = [line for line in text.splitlines() if line and not line.startswith("#")]
    parts = [(row.partition('"')[0].split(), row.split('"')) for row in rows]
    assert all(len(numbers) == 7 and len(quoted) == 3 and quoted[1] for numbers, quoted in parts)
    return {
        int(numbers[0]): (tuple(map(int, numbers[1:4])), quoted[1]) for numbers, quoted in parts
    }


def read_slicer(text):
    """Read a colour table as 3D Slicer does: blank-separated, underscores for blanks in names."""
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert all(len(row) == 6 for row in rows)
    return {int(row[0]): (tuple(map(int, row[2:5])), row[1].replace("_", " ")) for row in rows}


MANY = {number: f"structure {number}" for number in range(1, 118)}
FAR = {1: "a", 255: "b", 256: "c", 65535: "d"}
ODD = {
    1: "Niere größer",
    2: "肝臓",
    3: "two\nlines\tand\x01more",
    4: " both  sides ",
    5: "#1",
    6: "a&b<c>'d'",
}


@pytest.mark.parametrize("names", [MANY, FAR, ODD])
def test_every_reader_gets_every_name_in_one_line_and_its_colour(names):
    lines = {**names, 3: "two lines and more", 4: "both sides"} if names is ODD else names
    colours = dict(zip(names, target_colours(len(names)), strict=True))
    expected = {value: (colours[value], lines[value]) for value in names}
    assert read_itk_snap(itk_snap_text(names)) == {0: ((0, 0, 0), "Clear Label"), **expected}
    assert read_slicer(slicer_text(names)) == {0: ((0, 0, 0), "Background"), **expected}
    assert caret_names(caret_xml(names)) == lines
    assert len(ET.fromstring(caret_xml(names))[0][0]) == len(names)
    assert segment_names(segment_fields(names, (3, 4, 5))) == lines


def test_a_nrrd_file_is_a_segmentation_of_slicer(tmp_path):
    write_labels(tmp_path / "a.nrrd", LABEL_MAP, GRID, names=NAMES)
    assert read_names(tmp_path / "a.nrrd") == NAMES
    np.testing.assert_array_equal(read_labels(tmp_path / "a.nrrd").array[0], LABEL_MAP)
    header = (tmp_path / "a.nrrd").read_bytes().split(b"\n\n")[0].decode()
    assert "Segment0_ID:=" in header[:800]  # so far it looks to tell one from an image
    assert "kinds: domain domain domain" in header
    fields = dict(line.split(":=") for line in header.splitlines() if ":=" in line)
    assert fields["Segment2_Name"] == "Niere größer"
    assert fields["Segment2_LabelValue"] == "300"
    assert fields["Segment0_Extent"] == "0 4 0 3 0 2"  # x, y, z, first and last voxel
    assert [round(255 * float(part)) for part in fields["Segment0_Color"].split()] == list(
        target_colours(1)[0]
    )
    write_labels(tmp_path / "plain.nrrd", LABEL_MAP, GRID)
    assert read_names(tmp_path / "plain.nrrd") == {}
    assert read_header(tmp_path / "a.nrrd") == read_header(tmp_path / "plain.nrrd")
    again = (tmp_path / "a.nrrd").read_bytes()
    write_labels(tmp_path / "a.nrrd", LABEL_MAP, GRID, names=NAMES)
    assert (tmp_path / "a.nrrd").read_bytes() == again


def test_broken_fields_of_segments_are_no_names():
    fields = {"Segment0_Name": "a", "Segment1_Name": "b", "Segment1_LabelValue": "x"}
    assert segment_names({**fields, "Segment2_Name": "c", "Segment2_LabelValue": "4"}) == {4: "c"}
