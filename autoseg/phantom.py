"""Phantoms: ellipsoids with noise, and the truth about them; for the demo, tests and benchmarks.

CTs with thick slices: a body in air, a liver with a lesion, a spleen. Flat pictures with two
circles. All from a random generator.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.files import write_json
from autoseg.image import Geometry, Image
from autoseg.io import write_image, write_labels

TARGETS = {"liver": 1, "spleen": 2, "lesion": 3}
SHAPE, SPACING = (16, 64, 64), (3.0, 1.0, 1.0)  # voxels, mm
AIR_HU, BODY_HU, LIVER_HU, SPLEEN_HU, LESION_HU, NOISE_HU = -1000.0, 20.0, 110.0, 140.0, 60.0, 25.0


def make_phantom(
    rng: np.random.Generator,
    shape: tuple[int, int, int] = SHAPE,
    spacing: tuple[float, float, float] = SPACING,
) -> tuple[Image, np.ndarray]:
    """Return a CT (1, Z, Y, X) int16 in Hounsfield units and its label map (Z, Y, X) uint8."""
    geometry = Geometry(shape, spacing, (-100.0, 50.0, 20.0))

    def near(*place: float) -> np.ndarray:
        return (np.asarray(place) + rng.uniform(-0.04, 0.04, 3)) * shape

    def about(*radii: float) -> np.ndarray:
        return np.asarray(radii) * shape * rng.uniform(0.85, 1.15, 3)

    liver, liver_radii = near(0.5, 0.46, 0.34), about(0.36, 0.2, 0.17)
    spleen, spleen_radii = near(0.5, 0.55, 0.74), about(0.26, 0.13, 0.09)
    lesion = liver + rng.uniform(-0.35, 0.35, 3) * liver_radii
    lesion_radii = liver_radii * rng.uniform(0.3, 0.42)
    hounsfield = np.full(shape, AIR_HU)
    body, body_radii = np.multiply(0.5, shape), np.multiply((0.9, 0.42, 0.47), shape)
    hounsfield[ellipsoid(shape, body, body_radii)] = BODY_HU
    label_map = np.zeros(shape, dtype=np.uint8)
    for name, hu, centre, radii in (
        ("liver", LIVER_HU, liver, liver_radii),
        ("spleen", SPLEEN_HU, spleen, spleen_radii),
        ("lesion", LESION_HU, lesion, lesion_radii),
    ):
        inside = ellipsoid(shape, centre, radii)
        hounsfield[inside], label_map[inside] = hu, TARGETS[name]
    hounsfield += rng.normal(0, NOISE_HU, shape)
    # Scanners store nothing below air.
    array = np.clip(np.rint(hounsfield), -1024, 3071).astype(np.int16)
    return Image(array[None], geometry), label_map


CIRCLES = {"dark": 1, "bright": 2}
GREYS, CIRCLE_NOISE = (120.0, 80.0, 160.0), 25.0  # of background, dark and bright circle


def make_circles(rng: np.random.Generator, edge: int = 96) -> tuple[Image, np.ndarray]:
    """Return a flat picture (1, 1, Y, X) uint8 and its label map (1, Y, X) uint8.

    Two circles that do not meet, 1 dark and 2 bright, each with a radius of an eighth of `edge` in
    pixels or a bit more or less, anywhere in noise.
    """
    dark, bright = edge * rng.uniform(0.08, 0.16, 2)
    while True:
        ours, theirs = (rng.uniform(r, edge - 1 - r, 2) for r in (dark, bright))
        if np.linalg.norm(ours - theirs) > dark + bright + 2:
            break
    shape = (1, edge, edge)
    label_map = np.zeros(shape, dtype=np.uint8)
    for value, centre, radius in ((1, ours, dark), (2, theirs, bright)):
        label_map[0][ellipsoid((edge, edge), centre, np.array([radius, radius]))] = value
    greys = np.take(GREYS, label_map) + rng.normal(0, CIRCLE_NOISE, shape)
    return Image(np.clip(np.rint(greys), 0, 255).astype(np.uint8)[None], Geometry(shape)), label_map


def ellipsoid(shape: tuple[int, ...], centre: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Return the mask of `shape` inside an ellipsoid; `centre` and `radii` in voxels."""
    axes = np.ogrid[tuple(slice(length) for length in shape)]
    distance = sum(((a - c) / r) ** 2 for a, c, r in zip(axes, centre, radii, strict=True))
    return np.asarray(distance) <= 1


def write_phantoms(
    folder: Path,
    images: str,
    labels: str,
    seeds: range,
    shape: tuple[int, int, int] = SHAPE,
    ending: str = ".nii.gz",
) -> None:
    """Write one phantom per seed to `folder`/`images` and its label map to `folder`/`labels`."""
    for seed in seeds:
        case = make_phantom(np.random.default_rng(seed), shape)
        _write_case(folder, images, labels, f"phantom_{seed:02d}{ending}", case)


def write_circles(folder: Path, images: str, labels: str, seeds: range) -> None:
    """Write one picture with circles per seed, and its label map, as PNG files."""
    for seed in seeds:
        case = make_circles(np.random.default_rng(seed))
        _write_case(folder, images, labels, f"circles_{seed:05d}.png", case)


def _write_case(
    folder: Path, images: str, labels: str, name: str, case: tuple[Image, np.ndarray]
) -> None:
    image, label_map = case
    write_image(folder / images / name, image)
    write_labels(folder / labels / name, label_map, image.geometry)


def write_raw(
    raw: Path,
    cases: int,
    shape: tuple[int, int, int] = SHAPE,
    ending: str = ".nii.gz",
) -> None:
    """Write a dataset of `raw/` with `cases` phantoms; `dataset.json` last: then it is complete."""
    write_phantoms(raw, "imagesTr", "labelsTr", range(cases), shape, ending)
    _describe(raw, "CT", TARGETS, cases, ending)


def write_raw_circles(raw: Path, cases: int) -> None:
    """Write a dataset of `raw/` with `cases` pictures with circles, `dataset.json` last."""
    write_circles(raw, "imagesTr", "labelsTr", range(cases))
    _describe(raw, "grey", CIRCLES, cases, ".png")


def _describe(raw: Path, channel: str, targets: dict[str, int], cases: int, ending: str) -> None:
    description = {
        "channel_names": {"0": channel},
        "labels": {"background": 0, **targets},
        "numTraining": cases,
        "file_ending": ending,
    }
    write_json(raw / "dataset.json", description)
