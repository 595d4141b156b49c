"""What the viewer says and draws, against SimpleITK and NumPy."""

import itertools

import numpy as np
import pytest
import SimpleITK as sitk

from autoseg.image import Geometry
from autoseg.labels import Labels
from autoseg.report.scene import make_scene
from autoseg.workflows.view import view_of_files
from autoseg.workflows.view_case import scene_of
from tests.report.opened import SETTLED, captions, opened, readout

LABELS = Labels({"liver": (1,), "tumour": (2,)})
SIGNS = {"L": 1, "R": -1, "P": 1, "A": -1, "S": 1, "I": -1}
TILTED = (0.96, -0.28, 0, 0.28, 0.96, 0, 0, 0, 1)
SAGITTAL = (0, 0, 1, 1, 0, 0, 0, -1, 0)  # ITK's: columns to the back, rows to the feet, slices left


def write_scan(path, spacing, direction, hounsfield):
    rng = np.random.default_rng(7)
    array = rng.integers(0, 900, (7, 9, 11)).astype(np.int16)
    if hounsfield:  # as a CT has it: air, and a body most of which is soft tissue
        array = rng.normal(40, 30, (7, 9, 11)).astype(np.int16)
        array[:, :2] = rng.integers(-1010, -990, (7, 2, 11))
        array[3, 4, :3] = (700, 1100, 1500)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(spacing)
    image.SetOrigin((-31.5, 12.25, 100))
    image.SetDirection(direction)
    sitk.WriteImage(image, str(path))
    return image


@pytest.mark.parametrize(
    ("spacing", "direction", "hounsfield"),
    [
        ((1.5, 1.25, 5.0), (1, 0, 0, 0, 1, 0, 0, 0, 1), True),
        ((0.8, 0.9, 3.0), TILTED, False),
        ((0.5, 0.7, 4.0), SAGITTAL, False),
        ((2.0, 1.0, 1.5), (-1, 0, 0, 0, -1, 0, 0, 0, 1), True),
    ],
)
def test_ten_voxels_have_the_value_and_the_place_that_simpleitk_tells(
    chromium, tmp_path, spacing, direction, hounsfield
):
    path = tmp_path / "scan.nii.gz"
    image = write_scan(path, spacing, direction, hounsfield)
    view = view_of_files(path)
    scene = scene_of(view, {}, view.name)
    rng = np.random.default_rng(1)
    with opened(chromium, tmp_path, scene) as page:
        tilted = page.locator("p", has_text="The scan is tilted by 16°").count()
        assert tilted == (direction == TILTED)
        for _ in range(10):
            # Two pictures give all three axes: axial for slice, coronal for y, sagittal for x.
            voxel = [int(rng.integers(n)) for n in scene.shape]
            for pane, index in enumerate(voxel):
                page.locator("figure input[type=range]").nth(pane).fill(str(index))
            value, place = readout(page)
            there = [SIGNS[t.split()[0]] * float(t.split()[1]) for t in place[:-3].split(" · ")]
            index = image.TransformPhysicalPointToIndex(there)
            assert value == f"{image[index]} HU" if hounsfield else str(image[index])
            assert there == pytest.approx(image.TransformIndexToPhysicalPoint(index), abs=0.051)
            assert sorted(there_mm(scene, voxel)) == pytest.approx(sorted(there), abs=0.051)


def there_mm(scene, voxel):
    """Return where a voxel of the scene lies: z, y, x in mm."""
    grid = Geometry(scene.shape, scene.spacing, scene.origin, scene.direction)
    return grid.position(np.array(voxel))


def test_the_sides_of_the_patient_are_those_of_the_affine(chromium, tmp_path):
    """A bright voxel is written where x is high in ITK's room: on the patient's left."""
    for number, direction in enumerate(((1, 0, 0, 0, 1, 0, 0, 0, 1), SAGITTAL)):
        image = write_scan(tmp_path / "scan.nii.gz", (1.0, 1.0, 1.0), direction, False)
        corners = itertools.product(*((0, n - 1) for n in image.GetSize()))
        left = max(corners, key=lambda index: image.TransformIndexToPhysicalPoint(index)[0])
        image[left] = 1500
        path = tmp_path / f"{number}.nii.gz"
        sitk.WriteImage(image, str(path))
        with opened(chromium, tmp_path, scene_of(view_of_files(path), {}, "")) as page:
            sliders = page.locator("figure input[type=range]")
            found = {}
            for ends in itertools.product(("min", "max"), repeat=3):
                for pane, end in enumerate(ends):
                    sliders.nth(pane).fill(sliders.nth(pane).get_attribute(end))
                found[readout(page)[0]] = ends
            assert found["1500"][2] == "max"  # the last sagittal slice
            for pane, end in enumerate(found["1500"]):
                sliders.nth(pane).fill(sliders.nth(pane).get_attribute(end))
            page.get_by_label("window").select_option("1")
            page.get_by_label("level").fill("1250")
            page.get_by_label("width").fill("100")
            page.get_by_label("width").press("Enter")
            page.locator("label.tick", has_text="crosshair").click()
            page.evaluate("CanvasRenderingContext2D.prototype.fillText = () => {}")  # no letters
            page.evaluate(SETTLED)
            for pane in (0, 1):  # it is drawn on the right of the axial and the coronal picture
                canvas = page.locator("canvas").nth(pane).element_handle()
                assert bright_column(page, canvas) > 0.8


