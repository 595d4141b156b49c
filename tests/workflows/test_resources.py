"""Processes, memory and disk for planning, computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from autoseg.dataset import Case, Dataset
from autoseg.image import Geometry, Image
from autoseg.io import write_image
from autoseg.labels import Labels
from autoseg.plan import Fingerprint, IntensityStats
from autoseg.workflows import resources
from tests.preprocessing.conftest import make_plan

GB = 1 << 30


@pytest.fixture
def dataset(tmp_path):
    cases = []
    for number, dtype in enumerate((np.int16, np.float32)):
        paths = tuple(tmp_path / f"case_{number}_000{channel}.nii.gz" for channel in range(2))
        shape = (4 + number, 10, 10)
        for path in paths:
            write_image(path, Image(np.zeros((1, *shape), dtype), Geometry(shape)))
        cases.append(Case(f"case_{number}", paths))
    labels = Labels({"liver": (1,)})
    return Dataset("TINY", tmp_path, ("a", "b"), labels, tuple(cases), ".nii.gz")


def test_sizes_come_from_the_headers(dataset):
    small, large = resources.scans_of(dataset)
    assert (small.voxels, small.channels, small.bytes) == (400, 2, 400 * (2 * 2 + 2))
    assert (large.voxels, large.channels, large.bytes) == (500, 2, 500 * (2 * 4 + 2))
    assert resources.bytes_to_check([small, large]) == 2 * 5000 + 2 * 500


def test_a_series_has_the_size_of_its_files_and_a_bad_file_none(dataset, tmp_path):
    series = tmp_path / "series"
    series.mkdir()
    for number in range(3):
        (series / f"{number}.dcm").write_bytes(bytes(200))
    (series / "4.dcm").symlink_to("nowhere")
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"no image")
    cases = (Case("series", (series,)), Case("broken", (broken,)))
    assert resources.scans_of(replace(dataset, cases=cases)) == [resources.Scan(300, 1, 1200)]


def test_small_data_are_not_worth_a_process(dataset, monkeypatch):
    assert not resources.is_large(dataset)
    monkeypatch.setattr(resources, "PAYS_FROM", 100)
    assert resources.is_large(dataset)
    monkeypatch.setattr(resources, "cores", lambda: 8)
    assert resources.choose_workers(None, False, GB) == 0


def test_a_check_of_large_data_starts_processes(dataset, monkeypatch):
    monkeypatch.setattr(resources, "cores", lambda: 8)
    monkeypatch.setattr(resources, "available_bytes", lambda: 3 * (resources.PROCESS + 11_000))
    assert resources.workers_to_check(None, dataset) == 0
    monkeypatch.setattr(resources, "PAYS_FROM", 100)
    assert resources.workers_to_check(None, dataset) == 3
    assert resources.workers_to_check(2, dataset) == 2


@pytest.mark.parametrize(
    ("available", "workers"),
    [(100 * GB, 8), (5 * GB, 4), (2.1 * GB, 0), (0.5 * GB, 0), (0, 8)],  # 0: not known
)
def test_as_many_processes_as_fit_into_memory(monkeypatch, available, workers):
    monkeypatch.setattr(resources, "cores", lambda: 8)
    monkeypatch.setattr(resources, "available_bytes", lambda: int(available))
    assert resources.choose_workers(None, True, GB) == workers


@pytest.mark.parametrize(("wanted", "workers"), [(0, 0), (1, 0), (3, 3)])
def test_what_the_user_says_counts(wanted, workers):
    assert resources.choose_workers(wanted, True, 10**15) == workers


def test_preparing_counts_the_scan_and_its_finest_configuration():
    plan, configuration = make_plan(spacing=(1.0, 1.0, 1.0))
    coarse = replace(configuration, name="3d_lowres", spacing=(4.0, 4.0, 4.0))
    flat = replace(configuration, name="2d", spacing=(None, 2.0, 2.0))
    all_of_them = {c.name: c for c in (configuration, coarse, flat)}
    plan = replace(plan, configurations=all_of_them, axis_order=(1, 0, 2))
    stats = IntensityStats(0.0, 1.0, 0.0, 0.0, 0.0, 0.0)
    fingerprint = Fingerprint(
        cases=("a", "b"),
        spacings=((2.0, 1.0, 1.0), (2.0, 2.0, 2.0)),
        shapes=((10, 20, 30), (10, 10, 10)),
        kept_fraction=1.0,
        channels=("c0",),
        intensities=(stats,),
        target_volumes_ml={},
    )
    source, fine = 6000, 20 * 20 * 30
    needed = resources.bytes_to_prepare(fingerprint, plan, ["3d_lowres", "3d_fullres"])
    assert needed == 13 * source + 21 * fine
    # In 2d the first axis, here the scan's second, keeps its own 1 mm.
    assert resources.bytes_to_prepare(fingerprint, plan, ["2d"]) == 13 * source + 21 * 20 * 10 * 15
    tall = replace(fingerprint, shapes=((10, 100, 30), (10, 10, 10)))
    needed = resources.bytes_to_prepare(tall, plan, ["3d_fullres"])
    assert needed == 13 * 30_000 + (5 * 100 + 16 * 32) * 20 * 30


def test_scans_wait_only_where_memory_and_disk_hold_them(tmp_path, monkeypatch):
    scans = [resources.Scan(1, 1, 100)] * 3
    for memory, disk, fits in ((600, 1200, True), (599, 1200, False), (600, 1199, False)):
        monkeypatch.setattr(resources, "available_bytes", lambda memory=memory: memory)
        monkeypatch.setattr(resources, "free_disk_bytes", lambda path, disk=disk: disk)
        assert resources.spool_fits(tmp_path, scans) == fits
