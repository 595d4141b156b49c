"""nnU-Net's `checkpoint_final.pth`: a pickle, so read by torch's restricted reader only.

So are other programs' files of weights.

Tensors, plain containers and numpy's numbers may be in it. Anything else, which could run code when
it is unpickled, is refused before it exists.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from autoseg.errors import AutosegError, CorruptError, DataError
from autoseg.files import write_atomically

NUMBERS = (
    np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
    np.float16, np.float32, np.float64,
)  # fmt: skip
EXPECTED = "a checkpoint of nnU-Net v2"
FIELDS = ("network_weights", "init_args", "trainer_name")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says that matters for predicting."""

    weights: Mapping[str, Tensor]
    configuration: str
    trainer: str
    mirror_axes: tuple[int, ...]  # of nnU-Net's arrays, without channels
    epochs: int | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Return the content of nnU-Net's checkpoint; nothing in it can run code.

    Raises CorruptError when it is damaged or holds an object that is not on the list, DataError
    when it is no checkpoint of nnU-Net.
    """
    content = read_pickle(path, EXPECTED)
    missing = [name for name in FIELDS if not isinstance(content, dict) or name not in content]
    if missing:
        raise DataError(f"misses {', '.join(missing)}", place=str(path), expected=EXPECTED)
    weights, arguments = content["network_weights"], content["init_args"]
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise DataError("network_weights is not a table of tensors", place=str(path))
    if not isinstance(arguments, dict) or not isinstance(arguments.get("configuration"), str):
        raise DataError("init_args does not name the configuration", place=str(path))
    axes = content.get("inference_allowed_mirroring_axes")
    epochs = content.get("current_epoch")
    return Checkpoint(
        weights,
        arguments["configuration"],
        str(content["trainer_name"]),
        tuple(int(axis) for axis in axes or ()),
        int(epochs) if epochs is not None else None,
    )


def read_pickle(path: Path, expected: str) -> Any:
    """Return what torch saved to `path`, tensors, plain containers and numbers only.

    `expected` says in words what should be there. Raises DataError when the file is missing,
    CorruptError when it is damaged or holds anything else, which is refused before it exists.
    """
    _refuse_bomb(path)
    make_scalar = np.float64(0).__reduce__()[0]
    allowed: list[Any] = [
        np.dtype,
        *{type(np.dtype(number)) for number in NUMBERS},
        # numpy 2 moved it; checkpoints name the place that their own numpy had.
        (make_scalar, "numpy.core.multiarray.scalar"),
        (make_scalar, "numpy._core.multiarray.scalar"),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            return torch.load(path, map_location="cpu", weights_only=True)
    except (AutosegError, MemoryError):
        raise
    except FileNotFoundError as error:
        raise DataError("file not found", place=str(path)) from error
    except Exception as error:  # the reader's errors share no class but this one
        raise _as_corrupt(error, path, expected) from error


def _as_corrupt(error: Exception, path: Path, expected: str) -> CorruptError:
    words = str(error)
    if "GLOBAL " in words:
        name = words.split("GLOBAL ")[1].split()[0].rstrip(".,")
        return CorruptError(
            f"holds an object of the kind {name}",
            place=str(path),
            expected="tensors, numbers and text",
            remedy="it could run code when it is read, so it was not read; ask its author",
        )
    return CorruptError(
        f"cannot be read: {words.splitlines()[0][:120] if words else type(error).__name__}",
        place=str(path),
        expected=expected,
        remedy="copy it again",
    )


def _refuse_bomb(path: Path) -> None:
    """Raise CorruptError when the archive would unpack to more than it holds."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return  # torch's older format, which has no compression
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except zipfile.BadZipFile as error:
        raise CorruptError(f"cannot be read: {error}", place=str(path)) from error
    if size > 2 * path.stat().st_size:
        fact = f"unpacks to {size >> 20} MB from {path.stat().st_size >> 20} MB"
        raise CorruptError(fact, place=str(path), expected="stored tensors, not compressed ones")


def write_checkpoint(path: Path, checkpoint: Checkpoint, fold: int | str) -> None:
    """Write what nnU-Net's predictor reads of a checkpoint; no optimiser, no paths, no history."""
    content = {
        "network_weights": dict(checkpoint.weights),
        "optimizer_state": None,
        "grad_scaler_state": None,
        "logging": None,
        "_best_ema": None,
        "current_epoch": checkpoint.epochs or 0,
        "init_args": {"configuration": checkpoint.configuration, "fold": fold},
        "trainer_name": checkpoint.trainer,
        "inference_allowed_mirroring_axes": checkpoint.mirror_axes or None,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_atomically(path, lambda file: file.write(stream.getvalue()))
