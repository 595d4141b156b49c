"""What the OpenAPI description says beyond what the functions of the application show."""

from __future__ import annotations

from typing import Any

from autoseg.serving.intake import IMAGE_TYPES

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string"}, "request_id": {"type": "string"}},
    "required": ["error"],
}
_IMG = {
    "type": "object",
    "properties": {
        "img": {"type": "string", "description": "base64 of a PNG file", "format": "byte"}
    },
    "required": ["img"],
    "additionalProperties": False,
}
_JOB = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "state": {"enum": ["waiting", "running", "done", "failed"]},
        "progress": {"type": "number", "minimum": 0, "maximum": 1},
        "warnings": {"type": "array", "items": {"type": "string"}},
        "error": {"type": "string"},
        "status": {"type": "integer"},
    },
    "required": ["id", "state", "progress"],
}
_MEANINGS = {
    400: "no valid HTTP request", 401: "a token is needed", 403: "another host name",
    404: "there is nothing", 405: "another method", 408: "sent too slowly", 409: "not done yet",
    411: "a length is missing", 413: "too large", 415: "another type of body",
    422: "damaged, or unlike what the model takes", 500: "our mistake",
    503: "busy or stopping; Retry-After says when to try again", 504: "past its deadline",
}  # fmt: skip


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"description": meaning, "content": _json(_ERROR)}
    for status, meaning in _MEANINGS.items()
}
STOPPING: dict[int | str, dict[str, Any]] = {
    503: {"description": "stopping", "content": _json({"type": "object"})}
}
ROOT: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "a page for browsers, JSON for others",
        "content": {"text/html": {"schema": {"type": "string"}}, **_json({"type": "object"})},
    }
}
_FILES = dict.fromkeys(("image/png", "application/gzip", "application/octet-stream"), _BINARY)
LABELS: dict[int | str, dict[str, Any]] = {
    200: {"description": "label map, of the image's type and grid", "content": _FILES}
}
SCENE: dict[int | str, dict[str, Any]] = {
    200: {"description": "scan and labels for the viewer", "content": _json({"type": "object"})}
}
PREDICT = {"requestBody": {"required": True, "content": _json(_IMG)}}
PREDICTED: dict[int | str, dict[str, Any]] = {
    200: {"description": "mask, white on black, as large as the image", "content": _json(_IMG)}
}
SEGMENT = {
    "requestBody": {"required": True, "content": dict.fromkeys(IMAGE_TYPES, _BINARY)},
    "parameters": [
        {
            "name": "Prefer", "in": "header", "required": False,
            "schema": {"type": "string"},
            "description": "respond-async: answer with the job at once",
        }
    ],
}  # fmt: skip
SEGMENTED: dict[int | str, dict[str, Any]] = {
    **LABELS,
    202: {"description": "the job, which goes on", "content": _json(_JOB)},
}
_TEXT = {"type": "string"}
_FILE = {"type": "string", "format": "binary"}


def _form(
    properties: dict[str, Any], *required: str, kind: str = "multipart/form-data"
) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"requestBody": {"required": True, "content": {kind: {"schema": schema}}}}


SESSION_FORM = _form({"files": _FILE}, "files")
INFER_FORM = _form({"params": {**_TEXT, "description": "JSON: result_extension"}, "file": _FILE})
LOGIN = _form({"password": _TEXT}, "password", kind="application/x-www-form-urlencoded")
SESSION: dict[int | str, dict[str, Any]] = {
    200: {"description": "what is known of the session", "content": _json({"type": "object"})}
}
SESSION_OR_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "what is known of the session, or its image",
        "content": {**_FILES, **_json({"type": "object"})},
    }
}
INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "params (names of label values) and image (label map), or one of them",
        "content": {
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"params": _TEXT, "image": _FILE}}
            },
            **_FILES,
            **_json({"type": "object"}),
        },
    }
}
