"""Bodies of requests: how much of what is taken in, and what kind of image it is."""

from __future__ import annotations

import struct
from pathlib import Path

from starlette.requests import Request

from autoseg.errors import DataError, spoken_of
from autoseg.nifti import read_nifti_header
from autoseg.nifti_header import FIELDS, TooManyVoxels
from autoseg.pipes import GZIP
from autoseg.serving.model import IMAGE, MAX_VOXELS
from autoseg.serving.overheard import overheard
from autoseg.serving.png import SIGNATURE, checked_png
from autoseg.serving.refusal import Refusal, busy

JSON_BYTES = 48 << 20
IMAGE_BYTES = 1 << 30
HELD_BYTES = 512 << 20  # of all JSON bodies together
NIFTI_TYPES = ("application/octet-stream", "application/gzip", "application/x-gzip",
               "application/x-nifti")  # fmt: skip
IMAGE_TYPES = (*NIFTI_TYPES, "image/png")


class Intake:
    """Reads bodies into memory, as long as all of them together fit."""

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._held = 0

    async def read(self, request: Request, most: int = JSON_BYTES) -> bytearray:
        """Return a body of at most `most` bytes; raise Refusal. Hand it back with `release`."""
        check_length(request, most)
        body = bytearray()
        try:
            async for piece in request.stream():
                if len(body) + len(piece) > most:
                    raise too_long(most)
                if self._held + len(piece) > HELD_BYTES:
                    raise busy("too many images are being sent")
                self._held += len(piece)
                body += piece
        except BaseException:
            self.release(body)
            raise
        return body

    def release(self, body: bytearray) -> None:
        """Note that `body` is not needed any more."""
        self._held -= len(body)


async def save(request: Request, path: Path, most: int = IMAGE_BYTES) -> None:
    """Write a body of at most `most` bytes to `path`; raise Refusal."""
    check_length(request, most)
    size = 0
    with path.open("wb") as stream:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise too_long(most)
            stream.write(piece)
    if size == 0:
        raise Refusal(422, "the body is empty, expected an image")


def check_type(request: Request, *allowed: str) -> None:
    """Raise Refusal unless the body is said to be of an allowed media type.

    A browser sends none of these to another site without asking it first.
    """
    said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if said not in allowed:
        raise Refusal(415, f"expected Content-Type {' or '.join(allowed)}")
    check_encoding(request)


def check_encoding(request: Request) -> None:
    """Raise Refusal for a body that is compressed once more."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Refusal(415, "a Content-Encoding is not understood")


def check_length(request: Request, most: int) -> None:
    """Raise Refusal for a body that is announced as too long."""
    if int(request.headers.get("content-length", 0)) > most:
        raise too_long(most)


def ending_of_body(path: Path) -> str:
    """Return the file ending that the first bytes of a body call for; raise Refusal."""
    with path.open("rb") as stream:
        start = stream.read(8)
    if start.startswith(SIGNATURE):
        return ".png"
    if start.startswith(GZIP):
        return ".nii.gz"
    if len(start) >= 4 and any(struct.unpack_from(o + "i", start)[0] in FIELDS for o in "<>"):
        return ".nii"
    raise Refusal(415, "the body is neither NIfTI nor PNG")


def check_image(path: Path) -> None:
    """Raise Refusal for an image whose header already says that it is too large, or damaged.

    A PNG file is rewritten without what has no say in its pixels.
    """
    if path.suffix == ".png":
        path.write_bytes(checked_png(path.read_bytes()))
        return
    try:
        with spoken_of(str(path), IMAGE), overheard(str(path), IMAGE, aloud=False):
            read_nifti_header(path, MAX_VOXELS)
    except DataError as error:
        status = 413 if isinstance(error, TooManyVoxels) else 422
        raise Refusal(status, str(error)) from error


def too_long(most: int) -> Refusal:
    """Return the refusal of a body of more than `most` bytes."""
    return Refusal(413, f"the body is longer than {most:,} bytes")
