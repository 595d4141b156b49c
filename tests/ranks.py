"""Ranks for tests: processes that stay, so that torch is loaded once and not in every test."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch

from autoseg.training.distributed import join_ranks
from autoseg.training.launch import read_launch

MOST = 3
PATIENCE_S = 600  # a rank whose peer has failed waits for ever, and the next test with it
TORCHRUNS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Pool:
    """Runs functions on two or three ranks on this machine."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes, self.pipes = [], []
        for _ in range(MOST):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            self.processes.append(process)
            self.pipes.append(ours)

    def launch(self, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what the function gave in each process, which torchrun seems to have started.

        What was raised stands for the value.
        """
        port = _free_port()
        for rank, pipe in enumerate(self.pipes[:size]):
            names = dict(
                zip(TORCHRUNS, map(str, (rank, size, rank, "127.0.0.1", port)), strict=True)
            )
            pipe.send((names, function, arguments))
        answers: list[Any] = [None] * size
        for rank, pipe in enumerate(self.pipes[:size]):
            if not pipe.poll(PATIENCE_S):
                others = [p.recv() for p in self.pipes[:size] if p is not pipe and p.poll()]
                pytest.fail(f"rank {rank} did not end; what others ended with: {others}")
            answers[rank] = pipe.recv()
        return answers

    def run(self, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what `function(ranks, *arguments)` gave on each rank."""
        return self.launch(size, _joined, function, *arguments)

    def close(self) -> None:
        """End the processes."""
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.close()
            process.join(10)


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def _work(pipe: Connection) -> None:
    torch.set_num_threads(1)
    while True:
        try:
            names, function, arguments = pipe.recv()
        except EOFError:
            return
        os.environ |= names
        try:
            value = function(*arguments)
        except (Exception, SystemExit) as error:
            value = error
        pipe.send(value)


def _joined(function: Callable[..., Any], *arguments: Any) -> Any:
    with join_ranks("cpu", read_launch(dict(os.environ))) as ranks:
        return function(ranks, *arguments)
