"""What the machine has, as the system and its control group say."""

import pytest

from autoseg import hardware


def put(root, path, text):
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_this_machine_has_something():
    assert hardware.cores() >= 1
    assert hardware.memory_bytes() > 0
    assert "core" in hardware.describe()


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("sys/fs/cgroup/cpu.max", "100000 100000"),
        ("sys/fs/cgroup/cpu.max", "20000 100000"),
    ],
)
def test_a_container_with_one_core_or_less_has_one(tmp_path, path, text):
    put(tmp_path, path, text)
    assert hardware.cores(tmp_path) == 1


def test_the_older_control_group_counts_too(tmp_path):
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000")
    put(tmp_path, "sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
    assert hardware.cores(tmp_path) == 1


def test_an_unlimited_group_leaves_every_core(tmp_path):
    put(tmp_path, "sys/fs/cgroup/cpu.max", "max 100000")
    assert hardware.cores(tmp_path) == hardware.cores(tmp_path / "nothing here")


def test_memory_is_the_smaller_of_machine_and_group(tmp_path):
    put(tmp_path, "proc/meminfo", "MemTotal:       1000 kB\nMemFree: 3 kB\n")
    assert hardware.memory_bytes(tmp_path) == 1_024_000
    put(tmp_path, "sys/fs/cgroup/memory.max", "500000\n")
    assert hardware.memory_bytes(tmp_path) == 500_000
    put(tmp_path, "sys/fs/cgroup/memory.max", "max\n")
    assert hardware.memory_bytes(tmp_path) == 1_024_000


def test_free_disk_of_a_folder_that_is_still_to_be_made(tmp_path):
    assert hardware.free_disk_bytes(tmp_path / "a" / "b") > 0


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    monkeypatch.setattr(hardware.shutil, "which", lambda name: None)
    assert hardware.gpus() == []


def test_a_driver_that_fails_is_no_gpu(monkeypatch):
    monkeypatch.setattr(hardware.shutil, "which", lambda name: "/bin/false")
    assert hardware.gpus() == []


MEMINFO = "MemTotal:  1000 kB\nMemFree: 3 kB\nMemAvailable:    600 kB\n"


def test_available_is_what_is_free_and_what_files_hold(tmp_path):
    put(tmp_path, "proc/meminfo", MEMINFO)
    assert hardware.available_bytes(tmp_path) == 600 * 1024
    put(tmp_path, "sys/fs/cgroup/memory.max", "500000\n")
    put(tmp_path, "sys/fs/cgroup/memory.current", "400000\n")
    put(tmp_path, "sys/fs/cgroup/memory.stat", "anon 1\ninactive_file 30000\nactive_file 5000\n")
    assert hardware.available_bytes(tmp_path) == 500_000 - 400_000 + 35_000


def test_a_group_that_uses_all_leaves_next_to_nothing(tmp_path):
    put(tmp_path, "proc/meminfo", MEMINFO)
    put(tmp_path, "sys/fs/cgroup/memory.max", "500000\n")
    put(tmp_path, "sys/fs/cgroup/memory.current", "500000\n")
    assert hardware.available_bytes(tmp_path) == 1


def test_version_1_counts_the_groups_below(tmp_path):
    put(tmp_path, "proc/meminfo", MEMINFO)
    put(tmp_path, "sys/fs/cgroup/memory/memory.limit_in_bytes", "300000\n")
    put(tmp_path, "sys/fs/cgroup/memory/memory.usage_in_bytes", "100000\n")
    stat = "active_file 7\ninactive_file 7\ntotal_active_file 20000\ntotal_inactive_file 30000\n"
    put(tmp_path, "sys/fs/cgroup/memory/memory.stat", stat)
    assert hardware.available_bytes(tmp_path) == 250_000


@pytest.mark.parametrize(
    ("line", "top"),
    [("0::/slurm/job_7/step_0\n", ""), ("4:memory:/slurm/job_7/step_0\n", "memory/")],
)
def test_limits_of_a_job_count_at_every_level(tmp_path, line, top):
    name = "memory.limit_in_bytes" if top else "memory.max"
    put(tmp_path, "proc/meminfo", MEMINFO)
    put(tmp_path, "proc/self/cgroup", f"3:cpuset:/elsewhere\n{line}")
    put(tmp_path, f"sys/fs/cgroup/{top}slurm/job_7/{name}", "200000\n")
    assert hardware.memory_bytes(tmp_path) == 200_000
    assert hardware.available_bytes(tmp_path) == 200_000
    put(tmp_path, f"sys/fs/cgroup/{top}elsewhere/{name}", "1000\n")
    assert hardware.memory_bytes(tmp_path) == 200_000


def test_a_system_that_says_nothing_has_none(tmp_path):
    assert hardware.memory_bytes(tmp_path) == hardware.available_bytes(tmp_path) == 0