BRIGHTEST = """canvas => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const {data} = context.getImageData(0, 0, canvas.width, canvas.height);
  let sum = 0, count = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] > 200) {
    sum += (i / 4) % canvas.width; count += 1;
  }
  return sum / count / canvas.width;
}"""


def bright_column(page, canvas):
    """Return where the bright pixels of a picture are: 0 its left edge, 1 its right."""
    return page.evaluate(BRIGHTEST, canvas)


COLOURS_OF_VOXELS = """([canvas, rows, columns]) => {
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const found = [];
  for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
    const at = [(x + 0.5) * canvas.width / columns, (y + 0.5) * canvas.height / rows];
    const [r, g, b] = context.getImageData(Math.floor(at[0]), Math.floor(at[1]), 1, 1).data;
    found.push(r * 65536 + g * 256 + b);
  }
  return found;
}"""
SAME, MISSED, ADDED, OTHER = 0x009E73, 0x56B4E9, 0xE69F00, 0xCC79A7


@pytest.mark.parametrize("pane", [0, 1, 2])
def test_differences_are_those_of_numpy(chromium, tmp_path, pane):
    rng = np.random.default_rng(pane)
    base, other = rng.integers(0, 3, (2, 6, 8, 10)).astype(np.uint8)
    grid = Geometry(base.shape, (2.0, 1.0, 1.0))
    scene = make_scene(
        "", {"": np.zeros(base.shape)}, grid, {"a": base, "b": other}, LABELS, patient=False
    )
    with opened(chromium, tmp_path, scene) as page:
        page.get_by_label("label maps").select_option("differences")
        page.get_by_label("opacity").fill("1")
        page.locator("label.tick", has_text="crosshair").click()
        slider = page.locator("figure input[type=range]").nth(pane)
        slider.fill("3")
        page.evaluate(SETTLED)
        a, b = (np.take(array, 3, axis=pane) for array in (base, other))
        if pane:  # the head is up
            a, b = a[::-1], b[::-1]
        expected = np.select(
            [(a == 0) & (b == 0), a == b, b == 0, a == 0], [0, SAME, MISSED, ADDED], OTHER
        )
        canvas = page.locator("canvas").nth(pane).element_handle()
        found = page.evaluate(COLOURS_OF_VOXELS, [canvas, *a.shape])
        assert np.reshape(found, a.shape).tolist() == expected.tolist()


def test_a_value_beyond_what_is_kept_is_told_as_such(chromium, tmp_path):
    image = np.arange(4 * 6 * 8).reshape(4, 6, 8) - 1030
    image[3, 5, 7] = 12000
    grid = Geometry(image.shape)
    scene = make_scene("", {"": image}, grid, {}, LABELS, hounsfield=[""])
    with opened(chromium, tmp_path, scene) as page:
        for at, told in (("min", "at most -1024 HU"), ("max", "at least 3071 HU")):
            for slider in page.locator("figure input[type=range]").all():
                slider.fill(slider.get_attribute(at))
            assert readout(page)[0] == told


def test_a_thinned_scan_tells_true_slices_and_places(chromium, tmp_path):
    image = np.arange(4 * 6 * 8).reshape(4, 6, 8)
    grid = Geometry(image.shape, (3.0, 1.0, 2.0), (0.0, 0.0, 0.0))
    labels = {"a": np.ones(image.shape, np.uint8)}
    scene = make_scene("", {"": image}, grid, labels, LABELS, voxels=100)
    with opened(chromium, tmp_path, scene) as page:
        page.locator("figure input[type=range]").nth(1).fill("2")
        assert captions(page)[1] == "coronal 5 of 6"
        value, place, _ = readout(page)
        z, x = (int(page.locator("figure input[type=range]").nth(n).input_value()) for n in (0, 2))
        assert int(value) == image[z, 4, x]
        assert "P 4.0" in place
        assert "Shown are 4 x 3 x 8 of 4 x 6 x 8 voxels" in page.inner_text(".autoseg-viewer")
        assert page.inner_text(".legend small") == "1.15 ml"
