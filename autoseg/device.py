"""Where the arithmetic runs, and in which precision: asked once, measured, never assumed.

bfloat16 doubles or triples the speed of a processor with the right instructions (AMX) and is 15
times slower without them, so both are tried on real steps and the faster one is taken.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from autoseg.errors import ResourceError, UsageError, suggest

PROBE_SECONDS = 1.0  # per precision
WORTHWHILE = 1.1  # low precision must be this much faster: the last bit of accuracy is worth 10 %
HOPELESS = 3.0  # a first step this much slower than float32 is not tried twice
PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def pick_device(name: str | None) -> torch.device:
    """Return the device called `name` ("cpu", "cuda:1", "mps"); None: a GPU if there is one.

    Raises UsageError for a name that is no device, ResourceError when the machine does not have it.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(
            f"unknown device '{name}'", remedy=suggest(name, ["cpu", "cuda", "mps"])
        ) from error
    if device.type == "cuda":
        _check_cuda(device)
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise ResourceError("this machine has no Apple GPU", remedy="use --device cpu")
    elif device.type not in ("cpu", "mps"):
        raise UsageError(f"device '{name}' is not supported", expected="cpu, cuda or mps")
    return device


def _check_cuda(device: torch.device) -> None:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if count == 0:
        raise ResourceError("CUDA finds no GPU", remedy="check nvidia-smi, or use --device cpu")
    if (device.index or 0) >= count:
        there = ", ".join(f"cuda:{index}" for index in range(count))
        raise ResourceError(f"there is no {device}", remedy=f"this machine has {there}")


def describe_device(device: torch.device) -> str:
    """Return one phrase: "NVIDIA H200, 139 GB" or "CPU, 2 threads"."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name}, {properties.total_memory / 2**30:.0f} GB"
    if device.type == "mps":
        return "Apple GPU"
    return f"CPU, {torch.get_num_threads()} threads"


def autocast(device: torch.device, dtype: torch.dtype) -> torch.autocast:
    """Return the context in which layers compute in `dtype`; float32 switches it off."""
    lower = dtype != torch.float32
    return torch.autocast(device.type, dtype=dtype if lower else None, enabled=lower)


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Let convolutions on a GPU use all bits of float32 inside the block, not the 10 of TF32."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    ):
        yield


@contextlib.contextmanager
def tried_convolutions() -> Iterator[None]:
    """Let a GPU try its algorithms for every new shape inside the block, and keep the fastest."""
    with torch.backends.cudnn.flags(
        enabled=True, benchmark=True, deterministic=False, allow_tf32=True
    ):
        yield


def pick_precision(
    step: Callable[[torch.dtype], object],
    device: torch.device,
    seconds: float = PROBE_SECONDS,
) -> tuple[torch.dtype, str]:
    """Return the precision in which `step(dtype)` is fastest, and the sentence that says why.

    `step` does one real step (forward, and backward when training) in the given precision and may
    be called any number of times; each precision is timed for about `seconds`, two steps at least.
    float16 is taken only on a GPU that has no bfloat16.
    """
    low = torch.bfloat16
    if device.type == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        low = torch.float16
    first, full = _time_steps(lambda: step(torch.float32), device, seconds)
    try:
        _, reduced = _time_steps(lambda: step(low), device, seconds, give_up=HOPELESS * first)
    except RuntimeError as error:
        return torch.float32, f"float32: this device cannot compute in {name_of(low)} ({error})"
    chosen = low if full > WORTHWHILE * reduced else torch.float32
    compared = f"a step takes {full:.3g} s in float32, {reduced:.3g} s in {name_of(low)}"
    return chosen, f"{name_of(chosen)}: {compared}"


def is_faster(
    step: Callable[[], object], other: Callable[[], object], device: torch.device
) -> bool:
    """Tell whether `step` is worth taking instead of `other` (more than 10 % faster)."""
    times = [time_step(way, device, PROBE_SECONDS) for way in (other, step)]
    return times[0] > WORTHWHILE * times[1]


def time_step(step: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Return the seconds of the fastest `step` within about `seconds`, the first one apart."""
    return _time_steps(step, device, seconds)[1]


def _time_steps(
    step: Callable[[], object],
    device: torch.device,
    seconds: float,
    give_up: float = float("inf"),
) -> tuple[float, float]:
    """Seconds of the first step, which also warms up, and of the fastest one after it."""
    begin = time.monotonic()
    first = fastest = _seconds(step, device)
    if first > give_up:
        return first, first
    fastest = _seconds(step, device)
    while time.monotonic() - begin < seconds:
        fastest = min(fastest, _seconds(step, device))
    return first, fastest


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    begin = time.perf_counter()
    step()
    synchronize(device)
    return time.perf_counter() - begin


def name_of(dtype: torch.dtype) -> str:
    """Return "float32" for `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was asked to; nothing to do on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def send(array: np.ndarray, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return an array on `device`, as `dtype`, without waiting until a GPU has taken it."""
    tensor = torch.from_numpy(array).to(dtype=dtype)
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def constant(array: np.ndarray, device: torch.device) -> Tensor:
    """Return an array on `device`, where it stays for every later call; not to be changed.

    Steps ask for the same small tables again and again, and in a CUDA graph nothing can be sent.
    """
    return _constant(array.tobytes(), array.dtype.str, array.shape, device)


@functools.cache
def _constant(content: bytes, dtype: str, shape: tuple[int, ...], device: torch.device) -> Tensor:
    array = np.frombuffer(content, dtype).reshape(shape).copy()
    with torch.inference_mode(False):
        return torch.from_numpy(array).to(device)


def memory_of(name: str) -> tuple[int, int] | None:
    """Return free and total bytes of a GPU, by device name; None of other devices.

    Asking takes some of that memory for as long as this process lives.
    """
    device = torch.device(name)
    return torch.cuda.mem_get_info(device) if device.type == "cuda" else None


def free_bytes(device: torch.device) -> int | None:
    """Return what this process may still take of a GPU's memory; None of other devices."""
    if device.type != "cuda":
        return None
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def pinned(array: np.ndarray, device: torch.device) -> np.ndarray:
    """Return `array` in memory that a CUDA device reads by itself; for others as it is."""
    return torch.from_numpy(array).pin_memory().numpy() if device.type == "cuda" else array


def release_memory(device: torch.device) -> None:
    """Give back what an error left behind: arrays in dead cycles, and what CUDA keeps for later."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextlib.contextmanager
def explained_memory(what: str, remedy: str) -> Iterator[None]:
    """Turn an out-of-memory error inside the block into a ResourceError with a remedy."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ResourceError(f"out of memory while {what}", remedy=remedy) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise ResourceError(f"out of memory while {what}", remedy=remedy) from error
