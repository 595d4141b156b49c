"""The step as one CUDA graph, and its network compiled, where that is faster.

A GPU does the kernels of a small patch faster than a host asks for them: some thousand a step. A
graph holds them all, recorded once with the places of their inputs, and is asked for at once.
"""

from __future__ import annotations

import dataclasses
import logging
import time

import torch
from torch import Tensor

from autoseg.device import WORTHWHILE, time_step
from autoseg.errors import UsageError
from autoseg.networks.unet import UNet
from autoseg.progress import say_duration
from autoseg.training.batch import Batch, each_tensor
from autoseg.training.optim import OPTIMIZERS
from autoseg.training.state import Task, Training
from autoseg.training.step import Step, add_gradients, learn, skips_by_itself

log = logging.getLogger(__name__)

WARM_UPS = 3  # before recording: libraries choose their algorithms, memory is found
PROBE_S = 0.3  # for each way
# torch.compile takes about a minute for a U-Net and may gain a fifth, or nothing: it is tried where
# that is a twentieth of the time.
LONG_S = 1200.0


def choose_step(training: Training, task: Task, batch: Batch) -> Step:
    """Return what does a step fastest with batches like `batch`: `learn`, or a graph of it.

    The network may become a compiled one on the way; weights and optimiser stay as they are. Raises
    UsageError where it is asked to be compiled and cannot.
    """
    wanted = task.config.compile
    if wanted:
        compile_network(training, task, batch)
    if task.device.type != "cuda" or training.scaler.is_enabled():
        return learn
    training.network.train()
    step, seconds = _asked_or_recorded(training, task, batch)
    left_s = (training.length.steps - training.step) * seconds
    if wanted is not None or left_s < LONG_S:
        return step
    begin = time.monotonic()
    try:
        compile_network(training, task, batch)
    except UsageError as error:
        log.info("%s", error.fact)
        return step
    other, compiled_s = _asked_or_recorded(training, task, batch)
    took = say_duration(time.monotonic() - begin)
    log.info("compiled in %s: %.3g ms a step, %.3g ms without", took, 1e3 * compiled_s,
             1e3 * seconds)  # fmt: skip
    if seconds > WORTHWHILE * compiled_s:
        return other
    training.compiled = None
    return step


def compile_network(training: Training, task: Task, batch: Batch) -> None:
    """Have gradients computed by a compiled network; raise UsageError where that fails.

    The compiler fuses what lies between convolutions, and chooses the layout of their inputs.
    """
    training.network.train()
    training.compiled = torch.compile(training.network)
    try:
        add_gradients(training, task, batch)  # it is compiled when it is first used
    except Exception as error:  # whatever a compiler wants that is not there
        training.compiled = None
        fact = f"the network cannot be compiled here ({_first_line(error)})"
        raise UsageError(fact, remedy="--set compile=false") from error
    finally:
        training.optimizer.zero_grad(set_to_none=True)


def _asked_or_recorded(training: Training, task: Task, batch: Batch) -> tuple[Step, float]:
    """Return `learn` or a graph of it, and the seconds that a step takes so."""
    spoilt = dataclasses.replace(batch, image=torch.full_like(batch.image, torch.nan))
    asked = time_step(lambda: learn(training, task, spoilt), task.device, PROBE_S)
    if not can_be_recorded(training, task):
        return learn, asked
    try:
        graph = GraphedStep(training, task, batch)
        graphed = time_step(lambda: graph(training, task, spoilt), task.device, PROBE_S)
    except RuntimeError as error:  # of which being out of memory is one
        log.info("a step cannot be recorded as a CUDA graph (%s)", _first_line(error))
        graphed = torch.inf
    if asked > WORTHWHILE * graphed:
        log.info("a step is one CUDA graph: %.3g ms instead of %.3g ms", 1e3 * graphed, 1e3 * asked)
        return graph, graphed
    rates_as_numbers(training.optimizer)
    return learn, asked


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def can_be_recorded(training: Training, task: Task) -> bool:
    """Tell whether all that a step does, it does on one GPU, and the same every time.

    What is not ours, and what is computed a second time with the state of random numbers, may do
    other things.
    """
    config, network = task.config, training.network
    return (
        task.device.type == "cuda"
        and task.ranks.alone
        and not config.freeze_encoder
        and ":" not in config.loss
        and (config.optimizer or "muon") in OPTIMIZERS
        and skips_by_itself(training.optimizer)
        and isinstance(network, UNet)
        and not network.checkpointing
    )


class GraphedStep:
    """A recorded `learn`; batches are copied to where the recording looks for them."""

    def __init__(self, training: Training, task: Task, batch: Batch) -> None:
        rates_as_tensors(training.optimizer, task.device)
        self._record(training, task, batch)

    def __call__(
        self, training: Training, task: Task, batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Do what `learn` does."""
        if batch.partial and not self._batch.partial:
            self._record(training, task, batch)
        for name in ("image", "target", "annotated", "spacing_mm", "previous"):
            value = getattr(batch, name)
            if value is not None:
                getattr(self._batch, name).copy_(value)
        self._graph.replay()
        return self._result

    def _record(self, training: Training, task: Task, batch: Batch) -> None:
        self._batch = each_tensor(batch, torch.clone)
        # Without a finite loss the steps before recording change nothing.
        self._batch.image.fill_(torch.nan)
        current, other = torch.cuda.current_stream(task.device), torch.cuda.Stream(task.device)
        other.wait_stream(current)
        with torch.cuda.stream(other):
            for _ in range(WARM_UPS):
                learn(training, task, self._batch)
        current.wait_stream(other)
        training.optimizer.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()  # the graph has its own memory
        self._graph = torch.cuda.CUDAGraph()
        # Of this thread only: the one that reads batches asks for memory meanwhile.
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._result = learn(training, task, self._batch)


def rates_as_tensors(optimizer: torch.optim.Optimizer, device: torch.device) -> None:
    """Put the learning rates on the device: a graph would repeat a number for ever."""
    for group in optimizer.param_groups:
        group["lr"] = torch.full((), float(group["lr"]), device=device)
        if "capturable" in group:
            group["capturable"] = True


def rates_as_numbers(optimizer: torch.optim.Optimizer) -> None:
    """Undo `rates_as_tensors`."""
    for group in optimizer.param_groups:
        group["lr"] = float(group["lr"])
        if "capturable" in group:
            group["capturable"] = False
