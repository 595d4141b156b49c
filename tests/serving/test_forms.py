"""A form's file and its words."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from autoseg.serving.forms import check_form, save_form

BODY = b"--x\r\nContent-Disposition: form-data; name=file\r\n\r\n" + b"a" * 99_999 + b"\r\n--x--"


def request_of(body: bytes) -> Request:
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    return Request({"type": "http", "method": "PUT", "headers": headers}, receive)


def test_the_file_and_the_words_come_apart(tmp_path):
    request = request_of(BODY.replace(b"--x--", b"--x\r\n") + form_word())
    words = asyncio.run(save_form(request, check_form(request), "file", tmp_path / "image"))
    assert words == {"params": "{}"}
    assert (tmp_path / "image").read_bytes() == b"a" * 99_999


def form_word() -> bytes:
    return b"Content-Disposition: form-data; name=params\r\n\r\n{}\r\n--x--"
