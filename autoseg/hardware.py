"""What this machine has: cores, memory, disk, GPUs; asked of the system, without torch.

Inside a container the limits of its control group count, not those of the host.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

SYSTEM = Path("/")
NVIDIA_SMI_TIMEOUT_S = 5
LIMITS = ("memory.max", "memory.limit_in_bytes")  # of control groups, version 2 and 1
USES = ("memory.current", "memory.usage_in_bytes")


def cores(root: Path = SYSTEM) -> int:
    """Return the cores this process may use (affinity and cgroup quota), at least 1."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    quota = _cpu_quota(root)
    return max(1, min(allowed, round(quota)) if quota else allowed)


def memory_bytes(root: Path = SYSTEM) -> int:
    """Return the memory this process may use, in bytes: the machine's or the cgroup's, the smaller.

    0 when the system does not say.
    """
    limits = [_meminfo(root, "MemTotal")]
    limits += [_first_integer(group, LIMITS) for group in _memory_groups(root)]
    return min((limit for limit in limits if limit), default=0)


def available_bytes(root: Path = SYSTEM) -> int:
    """Return the memory in bytes that is free for this process, or would be made free for it.

    What files hold in memory counts as free; 0 when the system does not say.
    """
    free = [_meminfo(root, "MemAvailable")]
    for group in _memory_groups(root):
        limit = _first_integer(group, LIMITS)
        if limit:
            used = _first_integer(group, USES) - _file_pages(group / "memory.stat")
            free.append(max(1, limit - used))
    return min((part for part in free if part), default=0)


def free_disk_bytes(path: Path) -> int:
    """Return the free bytes on the disk of `path`, or of its nearest folder that exists."""
    path = path.resolve()
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def gpus() -> list[str]:
    """Return the names of the NVIDIA GPUs, as nvidia-smi lists them; empty without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=NVIDIA_SMI_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]


def describe() -> str:
    """Return this machine in one phrase: "2 cores, 16 GB memory, no GPU"."""
    count, names = cores(), gpus()
    core_word = "core" if count == 1 else "cores"
    memory = f"{memory_bytes() / 1e9:.0f} GB memory"
    return f"{count} {core_word}, {memory}, {' + '.join(names) or 'no GPU'}"


def _cpu_quota(root: Path) -> float | None:
    """Cores granted by the control group (version 2, then 1), or None when unlimited."""
    words = _text(root / "sys/fs/cgroup/cpu.max").split()
    if len(words) == 2 and words[0].isdigit():
        return int(words[0]) / int(words[1])
    quota = _integer(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us")
    period = _integer(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us")
    return quota / period if quota and period else None


def _memory_groups(root: Path) -> list[Path]:
    """Return the folders of this process's control groups that may limit memory, of all levels."""
    tops = {"": root / "sys/fs/cgroup", "memory": root / "sys/fs/cgroup/memory"}
    groups = dict.fromkeys(tops.values())  # a container sees its own group at the top
    for line in _text(root / "proc/self/cgroup").splitlines():
        controllers, path = line.split(":", 2)[1:]
        if controllers in tops:
            own = PurePosixPath(path.lstrip("/"))
            groups |= dict.fromkeys(tops[controllers] / level for level in (own, *own.parents))
    return list(groups)


def _meminfo(root: Path, name: str) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0


def _file_pages(path: Path) -> int:
    """Return the bytes of files that a group holds in memory, as its `memory.stat` says."""
    lines = dict(line.split() for line in _text(path).splitlines() if line.count(" ") == 1)
    total = "total_" if "total_active_file" in lines else ""  # version 1: with groups below it
    return sum(int(lines.get(f"{total}{which}_file", 0)) for which in ("active", "inactive"))


def _first_integer(group: Path, names: tuple[str, ...]) -> int:
    return next((number for name in names if (number := _integer(group / name))), 0)


def _integer(path: Path) -> int:
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
