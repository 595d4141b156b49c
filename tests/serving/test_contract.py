"""`POST /predict` as a client sees it that was written from the contract's text alone."""

from __future__ import annotations

import base64
import io
import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from PIL import Image as Pillow

from autoseg.pictures import png_bytes
from tests.serving.flat import ROOT, one_thread, picture

HEIGHTS = [60, 198, 85, 196, 102, 128, 80, 155, 70, 178] * 2


def ask(service, png):
    body = {"img": base64.b64encode(png).decode()}
    answer = requests.post(f"{service.url}/predict", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    assert list(answer.json()) == ["img"]
    return answer.json()["img"]


def decoded(png):
    """An array (rows, columns, 3) as OpenCV's IMREAD_COLOR gives it, alpha dropped."""
    return np.asarray(Pillow.open(io.BytesIO(png)).convert("RGB"))


def validate(image, mask_png):
    mask = np.asarray(Pillow.open(io.BytesIO(mask_png)))
    assert mask.shape == image.shape
    assert set(np.unique(mask)) <= {0, 255}
    assert (mask[..., 0] == mask[..., 1]).all()
    assert (mask[..., 1] == mask[..., 2]).all()
    return mask[..., 0]


def test_masks_of_many_heights_four_at_a_time_are_those_of_autoseg_predict(
    service, flat_bundle, tmp_path
):
    pngs = [picture(height, 80, n) for n, height in enumerate(HEIGHTS)]
    (tmp_path / "in").mkdir()
    for n, png in enumerate(pngs):
        (tmp_path / "in" / f"case_{n:02}.png").write_bytes(png)
    with ThreadPoolExecutor(4) as clients:
        answers = list(clients.map(lambda png: ask(service, png), pngs))
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-m", str(flat_bundle)]
    command += ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=one_thread())
    found = 0
    for n, (png, answer) in enumerate(zip(pngs, answers, strict=True)):
        mask = validate(decoded(png), base64.b64decode(answer))
        expected = np.asarray(Pillow.open(tmp_path / "out" / f"case_{n:02}.png"))
        np.testing.assert_array_equal(mask > 0, expected > 0)
        found += int((mask > 0).sum())
    assert 0 < found < sum(80 * height for height in HEIGHTS)


def test_fifty_at_once_get_what_each_gets_alone(service):
    pngs = [picture(40 + n, 90 - n, n) for n in range(50)]
    alone = [ask(service, png) for png in pngs]
    with ThreadPoolExecutor(50) as clients:
        assert list(clients.map(lambda png: ask(service, png), pngs)) == alone
    assert len(set(alone)) == 50


def test_labels_have_the_very_bytes_of_autoseg_predict(service, flat_bundle, tmp_path):
    (tmp_path / "case.png").write_bytes(png := picture(70, 45, 3))
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-m", str(flat_bundle)]
    command += ["-i", str(tmp_path / "case.png"), "-o", str(tmp_path / "out.png")]
    command += ["--device", "cpu"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=one_thread())
    answer = requests.post(
        f"{service.url}/segment", data=png, headers={"Content-Type": "image/png"}, timeout=30
    )
    assert answer.headers["content-type"] == "image/png"
    assert answer.content == (tmp_path / "out.png").read_bytes()


@pytest.mark.parametrize("size", [(1, 1), (1, 991), (991, 1), (3, 5)])
def test_a_mask_is_as_large_as_the_image(service, size):
    mask = validate(np.zeros((*size, 3)), base64.b64decode(ask(service, picture(*size))))
    assert mask.shape == size


def test_greys_colours_alpha_and_palette_give_the_same_mask(service):
    png = picture(40, 30)
    expected = ask(service, png)
    grey = Pillow.open(io.BytesIO(png))
    palette = grey.convert("P")
    palette.putpalette([level for level in range(256) for _ in range(3)])
    for variant in (*(grey.convert(kind) for kind in ("LA", "RGB", "RGBA")), palette):
        stream = io.BytesIO()
        variant.save(stream, "png")
        assert ask(service, stream.getvalue()) == expected, variant.mode


