"""The viewer's page: what it says about a case, and that it needs nothing else."""

import json
import re

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.scene import make_scene
from autoseg.report.viewer import (
    scene_text,
    viewer_fragment,
    viewer_page,
    viewer_script,
)

KIDNEY = Labels({"kidney": (1, 2), "tumour": (2,)}, ignore=9)
GRID = Geometry((4, 6, 8), (3.0, 1.0, 2.0), (10.0, -20.0, 30.0))


def scene(title="a case", **options):
    image = np.arange(4 * 6 * 8, dtype=np.int16).reshape(4, 6, 8)
    label_map = np.zeros((4, 6, 8), np.uint8)
    label_map[1, 2:4, 3:5] = 1
    label_map[2, 1:5, 2:7] = 1
    label_map[2, 2, 5] = 2
    return make_scene(title, {"": image}, GRID, {"reference": label_map}, KIDNEY, **options)


def test_a_scene_says_where_it_lies_and_what_its_values_mean():
    made = json.loads(scene_text(scene()))
    assert made["shape"] == [4, 6, 8]
    assert made["origin"] == [10.0, -20.0, 30.0]
    assert [(t["name"], t["values"]) for t in made["targets"]] == [
        ("kidney", [1, 2]), ("tumour", [2]), ("ignore", [9]),
    ]  # fmt: skip
    assert len({t["colour"] for t in made["targets"]}) == 3
    assert made["layers"][0]["name"] == "reference"
    assert (made["channels"][0]["unit"], made["patient"]) == ("", True)


def test_it_begins_in_a_labelled_voxel_of_the_fullest_slice():
    z, y, x = scene().start
    assert z == 2
    assert 1 <= y < 5
    assert 2 <= x < 7
    image = np.zeros((4, 6, 8))
    assert make_scene("", {"": image}, GRID, {}, KIDNEY).start == (2, 3, 4)
    nothing = {"reference": np.zeros((4, 6, 8), np.uint8)}
    assert make_scene("", {"": image}, GRID, nothing, KIDNEY).start == (2, 3, 4)


def test_windows_are_those_of_ct_or_percentiles():
    windows = {w.name: (w.low, w.high) for w in scene(hounsfield=[""]).channels[0].windows}
    assert windows["brain"] == (0, 80)
    assert list(windows) == ["soft tissue", "lung", "bone", "brain"]
    first, _, everything = scene().channels[0].windows
    assert (everything.low, everything.high) == (0, 191)
    assert first.low == pytest.approx(1.91)
    nothing = make_scene("", {"": np.full((4, 6, 8), np.nan)}, GRID, {}, KIDNEY)
    assert nothing.channels[0].windows[0].low == 0


def test_amounts_are_of_all_voxels_of_a_scan_that_is_thinned():
    label_map = np.zeros((4, 6, 8), np.uint8)
    label_map[1, 1, :3] = 1  # in no slice that is shown
    label_map[2, 2, 2] = 2
    layers = {"a": label_map, "b": np.zeros_like(label_map)}
    image = {"": np.arange(192).reshape(4, 6, 8)}
    made = make_scene("", image, GRID, layers, KIDNEY, voxels=100)
    assert (made.shape, made.steps, made.whole) == ((4, 3, 8), (1, 2, 1), (4, 6, 8))
    assert made.spacing == (3.0, 2.0, 2.0)
    kidney, tumour, ignored = made.targets
    assert kidney.amounts == pytest.approx((4 * 6 / 1000, 0))  # voxels of 3 x 1 x 2 mm
    assert tumour.amounts == pytest.approx((6 / 1000, 0))
    assert ignored.amounts == (0, 0)
    pixels = make_scene("", image, GRID, layers, KIDNEY, patient=False)
    assert pixels.targets[0].amounts == (4, 0)


def test_channels_have_their_own_unit_and_windows_and_share_the_room():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 15, (9, 900, 900)).round().astype(np.int16)
    grid = Geometry(noise.shape)
    one = make_scene("", {"CT": noise}, grid, {}, KIDNEY, hounsfield=["CT"])
    two = make_scene("", {"CT": noise, "PET": noise}, grid, {}, KIDNEY, hounsfield=["CT"])
    assert [(c.name, c.unit, c.windows[0].name) for c in two.channels] == [
        ("CT", "HU", "soft tissue"), ("PET", "", "1 to 99 %"),
    ]  # fmt: skip
    room = [sum(len(c.image.data) for c in made.channels) for made in (one, two)]
    assert 1 < room[1] / room[0] < 1.4


def test_another_shape_than_the_grids_is_a_mistake():
    with pytest.raises(ValueError, match=r"reference \(1, 6, 8\) on a grid of \(4, 6, 8\)"):
        make_scene(
            "", {"": np.zeros((4, 6, 8))}, GRID, {"reference": np.zeros((1, 6, 8), int)}, KIDNEY
        )


def test_the_page_refers_to_nothing_outside_of_it():
    page = viewer_page(scene())
    assert not re.search(r"""https?:|\bsrc=|\bhref=|@import|url\(|import\(|fetch\(""", page)
    assert "default-src 'none'" in page


def test_a_title_cannot_break_out_of_the_page():
    page = viewer_page(scene(title="</script><script>alert(1)</script>"))
    assert "<script>alert" not in page
    assert page.count("</script>") == 2  # that of the data, and that of the viewer
    data = re.search(r'<script type="application/json">(.*?)</script>', page, re.DOTALL).group(1)
    assert json.loads(data)["title"] == "</script><script>alert(1)</script>"


def test_a_fragment_is_the_viewers_place_and_its_data():
    fragment = viewer_fragment(scene())
    assert fragment.startswith('<div class="autoseg-viewer" data-scene>')
    assert scene_text(scene()) in fragment
    assert "window.autosegViewer" in viewer_script()
