"""The page in a browser: a picture is chosen, its labels come back and can be saved."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image as Pillow

from tests.serving.flat import picture

PHONE = {"width": 390, "height": 800}


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, service):
    page, problems, requested = browser.new_page(viewport=PHONE), [], []
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
    page.wait_for_selector("#seen:visible", timeout=60_000)
    with page.expect_download() as download:
        page.keyboard.press("Enter")  # what can be done next has the focus
    assert download.value.suggested_filename == "case_labels.png"
    saved = Path(download.value.path()).read_bytes()
    kind = {"Content-Type": "image/png"}
    assert saved == requests.post(f"{service.url}/segment", png, headers=kind, timeout=30).content
    count = int((np.asarray(Pillow.open(io.BytesIO(saved))) > 0).sum())
    assert page.inner_text("#legend").strip() == f"tumour: {count} pixels"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_another_file_is_refused_and_a_picture_by_another_name_is_known(page, tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "case.nii").write_bytes(picture())
    page.set_input_files("#file", str(tmp_path / "notes.txt"))
    page.wait_for_selector("text=notes.txt is neither PNG nor NIfTI")
    page.set_input_files("#file", str(tmp_path / "case.nii"))
    page.wait_for_selector("#save[download='case_labels.png']:visible", timeout=60_000)
