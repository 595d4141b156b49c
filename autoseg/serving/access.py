"""Who may ask: the names a service answers to, and the token; each request is a line in the log."""

from __future__ import annotations

import hmac
import logging
import secrets
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from autoseg.errors import UsageError

log = logging.getLogger(__name__)

SHORTEST_TOKEN = 16
LOCAL = ("127.0.0.1", "localhost", "::1")
OPEN_PATHS = ("/", "/health", "/auth/", "/auth/token")  # they hold nothing that is anybody's
LONGEST_LINE = 200
# The page's own script and style, its own addresses, and pictures it made itself: nothing else.
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'unsafe-inline'; "
    "style-src 'unsafe-inline'; connect-src 'self'; img-src blob: data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def read_token(file: Path) -> str:
    """Return the token in a file; raise UsageError when it is missing or easily guessed."""
    try:
        if file.stat().st_mode & 0o077:
            log.warning("%s: others on this machine can read the token -> chmod 600", file)
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("cannot be read", place=str(file), expected="a token") from error
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        expected = f"at least {SHORTEST_TOKEN} letters and digits, such as of openssl rand -hex 32"
        raise UsageError("holds no token", place=str(file), expected=expected)
    return token


class Guard:
    """The layer before the application; it refuses, and notes every request."""

    def __init__(self, app: ASGIApp, token: str | None, hosts: Collection[str] | None) -> None:
        """Guard `app`: `token` (None: nobody needs one), names in Host (None: any)."""
        self._app, self._token = app, token
        self._hosts = None if hosts is None else {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        number, began, status = secrets.token_hex(6), time.monotonic(), 0
        scope.setdefault("state", {})["request_id"] = number

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update({**HEADERS, "x-request-id": number})
            await send(message)

        try:
            refused = self._refuse(scope, number)
            await (refused or self._app)(_as_get(scope), receive, send_noted)
        finally:
            line = f"{scope['method']} {ascii(scope['path'])[1:-1]}"[:LONGEST_LINE]
            log.info("%s %s %s %.2f s", number, line, status or "-", time.monotonic() - began)

    def _refuse(self, scope: Scope, number: str) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if self._hosts is not None and _name(headers.get("host", "")) not in self._hosts:
            return _answer(403, "this service does not answer to that host name", number)
        if self._token is None or scope["path"] in OPEN_PATHS:
            return None
        kind, _, said = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and same(said.strip(), self._token):
            return None
        return _answer(401, "a token is needed", number, {"www-authenticate": "Bearer"})


def _as_get(scope: Scope) -> Scope:
    """Return a request with HEAD as one with GET: the server keeps the body of its answer back."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def same(said: str, token: str) -> bool:
    """Compare what a client says with the token, in a time that does not tell how much is right."""
    return hmac.compare_digest(said.encode(), token.encode())


def _name(host: str) -> str:
    """Return a Host header without its port.

    >>> _name("Localhost:9051"), _name("[::1]:9051")
    ('localhost', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def _answer(status: int, fact: str, number: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": fact, "request_id": number}, status, headers)
