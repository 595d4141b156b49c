"""Weights for programs that know torch alone: tensors, numbers and texts in one file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch

from autoseg.bundle import Bundle
from autoseg.files import write_atomically
from autoseg.records import to_json


def write_weights(path: Path, bundle: Bundle) -> None:
    """Write what `torch.load(path, weights_only=True)` reads: nothing that could run code.

    `weights` has a state dict for each fold; plan, configuration and size say which network.
    """
    content: dict[str, Any] = {
        "configuration": bundle.configuration,
        "size": bundle.size,
        "plan": to_json(bundle.plan),
        "weights": {fold: dict(state) for fold, state in bundle.weights.items()},
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    write_atomically(path, lambda file: file.write(stream.getvalue()))
