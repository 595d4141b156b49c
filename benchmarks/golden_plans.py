"""Ask nnU-Net 2.8.1's own planner for the plans of many fingerprints; write tests/golden.

    /tmp/nnunet_venv/bin/python benchmarks/golden_plans.py ../shared/data/hippocampus tests/golden

Needs nnunetv2 2.8.1 and scikit-learn in an environment of their own; autoseg is not imported. The
fingerprints use one axis order for both sides, (Z, Y, X). Hippocampus goes through nnU-Net's own
fingerprint extraction; the others are made up here, seeded.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

work = Path(tempfile.mkdtemp())
for variable in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results"):
    os.environ[variable] = str(work / variable)
    (work / variable).mkdir()

from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import (  # noqa: E402
    DatasetFingerprintExtractor,
)
from nnunetv2.experiment_planning.experiment_planners.default_experiment_planner import (  # noqa: E402
    ExperimentPlanner,
)
from nnunetv2.experiment_planning.experiment_planners.residual_unets import (  # noqa: E402
    residual_encoder_unet_planners as residual,
)
from nnunetv2.preprocessing.resampling.default_resampling import (  # noqa: E402
    determine_do_sep_z_and_axis,
)
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer  # noqa: E402
from nnunetv2.utilities.crossval_split import generate_crossval_split  # noqa: E402

NORMALIZERS = {
    "CTNormalization": "ct",
    "ZScoreNormalization": "zscore",
    "NoNormalization": "none",
    "RescaleTo01Normalization": "rescale",
    "RGBTo01Normalization": "rgb",
}
# name: cases, spacing, shape, variation of each, kept fraction, channels, number of targets
NAMED = {
    "isotropic": (40, (1.0, 1.0, 1.0), (155, 190, 180), 0.0, 0.1, 0.9, ("MR",), 2),
    "thick_and_thin": (100, (10.0, 1.5, 1.5), (9, 250, 220), 0.3, 0.15, 1.0, ("MR",), 3),
    "thick_slices": (32, (3.6, 0.62, 0.62), (20, 320, 320), 0.05, 0.1, 1.0, ("T2", "ADC"), 2),
    "tiny": (12, (1.0, 1.0, 1.0), (20, 24, 18), 0.0, 0.1, 1.0, ("MR",), 1),
    "huge_ct": (60, (1.0, 0.78, 0.78), (480, 512, 512), 0.2, 0.2, 1.0, ("CT",), 2),
    "abdomen_ct": (30, (3.0, 0.76, 0.76), (148, 512, 512), 0.2, 0.2, 1.0, ("CT",), 13),
    "pictures_2d": (80, (999.0, 1.0, 1.0), (1, 400, 991), 0.0, 0.02, 1.0, ("PET",), 1),
    "rgb_2d": (25, (999.0, 1.0, 1.0), (1, 584, 565), 0.0, 0.0, 1.0, ("rgb_to_0_1",) * 3, 1),
    "four_channels_stripped": (
        484, (1.0, 1.0, 1.0), (138, 170, 138), 0.0, 0.05, 0.4, ("T1", "T1c", "T2", "noNorm"), 3,
    ),
    "few_cases": (3, (2.5, 1.2, 1.2), (60, 180, 200), 0.1, 0.1, 0.8, ("CT", "PET"), 2),
    "coarse_last_axis": (50, (0.6, 0.6, 3.3), (300, 310, 24), 0.1, 0.1, 1.0, ("MR",), 2),
    "middle_axis_thick": (
        20, (0.9, 4.0, 0.9), (220, 30, 240), 0.0, 0.1, 1.0, ("rescale_to_0_1",), 4,
    ),
    "many_targets": (100, (1.5, 1.5, 1.5), (240, 250, 300), 0.0, 0.3, 1.0, ("CT",), 104),
    "odd_halves": (2, (1.0, 1.0, 1.0), (35, 51, 36), 0.0, 0.05, 1.0, ("MR",), 2),
}  # fmt: skip


def fingerprint_of(recipe: tuple, rng: np.random.Generator) -> dict:
    """Return spacings and shapes of every case, drawn around the recipe's."""
    cases, spacing, shape, spacing_spread, shape_spread, kept, channels, targets = recipe
    spacings, shapes = [], []
    for _ in range(cases):
        coarse = np.argmax(spacing)
        factor = np.full(3, np.exp(spacing_spread * rng.normal()))
        factor[coarse] = np.exp(2 * spacing_spread * rng.normal())
        spacings.append([round(float(s), 4) for s in np.multiply(spacing, factor)])
        edges = [max(1, round(n * np.exp(shape_spread * rng.normal()))) for n in shape]
        shapes.append([1 if n == 1 else edge for n, edge in zip(shape, edges, strict=True)])
    return {
        "spacings": spacings,
        "shapes": shapes,
        "kept_fraction": kept,
        "channels": list(channels),
        "targets": targets,
    }


