"""Write tests/golden/resampling.npz: what nnU-Net 2.8.1 makes of small images and labels.

Run it with the Python of an environment that has nnunetv2 (autoseg never imports it):

    /tmp/nnunet_venv/bin/python benchmarks/make_golden_resampling.py
"""

from pathlib import Path

import numpy as np
from nnunetv2.preprocessing.resampling.default_resampling import (
    compute_new_shape,
    resample_data_or_seg_to_shape,
)
from scipy import ndimage

CASES = {  # shape, spacing from, spacing to (mm)
    "finer": ((9, 11, 7), (1.5, 1.0, 1.2), (1.0, 0.8, 0.9)),
    "coarser": ((14, 21, 17), (1.0, 0.7, 0.8), (1.9, 1.4, 1.3)),
    "factor_two": ((12, 16, 8), (1.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
    "thick_slices": ((7, 13, 16), (5.0, 0.9, 0.9), (5.0, 1.2, 1.2)),
    "thick_slices_resampled": ((8, 13, 12), (5.0, 0.9, 0.9), (3.2, 0.7, 0.8)),
    "thick_last_axis": ((12, 14, 9), (0.8, 0.8, 4.0), (1.0, 1.0, 5.5)),
    "thick_middle_axis": ((12, 8, 13), (0.8, 4.0, 0.8), (1.0, 2.9, 0.9)),
    "thick_target": ((20, 12, 10), (1.0, 0.8, 0.8), (4.0, 1.0, 1.0)),
    "two_coarse_axes": ((20, 7, 8), (0.24, 1.25, 1.25), (0.4, 1.0, 1.0)),
    "only_one_axis": ((9, 10, 11), (1.0, 1.0, 1.0), (0.7, 1.0, 1.0)),
    "one_slice": ((1, 21, 18), (1.0, 0.5, 0.5), (1.0, 0.8, 0.8)),
}
SEED = 2


def main() -> None:
    rng = np.random.default_rng(SEED)
    arrays = {}
    for name, (shape, spacing, target) in CASES.items():
        image = rng.normal(size=(1, *shape)).astype(np.float32)
        smooth = ndimage.gaussian_filter(rng.normal(size=(4, *shape)), (0, 1.2, 1.2, 1.2))
        labels = smooth.argmax(0).astype(np.uint8)
        new_shape = compute_new_shape(shape, spacing, target)
        rules = {"order_z": 0, "force_separate_z": None}
        arrays[f"{name}.image"] = image
        arrays[f"{name}.labels"] = labels
        arrays[f"{name}.spacings"] = np.asarray([spacing, target])
        arrays[f"{name}.cubic"] = resample_data_or_seg_to_shape(
            image, new_shape, spacing, target, is_seg=False, order=3, **rules
        )
        arrays[f"{name}.linear"] = resample_data_or_seg_to_shape(
            image, new_shape, spacing, target, is_seg=False, order=1, **rules
        )
        arrays[f"{name}.resampled_labels"] = resample_data_or_seg_to_shape(
            labels[None].astype(np.int8), new_shape, spacing, target, is_seg=True, order=1, **rules
        )[0].astype(np.uint8)
    golden = Path(__file__).resolve().parents[1] / "tests" / "golden" / "resampling.npz"
    golden.parent.mkdir(exist_ok=True)
    np.savez_compressed(golden, **arrays)


if __name__ == "__main__":
    main()
