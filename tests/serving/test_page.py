"""The page in a browser: a picture is chosen, its labels are seen and can be saved."""

from __future__ import annotations

import io
import time
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image as Pillow

from autoseg.io import read_image
from tests.serving.flat import picture

PHONE = {"width": 390, "height": 800}


@pytest.fixture
def page(chromium, service):
    page, problems, requested = chromium.new_page(viewport=PHONE), [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requested.append(request.url))
    page.goto(service.url)
    yield page
    assert problems == []
    assert [url for url in requested if not url.startswith((service.url, "blob:"))] == []
    page.close()


def test_labels_of_a_chosen_picture_can_be_saved(page, service, tmp_path):
    (tmp_path / "case.png").write_bytes(png := picture(60, 50))
    page.wait_for_selector("text=FLAT, 2d-S, 2 folds: finds tumour")
    assert not page.is_visible("#key")
    page.set_input_files("#file", str(tmp_path / "case.png"))
    page.wait_for_selector("#seen canvas", timeout=60_000)
    assert page.inner_text("#seen h2") == "case.png"
    with page.expect_download() as download:
        page.keyboard.press("Enter")  # what can be done next has the focus
    assert download.value.suggested_filename == "case_labels.png"
    saved = Path(download.value.path()).read_bytes()
    kind = {"Content-Type": "image/png"}
    assert saved == requests.post(f"{service.url}/segment", png, headers=kind, timeout=30).content
    count = int((np.asarray(Pillow.open(io.BytesIO(saved))) > 0).sum())
    assert page.inner_text("#seen .legend li").split("\n") == ["tumour", f"{count} pixels"]
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_another_file_is_refused_and_a_picture_by_another_name_is_known(page, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "case.nii").write_bytes(picture())
    page.set_input_files("#file", str(tmp_path / "notes.txt"))
    page.wait_for_selector("text=notes.txt is neither PNG nor NIfTI")
    page.set_input_files("#file", str(tmp_path / "case.nii"))
    page.wait_for_selector("#save[download='case_labels.png']:visible", timeout=60_000)


def test_a_scene_is_that_of_a_job_that_is_done(service, tmp_path):
    assert requests.get(f"{service.url}/jobs/none/scene", timeout=9).status_code == 404
    (tmp_path / "case.png").write_bytes(png := picture())
    headers = {"Content-Type": "image/png", "Prefer": "respond-async"}
    answer = requests.post(f"{service.url}/segment", png, headers=headers, timeout=9)
    place = f"{service.url}/jobs/{answer.json()['id']}"
    while requests.get(place, timeout=9).json()["state"] != "done":
        time.sleep(0.05)
    scene = requests.get(f"{place}/scene", timeout=9).json()
    assert tuple(scene["shape"]) == read_image(tmp_path / "case.png").geometry.shape
    assert scene["patient"] is False
    assert [layer["name"] for layer in scene["layers"]] == ["labels"]
    assert requests.delete(place, timeout=9).status_code == 204
    assert requests.get(f"{place}/scene", timeout=9).status_code == 404