def test_depths_give_the_mask_of_their_greys(service):
    greys = np.asarray(Pillow.open(io.BytesIO(picture(40, 30))))
    for levels, bits in ((greys // 255 * 255, 1), (greys // 17 * 17, 4), (greys, 16)):
        stream = io.BytesIO()
        if bits == 16:
            Pillow.fromarray(levels.astype(np.uint16) * 257).save(stream, "png")
        elif bits == 1:
            Pillow.fromarray(levels).convert("1").save(stream, "png")
        else:
            Pillow.fromarray(levels).quantize(16).save(stream, "png", bits=4)
        assert ask(service, stream.getvalue()) == ask(service, png_bytes(levels)), bits


@pytest.mark.parametrize(
    ("mode", "options", "fact"),
    [
        ("LA", {}, "the image: is partly transparent -> save it without an alpha channel"),
        ("RGBA", {}, "the image: is partly transparent -> save it without an alpha channel"),
        ("L", {"transparency": 128}, "the image: is partly transparent -> save it without an alp"),
        ("RGB", {}, "the image: holds 3 channels, expected 1"),
    ],
)
def test_pixels_that_mean_more_than_a_grey_are_refused_with_the_reason(
    service, mode, options, fact
):
    pixels = np.random.default_rng(1).integers(0, 256, (9, 9, len(mode)), dtype=np.uint8)
    stream = io.BytesIO()
    Pillow.fromarray(pixels.squeeze(), mode).save(stream, "png", **options)
    body = {"img": base64.b64encode(stream.getvalue()).decode()}
    answer = requests.post(f"{service.url}/predict", json=body, timeout=30)
    assert (answer.status_code, answer.json()["error"][: len(fact)]) == (422, fact)


def test_a_data_url_is_understood(service):
    png = picture()
    text = "data:image/png;base64," + base64.b64encode(png).decode()
    answer = requests.post(f"{service.url}/predict", json={"img": text}, timeout=30)
    assert answer.json()["img"] == ask(service, png)


GOOD = base64.b64encode(picture()).decode()


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        (b"", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"img": NaN}', "not valid JSON"),
        (b'{"img": "a", "img": "b"}', "not valid JSON"),
        (b'{"img": "\xff"}', "not valid JSON"),
        (b"[]", "there is no img"),
        (b"{}", "there is no img"),
        (b'{"img": 7}', "img is no text"),
        (b'{"img": null}', "img is no text"),
        (b'{"img": ""}', "img is empty"),
        (json.dumps({"img": GOOD, "image": "/etc/passwd"}).encode(), "more fields than img"),
        (json.dumps({"img": GOOD + " "}).encode(), "not valid base64"),
        (json.dumps({"img": GOOD[:-1]}).encode(), "not valid base64"),
        (json.dumps({"img": GOOD.replace("A", "-")}).encode(), "not valid base64"),
        (json.dumps({"img": "data:image/gif;base64," + GOOD}).encode(), "not valid base64"),
        (json.dumps({"img": "/etc/passwd"}).encode(), "not valid base64"),
        (json.dumps({"img": "http://169.254.169.254/"}).encode(), "not valid base64"),
    ],
)
def test_what_is_no_request_is_answered_with_422(service, body, fact):
    answer = requests.post(
        f"{service.url}/predict", data=body, headers={"Content-Type": "application/json"}, timeout=9
    )
    assert answer.status_code == 422
    assert fact in answer.json()["error"]
    assert list(answer.json()) == ["error", "request_id"]


