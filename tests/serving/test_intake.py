"""Bodies of requests: too large by their own words, cut short, or of another kind."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.nifti_header import new_header, with_type
from autoseg.serving.intake import check_image, ending_of_body
from autoseg.serving.refusal import Refusal
from tests.serving.flat import picture


def nifti(shape, voxels):
    header = new_header(Geometry(shape), 1, np.dtype(np.uint8))
    return with_type(header, "<", np.dtype(np.uint8)) + bytes(4) + bytes(voxels)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize(
    ("shape", "status", "fact"),
    [
        ((4, 30_000, 30_000), 413, "claims 30000 x 30000 x 4 voxels, expected at most 500,000,000"),
        ((501, 1000, 1000), 413, "claims 1000 x 1000 x 501 voxels, expected at most 500,000,000"),
        ((500, 1000, 1000), 422, "is cut short"),
    ],
)
def test_what_a_header_claims_decides_before_what_is_there(tmp_path, ending, shape, status, fact):
    body, path = nifti(shape, 9), tmp_path / f"image{ending}"
    path.write_bytes(gzip.compress(body) if ending == ".nii.gz" else body)
    with pytest.raises(Refusal) as caught:
        check_image(path)
    assert caught.value.status == status
    assert caught.value.fact.startswith(f"the image: {fact}")


def test_first_bytes_tell_the_kind(tmp_path):
    path = tmp_path / "image"
    for body, ending in (
        (picture(), ".png"), (nifti((9, 9, 9), 729), ".nii"), (gzip.compress(b""), ".nii.gz"),
    ):  # fmt: skip
        path.write_bytes(body)
        assert ending_of_body(path) == ending
    for body in (b"", b"\x89PN", b"%PDF-1.7", b"\x5c\x01"):
        path.write_bytes(body)
        with pytest.raises(Refusal, match="neither NIfTI nor PNG"):
            ending_of_body(path)
