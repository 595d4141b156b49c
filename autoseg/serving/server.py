"""HTTP/1.1 for one application: who is slow, sends too much or says two things is let go.

The parser is h11's. What this adds are limits: on connections, on the bytes and seconds of a head,
on the pace of a body, and on the time that is left to finish when the service is to stop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from autoseg.serving.connection import Connection

App = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """What a client may take."""

    connections: int = 512
    head_bytes: int = 16 << 10
    head_s: float = 10.0  # for the whole head of a request, and between two requests
    body_s: float = 20.0  # for a body, and more as long as it comes at this pace:
    body_rate: float = 50e3  # bytes per second
    write_s: float = 60.0  # for the client to take the answer, and more as long as it does so
    write_rate: float = 250e3  # bytes per second
    linger_s: float = 2.0  # for a refused client to read why, while it still sends
    grace_s: float = 7.0  # for running requests when the service is to stop; in all it has ten


class Server:
    """Answers requests of one listening socket with an ASGI application."""

    def __init__(self, app: App, limits: Limits | None = None) -> None:
        """Serve `app`, within `limits`."""
        self.app, self.limits = app, limits or Limits()
        self.stopping = False
        self._open: dict[asyncio.Task[None], Connection] = {}

    async def run(self, listener: socket.socket, stop: asyncio.Event) -> None:
        """Answer until `stop` is set; then let running requests finish, for a while.

        Meanwhile who comes anew is told by the application that the service is stopping.
        """
        server = await asyncio.start_server(self._connected, sock=listener)
        await stop.wait()
        self.stopping = True
        for task, connection in self._open.items():
            if not connection.answering:
                task.cancel()
        if self._open:
            await asyncio.wait(list(self._open), timeout=self.limits.grace_s)
        server.close()
        for task in list(self._open):
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=1)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._open) >= self.limits.connections and not self._let_one_go():
            writer.transport.abort()
            return
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(self, reader, writer, time.monotonic())
        self._open[task] = connection
        try:
            await connection.run()
        except asyncio.CancelledError:
            pass  # asked to go: by a newcomer, or at the end
        except Exception:
            log.exception("a connection failed")
        finally:
            self._open.pop(task, None)
            with contextlib.suppress(Exception):
                writer.close()

    def _let_one_go(self) -> bool:
        """Close the connection that has waited longest without a whole request, if any has."""
        waiting = [(c.began, task) for task, c in self._open.items() if not c.answering]
        if not waiting:
            return False
        _, task = min(waiting, key=lambda pair: pair[0])
        self._open.pop(task).abort()
        task.cancel()
        return True
