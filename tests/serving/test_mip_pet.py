"""The pictures that the contract was written for, if they are on this machine."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image as Pillow

from tests.serving.flat import ROOT, one_thread, served
from tests.serving.test_contract import decoded, validate

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "mip_pet"
LIMIT_S = 10  # of the competition; here for a small network, so it is the service that is timed


def twenty():
    """Return files of twenty heights, the largest among them."""
    heights = {}
    for path in sorted(DATA.glob("*/imgs/*.png")):
        heights.setdefault(Pillow.open(path).size[1], path)
    ordered = [heights[height] for height in sorted(heights)]
    return [ordered[len(ordered) * n // 20] for n in range(19)] + [ordered[-1]]


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the shared data are not on this machine")
def test_twenty_pictures_four_at_a_time_are_those_of_autoseg_predict(flat_bundle, tmp_path):
    paths = twenty()
    (tmp_path / "in").mkdir()
    for path in paths:
        (tmp_path / "in" / path.name).symlink_to(path)

    def ask(path):
        body = {"img": base64.b64encode(path.read_bytes()).decode()}
        answer = requests.post(f"{service.url}/predict", json=body, timeout=LIMIT_S)
        return base64.b64decode(answer.json()["img"]), answer.elapsed.total_seconds()

    with served(flat_bundle, "--speed", "fast") as service, ThreadPoolExecutor(4) as clients:
        masks, seconds = zip(*clients.map(ask, paths), strict=True)
    print(f"at most {max(seconds):.2f} s")
    command = [sys.executable, "-m", "autoseg.cli", "predict", "-m", str(flat_bundle)]
    command += ["-i", str(tmp_path / "in"), "-o", str(tmp_path / "out"), "--device", "cpu"]
    command += ["--speed", "fast"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env=one_thread())
    shapes = set()
    for path, mask_png in zip(paths, masks, strict=True):
        image = decoded(path.read_bytes())
        mask = validate(image, mask_png)
        predicted = np.asarray(Pillow.open(io.BytesIO((tmp_path / "out" / path.name).read_bytes())))
        np.testing.assert_array_equal(mask > 0, predicted > 0)
        shapes.add(image.shape)
    assert len(shapes) == 20
    assert (991, 400, 3) in shapes
    assert max(seconds) < LIMIT_S
