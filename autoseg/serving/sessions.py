"""Images that clients send once and ask about several times: few, not for long, never named."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg.serving.refusal import Refusal

LIFE_S = 3600.0  # without being asked about; MONAI Label's own
KEPT = 32  # sessions at once; 3D Slicer ends none of them itself
KEPT_BYTES = 4 << 30  # of all their images


@dataclass
class Session:
    """An image in a folder of its own, which goes with it."""

    id: str
    image: Path
    size: int  # bytes
    created: float  # seconds since 1970, as clients want it
    used: float
    timer: asyncio.TimerHandle

    def info(self) -> dict[str, Any]:
        """Return what a client may know of it, in MONAI Label's words; no place of this machine."""
        return {
            "name": self.id, "path": "", "image": self.image.name, "meta": {},
            "create_ts": int(self.created), "last_access_ts": int(self.used),
            "expiry": int(LIFE_S),
        }  # fmt: skip


class Sessions:
    """The sessions of a service; the one that was not asked about for longest makes room."""

    def __init__(self) -> None:
        """Begin without any."""
        self._kept: dict[str, Session] = {}  # the least recently used first

    def add(self, image: Path) -> Session:
        """Keep `image`, which is alone in its folder, for a while."""
        size = image.stat().st_size
        while self._kept and (len(self._kept) >= KEPT or self._bytes() + size > KEPT_BYTES):
            self.forget(next(iter(self._kept)))
        name, now = secrets.token_urlsafe(16), time.time()
        self._kept[name] = Session(name, image, size, now, now, self._timer(name))
        return self._kept[name]

    def find(self, name: str) -> Session:
        """Return a session, which begins to wait anew; raise Refusal when there is none."""
        if name not in self._kept:
            raise Refusal(404, "there is no such session, or its time is over")
        session = self._kept[name] = self._kept.pop(name)
        session.timer.cancel()
        session.timer, session.used = self._timer(name), time.time()
        return session

    def forget(self, name: str) -> None:
        """Let a session and its image go."""
        session = self._kept.pop(name)
        session.timer.cancel()
        shutil.rmtree(session.image.parent, ignore_errors=True)

    def _bytes(self) -> int:
        return sum(session.size for session in self._kept.values())

    def _timer(self, name: str) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(LIFE_S, self.forget, name)
