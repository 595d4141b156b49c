"""Pictures: a slice with reference and prediction, the progress of a training, its curves.

The home of matplotlib, imported when a picture is drawn; no display is needed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg.colours import hexadecimal, target_colours
from autoseg.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 110
PANEL_INCHES = 3.6
OVERLAY_OPACITY = 0.55
WINDOW_PERCENTILES = (1.0, 99.0)  # grey values outside are black and white
NAMED_CURVES = 12  # a legend of more would leave no room for the curves
A4_INCHES = (8.27, 11.69)
A4_MARGIN_INCHES = 0.4
A4_LEGEND = 4, 24  # columns of names below a panel, and letters for which that is enough room


def best_slice(label_map: np.ndarray) -> int:
    """Return the index Z of the slice of `label_map` (Z, Y, X) that shows most of every label.

    That is where the areas, each relative to the largest of its label, have the greatest sum.
    """
    shown = np.zeros(len(label_map))
    for value in set(np.unique(label_map).tolist()) - {0}:
        areas = (label_map == value).sum(axis=(1, 2))
        shown += areas / areas.max()
    return int(shown.argmax())


def draw_overlay(
    image: np.ndarray,
    labels: np.ndarray | None,
    prediction: np.ndarray | None,
    path: Path,
    *,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    names: Mapping[int, str] | None = None,
    window: tuple[float, float] | None = None,
) -> None:
    """Write a PNG of one slice: the scan, the scan with its labels, the scan with the prediction.

    `image`, `labels` and `prediction` are (Z, Y, X) on one grid of `spacing` mm; one of the label
    maps may be None. The slice is `best_slice` of the first that is there. `names` tells what the
    label values mean; `window` is what is drawn black and white, by default percentiles of the
    slice.
    """
    maps = {"label": labels, "prediction": prediction}
    given = {title: label_map for title, label_map in maps.items() if label_map is not None}
    z = best_slice(next(iter(given.values())))
    low, high = window or np.percentile(image[z], WINDOW_PERCENTILES)
    values = sorted({value for m in given.values() for value in np.unique(m).tolist()} - {0})
    figure = _new_figure(1 + len(given), 1)
    panels = [("scan", None), *((title, label_map[z]) for title, label_map in given.items())]
    for column, (title, overlay) in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), column)
        axes.set_title(title)
        axes.set_axis_off()
        aspect = spacing[1] / spacing[2]
        axes.imshow(image[z], cmap="gray", vmin=low, vmax=max(high, low + 1e-6), aspect=aspect)
        if overlay is not None:
            axes.imshow(_coloured(overlay, values), aspect=aspect, interpolation="nearest")
    _add_legend(figure, {value: (names or {}).get(value, str(value)) for value in values})
    _save(figure, path)


def draw_progress(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Write a PNG of a training: losses, pseudo-Dice per target, learning rate, over epochs.

    `rows` is the history, one mapping per epoch: names with "loss" go to the first panel, those
    that begin with "dice_" to the second, the learning rate to the third; an "epoch" is the
    abscissa.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    epochs = [row.get("epoch", number) for number, row in enumerate(rows, start=1)]
    panels = {
        "loss": [name for name in names if "loss" in name],
        "pseudo-Dice": [name for name in names if name.startswith("dice_")],
        "learning rate": [name for name in names if name in ("learning_rate", "lr")],
    }
    figure = _new_figure(3, 1)
    for column, (title, curves) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, 3, column)
        _draw_panel(axes, title, epochs, {name: _column(rows, name) for name in curves})
        if 1 < len(curves) <= NAMED_CURVES:
            axes.legend(fontsize="small")
        if title == "pseudo-Dice":
            axes.set_ylim(0, 1)
    _save(figure, path)


def draw_curves(rows: Sequence[Mapping[str, float]], path: Path, title: str) -> None:
    """Write one A4 page, PDF or PNG by the ending of `path`: loss and Dice over the epochs.

    `rows` is the history, see `draw_progress`. Above the loss of training and of validation
    patches; below the Dice of both, of every target, and black their mean. Histories of older
    versions have no Dice of training patches: then that panel is left out.
    """
    from matplotlib.figure import Figure

    epochs = [row.get("epoch", number) for number, row in enumerate(rows, start=1)]
    names = dict.fromkeys(name for row in rows for name in row)
    losses = {
        what: _column(rows, name)
        for what, name in (("training", "train_loss"), ("validation", "validation_loss"))
        if name in names
    }
    panels = {
        what: {n.removeprefix(start): _column(rows, n) for n in names if n.startswith(start)}
        for what, start in (("training", "train_dice_"), ("validation", "dice_"))
    }
    panels = {what: dice for what, dice in panels.items() if dice}
    figure = Figure(figsize=A4_INCHES, dpi=DOTS_PER_INCH)
    figure.set_layout_engine("constrained", w_pad=A4_MARGIN_INCHES, h_pad=A4_MARGIN_INCHES / 2)
    figure.suptitle(title)
    places: list = [["loss"] * max(len(panels), 1)]
    if panels:
        places.append(list(panels))
    layout = figure.subplot_mosaic(places)
    _draw_panel(layout["loss"], "loss", epochs, losses)
    if losses:
        layout["loss"].legend()
    for what, dice in panels.items():
        axes = layout[what]
        _draw_panel(axes, f"Dice of {what} patches", epochs, dice)
        axes.set_ylim(0, 1)
        if len(dice) > 1:
            known = np.ma.masked_invalid(list(dice.values()))
            axes.plot(epochs, known.mean(axis=0).filled(np.nan), "k", linewidth=2.5, label="mean")
    if panels:
        most, letters = A4_LEGEND
        figure.legend(
            *axes.get_legend_handles_labels(),
            loc="outside lower center",
            ncols=max(1, min(most, most * letters // max(map(len, dice)))),
            fontsize="small" if len(dice) <= NAMED_CURVES else "xx-small",
        )  # fmt: skip
    _save(figure, path)


def _draw_panel(
    axes: Axes, title: str, epochs: Sequence[float], curves: Mapping[str, list[float]]
) -> None:
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True)
    axes.grid(alpha=0.3)
    marker = "o" if len(epochs) < 3 else None  # a line through one point is invisible
    for (name, values), colour in zip(curves.items(), target_colours(len(curves)), strict=True):
        axes.plot(epochs, values, color=hexadecimal(colour), marker=marker, label=name)


def _column(rows: Sequence[Mapping[str, float]], name: str) -> list[float]:
    values = [row.get(name) for row in rows]
    return [float("nan") if value is None else float(value) for value in values]


def _coloured(label_map: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """Return `label_map` (Y, X) as RGBA (Y, X, 4), transparent where it is background."""
    rgba = np.zeros((*label_map.shape, 4))
    for value, colour in zip(values, target_colours(len(values)), strict=True):
        rgba[label_map == value] = (*np.divide(colour, 255), OVERLAY_OPACITY)
    return rgba


def _add_legend(figure: Figure, names: Mapping[int, str]) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(color=hexadecimal(colour), label=name)
        for name, colour in zip(names.values(), target_colours(len(names)), strict=True)
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 6))


def _new_figure(columns: int, rows: int) -> Figure:
    from matplotlib.figure import Figure

    return Figure(
        figsize=(columns * PANEL_INCHES, rows * PANEL_INCHES),
        dpi=DOTS_PER_INCH,
        layout="constrained",
    )


def _save(figure: Figure, path: Path) -> None:
    # Drawn to memory first: matplotlib seeks, and the file appears whole or not at all.
    picture = io.BytesIO()
    if path.suffix.lower() == ".pdf":
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        # Without the time: the same curves are the same bytes.
        FigureCanvasPdf(figure).print_pdf(picture, metadata={"CreationDate": None})
    else:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        FigureCanvasAgg(figure).print_png(picture)
    write_atomically(path, lambda stream: stream.write(picture.getvalue()))
