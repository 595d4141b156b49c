"""Small pictures of cases."""

from __future__ import annotations

import base64
import io

import matplotlib.image
import numpy as np

from autoseg.colours import target_colours
from autoseg.report.thumbnail import GAP, SIDE, thumbnail


def pixels(uri: str) -> np.ndarray:
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    picture = matplotlib.image.imread(io.BytesIO(base64.b64decode(data)), format="png")
    return (picture[..., :3] * 255).round().astype(int)


def shows(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    return bool((picture == colour).all(-1).any())


def scan():
    image = np.random.default_rng(0).normal(size=(6, 40, 80)).astype(np.float32)
    reference = np.zeros((6, 40, 80), np.uint8)
    reference[2, 10:20, 30:50] = 1
    return image, reference


def test_label_and_prediction_are_outlined_each_in_its_panel():
    image, reference = scan()
    first, second = target_colours(2)
    picture = pixels(thumbnail(image, reference, reference * 2, (3, 1, 1)))
    width = (picture.shape[1] - GAP) // 2
    assert shows(picture[:, :width], first)
    assert not shows(picture[:, :width], second)
    assert shows(picture[:, -width:], second)
    assert not shows(picture[:, -width:], first)


def test_voxels_have_their_true_height_and_width():
    image, _ = scan()
    empty = np.zeros(image.shape, np.uint8)
    assert pixels(thumbnail(image, empty, None, (1, 1, 1))).shape[:2] == (SIDE // 2, SIDE)
    assert pixels(thumbnail(image, empty, None, (1, 2, 1))).shape[:2] == (SIDE, SIDE)


def test_the_slice_of_most_disagreement_is_shown():
    image, reference = scan()
    prediction = reference.copy()
    prediction[5, :30, :60] = 3
    assert shows(pixels(thumbnail(image, reference, prediction, (3, 1, 1))), target_colours(3)[2])


def test_rows_that_run_upwards_are_turned():
    image, reference = scan()
    image[2, 20:] = 9
    up = pixels(thumbnail(image, reference * 0, None, (1, 1, 1), upside_down=True))
    assert up[:10].mean() > up[-10:].mean()


def test_a_picture_is_small():
    image, reference = scan()
    assert len(thumbnail(image, reference, reference, (3, 1, 1))) < 60_000
