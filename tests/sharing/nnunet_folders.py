"""A hand-made model folder of nnU-Net, and its network computed straight from the state dict."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

DATASET = {
    "channel_names": {"0": "MRI"},
    "labels": {"background": 0, "posterior": 2, "anterior": 1},
    "numTraining": 3,
    "file_ending": ".nii.gz",
}
STATISTICS = {
    "max": 9.0, "mean": 4.0, "median": 4.5, "min": 1.0,
    "percentile_00_5": 2.0, "percentile_99_5": 8.0, "std": 1.5,
}  # fmt: skip
KINDS = ("plain", "residual")


def make_row(kind: str = "plain", axes: int = 3) -> dict[str, Any]:
    """One configuration: three stages, the last one strided along the last two axes only."""
    flat = 3 - axes
    blocks = "n_conv_per_stage" if kind == "plain" else "n_blocks_per_stage"
    name = "PlainConvUNet" if kind == "plain" else "ResidualEncoderUNet"
    row: dict[str, Any] = {
        "data_identifier": "x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [8, 16, 16][flat:],
        "median_image_size_in_voxels": [9.0, 20.0, 18.0][flat:],
        "spacing": [3.0, 1.0, 0.5][flat:],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        "batch_dice": True,
        "architecture": {
            "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": [4, 6, 6],
                "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
                "kernel_sizes": [[1, 3, 3][flat:], [3, 3, 3][flat:], [3, 3, 3][flat:]],
                "strides": [[1, 1, 1][flat:], [2, 2, 2][flat:], [1, 2, 2][flat:]],
                blocks: [1, 2, 1],
                "n_conv_per_stage_decoder": [1, 2],
                "conv_bias": True,
                "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
                "norm_op_kwargs": {"eps": 1e-05, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }
    for part, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        row[f"resampling_fn_{part}"] = "resample_data_or_seg_to_shape"
        row[f"resampling_fn_{part}_kwargs"] = {
            "is_seg": part == "seg", "order": order, "order_z": 0, "force_separate_z": None,
        }  # fmt: skip
    return row


def make_plans(kind: str = "plain", axes: int = 3, name: str = "3d_fullres") -> dict[str, Any]:
    return {
        "dataset_name": "Dataset004_Toy",
        "plans_name": "nnUNetPlans",
        "original_median_shape_after_transp": [9, 20, 18],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [2, 0, 1],
        "transpose_backward": [1, 2, 0],
        "configurations": {name: make_row(kind, axes)},
        "foreground_intensity_properties_per_channel": {"0": STATISTICS},
    }


def make_state(
    kind: str = "plain", axes: int = 3, heads: int = 3, channels: int = 1
) -> dict[str, Tensor]:
    """Random weights of `make_row`, under nnU-Net's names, each as often as nnU-Net lists it."""
    torch.manual_seed(7)
    state: dict[str, Tensor] = {}
    flat = 3 - axes

    def conv(name: str, inputs: int, outputs: int, kernel: list[int], bias: bool = True) -> None:
        state[f"{name}.conv.weight"] = torch.randn(outputs, inputs, *kernel) * 0.3
        if bias:
            state[f"{name}.conv.bias"] = torch.randn(outputs)
        state[f"{name}.norm.weight"] = 1 + 0.2 * torch.randn(outputs)
        state[f"{name}.norm.bias"] = 0.2 * torch.randn(outputs)

    kernels = [[1, 3, 3][flat:], [3, 3, 3][flat:], [3, 3, 3][flat:]]
    one, features, inputs = [1] * axes, [4, 6, 6], channels
    if kind == "residual":
        conv("encoder.stem.convs.0", channels, 4, kernels[0])
        inputs = 4
    for stage, blocks in enumerate([1, 2, 1]):
        for block in range(blocks):
            if kind == "plain":
                name = f"encoder.stages.{stage}.0.convs.{block}"
                conv(name, inputs, features[stage], kernels[stage])
            else:
                name = f"encoder.stages.{stage}.blocks.{block}"
                conv(f"{name}.conv1", inputs, features[stage], kernels[stage])
                conv(f"{name}.conv2", features[stage], features[stage], kernels[stage])
                if inputs != features[stage]:
                    conv(f"{name}.skip.1", inputs, features[stage], one, bias=False)
            inputs = features[stage]
    for index, (stage, convs) in enumerate([(1, 1), (0, 2)]):
        stride = _strides(flat)[stage + 1]
        width = features[stage]
        state[f"decoder.transpconvs.{index}.weight"] = 0.3 * torch.randn(
            features[stage + 1], width, *stride
        )
        state[f"decoder.transpconvs.{index}.bias"] = torch.randn(width)
        for i in range(convs):
            name = f"decoder.stages.{index}.convs.{i}"
            conv(name, width if i else 2 * width, width, kernels[stage])
        state[f"decoder.seg_layers.{index}.weight"] = torch.randn(heads, width, *one)
        state[f"decoder.seg_layers.{index}.bias"] = torch.randn(heads)
    for name in [*state]:
        for part, place in ((".conv.", ".all_modules.0."), (".norm.", ".all_modules.1.")):
            if part in name:
                state[name.replace(part, place)] = state[name]
    return state | {f"decoder.{n}": t for n, t in state.items() if n.startswith("encoder.")}


