"""Several processes that train one model together, on one machine or many, as torchrun starts them.

Each process is a rank, makes its own samples of every batch, and computes the loss of the whole
batch from sums over all ranks. Rank 0 decides what depends on clocks, measurements or the disk,
and is the only one that writes and speaks.
"""

from __future__ import annotations

import contextlib
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from autoseg.device import pick_device
from autoseg.errors import AutosegError, ResourceError, UsageError
from autoseg.training.launch import Launch

Value = TypeVar("Value")

# As long as one rank may be busy while the others wait: with a large scan of the final validation.
TIMEOUT = timedelta(hours=1)
INTERNAL_ERROR = 1


@dataclass(frozen=True)
class Ranks:
    """Which of `size` ranks this process is. For one alone everything here is the identity.

    Every rank must call the same methods in the same order.
    """

    rank: int = 0
    size: int = 1

    @property
    def alone(self) -> bool:
        """Tell whether there is no other rank."""
        return self.size == 1

    @property
    def first(self) -> bool:
        """Tell whether this rank decides, writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Return which of `count` samples are this rank's: neighbours; the first ranks have more.

        >>> Ranks(0, 2).share(3), Ranks(1, 2).share(3)
        (slice(0, 2, None), slice(2, 3, None))
        """
        each, more = divmod(count, self.size)
        begin = self.rank * each + min(self.rank, more)
        return slice(begin, begin + each + (self.rank < more))

    def all_sum(self, x: Tensor) -> Tensor:
        """Return the sum of `x` over all ranks, the same on each.

        Its gradient is that of this rank's own `x`: summed over the ranks (`sum_gradients`), the
        gradients of the weights are those of the whole.
        """
        return x if self.alone else _AllSum.apply(x)

    def all_max(self, numbers: Sequence[int]) -> list[int]:
        """Return the largest of each of `numbers` over all ranks."""
        if self.alone:
            return list(numbers)
        largest = torch.tensor(numbers, dtype=torch.int64)
        with _explained():
            dist.all_reduce(largest, dist.ReduceOp.MAX)
        return largest.tolist()

    def decide(self, make: Callable[[], Value]) -> Value:
        """Return what `make()` gives on rank 0; when it fails there, every rank ends."""
        if self.alone:
            return make()
        answer: list[Any] = [None, None]
        error: Exception | None = None
        if self.first:
            try:
                answer[1] = make()
            except Exception as problem:
                error, answer[0] = problem, _exit_code(problem)
        with _explained():
            dist.broadcast_object_list(answer, src=0)
        if error is not None:
            raise error
        if answer[0] is not None:
            raise SystemExit(answer[0])
        return answer[1]

    def together(self, make: Callable[[], Value]) -> Value:
        """Return what `make()` gives on this rank; when it fails on any, every rank ends.

        The lowest rank that failed raises its error; the others end silently with its exit code.
        """
        if self.alone:
            return make()
        value: Value | None = None
        error: Exception | None = None
        try:
            value = make()
        except Exception as problem:
            error = problem
        mine = [0] * self.size
        mine[self.rank] = 0 if error is None else _exit_code(error)
        codes = self.all_max(mine)
        first = next((rank for rank, code in enumerate(codes) if code), None)
        if error is not None and (first == self.rank or not isinstance(error, AutosegError)):
            raise error
        if first is not None:
            raise SystemExit(codes[first])
        return value  # type: ignore[return-value]

    def slowest(self, measure: Callable[[], float]) -> float:
        """Return the longest of the seconds that `measure()` gives, called on all ranks at once."""
        seconds = self.together(measure)
        return seconds if self.alone else self.all_max([math.ceil(seconds * 1000)])[0] / 1000

    def once(self, error: AutosegError) -> BaseException:
        """Return what to raise for an error that all ranks know of: rank 0 tells it."""
        return error if self.first else SystemExit(error.exit_code)

    def gather(self, value: Value) -> list[Value]:
        """Return the values of all ranks, in their order, on rank 0; an empty list elsewhere."""
        if self.alone:
            return [value]
        values: list[Any] = [None] * self.size if self.first else []
        with _explained():
            dist.gather_object(value, values if self.first else None, dst=0)
        return values

    def same_weights(self, network: nn.Module) -> None:
        """Give `network` the weights and buffers that it has on rank 0."""
        for tensor in [] if self.alone else network.state_dict().values():
            with _explained():
                dist.broadcast(tensor, src=0)

    def sum_gradients(self, network: nn.Module) -> None:
        """Replace every gradient of `network` by its sum over all ranks."""
        if self.alone:
            return
        gradients = [p.grad for p in network.parameters() if p.grad is not None]
        with _explained():
            flat = torch.cat([gradient.flatten() for gradient in gradients])
            dist.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        shaped = [part.view(g.shape) for g, part in zip(gradients, parts, strict=True)]
        torch._foreach_copy_(gradients, shaped)


ALONE = Ranks()


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone()
        with _explained():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        return outer[0]


def rank_device(name: str | None, launch: Launch) -> str:
    """Return "cpu" or the GPU of this rank's number, as `name` of `--device` allows."""
    if name == "cpu":
        return name
    if name not in (None, "cuda"):
        error = UsageError(
            f"--device {name} under torchrun",
            expected="cpu or cuda",
            remedy="each process takes the GPU of its number; CUDA_VISIBLE_DEVICES chooses them",
        )
        raise Ranks(launch.rank, launch.size).once(error)
    if name is None and not torch.cuda.is_available():
        return "cpu"
    return f"cuda:{launch.local_rank}"


@contextlib.contextmanager
def join_ranks(device: str, launch: Launch | None) -> Iterator[Ranks]:
    """Meet the other processes of a `launch` for the time of the block; alone without one.

    `device` is that of `rank_device`. Beside rank 0 nothing is logged but errors.
    """
    if launch is None:
        yield ALONE
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.set_device(pick_device(device))
    with _explained():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            rank=launch.rank,
            world_size=launch.size,
            timeout=TIMEOUT,
        )
    if launch.rank > 0:
        logging.getLogger("autoseg").setLevel(logging.ERROR)
    try:
        yield Ranks(launch.rank, launch.size)
    finally:
        dist.destroy_process_group()


def _exit_code(error: Exception) -> int:
    return error.exit_code if isinstance(error, AutosegError) else INTERNAL_ERROR


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what torch says about a lost connection into one sentence."""
    try:
        yield
    except RuntimeError as error:
        # gloo's message begins with the place in its source, in brackets.
        detail = re.sub(r"^\[\S*\]\s*", "", str(error).split("\n")[0]).split(". ")[0][:200]
        raise ResourceError(
            f"the connection to the other processes of this training is lost ({detail})",
            remedy="see what the one says that ended first; the same command continues",
        ) from error