def random_recipe(rng: np.random.Generator) -> tuple:
    """Return a recipe nobody chose: any anisotropy, any axis, any size."""
    spacing = np.exp(rng.uniform(np.log(0.3), np.log(3.0), 3))
    spacing = np.full(3, spacing[0]) if rng.random() < 0.3 else spacing
    extent_mm = np.exp(rng.uniform(np.log(25), np.log(450)))
    shape = np.clip(extent_mm * np.exp(0.4 * rng.normal(size=3)) / spacing, 8, 700).round()
    channels = [("MR",), ("CT",), ("MR", "PET")][int(rng.integers(3))]
    return (
        int(rng.integers(1, 40)), tuple(spacing.round(3)), tuple(int(n) for n in shape),
        float(rng.choice([0.0, 0.2])), 0.15, float(rng.uniform(0.5, 1)), channels,
        int(rng.integers(1, 20)),
    )  # fmt: skip


def nnunet_plans(fingerprint: dict, name: str, planner: type) -> dict:
    """Return the plans dictionary that `planner` makes of a fingerprint."""
    folder = f"Dataset001_{name}"
    raw, prepared = work / "nnUNet_raw" / folder, work / "nnUNet_preprocessed" / folder
    raw.mkdir(exist_ok=True)
    prepared.mkdir(exist_ok=True)
    cases = len(fingerprint["spacings"])
    names = ["background", *(f"t{i}" for i in range(fingerprint["targets"]))]
    description = {
        "channel_names": {str(i): c for i, c in enumerate(fingerprint["channels"])},
        "labels": {label: i for i, label in enumerate(names)},
        "numTraining": cases,
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "SimpleITKIO",
        "dataset": {f"c{i}": {"images": [f"c{i}"], "label": f"c{i}"} for i in range(cases)},
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    theirs = {
        "spacings": fingerprint["spacings"],
        "shapes_after_crop": fingerprint["shapes"],
        "median_relative_size_after_cropping": fingerprint["kept_fraction"],
        "foreground_intensity_properties_per_channel": {},
    }
    (prepared / "dataset_fingerprint.json").write_text(json.dumps(theirs))
    for plans in prepared.glob("nnUNet*Plans.json"):
        plans.unlink()
    made = planner(folder)
    if planner is not ExperimentPlanner:
        made.lowres_creation_threshold = 0  # only patches are asked for; the search takes minutes
    return made.plan_experiment()


def numbers_of(plans: dict) -> dict:
    """Return the numbers to compare, per configuration."""
    rows = {}
    for name, configuration in plans["configurations"].items():
        if "inherits_from" in configuration:
            rows[name] = {"previous": configuration["previous_stage"]}
            continue
        arguments = configuration["architecture"]["arch_kwargs"]
        rotation, dummy_2d = augmentation_of(configuration["patch_size"])
        rows[name] = {
            "spacing": configuration["spacing"],
            "patch_size": configuration["patch_size"],
            "batch_size": configuration["batch_size"],
            "batch_dice": configuration["batch_dice"],
            "features": arguments["features_per_stage"],
            "strides": arguments["strides"],
            "kernels": arguments["kernel_sizes"],
            "normalizers": [NORMALIZERS[n] for n in configuration["normalization_schemes"]],
            "mask": configuration["use_mask_for_norm"],
            "rotation_degrees": rotation,
            "dummy_2d": dummy_2d,
        }
    return {"axis_order": plans["transpose_forward"], "configurations": rows}


def augmentation_of(patch_size: list[int]) -> tuple[float, bool]:
    """Return the largest rotation in degrees and whether slices are kept apart."""
    trainer = SimpleNamespace(
        configuration_manager=SimpleNamespace(patch_size=tuple(patch_size)),
        print_to_log_file=lambda *_: None,
    )
    rule = nnUNetTrainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size
    rotation, dummy_2d, _, _ = rule(trainer)
    return round(float(np.degrees(rotation[1])), 6), bool(dummy_2d)


def separate_axes(fingerprint: dict, numbers: dict) -> list:
    """Return the separate axis (or None) of each case on its way to 3d_fullres, prepared axes."""
    if "3d_fullres" not in numbers["configurations"]:
        return []
    target = numbers["configurations"]["3d_fullres"]["spacing"]
    axes = []
    for spacing in fingerprint["spacings"]:
        here = [spacing[axis] for axis in numbers["axis_order"]]
        separate, axis = determine_do_sep_z_and_axis(None, here, target)
        axes.append(int(axis) if separate else None)
    return axes


def hippocampus(folder: Path) -> dict:
    """Return nnU-Net's own fingerprint of the real cases."""
    raw = work / "nnUNet_raw" / "Dataset004_Hippocampus"
    prepared = work / "nnUNet_preprocessed" / "Dataset004_Hippocampus"
    prepared.mkdir()
    cases = sorted((folder / "imagesTr").glob("*.nii.gz"))
    description = {
        "channel_names": {"0": "MR"},
        "labels": {"background": 0, "anterior": 1, "posterior": 2},
        "numTraining": len(cases),
        "file_ending": ".nii.gz",
        "dataset": {
            case.name.removesuffix(".nii.gz"): {
                "images": [str(case.resolve())],
                "label": str((folder / "labelsTr" / case.name).resolve()),
            }
            for case in cases
        },
    }
    raw.mkdir()
    (raw / "dataset.json").write_text(json.dumps(description))
    found = DatasetFingerprintExtractor("Dataset004_Hippocampus", 2).run()
    intensity = found["foreground_intensity_properties_per_channel"][0]
    return {
        "spacings": [[float(s) for s in spacing] for spacing in found["spacings"]],
        "shapes": [[int(n) for n in shape] for shape in found["shapes_after_crop"]],
        "kept_fraction": float(found["median_relative_size_after_cropping"]),
        "channels": ["MR"],
        "targets": 2,
        "intensity": {key: float(value) for key, value in intensity.items()},
    }


def main() -> None:
    """Write nnunet_plans.json and nnunet_folds.json into the folder named last."""
    data, target = Path(sys.argv[1]), Path(sys.argv[2])
    rng = np.random.default_rng(2)
    fingerprints = {"hippocampus": hippocampus(data)}
    fingerprints |= {name: fingerprint_of(recipe, rng) for name, recipe in NAMED.items()}
    fingerprints |= {f"random_{i:02d}": fingerprint_of(random_recipe(rng), rng) for i in range(30)}
    golden = {}
    for name, fingerprint in fingerprints.items():
        numbers = numbers_of(nnunet_plans(fingerprint, name, ExperimentPlanner))
        numbers["separate_axes"] = separate_axes(fingerprint, numbers)
        for size in ("M", "L"):
            plans = nnunet_plans(fingerprint, name, getattr(residual, f"nnUNetPlannerResEnc{size}"))
            for configuration in ("2d", "3d_fullres"):
                if configuration in plans["configurations"]:
                    row = numbers["configurations"][configuration]
                    row[f"patch_of_residual_{size}"] = plans["configurations"][configuration][
                        "patch_size"
                    ]
        golden[name] = {"fingerprint": fingerprint, "plan": numbers}
        dump(target / "nnunet_plans.json", golden)
    folds = {}
    for count in (5, 7, 23, 100, 200, 260):
        cases = [f"case_{i:03d}" for i in range(count)]
        folds[str(count)] = [fold["val"] for fold in generate_crossval_split(cases)]
    dump(target / "nnunet_folds.json", folds)


def dump(path: Path, table: dict) -> None:
    """Write one line per entry: readable, and diffs stay small."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(row, default=_plain)}" for name, row in table.items()
    ]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def _plain(value: object) -> object:
    return value.tolist() if hasattr(value, "tolist") else str(value)


if __name__ == "__main__":
    main()