@pytest.mark.parametrize("path", ["/predict", "/segment"])
def test_a_huge_body_is_refused_before_it_comes(service, path):
    kind = "application/json" if path == "/predict" else "application/octet-stream"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
    with socket.create_connection(("127.0.0.1", service.port), timeout=9) as client:
        client.sendall(
            f"{head}Content-Length: 10000000000\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert client.recv(99).startswith(b"HTTP/1.1 413")


def test_a_huge_body_in_pieces_is_refused_on_its_way(service):
    sent = 0

    def pieces():
        nonlocal sent
        for _ in range(200):
            sent += 1
            yield b" " * (1 << 20)

    kind = {"Content-Type": "application/json"}
    try:
        answer = requests.post(f"{service.url}/predict", data=pieces(), headers=kind, timeout=60)
        assert answer.status_code == 413
    except requests.ConnectionError:  # the answer came while the client was still sending
        assert sent < 200


@pytest.mark.parametrize("kind", ["PPM", "GIF", "TIFF", "BMP", "JPEG", "WEBP", "EPS", "PDF"])
def test_other_kinds_of_pictures_are_refused(service, kind):
    stream = io.BytesIO()
    Pillow.new("L", (9, 9)).save(stream, kind)
    body = {"img": base64.b64encode(stream.getvalue()).decode()}
    answer = requests.post(f"{service.url}/predict", json=body, timeout=9)
    assert (answer.status_code, answer.json()["error"]) == (415, "the image is not a PNG file")


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_only_json_is_read(service, kind):
    for path in ("predict", "segment"):
        answer = requests.post(
            f"{service.url}/{path}", data=b"{}", headers={"Content-Type": kind}, timeout=9
        )
        assert answer.status_code == 415


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/predict", 405), ("PUT", "/segment", 405), ("POST", "/", 405),
        ("DELETE", "/api", 405), ("OPTIONS", "/predict", 405), ("HEAD", "/nowhere", 404),
        ("BREW", "/predict", 405), ("TRACE", "/", 405), ("HEAD", "/predict", 405),
        ("GET", "/docs", 404), ("GET", "/../../etc/passwd", 404), ("GET", "/jobs/x", 404),
        ("GET", "/predict/", 404), ("GET", "//api", 404), ("GET", "/jobs/..%2F..%2Fetc", 404),
        ("GET", "/%zz%ff%00", 404),
    ],
)  # fmt: skip
def test_wrong_methods_and_paths_are_told_in_json(service, method, path, status):
    answer = requests.request(method, service.url + path, timeout=9)
    assert answer.status_code == status
    assert method == "HEAD" or list(answer.json()) == ["error", "request_id"]


@pytest.mark.parametrize(
    ("accept", "page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html", True), ("*/*", False), ("", False), ("application/json", False),
        ("application/json, text/html;q=0.1", False), ("text/html;q=0, */*", False),
        ("text/html;q=nan", True), ("text/html;q=0.9, application/json;q=0.5", True),
    ],
)  # fmt: skip
def test_the_page_is_for_those_who_prefer_it(service, accept, page):
    answer = requests.get(service.url, headers={"Accept": accept}, timeout=9)
    assert answer.headers["content-type"].startswith("text/html" if page else "application/json")


@pytest.mark.parametrize("path", ["/", "/api", "/health", "/models", "/openapi.json"])
def test_head_is_get_without_its_body(service, path):
    whole = requests.get(service.url + path, timeout=9)
    head = requests.head(service.url + path, timeout=9)
    assert head.status_code == 200
    assert head.content == b""
    for name in ("content-type", "content-length"):
        assert head.headers[name] == whole.headers[name]


def test_the_service_says_what_it_is(service):
    about = requests.get(f"{service.url}/api", timeout=9).json()
    assert list(about) == ["service", "version", "uptime"]
    assert [len(part) for part in about["uptime"].split(":")[1:]] == [2, 2]
    assert requests.get(f"{service.url}/", timeout=9).json()["status"] == "ok"
    page = requests.get(f"{service.url}/", headers={"Accept": "text/html,*/*"}, timeout=9)
    assert page.text.startswith("<!doctype html>")
    assert "http://" not in page.text
    assert "https://" not in page.text
    models = requests.get(f"{service.url}/models", timeout=9).json()
    assert models["models"][0]["folds"] == ["0", "1"]
    assert models["models"][0]["targets"] == {"tumour": [1]}
    paths = requests.get(f"{service.url}/openapi.json", timeout=9).json()["paths"]
    assert {"/", "/api", "/health", "/models", "/predict", "/segment"} < set(paths)
