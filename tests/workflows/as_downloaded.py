"""Small copies of data sets as they are downloaded, and how tests import them."""

import pickle
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from autoseg.image import Geometry, Image
from autoseg.io import write_image, write_labels
from autoseg.workflows.import_data import import_data
from autoseg.workspace import Workspace

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RNG = np.random.default_rng(0)
GRID = Geometry((3, 4, 5), (2.5, 1.0, 1.0), (5.0, 6.0, 7.0))


def write_scan(path, grid=GRID, channels=1):
    array = RNG.integers(-99, 99, (channels, *grid.shape)).astype(np.int16)
    write_image(path, Image(array, grid))


def write_map(path, values, grid=GRID):
    """Write a label map in which each of `values` has one voxel."""
    array = np.zeros(grid.shape, np.uint8)
    array.flat[: len(values)] = values
    write_labels(path, array, grid)


def write_mask(path, *voxels):
    array = np.zeros(GRID.shape, np.float32)
    array.flat[list(voxels)] = 1
    write_image(path, Image(array[None], GRID))


def write_segthor(root, trains="train/", tests="test"):
    for number in (1, 2):
        name = f"Patient_{number:02d}"
        write_scan(root / f"{trains}{name}" / f"{name}.nii.gz")
        write_map(root / f"{trains}{name}" / "GT.nii.gz", [1, 2, 3, 4])
    write_scan(root / tests / "Patient_41.nii.gz")
    return root


def write_slices(root, size=4, first=0, depth=3, case="Patient_01"):
    for number in range(first, first + depth):
        for kind, most in (("img", 255), ("gt", 5)):
            array = RNG.integers(0, most, (size, size)).astype(np.uint8)
            path = root / "train" / kind / f"{case}_{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array * (63 if kind == "gt" else 1)), str(path))
    return root


def write_spacing(root, table):
    (root / "spacing.pkl").write_bytes(pickle.dumps(table, pickle.HIGHEST_PROTOCOL))


def write_totalsegmentator(root):
    for case in ("s0000", "s0001", "s0009"):
        write_scan(root / case / "ct.nii.gz")
        for number, name in enumerate(("spleen", "aorta", "liver")):
            voxels = () if (case, name) == ("s0000", "liver") else (number,)
            write_mask(root / case / "segmentations" / f"{name}.nii.gz", *voxels)
    return root


def brought(tmp_path, layout, source, **options):
    return import_data(Workspace(tmp_path), "D", layout=layout, source=source, **options)
