"""Real hippocampus scans through prepare, the disk and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg.dataset import Case
from autoseg.io import read_image, read_labels
from autoseg.preprocessing.prepare import place, prepare, prepare_labels, restore
from autoseg.preprocessing.store import open_prepared, write_prepared
from tests.preprocessing.conftest import make_plan

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "hippocampus"
SCANS = sorted((DATA / "imagesTr").glob("h*.nii.gz"))[:6]

pytestmark = pytest.mark.skipif(not SCANS, reason=f"the hippocampus scans are not in {DATA}")


@pytest.mark.parametrize("path", SCANS, ids=lambda path: path.name[:-7])
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (0.8, 1.1, 0.9), (None, 0.7, 0.7)])
def test_labels_come_back_on_the_scans_own_grid(path, spacing, tmp_path):
    image = read_image(path)
    label_map = read_labels(DATA / "labelsTr" / path.name).array[0]
    targets = {"anterior": (1,), "posterior": (2,)}
    plan, configuration = make_plan(spacing, axis_order=(1, 2, 0), targets=targets)
    array, frame = prepare(image, plan, configuration)
    assert abs(array.mean()) < 0.05
    indices = prepare_labels(label_map, frame, plan.labels)
    write_prepared(tmp_path, Case("h", (path,)), array, indices, frame, plan.labels)
    stored = open_prepared(tmp_path, "h")
    scores = np.stack([stored.labels == value for value in range(3)]).astype(np.float32)
    back = plan.labels.decode(restore(scores, stored.frame))
    assert back.shape == image.geometry.shape
    if spacing == (1.0, 1.0, 1.0):
        np.testing.assert_array_equal(back, label_map)
        np.testing.assert_array_equal(place(stored.labels, frame), label_map)
    for value in (1, 2):
        both = ((back == value) & (label_map == value)).sum()
        assert 2 * both / ((back == value).sum() + (label_map == value).sum()) > 0.93
