"""Prepared cases made in memory, and a small design, for the tests of sampling and batches."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg.image import Geometry, Orientation
from autoseg.plan import Design, NetworkSpec, Triple
from autoseg.preprocessing.prepare import Frame
from autoseg.preprocessing.store import PreparedCase


def make_case(
    name: str,
    labels: np.ndarray,
    *,
    targets: int = 2,
    image: np.ndarray | None = None,
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    tags: tuple[str, ...] = (),
    annotated: tuple[str, ...] | None = None,
) -> PreparedCase:
    """A case whose target k is value index k + 1; the image equals the labels unless given."""
    shape: Triple = labels.shape
    frame = Frame(
        source=Geometry(shape, spacing),
        orientation=Orientation(),
        axis_order=(0, 1, 2),
        box=tuple((0, length) for length in shape),
        prepared_shape=shape,
        spacing=spacing,
        prepared_spacing=spacing,
    )
    return PreparedCase(
        id=name,
        image=labels[None].astype(np.float32) if image is None else image,
        labels=labels,
        foreground=tuple(np.argwhere(labels == k + 1).astype(np.int32) for k in range(targets)),
        labelled=np.zeros((0, 3), dtype=np.int32),
        frame=frame,
        group=None,
        tags=tags,
        annotated=annotated,
        files=(Path(), Path()),
    )


def make_design(patch_size: Triple, batch_size: int = 4) -> Design:
    kernels = ((1, 3, 3) if patch_size[0] == 1 else (3, 3, 3),) * 2
    strides = ((1, 1, 1), (1, 2, 2) if patch_size[0] == 1 else (2, 2, 2))
    return Design(
        patch_size, batch_size, NetworkSpec("plain_unet", (4, 8), strides, kernels, (1, 1), (1,))
    )
