"""Words on pictures of palette indices: a line of text, and targets' names beside their colours.

Names stand in columns below the picture; beside it where there are so many that they would be
higher than a quarter of it. Pillow, which matplotlib brings, writes them in matplotlib's own font:
Pillow's has no letters with accents.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from autoseg.report.outlines import BLACK, WHITE

TEXT = 12  # pixels
GAP = 6
LINE = TEXT + GAP  # height of a line of text
SWATCH = TEXT - 3
SHARE = 0.25  # of a picture's height, for names below it
LEAST_BESIDE = 10  # lines: names are not put beside lower pictures


def text_line(text: str, width: int) -> np.ndarray:
    """Return a strip (LINE, width) with a line of white text on black."""
    picture = Image.new("L", (width, LINE), BLACK)
    ImageDraw.Draw(picture).text((GAP, 3), text, fill=WHITE, font=_font())
    return np.array(picture)


def with_legend(
    pictures: Sequence[np.ndarray], entries: Sequence[tuple[int, str]], line: str
) -> list[np.ndarray]:
    """Return pictures of one size with colours and names, and below these a line of text.

    `entries` are indices of the palette and names.
    """
    if not (entries or line):
        return list(pictures)
    height, width = pictures[0].shape
    cell = SWATCH + 3 * GAP + math.ceil(max((_length(name) for _, name in entries), default=0))
    columns = max(1, (width - GAP) // cell)
    rows = math.ceil(len(entries) / columns)
    beside = (rows + 1) * LINE > SHARE * height and height >= LEAST_BESIDE * LINE and rows > 1
    if beside:
        rows = height // LINE - 1
        columns = math.ceil(len(entries) / rows)
    wide = 2 * GAP + max(columns * cell if entries else 0, math.ceil(_length(line)))
    strip = np.full(((rows + 1) * LINE, wide), BLACK, np.uint8)
    for number, (colour, name) in enumerate(entries):
        column, row = divmod(number, rows)
        top, left = row * LINE, GAP + column * cell
        strip[top : top + LINE, left + SWATCH : left + cell] = text_line(name, cell - SWATCH)
        strip[top + 5 : top + 5 + SWATCH, left : left + SWATCH] = colour
    strip[rows * LINE :] = text_line(line, strip.shape[1])
    return [_joined(picture, strip, axis=int(beside)) for picture in pictures]


def _joined(picture: np.ndarray, strip: np.ndarray, axis: int) -> np.ndarray:
    """Return both below (axis 0) or beside each other (axis 1), black where one is shorter."""
    longest = max(picture.shape[1 - axis], strip.shape[1 - axis])
    parts = []
    for part in (picture, strip):
        missing = [(0, 0), (0, 0)]
        missing[1 - axis] = 0, longest - part.shape[1 - axis]
        parts.append(np.pad(part, missing, constant_values=BLACK))
    return np.concatenate(parts, axis=axis)


def _length(text: str) -> float:
    return float(_font().getlength(text))


def _font() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf", TEXT)
