"""Sheets and animations: the right slices, true proportions, the patient's sides, outlines."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as Picture

from autoseg.colours import FIRST, target_colours
from autoseg.labels import Labels
from autoseg.report.legend import LINE as STRIP  # above each slice: its number
from autoseg.report.outlines import WHITE
from autoseg.report.slices import Scan, write_gif, write_sheet

SHAPE, SPACING = (10, 30, 20), (3.0, 1.0, 1.0)
LABELS = Labels({"liver": (1,), "cyst": (2,)})


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Slices of 300 pixels, however few."""
    monkeypatch.setattr("autoseg.report.slices.SHEET", 300)


def scan(maps, image=None, labels=LABELS) -> Scan:
    image = np.zeros(SHAPE) if image is None else image
    return Scan(image, SPACING, maps, labels, (0.0, 1.0))


def pixels(path):
    return np.asarray(Picture.open(path).convert("RGB")).astype(int)


def where(picture, colour):
    return np.argwhere((picture == colour).all(axis=2))


@pytest.mark.parametrize(
    ("plane", "height", "width"),
    [("axial", 300, 200), ("coronal", 300, 200), ("sagittal", 300, 300)],
)
def test_proportions_are_those_of_the_patient(tmp_path, plane, height, width):
    write_sheet(tmp_path / "s.png", scan({}), plane, 1, 1)
    found = pixels(tmp_path / "s.png").shape
    assert found[:2] == (height + STRIP, width)


@pytest.mark.parametrize(
    ("plane", "corner", "place"),
    [
        # A bright voxel at the feet, at the back, on the left: where it lies in the picture.
        ("axial", (0, 29, 19), (1, 1)),  # the back below, the left on the right
        ("coronal", (0, 29, 19), (1, 1)),  # the feet below, the left on the right
        ("sagittal", (0, 29, 19), (1, 1)),  # the feet below, the back on the right
        ("coronal", (9, 29, 19), (0, 1)),
    ],
)
def test_sides_are_where_a_radiologist_looks_for_them(tmp_path, plane, corner, place):
    image = np.zeros(SHAPE)
    image[corner] = 1
    labels = np.zeros(SHAPE, np.uint8)
    labels[corner] = 7  # not declared: it chooses the slice and is not drawn
    write_sheet(tmp_path / "s.png", scan({"reference": labels}, image), plane, 1, 1)
    picture = pixels(tmp_path / "s.png")[STRIP : STRIP + 300, :, 0]
    row, column = np.unravel_index(picture.argmax(), picture.shape)
    assert (row > 150, column > picture.shape[1] / 2) == (bool(place[0]), bool(place[1]))


def test_outlines_are_solid_and_dashed_in_the_colour_of_their_target(tmp_path):
    reference, prediction = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    reference[5, 5:15, 5:15] = 1
    prediction[5, 18:28, 5:15] = 2
    maps = {"reference": reference, "prediction": prediction}
    write_sheet(tmp_path / "s.png", scan(maps), "axial", 1, 1)
    picture = pixels(tmp_path / "s.png")[STRIP : STRIP + 300]
    liver, cyst = where(picture, FIRST[0]), where(picture, FIRST[1])
    assert liver.min(axis=0).tolist() == [50, 50]
    assert liver.max(axis=0).tolist() == [149, 149]
    assert len(liver) == 4 * 99  # one pixel wide, the whole way round, inside its area
    assert 0.3 * 4 * 99 < len(cyst) < 0.7 * 4 * 99
    assert cyst.min() >= 50


def test_a_sheet_runs_from_head_to_feet_over_what_is_labelled(tmp_path):
    image = np.broadcast_to(np.arange(10)[:, None, None] / 9, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    labels[3:7, 10:20, 10] = 1
    write_sheet(tmp_path / "s.png", scan({"reference": labels}, image), "axial", 2, 3)
    picture = pixels(tmp_path / "s.png")
    corners = [
        picture[row * (300 + STRIP) + STRIP + 5, column * 200 + 5, 0]
        for row in range(2)
        for column in range(3)
    ]
    expected = [round(round(z / 9 * WHITE) * 255 / WHITE) for z in (7, 6, 5, 4, 3, 2)]
    assert corners == expected  # what is labelled, and a slice before and after it


def test_an_animation_shows_each_slice_once_and_repeats(tmp_path):
    labels = np.ones(SHAPE, np.uint8)
    write_gif(tmp_path / "a.gif", scan({"reference": labels}), "coronal")
    with Picture.open(tmp_path / "a.gif") as picture:
        assert picture.n_frames == 30
        assert picture.info["loop"] == 0
        assert picture.size[0] == 320
    first = (tmp_path / "a.gif").read_bytes()
    write_gif(tmp_path / "a.gif", scan({"reference": labels}), "coronal")
    assert (tmp_path / "a.gif").read_bytes() == first


def test_few_slices_make_a_small_sheet_of_large_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("autoseg.report.slices.SHEET", 1200)
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, :, 4:6] = 1
    write_sheet(tmp_path / "s.png", scan({"reference": labels}), "sagittal", 4, 3)
    height, width = pixels(tmp_path / "s.png").shape[:2]
    assert width == 3 * 400
    assert height == 2 * (400 + STRIP) + 2 * STRIP  # four slices with the margin, not twelve


@pytest.mark.parametrize("count", [2, 60, 104])
def test_a_legend_is_below_and_beside_where_it_would_be_high(tmp_path, count):
    labels = Labels({f"target_{value}": (value,) for value in range(1, count + 1)})
    maps = {"reference": (np.arange(np.prod(SHAPE)) % (count + 1)).reshape(SHAPE)}
    write_sheet(tmp_path / "s.png", scan(maps, labels=labels), "axial", 1, 1)
    picture = pixels(tmp_path / "s.png")
    height, width = picture.shape[:2]
    if count == 2:
        assert (height, width) == (300 + 3 * STRIP, 200)
    else:
        assert height == 300 + STRIP
        assert 200 < width < 900
    legend = picture[300 + STRIP :] if count == 2 else picture[:, 200:]
    for colour in target_colours(count):
        assert len(where(legend, colour)) == 81  # its square


def test_a_name_wider_than_the_picture_is_written_whole(tmp_path):
    labels = Labels({"a" * 60: (1,)})
    write_sheet(
        tmp_path / "s.png", scan({"r": np.ones(SHAPE, np.uint8)}, labels=labels), "axial", 1, 1
    )
    picture = pixels(tmp_path / "s.png")
    assert picture.shape[1] > 350
    assert (picture[300 + STRIP : 300 + 2 * STRIP, 300:] == 255).any()


@pytest.mark.parametrize("form", [(1, 1), (1, 2), (2, 2)])
def test_few_slices_are_in_the_midst_of_what_is_labelled(tmp_path, form):
    label_map = np.zeros(SHAPE, np.uint8)
    label_map[1:9, 5:25, 5:15] = 1
    write_sheet(tmp_path / "s.png", scan({"r": label_map}), "axial", *form)
    for row in np.array_split(pixels(tmp_path / "s.png")[: 300 * form[0]], form[0]):
        for slice_ in np.array_split(row, form[1], axis=1):
            assert len(where(slice_, FIRST[0])) > 50
