"""Ranks for tests: processes that stay, so that torch is loaded once and not in every test."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import torch

from autoseg.training.distributed import join_ranks
from autoseg.training.launch import Launch

MOST = 3


class Pool:
    """Runs functions `(ranks, *arguments) -> value` on one to three gloo ranks."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes, self.pipes = [], []
        for _ in range(MOST):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs,), daemon=True)
            process.start()
            self.processes.append(process)
            self.pipes.append(ours)

    def run(self, size: int, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """Return what the function gave on each rank; a rank's exception stands for its value."""
        port = _free_port()
        for rank, pipe in enumerate(self.pipes[:size]):
            pipe.send((rank, size, port, function, arguments))
        return [pipe.recv() for pipe in self.pipes[:size]]

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
            rank, size, port, function, arguments = pipe.recv()
        except EOFError:
            return
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        try:
            with join_ranks("cpu", Launch(rank, size, rank)) as ranks:
                value = function(ranks, *arguments)
        except (Exception, SystemExit) as error:
            value = error
        pipe.send(value)
