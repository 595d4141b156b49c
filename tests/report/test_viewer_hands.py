"""Channels, keys, wheel, buttons and fingers in the viewer."""

from dataclasses import replace

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.scene import make_scene
from autoseg.report.viewer import viewer_page
from tests.report.opened import captions, opened, readout

SHAPE = (20, 30, 40)


def many_channels():
    z, y, x = np.indices(SHAPE)
    label_map = (z > 10).astype(np.uint8)
    images = {"T1": (z * 100 + y * 10 + x).astype(np.int16), "T2": (3 * x).astype(np.int16)}
    grid = Geometry(SHAPE, (3.0, 1.0, 1.0))
    return make_scene("two", images, grid, {"reference": label_map}, Labels({"half": (1,)}))


def test_channels_are_chosen_by_list_or_key_and_keep_their_window(chromium, tmp_path):
    with opened(chromium, tmp_path, many_channels()) as page:
        level = page.get_by_label("level")
        first = level.input_value()
        page.get_by_label("channel").select_option("T2")
        second = level.input_value()
        assert float(second) == pytest.approx(3 * 19.5, abs=2)
        assert second != first
        level.fill("50")
        level.press("Enter")
        page.locator("canvas").first.press("c")
        assert (page.get_by_label("channel").input_value(), level.input_value()) == ("0", first)
        page.keyboard.press("c")
        assert (page.get_by_label("channel").input_value(), level.input_value()) == ("1", "50")
        assert page.get_by_label("window").input_value() == "own"
        page.keyboard.press("1")
        assert level.input_value() == second
        page.locator("figure input[type=range]").nth(2).fill("7")
        assert readout(page)[1] == "T2 21"
        assert page.inner_text(".readout b") == "T2 21"


def test_a_question_mark_shows_what_mouse_fingers_and_keys_do(chromium, tmp_path):
    with opened(chromium, tmp_path, many_channels()) as page:
        assert not page.locator("dl").is_visible()
        page.keyboard.press("L")  # nothing was clicked before, and Caps Lock is on
        assert not page.get_by_label("labels").is_checked()
        page.keyboard.press("?")
        assert "next channel" in page.inner_text("dl")
        page.keyboard.press("?")
        assert not page.locator("dl").is_visible()


def centre(page, pane=0):
    box = page.locator("canvas").nth(pane).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, box["width"]


def test_wheel_with_control_zooms_and_the_middle_button_shifts(chromium, tmp_path):
    with opened(chromium, tmp_path, many_channels()) as page:
        x, y, width = centre(page)
        x, y = x + 3, y + 3  # within a voxel
        page.mouse.move(x + width / 4, y)
        before = readout(page)[0]
        page.keyboard.down("Control")
        page.mouse.wheel(0, -100)
        page.mouse.wheel(0, -100)
        page.keyboard.up("Control")
        assert page.get_by_label("zoom").input_value() == "4"
        page.mouse.move(x + width / 4 + 1, y)
        assert readout(page)[0] == before  # what is under the pointer stays there
        page.mouse.move(x, y)
        grasped = readout(page)[0]
        page.mouse.down(button="middle")
        page.mouse.move(x + width / 8, y, steps=3)
        page.mouse.up(button="middle")
        page.mouse.move(x + width / 8 - 1, y)
        assert readout(page)[0] == grasped
        page.keyboard.down("Control")
        page.mouse.wheel(0, 20)  # two fingers on a pad
        page.keyboard.up("Control")
        chosen = page.locator("select", has=page.locator("option", has_text="3.5 x"))
        assert float(chosen.input_value()) == pytest.approx(4 * 2**-0.2)
        for _ in range(9):
            page.locator("canvas").first.press("z")
        assert page.get_by_label("zoom").input_value() in ("1", "2", "4", "8")


def test_small_turns_of_a_wheel_add_up_to_slices(chromium, tmp_path):
    with opened(chromium, tmp_path, many_channels()) as page:
        page.locator("figure input[type=range]").first.fill("9")
        page.locator("canvas").first.hover()
        for _ in range(10):
            page.mouse.wheel(0, -11)
        assert captions(page)[0] == "axial 12 of 20"


class Fingers:
    """One or two fingers on a page."""

    def __init__(self, page):
        self.send = page.context.new_cdp_session(page).send

    def touch(self, kind, *points):
        marks = [{"x": x, "y": y, "id": n} for n, (x, y) in enumerate(points)]
        self.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": marks})

    def drag(self, *paths, steps=5):
        """Move each finger from its first to its second point."""
        self.touch("Start", *(start for start, _ in paths))
        for n in range(1, steps + 1):
            share = n / steps
            self.touch("Move", *(
                (x + (to_x - x) * share, y + (to_y - y) * share) for (x, y), (to_x, to_y) in paths
            ))  # fmt: skip
        self.touch("End")


