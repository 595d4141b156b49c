"""Heads in four MR contrasts with a tumour of three parts, one inside the other; benchmarks too."""

from __future__ import annotations

import numpy as np

from autoseg.image import Geometry, Image
from autoseg.phantom import ellipsoid

CONTRASTS = ("T1", "T1ce", "T2", "FLAIR")
# Of brain, oedema, necrosis and enhancing rim; outside the head it is 0, as after skull stripping.
SIGNAL = ((300, 265, 200, 290), (300, 285, 190, 600), (200, 400, 450, 320), (200, 460, 230, 340))
REGIONS = {"whole": [1, 2, 3], "core": [2, 3], "enhancing": [3]}
MR_NOISE = 20.0


def make_tumour(
    rng: np.random.Generator, shape: tuple[int, int, int] = (24, 40, 40), enhancing: bool = True
) -> tuple[Image, np.ndarray]:
    """Return four MR contrasts (4, Z, Y, X) float32 and a label map (Z, Y, X) uint8.

    Values: 1 oedema, 2 necrosis, 3 enhancing rim (only if `enhancing`). The gain of every channel
    is another one in every scan, so their numbers do not compare between scans.
    """
    size = np.asarray(shape)
    centre = size * rng.uniform(0.42, 0.58, 3)
    radii = size * rng.uniform(0.16, 0.24, 3)
    label_map = np.zeros(shape, dtype=np.uint8)
    label_map[ellipsoid(shape, centre, radii)] = 1
    core = centre + rng.uniform(-0.2, 0.2, 3) * radii
    label_map[ellipsoid(shape, core, 0.65 * radii)] = 3 if enhancing else 2
    label_map[ellipsoid(shape, core, 0.38 * radii)] = 2
    head = ellipsoid(shape, size / 2, size * np.array([0.48, 0.46, 0.44]))
    field = 1 + 0.1 * np.cos(np.linspace(0, np.pi, shape[2]) + rng.uniform(0, np.pi))
    channels = [
        (np.take(signal, label_map) * field + rng.normal(0, MR_NOISE, shape)) * head
        for signal in SIGNAL
    ]
    array = np.stack(channels) * rng.uniform(0.5, 2.0, (len(channels), 1, 1, 1))
    return Image(np.maximum(array, 0).astype(np.float32), Geometry(shape)), label_map
