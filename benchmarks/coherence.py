"""Labels held to images: which organs are found when moved, which good labels are blamed.

    python benchmarks/coherence.py

Every organ of the TotalSegmentator example is moved alone by the matrix of the SegTHOR course, C @
R(-27 degrees) @ C^-1 @ T(50, 40, 15 voxels), C = shift to (275, 200, 0), output to input. On its
smaller grid T is either of the same length (SegTHOR's voxels taken as 0.977 x 0.977 x 2.5 mm) or of
the same part of the image (512 x 512 x 180 voxels); C is of the same part in both. Then other data:
the spleen CT, hippocampi (MR), MIP-PET tumours, and phantom CTs around KiTS19's masks, as they are
and moved by the same length (hippocampi and tumours by half of their own extent).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from scipy import ndimage
from side_by_side import DATA

from autoseg.image import Geometry, Image, canonical_orientation, reorient
from autoseg.importing.coherence import Coherence, measure_coherence
from autoseg.importing.misplaced import Placement, place_targets
from autoseg.importing.move_label import move_label
from autoseg.io import read_image, read_labels
from autoseg.labels import Labels

SEGTHOR = np.array([512, 512, 180])  # voxels, X Y Z
SEGTHOR_MM = np.array([0.977, 0.977, 2.5])
CENTRE, SHIFT, DEGREES = np.array([275, 200, 0]), np.array([50, 40, 15]), -27.0
# One tissue each, by what anatomy says; the others are bones, hollow organs and lungs.
ONE_TISSUE = (
    "adrenal", "aorta", "autochthon", "gallbladder", "gluteus", "iliac", "iliopsoas",
    "inferior_vena_cava", "kidney", "liver", "pancreas", "portal_vein", "spleen", "urinary_bladder",
)  # fmt: skip


def segthor_matrix(grid: Geometry, by: str) -> np.ndarray:
    """Return the tamper's (4, 4) matrix in voxels (x, y, z) for a smaller grid."""
    size, spacing = np.array(grid.shape[::-1]), np.array(grid.spacing[::-1])
    shift = SHIFT * SEGTHOR_MM / spacing if by == "length" else SHIFT * size / SEGTHOR
    to, back, move, turn = (np.eye(4) for _ in range(4))
    to[:3, 3], move[:3, 3] = CENTRE * size / SEGTHOR, shift
    back[:3, 3] = -to[:3, 3]
    angle = np.deg2rad(DEGREES)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return to @ turn @ back @ move


def measure(image: Image, label_map: np.ndarray, labels: Labels, case: str) -> list[Coherence]:
    """Return how every target lies."""
    return measure_coherence(case, image, label_map, labels, labels.names)


def judged(labels: Labels, measured: list[Coherence]) -> dict[str, Placement]:
    """Return target -> placement."""
    return {one.target: one for one in place_targets(labels, measured)}


def totalsegmentator(folder: Path) -> tuple[Image, np.ndarray, Labels]:
    """Return the scan, and its masks as one label map."""
    image = read_image(folder / "ct.nii.gz")
    label_map = np.zeros(image.array.shape[1:], np.uint8)
    targets = {}
    for path in sorted((folder / "segmentations").glob("*.nii.gz")):
        mask = read_labels(path).array[0] > 0
        if mask.any():
            targets[path.name.removesuffix(".nii.gz")] = (len(targets) + 1,)
            label_map[mask] = len(targets)
    return image, label_map, Labels(targets)


def organs(folder: Path) -> None:
    """Print the table of every organ, untouched and moved."""
    image, label_map, labels = totalsegmentator(folder)
    start = time.perf_counter()
    untouched = judged(labels, measure(image, label_map, labels, "s0000"))
    print(f"{len(untouched)} of {len(labels.names)} organs judged, "
          f"{time.perf_counter() - start:.1f} s\n")  # fmt: skip
    ways = ("length", "part")
    print("| organ | voxels | spread / grain | rank | contrast | blend | blamed | "
          + " | ".join(f"moved by {way}: spread / grain | rank | contrast | found" for way in ways)
          + " |")  # fmt: skip
    print("|---" * 15 + "|")
    found: dict[str, list[str]] = {way: [] for way in ways}
    for name in labels.names:
        here = untouched.get(name)
        cells = [name, str(int((label_map == labels.targets[name][0]).sum()))]
        cells += _numbers(here, True)
        for way in ways:
            value = labels.targets[name][0]
            moved = move_label(label_map, value, segthor_matrix(image.geometry, way))
            alone = Labels({name: (value,)})
            there = judged(alone, measure(image, moved, alone, "s0000")).get(name)
            cells += _numbers(there, False)
            if here is not None and name.startswith(ONE_TISSUE):
                verdict = "not judged" if there is None else _verdict(there.misplaced)
                found[way].append(verdict)
        print("| " + " | ".join(cells) + " |")
    single = [name for name in untouched if name.startswith(ONE_TISSUE)]
    for names, what in ((single, "one tissue"), (set(untouched) - set(single), "others")):
        blamed = [name for name in names if untouched[name].misplaced]
        print(f"\nuntouched, {what}: {len(names)} judged, blamed: {', '.join(blamed) or 'none'}")
    for way in ways:
        count = {what: found[way].count(what) for what in ("found", "missed", "not judged")}
        print(f"moved by {way}, one tissue: {count}")


