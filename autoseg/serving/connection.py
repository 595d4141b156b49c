"""One connection: requests in, answers out, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import h11

from autoseg.serving.exchange import Exchange
from autoseg.serving.refusal import Refusal, busy

if TYPE_CHECKING:
    from autoseg.serving.server import Server

log = logging.getLogger(__name__)

CHUNK = 64 << 10
WITH_BODY = (b"POST", b"PUT", b"PATCH")


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
        self.limits, self.wire = server.limits, h11.Connection(h11.SERVER, server.limits.head_bytes)
        self._server, self._reader, self._writer = server, reader, writer

    @property
    def stopping(self) -> bool:
        """Is this the last answer, as the service ends?"""
        return self._server.stopping

    def abort(self) -> None:
        """Close at once."""
        self._writer.transport.abort()

    async def run(self) -> None:
        """Answer requests until one of the two sides has had enough."""
        with contextlib.suppress(ConnectionError, asyncio.TimeoutError):
            while await self._exchange() and not self.stopping:
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
        self.answering = request.method not in WITH_BODY
        exchange = Exchange(self, request)
        try:
            await self._server.app(exchange.scope(self._writer), exchange.receive, exchange.send)
        except Refusal as refusal:  # found while the body was read
            await self._refuse(refusal)
        except asyncio.CancelledError:
            if not self.stopping or exchange.started:
                raise
            await self._refuse(busy("the service is stopping", 30))
        except Exception:
            log.exception("the application failed")
            if not exchange.started:
                await self._refuse(Refusal(500, "internal error"))
        finally:
            self.answering = False
        if self.wire.our_state is h11.DONE and self.wire.their_state is h11.DONE:
            self.wire.start_next_cycle()
            return True
        await self._linger()
        return False

    async def _head(self) -> h11.Request | None:
        """Return the next request's head; None when there is none. Raises Refusal."""
        try:
            request = await asyncio.wait_for(self.event(), self.limits.head_s)
        except asyncio.TimeoutError:
            if self.wire.trailing_data[0]:
                raise Refusal(408, "the head of the request took too long") from None
            return None
        if not isinstance(request, h11.Request):
            return None
        names = [name for name, _ in request.headers]
        framed = {b"content-length", b"transfer-encoding"} & set(names)
        if len(framed) == 2:
            raise Refusal(400, "Content-Length and Transfer-Encoding exclude each other")
        if not framed and request.method in WITH_BODY:
            raise Refusal(411, "a Content-Length is missing")
        if not request.target.startswith(b"/"):
            raise Refusal(400, "the target of a request is a path")
        return request

    async def event(self) -> Any:
        """Return what h11 makes of the next bytes. Raises Refusal."""
        while True:
            try:
                event = self.wire.next_event()
                if event is h11.NEED_DATA:
                    self.wire.receive_data(await self._reader.read(CHUNK))
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
            self.wire.receive_data(data)
            await asyncio.Event().wait()

    async def write(self, event: Any, left_s: float | None = None) -> None:
        """Send what h11 makes of `event`; TimeoutError when the client does not take it."""
        data = self.wire.send(event)
        if data:
            self._writer.write(data)
            allowed_s = self.limits.write_s if left_s is None else left_s
            await asyncio.wait_for(self._writer.drain(), allowed_s)

    async def _refuse(self, refusal: Refusal) -> None:
        """Answer without the application, and for the last time."""
        if self.wire.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        number = secrets.token_hex(6)
        log.info("%s refused: %d, %s", number, refusal.status, refusal.fact)
        body = json.dumps({"error": refusal.fact, "request_id": number}).encode()
        headers = {
            "content-type": "application/json", "content-length": str(len(body)),
            "connection": "close", "x-request-id": number, **refusal.headers,
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
            await asyncio.wait_for(rest(), self.limits.linger_s)
