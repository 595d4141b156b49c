"""The JSON of `POST /predict`: `{"img": base64 of a PNG}` in, the same with the mask out."""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import numpy as np

from autoseg.io import read_labels
from autoseg.pictures import png_bytes
from autoseg.serving.png import checked_png
from autoseg.serving.refusal import Refusal

PREFIX = "data:image/png;base64,"
EXPECTED = 'expected {"img": "<base64 of a PNG file>"}'
WHITE = 255


def png_of(body: bytes) -> bytes:
    """Return the PNG file in a request's body, checked; raise Refusal."""
    try:
        said = json.loads(
            body.decode("utf-8"), parse_constant=_no_constant, object_pairs_hook=_once
        )
    except (ValueError, RecursionError) as error:
        raise Refusal(422, f"the body is not valid JSON, {EXPECTED}") from error
    if not isinstance(said, dict) or "img" not in said:
        raise Refusal(422, f"there is no img, {EXPECTED}")
    if len(said) > 1:
        raise Refusal(422, f"there are more fields than img, {EXPECTED}")
    if not isinstance(said["img"], str):
        raise Refusal(422, f"img is no text, {EXPECTED}")
    return checked_png(_decoded(said["img"].removeprefix(PREFIX)))


def answer_of(labels: Path) -> bytes:
    """Return the body of the answer: white where the label map in the file has any target.

    A picture of three equal channels, as many rows and columns as the image had.
    """
    label_map = read_labels(labels).array[0, 0]
    mask = np.where(label_map > 0, WHITE, 0).astype(np.uint8)
    picture = png_bytes(np.repeat(mask[:, :, None], 3, axis=2))
    return json.dumps({"img": base64.b64encode(picture).decode("ascii")}).encode("ascii")


def _decoded(text: str) -> bytes:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Refusal(422, "img is not valid base64 (standard alphabet, padded)") from error
    if base64.b64encode(data).decode("ascii") != text:  # something after the end, or stray bits
        raise Refusal(422, "img is not valid base64 (standard alphabet, padded)")
    if not data:
        raise Refusal(422, "img is empty")
    return data


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a field is there twice")
    return dict(pairs)
