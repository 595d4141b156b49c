"""The viewer in Debian's Chromium: pixels follow what the user does, and nothing is fetched."""

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.scene import make_scene
from autoseg.report.viewer import viewer_page

SHAPE = (20, 30, 40)
LABELS = Labels({"block": (1,), "core": (2,)})
# Pixels are read from a copy: Chromium complains about reading a canvas that is drawn on.
PIXELS = """
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const d = context.getImageData(0, 0, canvas.width, canvas.height).data;
"""
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
SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@pytest.fixture
def page(chromium, tmp_path):
    """A page with a reference and a prediction; complaints and requests are collected on it."""
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.complaints, page.requests = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    path = tmp_path / "case.html"
    path.write_text(viewer_page(phantom_scene()), encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_selector("canvas")
    page.evaluate(SETTLED)
    yield page
    page.close()
    assert page.complaints == []
    assert page.requests == [path.as_uri()]


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


def contents(page, script=CONTENT):
    page.evaluate(SETTLED)
    return [canvas.evaluate(script) for canvas in page.query_selector_all("canvas")]


def readout(page):
    page.evaluate(SETTLED)
    return " · ".join(page.locator(".readout > *").all_inner_texts())


def test_a_slider_moves_its_plane_and_the_crosshair_of_the_others(page):
    before = contents(page)
    assert len(before) == 3
    page.locator("figure input[type=range]").first.fill("3")
    after = contents(page)
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert page.inner_text("figcaption >> nth=0") == "axial 4 of 20"
    page.locator("label.tick", has_text="crosshair").click()
    plain = contents(page)
    page.locator("figure input[type=range]").first.fill("4")
    assert [a != b for a, b in zip(plain, contents(page), strict=True)] == [True, False, False]


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
    text = readout(page)
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
        before = int(readout(page).split()[0])
        canvas.press(key)
        assert int(readout(page).split()[0]) - before == change


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
    before = contents(page)
    page.get_by_label("window").select_option("1")
    listed = contents(page)
    page.get_by_label("width").fill("50")
    page.get_by_label("width").press("Enter")
    typed = contents(page)
    box = page.locator("canvas").first.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down(button="right")
    page.mouse.move(box["x"] + 150, box["y"] + 80)
    page.mouse.up(button="right")
    assert float(page.get_by_label("width").input_value()) > 60
    assert len({before[0], listed[0], typed[0], contents(page)[0]}) == 4


def test_label_maps_stand_side_by_side_or_as_their_difference(page):
    page.get_by_label("label maps").select_option("side by side")
    assert len(contents(page)) == 6
    assert page.inner_text("figcaption >> nth=1").endswith("network")
    page.get_by_label("label maps").select_option("differences")
    assert len(contents(page)) == 3
    assert page.inner_text(".key").split("\n") == [
        "same", "only in reference", "only in network", "different targets",
    ]  # fmt: skip


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
    path = tmp_path / "voxel.html"
    path.write_text(viewer_page(scene), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 1200, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_selector("canvas")
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
    assert readout(page).startswith("1000")
    page.locator("canvas").first.press("ArrowDown")
    for _ in range(8):
        page.locator("canvas").first.press("ArrowRight")
    assert "L 38.0 · P 7.0" in readout(page)  # it followed
    page.close()


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
    path = tmp_path / "flat.html"
    path.write_text(viewer_page(flat), encoding="utf-8")
    page = chromium.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("canvas")
    page.evaluate(SETTLED)
    assert len(page.query_selector_all("canvas")) == 1
    assert page.query_selector(".legend") is None
    assert readout(page) == "110 · x 10 · y 5"
    page.close()
