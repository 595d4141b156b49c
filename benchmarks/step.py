"""A training step of the same network, batch and deep supervision, beside nnU-Net's.

    python benchmarks/step.py --nnunet VENV [--device cuda]

Rows: size M of the hippocampus (patch 40x56x40, batch 9, features 32 to 256; on a GPU also 128^3,
batch 2, features 32 to 320). nnU-Net runs its own `train_step` (SGD, Dice + CE, float32 on a CPU,
float16 and torch.compile on a GPU), autoseg its own `update` without augmentation, which is
measured by load.py. Batches lie in memory. With a GPU the rate of arithmetic is printed as a share
of the measured rate of a matrix product.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from side_by_side import (
    Cost,
    Row,
    common_options,
    has_peer,
    last_json,
    measure,
    nnunet_places,
    print_head,
    print_row,
    processor,
    script,
    wanted,
)

ROWS = {  # name: patch, batch, features
    "hippocampus": ((40, 56, 40), 9, (32, 64, 128, 256)),
    "128": ((128, 128, 128), 2, (32, 64, 128, 256, 320, 320)),
}

AUTOSEG = """
import json, sys, time
import torch
from autoseg.config import TrainConfig
from autoseg.device import PRECISIONS
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.plan import NetworkSpec
from autoseg.training.budget import Length
from autoseg.training.graph import choose_step
from autoseg.training.batch import Batch
from autoseg.training.losses import build_loss
from autoseg.training.recipe import choose_recipe
from autoseg.training.state import Task, begin_training, lay_out, to_device
from autoseg.training.step import learn
from autoseg.training.supervision import deep_supervised
from autoseg.training.trainer import update
asked = [json.loads(a) for a in sys.argv[1:]]
patch, batch, features, precision, optimizer, compiled, steps, device = asked
device = torch.device(device)
torch.backends.cudnn.benchmark = True  # as `train` does
torch.manual_seed(0)
stages = len(features)
spec = NetworkSpec("plain_unet", tuple(features), ((1, 1, 1), *((2, 2, 2),) * (stages - 1)),
                   ((3, 3, 3),) * stages, (2,) * stages, (2,) * (stages - 1))
labels = Labels({"anterior": (1,), "posterior": (2,)})
config, _ = choose_recipe(TrainConfig(optimizer=optimizer, compile=compiled), 1000)
total = deep_supervised(build_loss(config, labels))
network = lay_out(build_network(spec, 1, 3).to(device), False)
task = Task(config, labels, lambda scores, b: total(scores, b, labels, False),
            lambda b, generator: b, (), device, PRECISIONS[precision])
training = begin_training(network, task, Length(1000))
made = Batch(torch.randn(batch, 1, *patch), torch.randint(0, 3, (batch, *patch), dtype=torch.uint8),
             torch.ones(batch, 2, dtype=torch.bool), torch.ones(batch, 3), partial=False)
flops = None
if device.type == "cuda":
    from torch.utils.flop_counter import FlopCounterMode
    with FlopCounterMode(display=False) as counter:
        learn(training, task, to_device(made, device))
    flops = counter.get_total_flops()
chosen = choose_step(training, task, to_device(made, device))
def step():
    update(training, task, to_device(made, device), chosen)
    training.step += 1
    if device.type == "cuda":
        torch.cuda.synchronize()
times = []
for _ in range(steps + 1):
    begin = time.perf_counter()
    step()
    times.append(time.perf_counter() - begin)
