"""The page that turns surfaces: what is in it, and what a browser makes of it."""

from __future__ import annotations

import base64
import json
import re
import sys

import numpy as np
import pytest

from autoseg.errors import DataError, ResourceError
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.mesh import write_meshes
from tests.report.test_surface import CENTRE, TURNED, ball

pytest.importorskip("skimage", reason="scikit-image finds surfaces")
pytest.importorskip("plotly", reason="Plotly turns them")

LABELS = Labels({"ball": (1,), "shell </script>": (2,)})


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    reference = ball(TURNED, CENTRE, 15.0).astype(np.uint8)
    prediction = np.where(ball(TURNED, CENTRE, 9.0), 2, reference)
    sources = {"reference": reference, "prediction": prediction}
    path = tmp_path_factory.mktemp("page") / "mesh.html"
    write_meshes(path, "case <1>", sources, TURNED, LABELS)
    return path


def figure_of(page) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script id="figure"[^>]*>(.*?)</script>', text)[1])


def numbers(packed: dict) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])


def test_the_figure_holds_each_surface_in_mm_in_the_scene_of_its_source(page):
    traces = figure_of(page)["data"]
    assert [trace["meta"] for trace in traces] == [[0, 0], [0, 1], [1, 1]]
    assert [trace["scene"] for trace in traces] == ["scene", "scene2", "scene2"]
    places = np.stack([numbers(traces[0][axis]) for axis in "zyx"], axis=1)
    assert np.abs(np.linalg.norm(places - CENTRE, axis=1) - 15).max() < 1.0
    corners = places[np.stack([numbers(traces[0][corner]) for corner in "ijk"], axis=1)]
    a, b, c = np.moveaxis(corners[..., ::-1] - CENTRE[::-1], 1, 0)
    volume = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert volume == pytest.approx(4 / 3 * np.pi * 15**3, rel=0.02)


def test_a_millimetre_is_equally_long_on_all_axes_of_all_scenes(page):
    layout = figure_of(page)["layout"]
    assert layout["scene"] == layout["scene2"]
    scene = layout["scene"]
    lengths = {
        scene["aspectratio"][axis]
        / (scene[f"{axis}axis"]["range"][1] - scene[f"{axis}axis"]["range"][0])
        for axis in "xyz"
    }
    assert max(lengths) == pytest.approx(min(lengths))
    assert scene["camera"]["projection"] == {"type": "orthographic"}
    for axis, low, high in (("x", "R", "L"), ("y", "A", "P"), ("z", "F", "H")):
        texts, values = scene[f"{axis}axis"]["ticktext"], scene[f"{axis}axis"]["tickvals"]
        assert [texts[0], texts[-1]] == [f"<b>{low}</b>", f"<b>{high}</b>"]
        assert [float(text) for text in texts[1:-1]] == values[1:-1]
        assert values == sorted(values)
        assert 2 <= len(values) - 2 <= 6


def test_the_table_tells_volumes_counted_in_voxels(page):
    text = page.read_text(encoding="utf-8")
    assert "<title>case &lt;1&gt;</title>" in text
    rows = re.findall(r"<span>(.*?)</span></label></td>(.*?)</tr>", text)
    assert [name for name, _ in rows] == ["ball", "shell &lt;/script&gt;"]
    first, second = (re.findall(r"<td>(.*?)</td>", cells) for _, cells in rows)
    assert float(first[0]) == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.02)
    assert len(first[0]) == len("14.1")  # three digits
    assert second[0] == "-"  # the reference has none


@pytest.mark.parametrize(("mm", "told"), [(1.0, "0.150"), (20.38, "1270"), (0.02, "1.20e-06")])
def test_volumes_have_three_digits_and_all_before_the_point(tmp_path, mm, told):
    box = np.pad(np.ones((5, 5, 6), np.uint8), 2)  # 150 voxels
    write_meshes(tmp_path / "m.html", "a", {"r": box}, Geometry(box.shape, (mm,) * 3), LABELS)
    assert f"</td><td>{told}</td></tr>" in (tmp_path / "m.html").read_text()


def test_without_plotly_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    there = {"reference": np.ones(TURNED.shape, np.uint8)}
    with pytest.raises(ResourceError, match=r"turned by plotly.*pip install 'autoseg\[report\]'"):
        write_meshes(tmp_path / "mesh.html", "case", there, TURNED, LABELS)
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_show_or_too_much_is_an_error(tmp_path):
    nothing = {"reference": np.zeros(TURNED.shape, np.uint8)}
    with pytest.raises(DataError, match=r"case: no target in reference, expected ball"):
        write_meshes(tmp_path / "mesh.html", "case", nothing, TURNED, LABELS)
    cells = {"cells": np.arange(1, 1303, dtype=np.uint16).reshape(3, 7, 62)}
    labels = Labels({str(value): (value,) for value in range(1, 1303)})
    with pytest.raises(DataError, match=r"case: surfaces of 1,302 targets, expected 1,000 at"):
        write_meshes(tmp_path / "mesh.html", "case", cells, Geometry((3, 7, 62)), labels)


