"""Clients that leave before their answer is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def or_gone(request: Request, result: Awaitable[T]) -> T:
    """Return `result`; raise ClientDisconnect as soon as nobody waits for it any more."""
    waiting = asyncio.ensure_future(result)
    leaving = asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait((waiting, leaving), return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise ClientDisconnect
    finally:
        waiting.cancel()
        leaving.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)  # the answer may ask anew


async def _left(receive: Callable[[], Awaitable[Any]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
