"""Numbers of any size in the viewer: what is told, and what is drawn."""

import numpy as np
import pytest

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.scene import make_scene
from tests.report.opened import PIXELS, contents, opened, readout

GREYS = f"canvas => {{ {PIXELS} return new Set(d.filter((_, i) => i % 4 === 0)).size; }}"
SMALL = np.linspace(0.0002, 0.003, 24).reshape(2, 3, 4)  # mm²/s: diffusion


@pytest.mark.parametrize(
    ("values", "told", "level"),
    [
        (SMALL, "0.0003217", 0.0016),
        (SMALL * 1e-6, "0.0000000003217", 1.6e-9),  # m²/s
        (SMALL * 1e35, "about 3.2171e+31", 1.6e32),
        (np.full((2, 3, 4), 0.4), "0.4", 0.4),
    ],
)
def test_numbers_of_any_size_are_told_and_drawn(chromium, tmp_path, values, told, level):
    grid = Geometry((2, 3, 4), (0.001, 0.001, 0.02))
    scene = make_scene("map", {"": values.astype(np.float32)}, grid, {}, Labels({}))
    with opened(chromium, tmp_path, scene) as page:
        for slider, place in enumerate((0, 0, 1)):
            page.locator("figure input[type=range]").nth(slider).fill(str(place))
        assert readout(page) == [told, "L 0.020 · P 0.000 · S 0.000 mm"]
        assert float(page.get_by_label("level").input_value()) == pytest.approx(level, rel=0.01)
        page.locator("label.tick", has_text="crosshair").click()
        assert (contents(page, GREYS)[0] > 60) == (values.min() < values.max())
