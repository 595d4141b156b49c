"""What the viewer's pictures show where, in Debian's Chromium: sides, zoom, outlines."""

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.report.scene import make_scene
from tests.report.opened import PIXELS, contents, opened, readout
from tests.report.test_viewer_browser import LABELS, SHAPE, phantom_scene


@pytest.fixture
def page(chromium, tmp_path):
    """A page with a reference and a prediction."""
    with opened(chromium, tmp_path, phantom_scene()) as page:
        yield page


BRIGHTEST = f"""canvas => {{ {PIXELS}
  let x = 0, y = 0, n = 0;
  for (let i = 0; i < d.length; i += 4) if (d[i] > 128) {{
    x += (i / 4) % canvas.width; y += Math.floor(i / 4 / canvas.width); n += 1;
  }}
  return [x / n / canvas.width, y / n / canvas.height, n / canvas.width / canvas.height];
}}"""


def test_pictures_are_the_right_way_round_and_zoom_to_the_crosshair(chromium, tmp_path):
    image = np.zeros(SHAPE, np.int16)
    image[15, 6, 30] = 1000  # near the head, the front and the left of the patient
    grid = Geometry(SHAPE, (3.0, 1.0, 1.0))
    scene = make_scene("one voxel", {"": image}, grid, {}, LABELS, patient=True)
    with opened(chromium, tmp_path, scene) as page:
        page.get_by_label("window").select_option("2")
        for pane, slice_ in enumerate(("15", "6", "30")):
            page.locator("figure input[type=range]").nth(pane).fill(slice_)
        page.locator("label.tick", has_text="crosshair").click()
        page.evaluate("CanvasRenderingContext2D.prototype.fillText = () => {}")  # no letters
        across, down, front = 30.5 / 40, 4.5 / 20, 6.5 / 30  # 4 slices are above slice 15
        page.get_by_label("planes").select_option("all")
        wholes = [(across, front), (across, down), (front, down)]
        for (x, y, _), expected in zip(contents(page, BRIGHTEST), wholes, strict=True):
            assert (x, y) == pytest.approx(expected, abs=0.03)
        page.locator("canvas").first.press("z")
        areas = [area for _, _, area in contents(page, BRIGHTEST)]
        page.locator("canvas").first.press("z")
        closer = contents(page, BRIGHTEST)
        assert all(3 < new[2] / old < 5 for new, old in zip(closer, areas, strict=True))
        # A quarter of each axis is shown: x from 25.5, in the middle; y from 2.75, too.
        assert closer[0][:2] == pytest.approx([0.5, 0.5], abs=0.03)
        box = page.locator("canvas").first.bounding_box()
        page.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
        assert readout(page)[0] == "1000"
        page.locator("canvas").first.press("ArrowDown")
        for _ in range(8):
            page.locator("canvas").first.press("ArrowRight")
        assert "L 38.0 · P 7.0" in readout(page)[1]  # it followed


BOX = f"""canvas => {{ {PIXELS}
  let left = 1e9, top = 1e9, right = -1, bottom = -1;
  for (let i = 0; i < d.length; i += 4)
    if (Math.max(d[i], d[i+1], d[i+2]) - Math.min(d[i], d[i+1], d[i+2]) > 40) {{
      const x = (i / 4) % canvas.width, y = Math.floor(i / 4 / canvas.width);
      [left, right] = [Math.min(left, x), Math.max(right, x)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y)];
    }}
  return [left, top, right, bottom];
}}"""


@pytest.mark.parametrize("zoom", ["1", "2"])
def test_outlines_run_around_what_is_filled(page, zoom):
    page.locator("label.tick", has_text="crosshair").click()
    page.get_by_label("network").select_option("hidden")
    page.get_by_label("show core").uncheck()
    page.locator("figure input[type=range]").nth(1).fill("6")  # near an edge of the block
    page.get_by_label("zoom").select_option(zoom)
    page.get_by_label("reference").select_option("fill")
    filled = contents(page, BOX)
    page.get_by_label("reference").select_option("outline")
    for outline, fill in zip(contents(page, BOX), filled, strict=True):
        assert outline == pytest.approx(fill, abs=4)


def test_a_picture_has_one_plane_and_no_letters(chromium, tmp_path):
    flat = make_scene(
        "picture", {"": np.arange(200).reshape(1, 10, 20)}, Geometry((1, 10, 20)), {}, LABELS,
        patient=False,
    )  # fmt: skip
    with opened(chromium, tmp_path, flat) as page:
        assert len(page.query_selector_all("canvas")) == 1
        assert page.query_selector(".legend") is None
        assert readout(page) == ["110", "x 10 · y 5"]


def test_a_picture_that_is_narrow_has_a_slider_that_can_be_moved(chromium, tmp_path):
    grid = Geometry((20, 30, 30), (100.0, 0.5, 0.5))
    scene = make_scene("thick", {"": np.zeros(grid.shape)}, grid, {}, LABELS)
    with opened(chromium, tmp_path, scene) as page:
        assert page.locator("canvas").nth(1).bounding_box()["width"] < 20
        assert page.locator("figure input[type=range]").nth(1).bounding_box()["width"] > 100