share = None
if device.type == "cuda":
    a = torch.randn(8192, 8192, device=device, dtype=PRECISIONS[precision])
    for _ in range(3):
        torch.cuda.synchronize(); begin = time.perf_counter(); a @ a; torch.cuda.synchronize()
        rate = 2 * 8192**3 / (time.perf_counter() - begin)
    share = flops / sorted(times[1:])[len(times) // 2] / rate
print(json.dumps([sorted(times[1:])[steps // 2], share]))
"""

NNUNET = """
import json, os, sys, time
import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
torch.backends.cudnn.benchmark = True  # as its run_training does
if __name__ == "__main__":
    patch, batch, features, steps, device = (json.loads(a) for a in sys.argv[1:])
    stages = len(features)
    network = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages, "features_per_stage": features,
            "conv_op": "torch.nn.modules.conv.Conv3d", "kernel_sizes": [[3, 3, 3]] * stages,
            "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1), "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1), "conv_bias": True,
            "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None,
            "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True}},
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"]}
    configuration = {
        "data_identifier": "x", "preprocessor_name": "DefaultPreprocessor", "batch_size": batch,
        "patch_size": patch, "median_image_size_in_voxels": patch, "spacing": [1.0, 1.0, 1.0],
        "normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {}, "resampling_fn_seg_kwargs": {},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {}, "architecture": network, "batch_dice": False}
    plans = {"dataset_name": "Dataset005_DATA", "plans_name": "nnUNetPlans",
             "configurations": {"3d_fullres": configuration}, "continue_training": False,
             "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
             "image_reader_writer": "SimpleITKIO",
             "label_manager": "LabelManager", "experiment_planner_used": "ExperimentPlanner"}
    dataset = {"channel_names": {"0": "MRI"}, "file_ending": ".nii.gz", "numTraining": 1,
               "labels": {"background": 0, "anterior": 1, "posterior": 2}}
    trainer = nnUNetTrainer(plans, "3d_fullres", 0, dataset, device=torch.device(device))
    os.makedirs(trainer.preprocessed_dataset_folder)
    open(f"{trainer.preprocessed_dataset_folder}/any.b2nd", "w").close()  # it asks for the type
    trainer.initialize()
    trainer.network.train()
    target = torch.randint(0, 3, (batch, 1, *patch)).to(torch.int16)
    targets = [target] + [target[:, :, ::2**i, ::2**i, ::2**i] for i in range(1, stages - 1)]
    made = {"data": torch.randn(batch, 1, *patch), "target": targets}
    times = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        trainer.train_step(made)
        times.append(time.perf_counter() - begin)
    print(json.dumps([sorted(times[1:])[steps // 2], None]), flush=True)
"""


def main() -> None:
    """Print seconds a step for each network, precision and optimiser."""
    parser = common_options(__doc__)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    peer = has_peer(options)
    gpu = options.device.startswith("cuda")
    print_head(options.device)
    for name, (patch, batch, features) in ROWS.items():
        if not wanted(options, name) or (name == "128" and not gpu and not options.only):
            continue
        theirs = [time_nnunet(options, patch, batch, features)] if peer else []
        rows = [("bfloat16", "sgd", False), ("bfloat16", "muon", False), ("float32", "sgd", False)]
        # Emulated it takes fifteen times as long as float32.
        slow = not gpu and processor() not in ("amx_bf16", "avx512_bf16")
        rows = rows[2:] if slow else rows
        for precision, optimizer, compiled in [*rows, ("bfloat16", "muon", True)] if gpu else rows:
            how = precision, optimizer, compiled
            cost, share = time_autoseg(options, patch, batch, features, *how)
            rate = f", {100 * share:.0f} % of the matrix rate" if share else ""
            bar = "1/1.0" if precision == "float32" else "1/1.2" if gpu else "1/2.5"
            title = (
                f"step, {name}, {precision}, {optimizer}{', compiled' if compiled else ''}{rate}"
            )
            print_row(Row(title, [cost], theirs, bar))


def time_autoseg(
    options: argparse.Namespace, patch: tuple, batch: int, features: tuple, precision: str,
    optimizer: str, compiled: bool,
) -> tuple[Cost, float | None]:  # fmt: skip
    """Return seconds a step as wall, and the share of the matrix rate on a GPU."""
    task = (patch, batch, features, precision, optimizer, compiled, options.steps, options.device)
    cost, text = measure(script(sys.executable, AUTOSEG, *task))
    seconds, share = last_json(text)
    return Cost(seconds, cost.processor_s, cost.peak_gb), share


def time_nnunet(options: argparse.Namespace, patch: tuple, batch: int, features: tuple) -> Cost:
    """The same of nnU-Net."""
    with tempfile.TemporaryDirectory() as folder:
        words = script(options.nnunet / "bin/python", NNUNET, patch, batch, features,
                       options.steps, options.device)  # fmt: skip
        cost, text = measure(words, nnunet_places(Path(folder)))
    seconds, _ = last_json(text)
    return Cost(seconds, cost.processor_s, cost.peak_gb)


if __name__ == "__main__":
    main()