def forward(state: dict[str, Tensor], x: Tensor, kind: str) -> Tensor:
    """Scores (B, heads, *S) of nnU-Net's network for `x` (B, 1, *S), layer by layer."""
    axes = x.ndim - 2
    convolve = functional.conv3d if axes == 3 else functional.conv2d
    transpose = functional.conv_transpose3d if axes == 3 else functional.conv_transpose2d
    pool = functional.avg_pool3d if axes == 3 else functional.avg_pool2d

    def block(x: Tensor, name: str, stride: Any = 1, activate: bool = True) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        padding = [(size - 1) // 2 for size in weight.shape[2:]]
        x = convolve(x, weight, state.get(f"{name}.conv.bias"), stride, padding)
        x = functional.instance_norm(
            x, weight=state[f"{name}.norm.weight"], bias=state[f"{name}.norm.bias"], eps=1e-5
        )
        return functional.leaky_relu(x, 0.01) if activate else x

    strides, skips = _strides(3 - axes), []
    if kind == "residual":
        x = block(x, "encoder.stem.convs.0")
    for stage, blocks in enumerate([1, 2, 1]):
        for i in range(blocks):
            stride = strides[stage] if i == 0 else [1] * axes
            if kind == "plain":
                x = block(x, f"encoder.stages.{stage}.0.convs.{i}", stride)
                continue
            name = f"encoder.stages.{stage}.blocks.{i}"
            y = block(block(x, f"{name}.conv1", stride), f"{name}.conv2", activate=False)
            if max(stride) > 1:
                x = pool(x, stride, stride)
            if f"{name}.skip.1.conv.weight" in state:
                x = block(x, f"{name}.skip.1", activate=False)
            x = functional.leaky_relu(y + x, 0.01)
        skips.append(x)
    for index, (stage, convs) in enumerate([(1, 1), (0, 2)]):
        up = f"decoder.transpconvs.{index}"
        x = transpose(x, state[f"{up}.weight"], state[f"{up}.bias"], strides[stage + 1])
        x = torch.cat((x, skips[stage]), 1)
        for i in range(convs):
            x = block(x, f"decoder.stages.{index}.convs.{i}")
    head = "decoder.seg_layers.1"
    return convolve(x, state[f"{head}.weight"], state[f"{head}.bias"])


def make_cascade(root: Path, kind: str = "plain", folds: tuple[str, ...] = ("0",)) -> Path:
    """Write 3d_lowres, two folds of it, and 3d_cascade_fullres beside; return the latter."""
    plans = make_plans(kind, 3, "3d_lowres")
    low = plans["configurations"]["3d_lowres"]
    low |= {"spacing": [3.0, 2.0, 1.0], "next_stage": "3d_cascade_fullres"}
    plans["configurations"]["3d_fullres"] = make_row(kind, 3)
    plans["configurations"]["3d_cascade_fullres"] = {
        "inherits_from": "3d_fullres", "previous_stage": "3d_lowres",
    }  # fmt: skip
    folders = []
    for name, channels, trained in (
        ("3d_lowres", 1, ("0", "1")),
        ("3d_cascade_fullres", 3, folds),
    ):
        folder = root / f"nnUNetTrainer__nnUNetPlans__{name}"
        state = make_state(kind, channels=channels)
        settings = {"configuration": name, "fold": 0}
        make_folder(
            folder, kind, folds=trained, plans=plans, network_weights=state, init_args=settings
        )
        folders.append(folder)
    return folders[1]


def _strides(flat: int) -> list[list[int]]:
    return [[1, 1, 1][flat:], [2, 2, 2][flat:], [1, 2, 2][flat:]]


def make_folder(
    folder: Path,
    kind: str = "plain",
    axes: int = 3,
    folds: tuple[str, ...] = ("0",),
    plans: dict[str, Any] | None = None,
    **changed: Any,
) -> Path:
    """Write a results folder; `changed` replaces entries of every checkpoint."""
    name = "3d_fullres" if axes == 3 else "2d"
    folder.mkdir(parents=True, exist_ok=True)
    plans = plans or make_plans(kind, axes, name)
    (folder / "plans.json").write_text(json.dumps(plans), encoding="utf-8")
    (folder / "dataset.json").write_text(json.dumps(DATASET), encoding="utf-8")
    content = {
        "network_weights": make_state(kind, axes),
        "optimizer_state": {"state": {}, "param_groups": [{"lr": 0.01}]},
        "grad_scaler_state": None,
        "logging": {"mean_fg_dice": [np.float32(0.5), np.float64(0.25)], "epoch": [np.int64(3)]},
        "_best_ema": np.float64(0.5),
        "current_epoch": 5,
        "init_args": {"configuration": name, "fold": 0, "device": torch.device("cpu")},
        "trainer_name": "nnUNetTrainer",
        "inference_allowed_mirroring_axes": tuple(range(axes)),
    } | changed
    for fold in folds:
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        torch.save(content, folder / f"fold_{fold}" / "checkpoint_final.pth")
    return folder
