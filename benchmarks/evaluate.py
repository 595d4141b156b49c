"""Evaluating a folder of label maps, whole command, beside nnU-Net's.

    python benchmarks/evaluate.py --nnunet VENV

The predictions are the labels shifted by one voxel. nnU-Net computes overlap only; autoseg its
overlap, surface distances and volumes, with intervals. Single metrics beside other programs are in
metrics.py.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from side_by_side import (
    Cost,
    alternate,
    autoseg,
    common_options,
    has_peer,
    measure,
    print_head,
    wanted,
    write_hippocampus,
    write_phantom_cts,
)

ROWS = {
    "HIPPO": (write_hippocampus, 200),
    "CT": (write_phantom_cts, 8),
}


def main() -> None:
    """Print one row per folder."""
    parser = common_options(__doc__)
    parser.add_argument("--cases", type=int)
    options = parser.parse_args()
    peer = has_peer(options)
    print_head()
    for name, (write, cases) in ROWS.items():
        if not wanted(options, name):
            continue
        with tempfile.TemporaryDirectory() as where:
            folder = Path(where)
            raw = write(folder / "raw" / name, options.cases or cases)
            shift(raw / "labelsTr", folder / "predicted")
            alternate(
                f"evaluate {options.cases or cases} {name}", options.rounds,
                lambda folder=folder, raw=raw: run_autoseg(folder, raw),
                (lambda folder=folder, raw=raw: run_nnunet(folder, raw, options)) if peer else None,
            )  # fmt: skip


def shift(labels: Path, target: Path) -> None:
    """Write every label map moved by one voxel along each axis."""
    import SimpleITK as sitk

    target.mkdir()
    for path in sorted(labels.glob("*.nii.gz")):
        image = sitk.ReadImage(str(path))
        moved = sitk.GetImageFromArray(np.roll(sitk.GetArrayFromImage(image), 1, (0, 1, 2)))
        moved.CopyInformation(image)
        sitk.WriteImage(moved, str(target / path.name))


def run_autoseg(folder: Path, raw: Path) -> Cost:
    """Evaluate into a fresh folder."""
    shutil.rmtree(folder / "scores", ignore_errors=True)
    words = autoseg("evaluate", "-p", folder / "predicted", "-g", raw / "labelsTr")
    return measure([*words, "-o", folder / "scores"])[0]


def run_nnunet(folder: Path, raw: Path, options: argparse.Namespace) -> Cost:
    """Evaluate with `nnUNetv2_evaluate_simple`, which needs no plan."""
    words = [options.nnunet / "bin/nnUNetv2_evaluate_simple", raw / "labelsTr"]
    words += [folder / "predicted", "-l", "1", "2", "-o", folder / "theirs.json"]
    return measure(words)[0]


if __name__ == "__main__":
    main()
