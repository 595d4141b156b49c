"""The report in Debian's Chromium: it fits a phone, complains of nothing, and fetches nothing."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.document import build_page
from autoseg.report.material import Material, Model, Run
from autoseg.report.scene import make_scene
from autoseg.results import CaseScores, Mean, Summary, Value


def material() -> Material:
    dice = {f"case_{n:02}": 0.8 + n / 100 for n in range(10)} | {"case_99": 0.1}
    cases = tuple(
        CaseScores(
            case,
            {"a_long_name_of_a_target": {"dice": Value(value), "n_ref": Value(9)}},
            (1, 1, 1),
            9.0,
        )
        for case, value in dice.items()
    )
    means = {"dice": Mean(0.8, 11, 11, 0.8)}
    summary = Summary(cases, {"a_long_name_of_a_target": means}, means, {})
    run = Run(({"epoch": 1.0, "train_loss": 2.0}, {"epoch": 2.0, "train_loss": 1.0}))
    model = Model("3d_fullres-S", {"0": run}, summary, dict.fromkeys(dice, "0"))
    label_map = np.zeros((8, 20, 20), np.uint8)
    label_map[2:5, 5:15, 5:15] = 1
    scene = make_scene(
        "case_99", {"": label_map * 7.0}, Geometry(label_map.shape), {"reference": label_map},
        Labels({"a_long_name_of_a_target": (1,)}),
    )  # fmt: skip
    return Material("HIPPO", models=(model,), scenes={"case_99": scene})


@pytest.mark.parametrize("width", [360, 1200])
def test_a_page_fits_the_screen_and_is_quiet(chromium, tmp_path, width):
    path = tmp_path / "report.html"
    path.write_text(build_page(material()), encoding="utf-8")
    page = chromium.new_page(viewport={"width": width, "height": 800})
    complaints, requests = [], []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("svg").count() == 2
    page.locator("summary", has_text="case_99").first.click()
    page.wait_for_selector("canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
    assert complaints == []
    assert requests == [path.as_uri()]


def test_the_wheel_is_the_pages_until_a_picture_is_clicked_and_after_escape(chromium, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(build_page(material()), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 1200, "height": 800})
    page.goto(path.as_uri())
    page.locator("summary", has_text="case_99").first.click()
    picture, told = page.locator("canvas").first, page.locator(".stage figcaption").first
    picture.scroll_into_view_if_needed()
    picture.hover()

    def rolled():
        """Return how far the page scrolls, and whether the slice is another."""
        place, slice_ = page.evaluate("scrollY"), told.inner_text()
        page.mouse.wheel(0, -100)
        page.wait_for_timeout(400)
        return place - page.evaluate("scrollY"), told.inner_text() != slice_

    assert rolled() == (100, False)
    picture.click()
    assert rolled() == (0, True)
    page.locator("canvas").nth(1).hover()
    page.locator("canvas").first.hover()
    assert rolled() == (0, True)  # also when the pointer was elsewhere in the viewer
    page.keyboard.press("Escape")
    assert rolled() == (100, False)
    page.close()
