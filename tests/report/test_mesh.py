"""Surfaces in mm: volumes, places, sides; and the page that turns them, in a browser."""

from __future__ import annotations

import base64
import json
import re
import sys
import zlib
from dataclasses import replace

import numpy as np
import pytest

from autoseg.errors import DataError, ResourceError
from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.mesh import surface_of, write_meshes

pytest.importorskip("skimage", reason="scikit-image finds surfaces")

# Turned by 90 degrees: array axes are world x, y, -z.
TURNED = Geometry(
    (40, 50, 60), (2.0, 1.0, 1.25), (100.0, -20.0, 30.0), (0, 0, -1, 0, 1, 0, 1, 0, 0)
)
LEFT_HANDED = replace(TURNED, direction=(0, 0, 1, 0, 1, 0, 1, 0, 0))
LABELS = Labels({"ball": (1,), "shell </script>": (2,)})


def ball(geometry: Geometry, centre_mm, radius: float) -> np.ndarray:
    places = geometry.position(np.moveaxis(np.indices(geometry.shape), 0, -1))
    return np.linalg.norm(places - np.asarray(centre_mm), axis=-1) <= radius


CENTRE = TURNED.position(np.array([20, 25, 30]))


def edges_of(triangles: np.ndarray) -> np.ndarray:
    return np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])


@pytest.mark.parametrize("geometry", [TURNED, LEFT_HANDED])
@pytest.mark.parametrize("most", [40_000, 1_500])
def test_a_ball_has_its_volume_its_place_and_its_normals(geometry, most):
    centre = geometry.position(np.array([20, 25, 30]))
    surface = surface_of(ball(geometry, centre, 18.0), geometry, most)
    assert len(surface.triangles) <= most
    assert surface.volume_mm3 == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.02)
    outwards = surface.vertices - centre
    distance = np.linalg.norm(outwards, axis=1)
    assert np.abs(distance - 18).max() < 1.0  # half the largest voxel
    cosines = (surface.normals * outwards).sum(axis=1) / distance
    assert cosines.min() > 0.9
    np.testing.assert_allclose(np.linalg.norm(surface.normals, axis=1), 1, atol=1e-6)


def test_a_whole_surface_is_closed():
    edges = edges_of(surface_of(ball(TURNED, CENTRE, 12.0), TURNED).triangles)
    there = {tuple(edge) for edge in edges.tolist()}
    assert len(there) == len(edges)
    assert all((second, first) in there for first, second in there)


def test_thin_targets_stay_and_a_target_at_the_border_is_closed():
    mask = np.zeros((20, 30, 40), bool)
    mask[10, 5:25, 5:35] = True  # one voxel thick
    geometry = Geometry(mask.shape, (3.0, 1.0, 1.0))
    assert surface_of(mask, geometry).volume_mm3 == pytest.approx(20 * 30 * 3, rel=0.1)
    assert surface_of(np.ones((4, 5, 6), bool), Geometry((4, 5, 6))).volume_mm3 == pytest.approx(
        120, rel=0.1
    )
    dot = np.zeros((3, 3, 3), bool)
    dot[1, 1, 1] = True
    assert 0.2 < surface_of(dot, Geometry((3, 3, 3))).volume_mm3 < 1.5


def test_a_large_target_is_drawn_from_blocks_and_keeps_volume_and_place(monkeypatch):
    monkeypatch.setattr("autoseg.report.mesh.VOXELS", 4_000)
    surface = surface_of(ball(TURNED, CENTRE, 18.0), TURNED)
    assert len(surface.triangles) < 4_000
    assert surface.volume_mm3 == pytest.approx(4 / 3 * np.pi * 18**3, rel=0.03)
    np.testing.assert_allclose(surface.vertices.mean(axis=0), CENTRE, atol=0.3)


def test_without_scikit_image_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage.measure", None)
    with pytest.raises(ResourceError, match=r"surfaces need scikit-image.*autoseg\[report\]"):
        surface_of(np.ones((3, 3, 3), bool), Geometry((3, 3, 3)))


@pytest.fixture
def page(tmp_path):
    reference = ball(TURNED, CENTRE, 15.0).astype(np.uint8)
    prediction = np.where(ball(TURNED, CENTRE, 9.0), 2, reference)
    sources = {"reference": reference, "prediction": prediction}
    path = tmp_path / "mesh.html"
    write_meshes(path, "case <1>", sources, TURNED, LABELS)
    return path


def test_what_is_packed_comes_back(page):
    text = page.read_text(encoding="utf-8")
    assert "<title>case &lt;1&gt;</title>" in text
    assert "{{" not in text
    about = json.loads(re.search(r'<script id="about"[^>]*>(.*?)</script>', text)[1])
    assert [target["name"] for target in about["targets"]] == ["ball", "shell </script>"]
    assert about["targets"][1]["ml"][0] == 0  # the reference has none
    assert about["targets"][0]["ml"][0] == pytest.approx(4 / 3 * np.pi * 15**3 / 1000, rel=0.02)
    assert [row[:2] for row in about["surfaces"]] == [[0, 0], [1, 0], [1, 1]]
    packed = re.search(r'<script id="packed"[^>]*>(.*?)</script>', text)[1]
    data = zlib.decompress(base64.b64decode(packed))
    assert len(data) == sum(9 * vertices + 6 * faces for _, _, vertices, faces in about["surfaces"])
    vertices = about["surfaces"][0][2]
    places = np.frombuffer(data, "<u2", 3 * vertices).reshape(-1, 3) * about["step"] + about["low"]
    distance = np.linalg.norm(places - CENTRE[::-1], axis=1)  # x, y, z
    assert np.abs(distance - 15).max() < 1.0


def test_the_page_needs_nothing_but_itself(page):
    text = page.read_text(encoding="utf-8")
    assert "http://" not in text
    assert "https://" not in text
    assert not re.search(r"\b(src|href)\s*=", text)


def test_nothing_to_show_is_an_error(tmp_path):
    nothing = {"reference": np.zeros(TURNED.shape, np.uint8)}
    with pytest.raises(DataError, match=r"case: no target in reference, expected ball"):
        write_meshes(tmp_path / "mesh.html", "case", nothing, TURNED, LABELS)


def test_a_browser_shows_it_and_switches_targets(page, chromium):
    tab = chromium.new_page(viewport={"width": 900, "height": 600})
    errors, requests = [], []
    tab.on("console", lambda message: message.type == "error" and errors.append(message.text))
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_selector("body[data-ready=true]")
    assert tab.locator("#trouble").is_hidden()
    assert tab.locator("tbody tr").count() == 2
    tab.locator("#scene").focus()
    before = looked_at(tab)
    tab.locator("tbody input").first.uncheck()
    assert looked_at(tab) != before
    tab.locator("tbody input").first.check()
    tab.locator("#scene").focus()
    assert looked_at(tab) == before
    tab.keyboard.press("+")
    assert looked_at(tab) != before
    tab.keyboard.press("0")
    assert looked_at(tab) == before  # nothing is left of what was drawn in between
    assert errors == []
    assert requests == [page.as_uri()]
    tab.close()


def looked_at(tab) -> bytes:
    tab.wait_for_timeout(200)
    return tab.locator("#scene").screenshot()
