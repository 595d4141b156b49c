"""The page when something is amiss: it says what, in the service's words, and what can be done."""

from __future__ import annotations

import functools
import io
import time
import zlib

import numpy as np
import pytest
import requests
from PIL import Image as Pillow

from autoseg.pictures import png_bytes
from tests.serving.browsing import drop
from tests.serving.flat import picture, served

TOKEN = "0123456789abcdef"


@functools.cache
def large() -> bytes:
    """Return a picture that takes seconds."""
    small = np.asarray(Pillow.open(io.BytesIO(picture(50, 50))))
    return png_bytes(np.tile(small, (30, 30)))


def told(page, text, timeout=20_000):
    page.wait_for_selector(f".told:text('{text}')", timeout=timeout)


def header_of(png: bytes, side: int) -> bytes:
    """Return a PNG with another size in its header, properly signed."""
    head = b"IHDR" + side.to_bytes(4, "big") * 2 + png[24:29]
    return png[:12] + head + zlib.crc32(head).to_bytes(4, "big") + png[33:]


@pytest.mark.parametrize(
    ("name", "data", "status", "text"),
    [
        ("notes.txt", b"hello", 415, "the body is neither NIfTI nor PNG"),
        ("nothing.png", b"", 422, "the body is empty, expected an image"),
        ("cut.png", picture()[:300], 422, "the PNG file is cut short"),
        ("large.png", header_of(picture(), 60_000), 413, "pixels"),
    ],
)
def test_the_service_says_what_is_wrong_with_a_file(visit, service, name, data, status, text):
    page = visit(service, status)
    drop(page, (name, data))
    told(page, text)
    assert page.is_visible("#list .bad")
    assert page.inner_text("#list .remove") == "Remove"
    assert not page.is_visible(".again")  # it would be refused again
    assert not page.is_visible(".save")
    assert page.inner_text("#heard").startswith(f"{name}: ")
    drop(page, ("case.png", picture()))  # and the next one is no worse for it
    page.wait_for_selector("#seen canvas", timeout=60_000)


def test_a_file_beyond_all_limits_is_refused_before_it_is_sent(visit, service, tmp_path):
    with (tmp_path / "scan.nii").open("wb") as stream:
        stream.truncate(3 << 30)
    page = visit(service, 413)
    page.set_input_files("#files", str(tmp_path / "scan.nii"))
    told(page, "the body is longer than 1,073,741,824 bytes")
    assert page.inner_text("#list .name").endswith("3.2 GB")


def test_a_token_is_asked_for_and_what_waited_for_it_goes_on(visit, flat_bundle, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    with served(flat_bundle, "--token-file", str(tmp_path / "token")) as service:
        page = visit(service, 401)
        page.wait_for_selector("#key")
        drop(page, ("case.png", picture()))
        told(page, "a token is needed")
        for tried in ("wrong", TOKEN):
            page.fill("#token", tried)
            page.keyboard.press("Enter")
            if tried != TOKEN:
                page.wait_for_selector("#wrong:text('This token is not the one.')")
        page.wait_for_selector("#seen canvas", timeout=60_000)
        assert not page.is_visible("#key")
        assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]
        assert page.context.cookies() == []
        assert TOKEN not in page.content()
        page.reload()
        page.wait_for_selector("#key")  # nothing has kept it


@pytest.mark.slow
def test_a_full_queue_is_waited_for(visit, flat_bundle):
    with served(flat_bundle, "--queue", "0") as service:
        headers = {"Content-Type": "image/png", "Prefer": "respond-async"}
        other = requests.post(f"{service.url}/segment", large(), headers=headers, timeout=9).json()
        page = visit(service, 503)
        drop(page, ("case.png", picture()))
        told(page, "too many images are waiting already. Asking again in 5 s")
        requests.delete(f"{service.url}/jobs/{other['id']}", timeout=9)
        told(page, "Asking again in 3 s")
        page.wait_for_selector("#seen canvas", timeout=60_000)


def test_cancel_ends_the_work_of_the_service(visit, service):
    page = visit(service)
    drop(page, ("large.png", large()), ("next.png", picture()))
    told(page, "Segmenting")
    page.click("#list li:first-child .remove")
    page.wait_for_selector("#seen h2:text('next.png')", timeout=9_000)
    assert page.locator("#list li").count() == 1
    assert requests.get(f"{service.url}/health", timeout=9).json()["waiting"] == 0


def test_a_file_that_has_gone_meanwhile_is_not_the_services_fault(visit, service, tmp_path):
    for name in ("large.png", "gone.png"):
        (tmp_path / name).write_bytes(large())
    page = visit(service)
    page.set_input_files("#files", [str(tmp_path / "large.png"), str(tmp_path / "gone.png")])
    told(page, "Segmenting")
    (tmp_path / "gone.png").unlink()
    page.click("#list li:first-child .remove")
    told(page, "This cannot be read; is it a folder?")


def test_a_moment_without_network_is_bridged(visit, service):
    page = visit(service, 0)
    page.route("**/jobs/*", lambda route: route.abort())
    drop(page, ("case.png", picture()))
    told(page, "The service does not answer; asking again")
    page.unroute("**/jobs/*")
    page.wait_for_selector("#seen canvas", timeout=60_000)


def test_a_file_that_could_not_be_sent_can_be_tried_again(visit, service):
    page = visit(service, 0)
    page.route("**/segment", lambda route: route.abort())
    drop(page, ("case.png", picture()))
    told(page, "The service does not answer. Is it still running, and is there a network?")
    page.unroute("**/segment")
    page.click(".again")
    page.wait_for_selector("#seen canvas", timeout=60_000)


@pytest.mark.slow
def test_a_service_that_ends_meanwhile_is_not_waited_for_forever(
    visit, flat_bundle, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # it cannot remove its files any more
    with served(flat_bundle) as service:
        page = visit(service, 0)
        page.clock.install()
        drop(page, ("large.png", large()))
        told(page, "Segmenting")
        service.process.kill()
    until = time.monotonic() + 20
    while not page.is_visible(".again") and time.monotonic() < until:
        page.clock.fast_forward(1000)
    told(page, "The service does not answer. Is it still running, and is there a network?")
    assert page.is_visible(".again")
