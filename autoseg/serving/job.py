"""A job: an image, how far it is, and what became of it."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from pathlib import Path
from typing import Any

from autoseg.serving.refusal import Refusal, busy


class Job:
    """An image on its way to labels, in a folder of its own that goes with it."""

    def __init__(self, folder: Path, ending: str, deadline: float, number: str = "") -> None:
        """Keep files in `folder`, be done by `deadline` (on the monotonic clock).

        `number` is that of the request, under which the log speaks of it: the id is a secret.
        """
        self.id = secrets.token_urlsafe(16)
        self.image, self.labels = folder / f"image{ending}", folder / f"labels{ending}"
        self.scene = folder / "scene.json"  # both as the viewer wants them, once that was asked for
        self.deadline, self.number = deadline, number
        self.state = "new"  # then "waiting", "running", and "done" or "failed"
        self.warnings: tuple[str, ...] = ()
        self.refusal: Refusal | None = None
        self.done = asyncio.Event()
        self._folder, self._rounds, self._seen, self._unwanted = folder, 1, 0, False

    def be(self, ending: str) -> None:
        """Give the files the ending of their type."""
        self.image = self.image.rename(self._folder / f"image{ending}")
        self.labels = self._folder / f"labels{ending}"

    @property
    def progress(self) -> float:
        """The share of its tiles that are predicted, from 0 to 1."""
        return 1.0 if self.state == "done" else min(1.0, self._seen / self._rounds)

    def begin(self, rounds: int) -> None:
        """Note how many groups of tiles there are."""
        self._rounds = max(1, rounds)

    def start(self) -> None:
        """Note that its turn has come; raise Refusal when nobody wants it, or it is too late."""
        if self._unwanted:
            raise busy("the job was cancelled before its turn")
        self.look()
        self._seen, self.state = 0, "running"

    def look(self) -> None:
        """Note another group of tiles; raise Refusal when the job is to end."""
        if self._unwanted:
            raise Refusal(503, "the job was cancelled")
        if time.monotonic() > self.deadline:
            raise Refusal(504, "the image takes longer than the service allows")
        self._seen += 1

    def cancel(self) -> None:
        """Let the job end where it stands."""
        self._unwanted = True

    def close(self) -> None:
        """Let the job and its files go."""
        self.cancel()
        if self.done.is_set() or self.state == "new":
            shutil.rmtree(self._folder, ignore_errors=True)

    def finish(self, state: str, refusal: Refusal | None) -> None:
        """Note the end; the files of a job that is wanted no more go."""
        self.state, self.refusal = state, refusal
        self.done.set()
        if self._unwanted:
            self.close()

    def status(self) -> dict[str, Any]:
        """Return what a client may know of it."""
        said: dict[str, Any] = {"id": self.id, "state": self.state,
                                "progress": round(self.progress, 3)}  # fmt: skip
        if self.warnings:
            said["warnings"] = list(self.warnings)
        if self.refusal is not None:
            said |= {"error": self.refusal.fact, "status": self.refusal.status}
        return said
