"""What ends a request without its result, told as JSON with the number that the log has too."""

from __future__ import annotations

import errno
import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from autoseg.serving.refusal import Refusal, no_room

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # of a disk, a quota, a limit of the process


def tell_mistakes(app: FastAPI) -> None:
    """Let `app` answer with {"error", "request_id"} whatever goes wrong."""

    @app.exception_handler(Refusal)
    async def refused(request: Request, refusal: Refusal) -> JSONResponse:
        return _error(request, refusal.status, refusal.fact, refusal.headers)

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> JSONResponse:
        facts = {404: "there is nothing at this path", 405: "not with this method"}
        fact, headers = facts.get(error.status_code, str(error.detail)), error.headers
        if error.status_code == 405:
            headers = {"allow": _allowed(app, request)}
        return _error(request, error.status_code, fact, headers)

    @app.exception_handler(OSError)
    async def full(request: Request, error: OSError) -> JSONResponse:
        if error.errno not in FULL:
            raise error
        log.error("no room for an image: %s", error.strerror)
        return await refused(request, no_room())

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return _error(request, 400, "the client has gone")

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return _error(request, 500, "internal error")


def _allowed(app: FastAPI, request: Request) -> str:
    """Return the methods that are answered at the request's path."""

    def answered(method: str) -> bool:
        asked = {**request.scope, "method": "GET" if method == "HEAD" else method}
        return any(route.matches(asked)[0] is Match.FULL for route in app.routes)

    return ", ".join(filter(answered, METHODS))


def _error(request: Request, status: int, fact: str, headers: Any = None) -> JSONResponse:
    number = request.scope.get("state", {}).get("request_id", "")
    return JSONResponse({"error": fact, "request_id": number}, status, headers)