def test_fingers_tap_go_through_slices_come_closer_and_shift(chromium, tmp_path):
    with opened(chromium, tmp_path, many_channels(), has_touch=True) as page:
        fingers = Fingers(page)
        x, y, width = centre(page)
        page.locator("figure input[type=range]").first.fill("9")
        fingers.touch("Start", (x + width / 4, y))
        fingers.touch("End")
        assert captions(page)[2] == "sagittal 31 of 40"
        fingers.drag(((x, y), (x + 62, y)))  # a slice every 20 pixels
        assert captions(page) == ["axial 13 of 20", "coronal 16 of 30", "sagittal 31 of 40"]
        fingers.drag(((x, y), (x - 200, y)))
        assert captions(page)[0] == "axial 3 of 20"
        fingers.drag(((x - 40, y), (x - 80, y)), ((x + 40, y), (x + 80, y)))
        assert page.get_by_label("zoom").input_value() == "2"
        assert captions(page)[0] == "axial 3 of 20"
        page.mouse.move(x, y)
        middle = readout(page)[0]
        fingers.drag(((x - 40, y), (x + 10, y + 30)), ((x + 40, y), (x + 90, y + 30)))
        page.mouse.move(x + 50, y + 30)
        assert readout(page)[0] == middle
        fingers.drag(((x - 90, y), (x - 5, y)), ((x + 90, y), (x + 5, y)))
        assert page.get_by_label("zoom").input_value() == "1"


def test_a_finger_that_goes_up_scrolls_the_page(chromium, tmp_path):
    with opened(chromium, tmp_path, many_channels(), has_touch=True) as page:
        page.set_viewport_size({"width": 360, "height": 500})
        page.locator("canvas").first.scroll_into_view_if_needed()
        before, top = captions(page), page.evaluate("scrollY")
        x, y, _ = centre(page)
        Fingers(page).drag(((x, y), (x, y - 200)))
        page.wait_for_function(f"scrollY > {top + 50}", timeout=5000)
        assert captions(page) == before


def test_pictures_stay_where_they_are_whatever_is_said_of_a_voxel(chromium, tmp_path):
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[5:] = 1
    name = "a target with a name that is far too long for the width of a telephone " * 3
    scene = make_scene(
        "", {"": np.zeros(SHAPE)}, Geometry(SHAPE), {"reference": label_map, "network": label_map},
        Labels({name: (1,)}),
    )  # fmt: skip
    with opened(chromium, tmp_path, scene) as page:
        for width in (1200, 360):
            page.set_viewport_size({"width": width, "height": 800})
            places = []
            for slice_ in ("2", "10"):
                page.locator("figure input[type=range]").first.fill(slice_)
                readout(page)
                places.append(page.locator("canvas").first.bounding_box())
            assert places[0] == places[1]
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_scan_that_is_cut_short_is_told(chromium, tmp_path):
    scene = many_channels()
    channel = scene.channels[0]
    for data in (channel.image.data[:400], "%" + channel.image.data[1:]):
        broken = replace(channel, image=replace(channel.image, data=data))
        path = tmp_path / "broken.html"
        path.write_text(viewer_page(replace(scene, channels=(broken,))), encoding="utf-8")
        page = chromium.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector(".failed")
        assert page.inner_text(".failed").startswith("This scan cannot be unpacked here (")
        page.close()


def test_a_long_legend_is_searched_and_scrolls_by_itself(chromium, tmp_path):
    names = [f"rib_{side}_{n}" for side in ("left", "right") for n in range(1, 53)]
    label_map = np.zeros(SHAPE, np.uint8)
    label_map.reshape(-1)[: 2 * len(names) : 2] = np.arange(len(names)) + 1
    label_map[17, 8, 33] = len(names)  # more of the last one than in slice 0
    label_map[17, 8, 34] = label_map[17, 8, 35] = len(names)
    labels = Labels({name: (n + 1,) for n, name in enumerate(names)} | {"heart": (200,)})
    scene = make_scene(
        "", {"": np.zeros(SHAPE)}, Geometry(SHAPE), {"reference": label_map}, labels
    )  # fmt: skip
    with opened(chromium, tmp_path, scene) as page:
        listed = page.locator(".legend li")
        box = page.locator(".legend ul").bounding_box()
        assert listed.count() == 104
        assert box["height"] <= 0.6 * 900
        assert page.evaluate("document.querySelector('.legend ul').scrollHeight") > box["height"]
        assert page.inner_text(".legend p") == "1 more target does not occur here."
        page.get_by_label("find a target").fill("RIGHT_5")
        assert [text.split("\n")[0] for text in page.locator(
            ".legend li:visible").all_inner_texts()] == [
                "rib_right_5", "rib_right_50", "rib_right_51", "rib_right_52",
            ]  # fmt: skip
        page.get_by_role("button", name="none", exact=True).click()
        assert page.locator(".legend input:checked").count() == 100  # those that are listed
        page.get_by_role("button", name="rib_right_52").click()
        assert captions(page) == ["axial 18 of 20", "coronal 9 of 30", "sagittal 35 of 40"]
        assert readout(page)[2] == "reference: rib_right_52"
