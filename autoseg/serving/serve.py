"""Put models behind a port, until a signal says that it is enough."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

from autoseg.errors import ResourceError, UsageError
from autoseg.serving.access import LOCAL, Guard, read_token
from autoseg.serving.app import make_app
from autoseg.serving.model import Model
from autoseg.serving.server import Limits, Server
from autoseg.serving.worker import Worker
from autoseg.training.budget import parse_budget

log = logging.getLogger(__name__)

BACKLOG = 512


def serve(
    load: Callable[[], Model],
    *,
    host: str = "127.0.0.1",
    port: int = 9051,
    token_file: Path | None = None,
    no_token: bool = False,
    hosts: Sequence[str] = (),
    queue: int = 16,
    deadline: str = "10m",
) -> None:
    """Load models, then listen until SIGTERM or SIGINT; the request that runs is finished.

    `hosts` are names in addition to those of this machine that requests to a local address may
    name. Raises UsageError, before anything is loaded, for an address that others reach without
    a token (or `no_token`), and ResourceError when the port is taken or memory failed repeatedly.
    """
    token = _token(host, token_file, no_token)
    names = (*LOCAL, *hosts) if host in LOCAL else None
    seconds = _seconds(deadline)
    if queue < 0:
        raise UsageError(f"--queue {queue}", expected="0 or more")
    with _bound(host, port) as listener:
        worker = Worker(load(), queue, seconds)
        try:
            asyncio.run(_run(worker, listener, token, names))
        finally:
            ended = worker.close()
    if worker.exhausted.is_set():
        raise ResourceError("out of memory, one image after the other", remedy="start it again")
    if not ended:
        os._exit(0)  # a scan that is being resampled cannot be interrupted


async def _run(
    worker: Worker, listener: socket.socket, token: str | None, names: Sequence[str] | None
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()

    def end(number: int = signal.SIGTERM) -> None:
        if stop.is_set():  # asked twice
            worker.remove_files()
            os._exit(128 + number)
        log.info("stopping: what runs has %.0f s to finish", Limits().grace_s)
        worker.stop()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number)
    exhausted = asyncio.create_task(_on(worker.exhausted, end))
    listener.listen(BACKLOG)
    address, port = listener.getsockname()[:2]
    log.info("listening on http://%s:%d", f"[{address}]" if ":" in address else address, port)
    await Server(Guard(make_app(worker, token), token, names)).run(listener, stop)
    exhausted.cancel()


async def _on(event: asyncio.Event, act: Callable[[], None]) -> None:
    await event.wait()
    act()


def _token(host: str, file: Path | None, no_token: bool) -> str | None:
    if file is not None and no_token:
        raise UsageError("--token-file and --no-token", expected="one of them")
    if file is not None:
        return read_token(file)
    if host not in LOCAL and not no_token:
        fact = f"everybody who reaches {host} could use the service"
        raise UsageError(fact, remedy="--token-file FILE, or --no-token if that is meant")
    return None


def _seconds(deadline: str) -> float:
    try:
        seconds = parse_budget(deadline).seconds
    except UsageError:
        seconds = None
    if not seconds:
        raise UsageError(f"--deadline {deadline}", expected='time for an image, such as "10s"')
    return seconds


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that has the address, and does not listen yet."""
    if not 0 <= port < 1 << 16:  # the system would take it modulo that
        raise UsageError(f"--port {port}", expected="0 to 65535 (0: any that is free)")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"no such address: {host} port {port}") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ResourceError(f"port {port} in use", remedy="choose another --port") from error
        fact = f"cannot listen on {host} port {port}: {error.strerror}"
        raise ResourceError(fact, remedy="choose another --host or --port") from error
    return listener
