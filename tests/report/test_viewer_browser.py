"""The viewer in Debian's Chromium: pixels follow what the user does, and nothing is fetched."""

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.scene import make_scene
from tests.report.opened import PIXELS, SETTLED, contents, opened, readout

SHAPE = (20, 30, 40)
LABELS = Labels({"block": (1,), "core": (2,)})
# How many are coloured: grey ones have no difference between channels.
COLOURED = f"""canvas => {{ {PIXELS}
  let n = 0;
  for (let i = 0; i < d.length; i += 4)
    n += Math.max(d[i], d[i+1], d[i+2]) - Math.min(d[i], d[i+1], d[i+2]) > 40;
  return n;
}}"""
CONTENT = f"""canvas => {{ {PIXELS}
  let h = 7;
  for (let i = 0; i < d.length; i++) h = (h * 31 + d[i]) | 0;
  return h;
}}"""


@pytest.fixture
def page(chromium, tmp_path):
    """A page with a reference and a prediction."""
    with opened(chromium, tmp_path, phantom_scene()) as page:
        yield page


def phantom_scene():
    z, y, x = np.indices(SHAPE)
    image = (z * 100 + y * 10 + x).astype(np.int16)  # every voxel has a value of its own
    reference = np.zeros(SHAPE, np.uint8)
    reference[5:15, 5:25, 10:30] = 1
    reference[8:12, 10:20, 15:20] = 2
    prediction = np.roll(reference, 2, axis=2)
    layers = {"reference": reference, "network": prediction}
    grid = Geometry(SHAPE, (3.0, 1.0, 1.0), (-30.0, 0.0, -20.0))
    return make_scene("phantom", {"": image}, grid, layers, LABELS)


def test_a_slider_moves_its_plane_and_the_crosshair_of_the_others(page):
    before = contents(page, CONTENT)
    assert len(before) == 3
    page.locator("figure input[type=range]").first.fill("3")
    after = contents(page, CONTENT)
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert page.inner_text("figcaption >> nth=0") == "axial 4 of 20"
    page.locator("label.tick", has_text="crosshair").click()
    plain = contents(page, CONTENT)
    page.locator("figure input[type=range]").first.fill("4")
    assert [a != b for a, b in zip(plain, contents(page, CONTENT), strict=True)] == [
        True,
        False,
        False,
    ]


def test_targets_that_are_switched_off_are_no_longer_drawn(page):
    page.locator("label.tick", has_text="crosshair").click()
    both = contents(page, COLOURED)
    assert min(both) > 0
    page.get_by_label("show core").uncheck()
    page.get_by_label("show block").uncheck()
    assert contents(page, COLOURED) == [0, 0, 0]
    page.get_by_role("button", name="all", exact=True).click()
    assert contents(page, COLOURED) == both


def test_value_and_place_are_those_of_the_voxel(page):
    # The axial plane is 40 mm by 30 mm; voxel (y 6, x 30) lies at y = 6 mm and x = 30 - 20 mm.
    box = page.locator("canvas").first.bounding_box()
    scale = box["width"] / 40
    page.mouse.click(box["x"] + 30.5 * scale, box["y"] + 6.5 * scale)
    page.locator("figure input[type=range]").first.fill("7")
    text = " · ".join(readout(page))
    assert text.startswith("790")  # 7 * 100 + 6 * 10 + 30
    assert "L 10.0 · P 6.0 · I 9.0 mm" in text
    assert "reference: none · network: block" in text
    assert page.inner_text("figcaption >> nth=1") == "coronal 7 of 30"
    assert page.inner_text("figcaption >> nth=2") == "sagittal 31 of 40"


def test_left_of_the_patient_is_on_the_right_and_the_head_is_up(page):
    for pane, key, change in (
        (0, "ArrowRight", 1), (0, "ArrowDown", 10), (1, "ArrowUp", 100), (2, "ArrowRight", 10),
    ):  # fmt: skip
        canvas = page.locator("canvas").nth(pane)
        canvas.focus()
        before = int(readout(page)[0])
        canvas.press(key)
        assert int(readout(page)[0]) - before == change


def test_wheel_and_keys_go_through_the_slices(page):
    caption = "figcaption >> nth=0"
    page.locator("figure input[type=range]").first.fill("9")
    page.locator("canvas").first.hover()
    page.mouse.wheel(0, -100)
    page.evaluate(SETTLED)
    assert page.inner_text(caption) == "axial 11 of 20"
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    page.evaluate(SETTLED)
    assert page.inner_text(caption) == "axial 9 of 20"


def test_windows_change_by_list_by_number_and_by_dragging(page):
    page.locator("label.tick", has_text="labels").click()
    before = contents(page, CONTENT)
    page.get_by_label("window").select_option("1")
    listed = contents(page, CONTENT)
    page.get_by_label("width").fill("50")
    page.get_by_label("width").press("Enter")
    typed = contents(page, CONTENT)
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 150, box["y"] + 80)
    page.mouse.up(button="right")
    assert float(page.get_by_label("width").input_value()) > 60
    assert len({before[0], listed[0], typed[0], contents(page, CONTENT)[0]}) == 4


def test_label_maps_stand_side_by_side_or_as_their_difference(page):
    page.get_by_label("label maps").select_option("side by side")
    assert len(contents(page, CONTENT)) == 6
    assert page.inner_text("figcaption >> nth=1").endswith("network")
    page.get_by_label("label maps").select_option("differences")
    assert len(contents(page, CONTENT)) == 3
    assert page.inner_text(".key").split("\n") == [
        "same", "only in reference", "only in network", "different targets",
    ]  # fmt: skip
