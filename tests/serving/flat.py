"""A model for flat pictures with random weights, and a service in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import requests
import torch

from autoseg.bundle_writer import save_weights
from autoseg.config import TrainConfig
from autoseg.labels import Labels
from autoseg.networks import build_network
from autoseg.pictures import png_bytes
from autoseg.plan import Configuration, Design, IntensityStats, NetworkSpec, Plan

ROOT = Path(__file__).parents[2]
ONE, HALF, KERNEL = (1, 1, 1), (1, 2, 2), (1, 3, 3)


def make_flat_bundle(folder: Path, folds: tuple[str, ...] = ("0",)) -> Path:
    spec = NetworkSpec("plain_unet", (4, 8), (ONE, HALF), (KERNEL,) * 2, (1, 1), (1,))
    configuration = Configuration(
        name="2d",
        spacing=(None, 1.0, 1.0),
        median_shape=(1, 60, 40),
        normalizers=("zscore",),
        mask_normalization=(False,),
        batch_dice=True,
        sizes={"S": Design((1, 128, 128), 2, spec)},
    )
    plan = Plan(
        dataset="FLAT",
        channels=("PET",),
        labels=Labels({"tumour": (1,)}),
        axis_order=(0, 1, 2),
        intensities=(IntensityStats(0.0, 1.0, -2.0, 2.0, -3.0, 3.0),),
        configurations={"2d": configuration},
        reasons=(),
        file_ending=".png",
    )
    for fold in folds:
        torch.manual_seed(int(fold))
        weights = dict(build_network(spec, 1, plan.labels.channels).state_dict())
        save_weights(folder, fold, weights, plan, "2d", "S", TrainConfig(), {"steps": 3})
    return folder


def picture(height: int = 50, width: int = 40, seed: int = 0) -> bytes:
    """Return a PNG of smooth random greys."""
    noise = np.random.default_rng(seed).normal(0, 1, (height + 8, width + 8))
    smooth = sum(np.roll(noise, (y, x), (0, 1)) for y in range(8) for x in range(8))[
        :height, :width
    ]
    return png_bytes(np.clip(128 + 8 * smooth, 0, 255).astype(np.uint8))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Service:
    """`autoseg serve` as a process."""

    process: subprocess.Popen
    port: int
    log: Path
    name: str  # of the machine, as in an address

    @property
    def url(self) -> str:
        return f"http://{self.name}:{self.port}"

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def one_thread() -> dict[str, str]:
    """The environment of both programs that are compared: other sums have other roundings."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@contextlib.contextmanager
def served(
    folder: Path,
    *words: str,
    host: str = "127.0.0.1",
    before: str = "",
    **environment: str,
) -> Iterator[Service]:
    """Run `autoseg serve -m BUNDLE ...` until the block ends, after the Python code `before`."""
    port = free_port()
    log = folder.parent / f"serve-{port}.log"
    start = f"{before}\nimport sys\nfrom autoseg.cli import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", start, "serve", "-m", str(folder), "--host", host]
    command += ["--port", str(port), "--device", "cpu", *words]
    with log.open("w") as stream:
        process = subprocess.Popen(
            command, cwd=ROOT, stderr=stream, env={**one_thread(), **environment}
        )
    service = Service(process, port, log, f"[{host}]" if ":" in host else host)
    try:
        until = time.monotonic() + 60
        while True:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < until, log.read_text()
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{service.url}/health", timeout=5)
                break
            time.sleep(0.1)
        yield service
    finally:
        if process.poll() is None:
            process.terminate()  # it removes its temporary files
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
