"""A colour for each target, the same in every picture and in tables for other programs."""

from __future__ import annotations

import colorsys

Colour = tuple[int, int, int]  # red, green, blue; 0 to 255

# Okabe and Ito's colours, told apart by colour-blind readers too.
FIRST: tuple[Colour, ...] = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (213, 94, 0), (204, 121, 167),
    (0, 114, 178),
)  # fmt: skip
GOLDEN = 0.618034  # of the circle of hues: any number of steps leave it evenly filled
MANNERS = ((0.75, 0.95), (0.45, 0.95), (0.9, 0.65))  # saturation and value, in turn


def target_colours(count: int) -> tuple[Colour, ...]:
    """Return `count` different colours; those of fewer are always the first of more."""
    more = (_next(number) for number in range(count - len(FIRST)))
    return (*FIRST[:count], *more)


def hexadecimal(colour: Colour) -> str:
    """Return `colour` as web pages and matplotlib write it.

    >>> hexadecimal((230, 159, 0))
    '#E69F00'
    """
    return "#{:02X}{:02X}{:02X}".format(*colour)


def _next(number: int) -> Colour:
    saturation, value = MANNERS[number % len(MANNERS)]
    red, green, blue = colorsys.hsv_to_rgb(number * GOLDEN % 1, saturation, value)
    return round(255 * red), round(255 * green), round(255 * blue)
