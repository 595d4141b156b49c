"""What is no image, or only a part of one, is named before a reader touches it."""

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.errors import DataError
from autoseg.image import Geometry, Image
from autoseg.io import read_header, read_image, write_image

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("ending", ["nii.gz", "mha", "nrrd", "png", "tif"])
@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b"", r"is empty \(0 bytes\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "is a Git-LFS pointer"),
        (b"<!DOCTYPE html><html>sorry</html>", "is a web page"),
        (b"outs:\n- md5: 1\n", "is a DVC stub"),
        (b"not an image at all, but some text", "is not a|cannot be read"),
    ],
)
def test_what_is_no_image_is_named(tmp_path, ending, content, fact):
    path = tmp_path / f"a.{ending}"
    path.write_bytes(content)
    for read in (read_image, read_header):
        with pytest.raises(DataError, match=rf"a\.{ending}: .*({fact})"):
            read(path)


@pytest.mark.parametrize("ending", [".mha", ".nrrd", ".png", ".tif"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_other_types_cut_short_are_refused(tmp_path, ending, part):
    path = tmp_path / f"a{ending}"
    array = RNG.integers(0, 255, (1, 1, 60, 60)).astype(np.uint8)
    write_image(path, Image(array, Geometry((1, 60, 60))))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(DataError, match=rf"a{ending}: "):
        read_image(path)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("part", [0.3, 0.6, 0.99])
def test_a_cut_metaimage_says_how_much_is_there(tmp_path, compressed, part):
    path = tmp_path / "a.mha"
    volume = sitk.GetImageFromArray(RNG.integers(0, 2**15, (8, 20, 20)).astype(np.int16))
    sitk.WriteImage(volume, str(path), useCompression=compressed)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    words = r"a\.mha: is cut short: [\d,]+ bytes of .*voxels, expected [\d,]+.* -> copy or download"
    with pytest.raises(DataError, match=words):
        read_image(path)


def test_a_header_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    text = "ObjectType = Image\nNDims = 3\nDimSize = 30000 30000 2\nElementType = MET_FLOAT\n"
    (tmp_path / "a.mha").write_text(text + "ElementDataFile = LOCAL\n1234")
    (tmp_path / "b.nrrd").write_text(
        "NRRD0004\ntype: float\ndimension: 3\nsizes: 300 300 300\nencoding: raw\n\n1234"
    )
    for name in ("a.mha", "b.nrrd"):
        with pytest.raises(DataError, match="is cut short: 4 bytes of voxels"):
            read_image(tmp_path / name)


def test_voxels_outside_the_folder_are_not_fetched(tmp_path):
    text = "ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_UCHAR\n"
    (tmp_path / "a.mhd").write_text(text + "ElementDataFile = /etc/passwd\n")
    with pytest.raises(DataError, match="its voxels are in '/etc/passwd'"):
        read_image(tmp_path / "a.mhd")


def test_missing_files_folders_and_dangling_links_are_told_apart(tmp_path):
    (tmp_path / "link.nii").symlink_to(tmp_path / "gone.nii")
    (tmp_path / "folder.nii").mkdir()
    (tmp_path / "loop.nii").symlink_to(tmp_path / "loop.nii")
    for name, fact in (
        ("no.nii", "file not found"),
        ("link.nii", "is a link to a file that is gone"),
        ("folder.nii", "is a folder"),
        ("loop.nii", "cannot be opened"),
    ):
        with pytest.raises(DataError, match=fact):
            read_image(tmp_path / name)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"unknown file type '\.txt', expected \.nii\.gz"):
        read_image(tmp_path / "a.txt")
