"""A model without autoseg: its networks as TorchScript or ONNX, all the rest as numbers in a JSON.

    model.json  fold_0.pt  fold_1.pt ...        (or fold_0.onnx ...)

A network maps (B, C, *patch) float32 to scores (B, channels, *patch). `docs/sharing.md` has a
reader in thirty lines that makes the same label maps of them.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from autoseg.bundle import Bundle, mirrored_axes
from autoseg.bundle_reader import read_card
from autoseg.errors import ResourceError, UsageError
from autoseg.files import write_atomically, write_json
from autoseg.image import CANONICAL, RAS, STORED
from autoseg.networks import build_network
from autoseg.plan import ANISOTROPY
from autoseg.records import to_json

FORMAT = "autoseg-portable-1"
DESCRIPTION = "model.json"
# ITK's names of what scans are turned to: array axes (Z, Y, X) run towards head, back and left, or
# head, front and right; "" leaves them as they are stored.
ITK_ORIENTATION = {CANONICAL: "LPS", RAS: "RAS", STORED: ""}
UNCLIPPED = 1e30
MEASURED: dict[str, tuple[Any, Any]] = {  # normaliser: what is subtracted, then divided by
    "ct": (0.0, 1.0),  # and clipped: by the numbers of the plan
    "zscore": ("mean", "std"),
    "rescale": ("min", "range"),
    "rgb": (0.0, 255.0),
    "none": (0.0, 1.0),
}
STEP, SIGMA = 0.5, 0.125  # of tiles, in patches: as `--speed accurate` has them
SMALLEST_STD = 1e-8
OPSET = 18
TRACES = re.compile(r"\.debug_pkl$|/traced_inputs")  # in a TorchScript archive: for debuggers only

Write = Callable[[nn.Module, Tensor, Path], None]


class Finest(nn.Module):
    """A network that returns only the scores that count, as a tensor instead of a list."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """Return (B, channels, *P) of `image` (B, C, *P)."""
        finest: Tensor = self.network(image)[0]
        return finest


def write_portable(bundle: Bundle, folder: Path, kind: str) -> tuple[str, ...]:
    """Write one file per fold and `model.json` to `folder`; return what the user must know.

    `kind` is "torchscript" or "onnx". Raises UsageError for a model whose preparation cannot be
    told in numbers, ResourceError when a package for it is missing.
    """
    ending, write = KINDS[kind]
    description = describe_model(bundle, kind)
    folder.mkdir(parents=True)
    example = torch.zeros(2, len(bundle.plan.channels), *bundle.design.patch_size)
    for fold, state in bundle.weights.items():
        write(_network(bundle, state), example, folder / f"fold_{fold}{ending}")
    names = [f"fold_{fold}{ending}" for fold in bundle.weights]
    write_json(folder / DESCRIPTION, {**description, "networks": names})
    return ()


def _network(bundle: Bundle, state: Mapping[str, Tensor]) -> nn.Module:
    plan = bundle.plan
    network = build_network(bundle.design.network, len(plan.channels), plan.labels.channels)
    network.load_state_dict(dict(state), strict=True)
    return Finest(network).eval().requires_grad_(False)


def _write_torchscript(network: nn.Module, example: Tensor, path: Path) -> None:
    with warnings.catch_warnings(), torch.inference_mode():
        # Deprecated, not gone: it is the form that C++ and older programs load.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        content = io.BytesIO()
        torch.jit.save(torch.jit.trace(network, example, check_trace=False), content)
    write_atomically(path, lambda stream: _copy_without_traces(content, stream))


def _copy_without_traces(content: BinaryIO, stream: BinaryIO) -> None:
    """Copy a TorchScript archive, but not where on this computer its lines came from."""
    with zipfile.ZipFile(content) as source, zipfile.ZipFile(stream, "w") as target:
        for member in source.infolist():
            if not TRACES.search(member.filename):
                clean = zipfile.ZipInfo(member.filename, (1980, 1, 1, 0, 0, 0))
                target.writestr(clean, source.read(member))


def _write_onnx(network: nn.Module, example: Tensor, path: Path) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        remedy = "pip install 'autoseg[onnx]'"
        fact = f"ONNX needs the package {error.name}"
        raise ResourceError(fact, remedy=remedy) from None
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network, (example,), input_names=["image"], output_names=["scores"],
            opset_version=OPSET, dynamo=True, dynamic_shapes={"image": {0: torch.export.Dim("B")}},
            verbose=False,
        )  # fmt: skip
    assert program is not None
    model = program.model_proto
    # Stack traces, with the paths of this computer in them.
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info,
                 *model.graph.input, *model.graph.output, *model.graph.initializer):  # fmt: skip
        del part.metadata_props[:]
        part.doc_string = ""
    onnx.checker.check_model(model)
    write_atomically(path, lambda stream: stream.write(model.SerializeToString(deterministic=True)))


KINDS: dict[str, tuple[str, Write]] = {
    "torchscript": (".pt", _write_torchscript),
    "onnx": (".onnx", _write_onnx),
}


def describe_model(bundle: Bundle, kind: str) -> dict[str, Any]:
    """Return everything between a scan and its label map but the networks, as JSON primitives."""
    plan, settings, design = bundle.plan, bundle.settings, bundle.design
    strange = [name for name in settings.normalizers if name not in MEASURED]
    if strange or settings.previous is not None:
        fact = f"'{strange[0]}' normalises" if strange else f"continues {settings.previous}"
        raise UsageError(
            f"{settings.name}: {fact}, which {DESCRIPTION} cannot say",
            remedy=f"--to zip{'' if strange else ', or --to nnunet'}",
        )
    labels = plan.labels
    return {
        "format": FORMAT,
        "dataset": plan.dataset,
        "configuration": settings.name,
        "kind": kind,
        "channels": list(plan.channels),
        "orientation": ITK_ORIENTATION[plan.orientation],
        "axis_order": list(plan.axis_order),
        "crop": "nonzero",
        "normalisation": [_normalisation(bundle, i) for i in range(len(plan.channels))],
        "spacing_mm": list(settings.spacing),
        "resampling": {"image": 3, "scores": 1, "separate": 0, "anisotropy": ANISOTROPY},
        "patch_size": list(design.patch_size),
        "step": STEP,
        "gaussian_sigma": SIGMA,
        "from_end": [axis in plan.reversed_axes for axis in range(3)],
        "flips": [list(flip) for flip in _flips(bundle)],
        "left_right_axis": plan.left_right_axis,
        "exchange": list(labels.mirrored_channels),
        "average": "scores of networks and flips",
        "outputs": labels.channels,
        "exclusive": labels.exclusive,
        "values": labels.written.tolist(),
        "targets": to_json(labels.targets),
        "rules": to_json(read_card(bundle.folder).model_card.rules),
    }


def _normalisation(bundle: Bundle, channel: int) -> dict[str, Any]:
    """Return what is clipped, subtracted and divided by; words are what the scan itself says."""
    plan, settings = bundle.plan, bundle.settings
    method = settings.normalizers[channel]
    clip, subtract, divide = [-UNCLIPPED, UNCLIPPED], *MEASURED[method]
    if method == "ct":
        stats = plan.intensities[channel]
        clip, subtract = [stats.p0_5, stats.p99_5], stats.mean
        divide = max(stats.std, SMALLEST_STD)
    return {
        "channel": plan.channels[channel],
        "method": method,
        "clip": clip,
        "subtract": subtract,
        "divide": divide,
        "inside_mask": settings.mask_normalization[channel],
    }


def _flips(bundle: Bundle) -> Sequence[tuple[int, ...]]:
    axes = mirrored_axes(bundle.config, bundle.design)
    subsets: list[tuple[int, ...]] = [()]
    for axis in axes:
        subsets += [(*subset, axis) for subset in subsets]
    return sorted(subsets, key=lambda subset: (len(subset), subset))
