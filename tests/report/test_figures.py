"""Pictures are drawn without a display and show the slice that has most to show."""

import re

import numpy as np
import pytest

from autoseg.report import figures
from autoseg.report.figures import best_slice, draw_curves, draw_overlay, draw_progress

PNG = b"\x89PNG\r\n\x1a\n"


def two_squares():
    label_map = np.zeros((4, 20, 30), dtype=np.uint8)
    label_map[1, 2:18, 2:28] = 1  # most voxels, one value
    label_map[2, 2:8, 2:8] = 1
    label_map[2, 10:15, 10:15] = 2
    return label_map


def test_the_slice_that_shows_most_of_every_label_is_drawn():
    assert best_slice(two_squares()) == 2
    assert best_slice(np.minimum(two_squares(), 1)) == 1


def test_an_overlay_is_a_picture(tmp_path):
    label_map = two_squares()
    draw_overlay(
        np.random.default_rng(0).normal(size=label_map.shape),
        label_map,
        np.roll(label_map, 1, axis=1),
        tmp_path / "overlay.png",
        spacing=(3.0, 1.0, 0.5),
        names={1: "liver"},
    )
    assert (tmp_path / "overlay.png").read_bytes().startswith(PNG)


def test_one_label_map_is_enough(tmp_path):
    widths = []
    label_map = two_squares()
    for labels, prediction in ((label_map, label_map), (label_map, None), (None, label_map)):
        draw_overlay(label_map, labels, prediction, tmp_path / "overlay.png")
        widths.append(int.from_bytes((tmp_path / "overlay.png").read_bytes()[16:20], "big"))
    assert widths[0] * 2 == widths[1] * 3 == widths[2] * 3


def test_an_empty_case_can_be_drawn(tmp_path):
    nothing = np.zeros((1, 8, 8), dtype=np.uint8)
    draw_overlay(nothing, nothing, nothing, tmp_path / "overlay.png")
    assert (tmp_path / "overlay.png").read_bytes().startswith(PNG)


def test_the_curves_of_hundreds_of_targets_leave_no_room_for_a_legend(tmp_path):
    row = {"epoch": 1} | {f"dice_{number}": number / 300 for number in range(300)}
    draw_progress([row, row | {"epoch": 2}], tmp_path / "progress.png")  # without a warning
    assert (tmp_path / "progress.png").read_bytes().startswith(PNG)


def test_progress_is_drawn_from_the_first_epoch_on_and_with_gaps(tmp_path):
    row = {"epoch": 1, "train_loss": 0.5, "dice_liver": 0.1, "learning_rate": 1e-3}
    draw_progress([row], tmp_path / "progress.png")
    first = (tmp_path / "progress.png").read_bytes()
    draw_progress([row, {"epoch": 2, "train_loss": 0.4}], tmp_path / "progress.png")
    assert first.startswith(PNG)
    assert (tmp_path / "progress.png").read_bytes() != first


ROWS = [
    {"epoch": 1, "train_loss": 1.0, "validation_loss": 1.2, "dice_liver": 0.2, "dice_cyst": 0.1},
    {"epoch": 2, "train_loss": 0.5, "validation_loss": 0.8, "dice_liver": 0.6},
]


def test_curves_are_one_a4_page_pdf_or_png(tmp_path):
    draw_curves(ROWS, tmp_path / "a.pdf", "HIPPO, fold 0")
    page = (tmp_path / "a.pdf").read_bytes()
    assert page.startswith(b"%PDF")
    assert page.count(b"/Type /Page ") == 1
    width, height = map(float, re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", page).groups())
    assert (width, height) == pytest.approx((595, 842), abs=1)  # points
    draw_curves(ROWS, tmp_path / "b.pdf", "HIPPO, fold 0")
    assert (tmp_path / "b.pdf").read_bytes() == page
    draw_curves(ROWS, tmp_path / "a.png", "HIPPO, fold 0")
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)


def test_the_dice_of_training_patches_has_a_panel_where_it_was_recorded(tmp_path, monkeypatch):
    more = [row | {"train_dice_liver": 0.7, "train_dice_cyst": 0.4} for row in ROWS]
    drawn = []
    with monkeypatch.context() as patch:
        patch.setattr(figures, "_save", lambda figure, path: drawn.append(figure))
        draw_curves(ROWS, tmp_path / "a.pdf", "HIPPO, fold 0")
        draw_curves(more, tmp_path / "b.pdf", "HIPPO, fold 0")
    titles = [[axes.get_title() for axes in figure.axes] for figure in drawn]
    assert titles[0] == ["loss", "Dice of validation patches"]
    assert titles[1] == ["loss", "Dice of training patches", "Dice of validation patches"]
    liver, cyst, mean = drawn[1].axes[1].lines
    assert [line.get_ydata()[0] for line in (liver, cyst, mean)] == pytest.approx([0.7, 0.4, 0.55])
    draw_progress(ROWS, tmp_path / "a.png")
    draw_progress(more, tmp_path / "b.png")  # shows validation patches only
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_curves_of_a_hundred_targets_and_of_none(tmp_path):
    many = [row | {f"dice_{number}": 0.5 for number in range(100)} for row in ROWS]
    draw_curves(many, tmp_path / "a.png", "many")
    draw_curves([{"epoch": 1, "train_loss": 1.0}], tmp_path / "b.png", "none")
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()
