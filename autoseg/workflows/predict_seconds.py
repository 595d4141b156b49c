"""Where the time of a prediction goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass


class Stopwatch:
    """Seconds since the last look."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def lap(self) -> float:
        """Return the seconds since the last lap, or the beginning."""
        before, self._last = self._last, time.monotonic()
        return self._last - before

    @contextlib.contextmanager
    def again(self) -> Iterator[None]:
        """Begin again at the end of the block, however it ends."""
        try:
            yield
        finally:
            self.lap()


@dataclass
class Seconds:
    """Seconds of all cases together; the steps of neighbours overlap, so they are no sum."""

    prepare: float = 0.0  # read and prepare
    networks: float = 0.0
    decode: float = 0.0  # scores to a label map on the scan's grid
    write: float = 0.0  # rules, files and their hashes
    waited: float = 0.0  # while neither networks nor decoding had work

    def __str__(self) -> str:
        return (
            f"{self.prepare:.3g} s reading and preparing, {self.networks:.3g} s in networks, "
            f"{self.decode:.3g} s decoding, {self.write:.3g} s writing; "
            f"networks waited {self.waited:.3g} s for scans and files"
        )