@pytest.fixture
def tab(chromium):
    tab = chromium.new_page(viewport={"width": 900, "height": 600})
    tab.said, tab.asked = [], []
    tab.on(
        "console",
        lambda message: message.type in ("error", "trace") and tab.said.append(message.text),
    )
    tab.on("pageerror", lambda error: tab.said.append(str(error)))
    tab.on("request", lambda request: tab.asked.append(request.url))
    yield tab
    tab.close()


def opened(tab, page):
    tab.goto(page.as_uri())
    tab.wait_for_selector("body[data-ready=true]")


def looked_at(tab, scene="scene") -> bytes:
    tab.wait_for_timeout(300)
    return tab.locator(f"#{scene} canvas").screenshot()


def test_a_browser_shows_it_switches_targets_and_begins_again(page, tab):
    opened(tab, page)
    assert tab.locator("#trouble").is_hidden()
    before = looked_at(tab)
    tab.locator("tbody input").first.uncheck()
    assert looked_at(tab) != before
    tab.locator("tbody input").first.check()
    assert looked_at(tab) == before
    tab.locator("#plot").focus()
    for key in ("+", "ArrowLeft"):
        seen = looked_at(tab)
        tab.keyboard.press(key)
        assert looked_at(tab) != seen
    tab.keyboard.press("0")
    assert looked_at(tab) == before
    assert tab.said == []
    assert tab.asked == [page.as_uri()]


def cameras(tab) -> list:
    tab.wait_for_timeout(300)
    return tab.evaluate("panes.map(name => [shown[name].camera.eye, shown[name].aspectratio])")


def test_all_scenes_are_seen_from_one_place(page, tab):
    opened(tab, page)
    places = cameras(tab)
    box = tab.locator("#scene2").bounding_box()
    tab.mouse.move(box["x"] + 80, box["y"] + 200)
    tab.mouse.down()
    tab.mouse.move(box["x"] + 160, box["y"] + 240, steps=4)
    tab.mouse.up()
    places.append(cameras(tab)[0])
    tab.mouse.wheel(0, -100)
    places.append(cameras(tab)[0])
    tab.locator("[data-view=left]").click()
    places.append(cameras(tab)[0])
    assert cameras(tab)[0] == cameras(tab)[1]
    assert places[-1][0] == {"x": 2, "y": 0, "z": 0}
    assert places[0] == places[1]
    assert len({json.dumps(place) for place in places}) == 4


def scenes_of(tab) -> list[str]:
    tab.wait_for_timeout(500)
    return tab.evaluate(
        "[...document.querySelectorAll('#plot canvas')].map(canvas => canvas.parentElement.id)"
    )


def test_one_over_the_other_is_one_scene_and_the_reference_is_see_through(page, tab):
    opened(tab, page)
    tab.select_option("#layout", "one over the other")
    assert scenes_of(tab) == ["scene"]
    assert tab.evaluate("plot.data.map(trace => [trace.scene, trace.opacity ?? null])") == [
        ["scene", 0.35], ["scene", 1], ["scene", 1], ["scene", None],
    ]  # fmt: skip
    assert tab.said == []


def test_scenes_come_and_go_and_none_is_left_behind(page, tab):
    opened(tab, page)
    tab.locator("[data-view=left]").click()
    for choice, scenes in (
        ("prediction", ["scene2"]),
        ("reference", ["scene"]),
        ("side by side", ["scene", "scene2"]),
    ):
        tab.select_option("#layout", label=choice)
        assert scenes_of(tab) == scenes
        assert cameras(tab)[0][0] == {"x": 2, "y": 0, "z": 0}
    for everything in ("off", "on"):
        tab.locator(f"[data-all={everything}]").click()
        assert scenes_of(tab) == ["scene", "scene2"]
    assert tab.said == []


def test_without_webgl_the_page_says_so_and_has_its_table(page, tab):
    tab.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    opened(tab, page)
    assert tab.locator("#trouble").is_visible()
    assert "draws no WebGL" in tab.locator("#trouble").inner_text()
    assert tab.locator("tbody tr").count() == 2
    assert tab.said == []
