"""Pages of a TIFF are counted, and one that is not whole is noticed."""

import struct

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.errors import DataError
from autoseg.io import read_image
from autoseg.tiff import count_pages

RNG = np.random.default_rng(0)


def classic(order: str, following: int) -> bytes:
    """One page at byte 8, of one strip of 4 bytes at byte 38."""
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(f"{order}HI", 42, 8)
    entries = [(273, 4, 1, 38), (279, 4, 1, 4)]
    table = b"".join(struct.pack(f"{order}HHII", *entry) for entry in entries)
    return (
        head + struct.pack(f"{order}H", 2) + table + struct.pack(f"{order}I", following) + b"abcd"
    )


def big() -> bytes:
    """The same in 64-bit numbers: a page at byte 16, a strip at byte 72."""
    head = b"II" + struct.pack("<HHHQ", 43, 8, 0, 16)
    table = struct.pack("<HHQQHHQQ", 273, 16, 1, 72, 279, 16, 1, 4)
    return head + struct.pack("<Q", 2) + table + struct.pack("<Q", 0) + b"abcd"


@pytest.mark.parametrize(
    "content", [classic("<", 0), classic(">", 0), big()], ids=["little", "big", "BigTIFF"]
)
def test_a_page_is_whole_with_its_last_byte_only(tmp_path, content):
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    assert count_pages(path) == (1, True)
    for length in range(16, len(content)):
        path.write_bytes(content[:length])
        assert count_pages(path) == (0, False)


def test_a_chain_that_leads_out_of_the_file_or_in_a_circle_ends(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(classic("<", 5000))
    assert count_pages(path) == (1, False)
    path.write_bytes(classic("<", 8))
    assert count_pages(path)[1]


def test_what_is_no_tiff_has_no_pages(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"MM\x00\x2b or some text that begins so")
    assert count_pages(path) == (0, False)
    path.write_bytes(b"\x89PNG\r\n and more than sixteen bytes")
    assert count_pages(path) == (0, True)


@pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_cut_stack_of_pages_is_not_read_as_a_shorter_one(tmp_path, part, compressed):
    path = tmp_path / "a.tif"
    volume = sitk.GetImageFromArray(RNG.integers(0, 255, (8, 20, 20)).astype(np.uint8))
    sitk.WriteImage(volume, str(path), useCompression=compressed)
    assert read_image(path).array.shape == (1, 8, 20, 20)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(
        DataError, match=r"a\.tif: is cut short: .* whole page.* -> copy or download"
    ):
        read_image(path)


def test_no_number_in_a_file_breaks_the_count(tmp_path):
    path, wild = tmp_path / "a.tif", np.random.default_rng(7)
    for content in (classic("<", 0), classic(">", 0), big()):
        for _ in range(30):
            mutated = bytearray(content)
            for at in wild.integers(4, len(content), 3):
                mutated[at] = wild.integers(0, 256)
            path.write_bytes(bytes(mutated))
            pages, _whole = count_pages(path)
            assert pages >= 0
