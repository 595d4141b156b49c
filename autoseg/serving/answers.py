"""Files as answers, piece by piece: by themselves, or with words beside them."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from starlette.responses import StreamingResponse

from autoseg.serving.multipart import MULTIPART

PIECE = 1 << 20
NUMBER = re.compile(r"[01](\.\d{0,3})?")
BINARY = "application/octet-stream"
MEDIA_TYPES = {".png": "image/png", ".nii.gz": "application/gzip", ".json": "application/json"}


def wants_page(accept: str) -> bool:
    """Tell whether HTML is asked for by name, and JSON not rather, as by browsers.

    >>> wants_page("text/html,*/*;q=0.8"), wants_page("*/*"), wants_page("text/html;q=0")
    (True, False, False)
    """
    wanted = {}
    for part in accept.split(","):
        kind, *words = (word.strip().lower() for word in part.split(";"))
        weights = [word[2:] for word in words if word.startswith("q=")]
        wanted[kind] = float(weights[0]) if weights and NUMBER.fullmatch(weights[0]) else 1.0
    page = wanted.get("text/html", 0.0)
    return page > 0 and page >= wanted.get("application/json", 0.0)


def file_of(file: Path) -> StreamingResponse:
    """Return an answer with the contents of `file`, which may be removed after this returns."""
    kinds = (kind for ending, kind in MEDIA_TYPES.items() if file.name.endswith(ending))
    headers = {
        "content-type": next(kinds, BINARY),
        "content-disposition": f'attachment; filename="{file.name}"',
    }
    return _answer(b"", file, b"", headers)


def form_of(words: Mapping[str, Any], file: Path) -> StreamingResponse:
    """Return a form of two parts: `params`, the JSON of `words`, and `image`, as in `file_of`.

    One of its readers (MITK's) takes what follows the Content-Type for the part's contents.
    """
    mark = secrets.token_hex(16)
    before = (
        f'--{mark}\r\nContent-Disposition: form-data; name="params"\r\n'
        f"Content-Type: application/json\r\n\r\n{json.dumps(words)}\r\n"
        f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="{file.name}"\r\n'
        f"Content-Type: {BINARY}\r\n\r\n"
    )
    after = f"\r\n--{mark}--\r\n"
    headers = {"content-type": f"{MULTIPART}; boundary={mark}"}
    return _answer(before.encode("ascii"), file, after.encode("ascii"), headers)


def _answer(before: bytes, file: Path, after: bytes, headers: dict[str, str]) -> StreamingResponse:
    stream = file.open("rb")
    size = len(before) + file.stat().st_size + len(after)

    def pieces() -> Iterator[bytes]:
        yield before
        with stream:
            while piece := stream.read(PIECE):
                yield piece
        yield after

    return StreamingResponse(pieces(), headers={**headers, "content-length": str(size)})