def _numbers(one: Placement | None, untouched: bool) -> list[str]:
    if one is None:
        return ["not judged", *[""] * (4 if untouched else 3)]
    numbers = [f"{one.spread:.0f} / {one.grain:.0f}", f"{one.rank:.2f}", f"{one.contrast:.2f}"]
    verdict = "yes" if one.misplaced else "no"
    return [*numbers, f"{one.blend:.2f}", verdict] if untouched else [*numbers, verdict]


def _verdict(misplaced: bool) -> str:
    return "found" if misplaced else "missed"


def spleens() -> Iterator[tuple[str, Image, np.ndarray]]:
    """Yield the one spleen CT."""
    folder = DATA / "spleen_ct"
    label_map = read_labels(folder / "label.nii.gz").array[0]
    yield "spleen", read_image(folder / "image.nii.gz"), label_map


def hippocampi(count: int = 20) -> Iterator[tuple[str, Image, np.ndarray]]:
    """Yield MR images with a whole hippocampus, both parts of it as one."""
    for path in sorted((DATA / "hippocampus" / "imagesTr").glob("*.nii.gz"))[:count]:
        label_map = read_labels(DATA / "hippocampus" / "labelsTr" / path.name).array[0]
        yield path.name, read_image(path), (label_map > 0).astype(np.uint8)


def tumours(count: int = 20) -> Iterator[tuple[str, Image, np.ndarray]]:
    """Yield MIP-PET pictures with their tumours."""
    pictures = sorted((DATA / "mip_pet" / "patients" / "imgs").glob("*.png"))
    drawn = sorted((DATA / "mip_pet" / "patients" / "labels").glob("*.png"))
    for picture, labels in list(zip(pictures, drawn, strict=True))[:count]:
        yield picture.name, read_image(picture), (read_labels(labels).array[0] > 0).astype(np.uint8)


def kidneys() -> Iterator[tuple[str, Image, np.ndarray]]:
    """Yield phantom CTs around real masks: blobs of fat, muscle, air and bone; kidneys 150 HU."""
    for path in sorted((DATA / "kits_masks").glob("*/segmentation.nii.gz")):
        read = read_labels(path)
        turn = canonical_orientation(read.geometry.direction_matrix)
        label_map, grid = turn.apply(read.array[0]), reorient(read.geometry, turn)
        thin = (slice(None), slice(None, None, 2), slice(None, None, 2))
        label_map = np.ascontiguousarray(label_map[thin])
        z, y, x = grid.spacing
        grid = Geometry(label_map.shape, (z, 2 * y, 2 * x))
        rng = np.random.default_rng(0)
        coarse = ndimage.gaussian_filter(rng.normal(size=[n // 4 + 1 for n in grid.shape]), 2)
        blobs = np.repeat(np.repeat(np.repeat(coarse, 4, 0), 4, 1), 4, 2)
        blobs = blobs[tuple(slice(n) for n in grid.shape)]
        levels = np.digitize(blobs, np.quantile(coarse, (0.1, 0.5, 0.95)))
        image = np.array([-900, -100, 50, 400])[levels]
        image[label_map == 1], image[label_map == 2] = 150, 80
        image = image + rng.normal(0, 15, grid.shape)
        yield path.parent.name, Image(image[None].astype(np.float32), grid), label_map


def other_data(
    data: str, target: str, value: int, cases: Iterable[tuple[str, Image, np.ndarray]], far: bool
) -> None:
    """Print what is blamed, untouched and moved, in the median of the cases and in each of them."""
    alone = Labels({target: (value,)})
    untouched: list[Coherence] = []
    moved: list[Coherence] = []
    for case, image, label_map in cases:
        untouched += measure(image, label_map, alone, case)
        shift = segthor_matrix(image.geometry, "length") if far else np.eye(4)
        if not far:
            box = ndimage.find_objects((label_map == value).astype(np.uint8))[0]
            shift[:3, 3] = [(part.stop - part.start) // 2 for part in reversed(box)]
        moved += measure(image, move_label(label_map, value, shift), alone, case)
    for what, measured in (("as it is", untouched), ("moved", moved)):
        each = [judged(alone, [one])[target].misplaced for one in measured]
        numbers = " | ".join(_numbers(judged(alone, measured).get(target), True))
        print(f"| {data}, {target} | {what} | {len(each)} | {numbers} | {sum(each)} |")


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=DATA / "totalsegmentator" / "s0000")
    organs(parser.parse_args().folder)
    print("\n| data | | cases judged | spread / grain | rank | contrast | blend | blamed "
          "(median) | blamed (single cases) |\n|---|---|---|---|---|---|---|---|---|")  # fmt: skip
    other_data("CT", "spleen", 1, spleens(), far=True)
    other_data("MR", "hippocampus", 1, hippocampi(), far=False)
    other_data("MIP-PET", "tumour", 1, tumours(), far=False)
    phantoms = list(kidneys())
    other_data("phantom CT", "kidney", 1, phantoms, far=True)
    other_data("phantom CT", "tumour of a kidney", 2, phantoms, far=True)


if __name__ == "__main__":
    main()
