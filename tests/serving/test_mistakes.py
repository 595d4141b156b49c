"""What goes wrong before or beside the segmentation is told as it is."""

from __future__ import annotations

import base64
import time

import numpy as np
import pytest
import requests

from autoseg.pictures import png_bytes
from tests.serving.flat import picture, served

SMALL = "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"  # bytes


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/jobs/x", "GET, HEAD, DELETE"), ("/session/x", "GET, HEAD, DELETE"),
        ("/session/", "PUT"), ("/predict", "POST"), ("/", "GET, HEAD"),
    ],
)  # fmt: skip
def test_another_method_is_answered_with_those_that_there_are(service, path, methods):
    answer = requests.patch(service.url + path, timeout=9)
    assert (answer.status_code, answer.headers["allow"]) == (405, methods)


def test_where_no_room_is_left_for_an_image_there_may_be_later(flat_bundle):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300), dtype=np.uint8)
    png = png_bytes(noise)
    with served(flat_bundle, before=SMALL) as service:
        kind = {"Content-Type": "image/png"}
        body = {"img": base64.b64encode(png).decode()}
        for answer in (
            requests.post(f"{service.url}/segment", png, headers=kind, timeout=30),
            requests.post(f"{service.url}/predict", json=body, timeout=30),
            requests.put(f"{service.url}/session/", files={"files": ("a", png)}, timeout=30),
        ):
            assert answer.status_code == 503
            assert answer.json()["error"] == "there is no room for this image"
            assert answer.headers["retry-after"] == "30"
        answer = requests.post(f"{service.url}/segment", picture(), headers=kind, timeout=30)
        assert answer.status_code == 200
        assert "no room for an image: File too large" in service.log.read_text()
        assert "Traceback" not in service.log.read_text()


WRONG = """
from autoseg.serving.model import Model
def segment(*words):
    raise ValueError("a mistake")
Model.segment = segment
"""


def test_a_mistake_of_ours_is_in_the_log_under_the_number_that_the_client_has(flat_bundle):
    with served(flat_bundle, before=WRONG) as service:
        kind = {"Content-Type": "image/png"}
        answer = requests.post(f"{service.url}/segment", picture(), headers=kind, timeout=30)
        said = answer.json()
        assert (answer.status_code, said["error"]) == (500, "internal error")
        log = service.log.read_text()
        assert f"{said['request_id']} an image failed\nTraceback" in log
        assert "ValueError: a mistake" in log
        form, later = {"file": ("a", picture())}, {**kind, "Prefer": "respond-async"}
        requests.post(f"{service.url}/infer/FLAT", files=form, timeout=30)
        requests.post(f"{service.url}/segment", picture(), headers=later, timeout=30)
        until = time.monotonic() + 10
        while service.log.read_text().count(" an image failed") < 3 and time.monotonic() < until:
            time.sleep(0.05)
        failed = [line for line in service.log.read_text().splitlines() if "image failed" in line]
        assert [len(line.split()[0]) for line in failed] == [12] * 3
