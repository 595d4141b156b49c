"""The page in a browser: files are given to it, and their labels are followed, seen and saved."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image as Pillow

from autoseg.image import Geometry
from autoseg.io import read_image, read_labels, write_labels
from autoseg.pictures import png_bytes
from tests.serving.browsing import drop
from tests.serving.flat import ROOT, one_thread, picture, served


def predicted(bundle: Path, image: Path, output: Path) -> Path:
    """Return what `autoseg_predict` makes of an image."""
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-m", str(bundle), "--device", "cpu"]
    command += ["-i", str(image), "-o", str(output)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=one_thread())
    return output


def saved(page, name: str) -> bytes:
    """Return the file that Enter saves: what can be done next has the focus."""
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == name
    return Path(download.value.path()).read_bytes()


@pytest.fixture
def volume(tmp_path):
    noise = np.random.default_rng(0).normal(0, 1, (40, 60, 50))
    smooth = sum(np.roll(noise, n, axis) for axis in range(3) for n in range(6)) * 100
    write_labels(tmp_path / "scan.nii.gz", smooth.astype(np.int16), Geometry((40, 60, 50)))
    return tmp_path / "scan.nii.gz"


def test_a_volume_that_is_dropped_is_followed_seen_and_saved(
    visit, solid_service, solid_bundle, volume, tmp_path
):
    page = visit(solid_service)
    page.wait_for_selector("text=TOY, 3d_fullres-S, 1 fold: finds anterior, posterior")
    drop(page, ("scan.nii.gz", volume.read_bytes()))
    page.wait_for_selector("#seen canvas", timeout=60_000)
    size = f"{volume.stat().st_size / 1e3:.0f} kB"
    assert page.inner_text("#list .name").split() == ["scan.nii.gz", *size.split()]
    said = page.evaluate("said")
    assert said[0].startswith("Sending")
    assert [text for text in said if text.startswith("Segmenting, ")]
    assert said[-1].startswith("Done in")
    labels = tmp_path / "saved.nii.gz"
    labels.write_bytes(saved(page, "scan_labels.nii.gz"))
    expected = read_labels(predicted(solid_bundle, volume, tmp_path / "out.nii.gz"))
    assert read_labels(labels).geometry == expected.geometry
    np.testing.assert_array_equal(read_labels(labels).array, expected.array)
    present = {n for n in (1, 2) if (expected.array == n).any()}
    assert page.locator("#seen .legend li").count() == len(present) > 0
    assert page.inner_text("#seen h2") == "scan.nii.gz"
    plane = "#seen figure:first-child"
    before = page.inner_text(f"{plane} figcaption")
    page.focus(f"{plane} input")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f"{plane} figcaption:not(:text-is('{before}'))")
    target = page.locator("#seen .legend li input").first
    target.uncheck()
    assert not target.is_checked()


def test_a_picture_that_is_chosen_with_the_keyboard_is_seen_and_saved(
    visit, service, flat_bundle, tmp_path
):
    (tmp_path / "case.png").write_bytes(picture(60, 50))
    page = visit(service)
    page.wait_for_selector("text=FLAT, 2d-S, 2 folds: finds tumour")
    assert not page.is_visible("#key")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "drop"
    for key in ("Space", "Enter"):
        with page.expect_file_chooser() as chooser:
            page.keyboard.press(key)
    chooser.value.set_files(str(tmp_path / "case.png"))
    page.wait_for_selector("#seen canvas", timeout=60_000)
    assert page.evaluate("said.at(-1)").endswith(
        "holds the values of the labels (1 tumour): picture viewers show it almost black."
    )
    mask = saved(page, "case_mask.png")
    expected = predicted(flat_bundle, tmp_path / "case.png", tmp_path / "out.png")
    assert mask == expected.read_bytes()
    count = int((np.asarray(Pillow.open(io.BytesIO(mask))) > 0).sum())
    assert page.inner_text("#seen .legend li").split("\n") == ["tumour", f"{count} pixels"]


def test_the_time_left_follows_the_share_that_is_done(visit, service):
    page = visit(service)
    page.clock.install()
    job = {"id": "x", "state": "running", "progress": 0.0}
    page.route("**/segment", lambda route: route.fulfill(status=202, json=job))
    page.route("**/jobs/x", lambda route: route.fulfill(json=job))
    drop(page, ("case.png", picture()))
    page.wait_for_selector(".told:text-is('Segmenting, 0 %')")
    job["progress"] = 0.25
    page.clock.fast_forward(10_000)
    left = ".told:text-matches('^Segmenting, 25 %, about 3[0-9] s left$')"
    page.wait_for_selector(left, timeout=5_000)  # the clock goes on
    assert page.get_attribute("progress", "value") == "0.25"
    assert page.inner_text("#heard") == "case.png: Segmenting, 25 %"
    assert page.title() == "25 % - autoseg"


def test_several_files_are_segmented_one_after_the_other(visit, service):
    page = visit(service)
    drop(page, ("a.png", picture(seed=1)), ("b.nii", picture(seed=2)))  # a picture all the same
    page.wait_for_selector("#list li:nth-child(2) .save", timeout=60_000)
    assert page.locator("#list .save").evaluate_all("all => all.map(a => a.download)") == [
        "a_mask.png", "b_mask.png",
    ]  # fmt: skip
    page.wait_for_selector("#seen h2:text('a.png')")  # it was there first, and is being looked at
    page.click("#list li:nth-child(2) .show")
    page.wait_for_selector("#seen h2:text('b.nii')")
    drop(page, ("c.png", picture(seed=3)))
    page.wait_for_selector("#seen h2:text('c.png')", timeout=60_000)
    page.click("#list li:nth-child(3) .remove")
    assert not page.is_visible("#seen")
    assert page.locator("#list li").count() == 2
    assert page.evaluate("document.activeElement.id") == "drop"


def test_what_is_odd_about_an_image_is_said(visit, service):
    page = visit(service)
    drop(page, ("black.png", png_bytes(np.zeros((20, 30), np.uint8))))
    page.wait_for_selector("#list .save", timeout=60_000)
    said = page.text_content("#list .told")
    assert " s. The image is empty (all zero); so is its label map. The mask holds" in said


def test_what_is_left_is_forgotten_by_the_service(visit, service):
    page = visit(service)
    asked = []
    page.on("request", lambda request: asked.append((request.method, request.url)))
    drop(page, ("a.png", picture()))
    page.wait_for_selector("#seen canvas", timeout=60_000)
    place = next(url for _, url in asked if "/jobs/" in url).removesuffix("/labels")
    assert requests.get(place, timeout=9).json()["state"] == "done"
    page.goto(f"{service.url}/")
    until = time.monotonic() + 9
    while requests.get(place, timeout=9).status_code != 404 and time.monotonic() < until:
        time.sleep(0.05)
    assert requests.get(place, timeout=9).status_code == 404


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


COUNTED = """
import sys
from autoseg.serving import app
make = app._write_scene
app._write_scene = lambda *words: (print("a scene is made", file=sys.stderr), make(*words))
"""


def test_a_scene_is_made_once_for_all_who_ask(flat_bundle):
    kind = {"Content-Type": "image/png", "Prefer": "respond-async"}
    with served(flat_bundle, before=COUNTED) as service:
        answer = requests.post(f"{service.url}/segment", picture(), headers=kind, timeout=30)
        place = service.url + answer.headers["location"]
        while requests.get(place, timeout=9).json()["state"] != "done":
            time.sleep(0.05)
        with ThreadPoolExecutor(20) as clients:
            ask = lambda _: requests.get(f"{place}/scene", timeout=30)  # noqa: E731
            answers = list(clients.map(ask, range(100)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.content for answer in answers}) == 1
        assert answers[0].headers["content-type"] == "application/json"
        assert service.log.read_text().count("a scene is made") == 1
