"""Half the bytes where nobody will notice: float16 instead of float32."""

from __future__ import annotations

import math

import numpy as np

HALF_ERROR = 1e-3  # standard deviations of a channel; above it float16 is not good enough
LARGEST_HALF = 65504.0
SMALLEST_ERROR = 2.0**-25  # half the distance between the smallest float16


def smallest_float(image: np.ndarray) -> np.ndarray:
    """Return `image` (C, Z, Y, X) as float16 where that changes no voxel much, else as float32.

    Much is 1e-3 standard deviations of its channel.
    """
    if all(_fits(channel) for channel in image):
        return image.astype(np.float16)
    return np.asarray(image, dtype=np.float32)


def _fits(channel: np.ndarray) -> bool:
    allowed = HALF_ERROR * _deviation(channel)
    largest = max(abs(float(channel.min())), abs(float(channel.max())))
    if largest <= LARGEST_HALF and _largest_error(largest) <= allowed:
        return True
    with np.errstate(over="ignore"):
        errors = (float(np.abs(part - part.astype(np.float16)).max()) for part in channel)
        return all(error <= allowed for error in errors)


def _largest_error(largest: float) -> float:
    """Return by how much rounding may change numbers up to `largest`, whatever they are."""
    exponent = math.frexp(largest)[1]
    return max(SMALLEST_ERROR, math.ldexp(1.0, exponent - 12))


def _deviation(channel: np.ndarray) -> float:
    """Return the standard deviation of a channel (Z, Y, X), slice by slice: without a copy."""
    mean = sum(float(part.sum(dtype=np.float64)) for part in channel) / channel.size
    squares = sum(float(np.square(part - np.float32(mean)).sum()) for part in channel)
    return math.sqrt(squares / channel.size)
