"""Forms that clients send: an image, and a few words beside it."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request

from autoseg.serving.intake import IMAGE_BYTES, check_encoding, check_length, too_long
from autoseg.serving.multipart import Multipart
from autoseg.serving.refusal import Refusal

WORDS_BYTES = 64 << 10  # of all fields that are no file together


def check_form(request: Request) -> Multipart:
    """Return what reads the request's form; raise Refusal when it is none, or of another site.

    Browsers send forms to other sites without asking them, and say where the page came from.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        raise Refusal(403, "forms of other sites are not taken")
    check_encoding(request)
    check_length(request, IMAGE_BYTES + WORDS_BYTES)
    return Multipart(request.headers.get("content-type", ""))


async def save_form(request: Request, reader: Multipart, name: str, path: Path) -> dict[str, str]:
    """Write the file that the form calls `name` to `path`, if it is there; return its words.

    Raises Refusal for another file, a second one, or too much of anything.
    """
    words: dict[str, bytearray] = {}
    taken = spoken = received = 0
    with path.open("wb") as stream:
        async for data in request.stream():
            received += len(data)
            if received > IMAGE_BYTES + WORDS_BYTES:
                raise too_long(IMAGE_BYTES)
            for part, piece in reader.feed(data):
                if part.name == name:
                    taken += not piece
                    stream.write(piece)
                elif part.file:
                    raise Refusal(422, f"the form has another file than {name}")
                elif not piece and part.name in words:
                    raise Refusal(422, "the form says something twice")
                else:
                    words.setdefault(part.name, bytearray()).extend(piece)
                    spoken += len(piece)
                if spoken > WORDS_BYTES:
                    raise too_long(WORDS_BYTES)
                if taken > 1:
                    raise Refusal(422, "the form has more than one file, expected one image")
    reader.finish()
    if not taken:
        path.unlink()
    return {key: value.decode("utf-8", "replace") for key, value in words.items()}
