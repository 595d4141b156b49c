"""One connection: requests in, answers out, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import MutableMapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import h11

from autoseg.serving.refusal import Refusal

if TYPE_CHECKING:
    from autoseg.serving.server import Server

log = logging.getLogger(__name__)

CHUNK = 64 << 10
WITHOUT_BODY = (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT")


class Connection:
    """A client's connection; `answering` while the application works on a whole request."""

    def __init__(
        self,
        server: Server,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        began: float,
    ) -> None:
        """Speak HTTP over `reader` and `writer`; `began` is on the monotonic clock."""
        self.began, self.answering = began, False
        self._server, self._limits = server, server.limits
        self._reader, self._writer = reader, writer
        self._wire = h11.Connection(h11.SERVER, self._limits.head_bytes)

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def run(self) -> None:
        """Answer requests until one of the two sides has had enough."""
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            while await self._exchange() and not self._server.stopping:
                self.began = time.monotonic()

    async def _exchange(self) -> bool:
        """Answer one request; tell whether another may follow on this connection."""
        try:
            request = await self._head()
        except Refusal as refusal:
            await self._refuse(refusal)
            return False
        if request is None:
            return False
        self.answering = request.method in WITHOUT_BODY
        exchange = _Exchange(self, self._wire, request)
        try:
            await self._server.app(exchange.scope(self._writer), exchange.receive, exchange.send)
        except Refusal as refusal:  # found while the body was read
            await self._refuse(refusal)
        except Exception:
            log.exception("the application failed")
            if not exchange.started:
                await self._refuse(Refusal(500, "internal error"))
        finally:
            self.answering = False
        if self._wire.our_state is h11.DONE and self._wire.their_state is h11.DONE:
            self._wire.start_next_cycle()
            return True
        await self._linger()
        return False

    async def _head(self) -> h11.Request | None:
        """Return the next request's head; None when there is none. Raises Refusal."""
        try:
            request = await asyncio.wait_for(self.event(), self._limits.head_s)
        except asyncio.TimeoutError:
            if self._wire.trailing_data[0]:
                raise Refusal(408, "the head of the request took too long") from None
            return None
        if not isinstance(request, h11.Request):
            return None
        names = [name for name, _ in request.headers]
        framed = {b"content-length", b"transfer-encoding"} & set(names)
        if len(framed) == 2:
            raise Refusal(400, "Content-Length and Transfer-Encoding exclude each other")
        if not framed and request.method not in WITHOUT_BODY:
            raise Refusal(411, "a Content-Length is missing")
        if not request.target.startswith(b"/"):
            raise Refusal(400, "the target of a request is a path")
        return request

    async def event(self) -> Any:
        """Return what h11 makes of the next bytes. Raises Refusal."""
        while True:
            try:
                event = self._wire.next_event()
                if event is h11.NEED_DATA:
                    self._wire.receive_data(await self._reader.read(CHUNK))
                    continue
            except h11.RemoteProtocolError as error:
                fact = "the request's head is too long" if error.error_status_hint == 431 else (
                    "this is not a valid HTTP request"
                )  # fmt: skip
                raise Refusal(error.error_status_hint, fact) from error
            return event

    async def closed(self) -> None:
        """Return when the client has gone; what it sends meanwhile is for the next request."""
        data = await self._reader.read(CHUNK)
        if data:
            self._wire.receive_data(data)
            await asyncio.Event().wait()

    async def write(self, event: Any) -> None:
        """Send what h11 makes of `event`."""
        data = self._wire.send(event)
        if data:
            self._writer.write(data)
            await asyncio.wait_for(self._writer.drain(), self._limits.write_s)

    async def _refuse(self, refusal: Refusal) -> None:
        """Answer without the application, and for the last time."""
        if self._wire.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        body = json.dumps({"error": refusal.fact}).encode()
        headers = {
            "content-type": "application/json", "content-length": str(len(body)),
            "connection": "close", **refusal.headers,
        }  # fmt: skip
        await self.write(h11.Response(
            status_code=refusal.status, headers=list(headers.items()),
            reason=HTTPStatus(refusal.status).phrase,
        ))  # fmt: skip
        await self.write(h11.Data(data=body))
        await self.write(h11.EndOfMessage())
        await self._linger()

    async def _linger(self) -> None:
        """Let the client read the answer: closing while it sends would take the answer away."""

        async def rest() -> None:
            while await self._reader.read(CHUNK):
                pass

        with contextlib.suppress(OSError, RuntimeError, asyncio.TimeoutError):
            self._writer.write_eof()
            await asyncio.wait_for(rest(), self._limits.linger_s)


class _Exchange:
    """One request as ASGI: what the application receives and sends."""

    def __init__(self, connection: Connection, wire: h11.Connection, request: h11.Request) -> None:
        self.started = False
        self._connection, self._wire, self._request = connection, wire, request
        self._limits = connection._limits
        self._whole = False  # has all of the body come?
        self._gone = False  # has the client?
        self._received, self._began = 0, time.monotonic()

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

    async def _send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            await self._finish_body()
            last = self._connection._server.stopping or not self._whole
            headers = [*message["headers"], *([(b"connection", b"close")] if last else [])]
            reason = HTTPStatus(message["status"]).phrase
            await self._connection.write(h11.Response(
                status_code=message["status"], headers=headers, reason=reason
            ))  # fmt: skip
            return
        if message.get("body") and self._request.method != b"HEAD":
            await self._connection.write(h11.Data(data=message["body"]))
        if not message.get("more_body"):
            await self._connection.write(h11.EndOfMessage())

    async def _finish_body(self) -> None:
        """Note the end of a body that nobody asked for, such as that of a GET."""
        if not self._whole and self._wire.their_state is h11.SEND_BODY:
            with contextlib.suppress(h11.RemoteProtocolError):
                self._whole = isinstance(self._wire.next_event(), h11.EndOfMessage)
