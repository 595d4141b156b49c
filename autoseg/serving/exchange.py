"""One request as ASGI: what the application receives and sends."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import h11

from autoseg.serving.refusal import Refusal

if TYPE_CHECKING:
    from autoseg.serving.connection import Connection

PIECE = 1 << 20  # bytes of an answer that are sent at once


class Exchange:
    """A request that the application answers; `started` as soon as it has."""

    def __init__(self, connection: Connection, request: h11.Request) -> None:
        """Exchange `request`, whose head has come, for what is sent."""
        self.started = False
        self._connection, self._request = connection, request
        self._wire, self._limits = connection.wire, connection.limits
        self._whole = False  # has all of the body come?
        self._gone = False  # has the client?
        self._received, self._began = 0, time.monotonic()
        self._sent, self._answered = 0, 0.0  # bytes; when the answer began

    def scope(self, writer: asyncio.StreamWriter) -> dict[str, Any]:
        """Return what ASGI says about a request."""
        request = self._request
        path, _, query = request.target.partition(b"?")
        return {
            "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": request.http_version.decode(), "scheme": "http", "root_path": "",
            "method": request.method.decode(), "path": unquote(path.decode()), "raw_path": path,
            "query_string": query, "headers": list(request.headers),
            "client": writer.get_extra_info("peername")[:2],
            "server": writer.get_extra_info("sockname")[:2],
        }  # fmt: skip

    async def receive(self) -> MutableMapping[str, Any]:
        """Return the next piece of the body; after it, wait until the client goes."""
        if self._whole:
            self._connection.answering = True
            await self._connection.closed()
            return {"type": "http.disconnect"}
        if self._wire.they_are_waiting_for_100_continue:
            await self._connection.write(h11.InformationalResponse(status_code=100, headers=[]))
        allowed_s = self._limits.body_s + self._received / self._limits.body_rate
        left_s = self._began + allowed_s - time.monotonic()
        try:
            event = await asyncio.wait_for(self._connection.event(), max(0.0, left_s))
        except asyncio.TimeoutError:
            raise Refusal(408, "the body of the request came too slowly") from None
        except ConnectionError:  # reset by the client; as an OSError it would look like a full disk
            self._gone = True
            return {"type": "http.disconnect"}
        if isinstance(event, h11.Data):
            self._received += len(event.data)
            return {"type": "http.request", "body": bytes(event.data), "more_body": True}
        self._whole = True
        self._connection.answering = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Send the head or the next piece of the answer; nothing to a client that has gone."""
        if self._gone:
            return
        try:
            await self._send(message)
        except (ConnectionError, asyncio.TimeoutError):
            self._gone = True
            self._connection.abort()  # closing would wait for it to take the rest

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.started, self._answered = True, time.monotonic()
            await self._finish_body()
            last = self._connection.stopping or not self._whole
            headers = [*message["headers"], *([(b"connection", b"close")] if last else [])]
            reason = HTTPStatus(message["status"]).phrase
            await self._connection.write(h11.Response(
                status_code=message["status"], headers=headers, reason=reason
            ))  # fmt: skip
            return
        if message.get("body") and self._request.method != b"HEAD":
            await self._send_body(memoryview(message["body"]))
        if not message.get("more_body"):
            await self._connection.write(h11.EndOfMessage())

    async def _send_body(self, body: memoryview) -> None:
        """Send a part of the answer in pieces, each of which may take its time."""
        for start in range(0, len(body), PIECE):
            piece = bytes(body[start : start + PIECE])
            allowed_s = self._limits.write_s + self._sent / self._limits.write_rate
            left_s = self._answered + allowed_s - time.monotonic()
            await self._connection.write(h11.Data(data=piece), max(0.0, left_s))
            self._sent += len(piece)

    async def _finish_body(self) -> None:
        """Note the end of a body that nobody asked for, such as that of a GET."""
        if not self._whole and self._wire.their_state is h11.SEND_BODY:
            with contextlib.suppress(h11.RemoteProtocolError):
                self._whole = isinstance(self._wire.next_event(), h11.EndOfMessage)
