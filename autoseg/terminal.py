"""A line below all that is written to a terminal, which stands there until it is drawn anew."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from typing import Any, TextIO

# The cursor waits at the beginning of the line: where a narrower window breaks the line in two,
# clearing from there to the end of the screen takes all of it away.
CLEAR = "\x1b[J"

LOCK = threading.RLock()  # whoever draws, or is about to write, holds it


class Screen:
    """Stands for stderr while there is a live line, which is below whatever is written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._line = ""  # stands there, or will again when the row is free
        self._free = True  # nothing else stands in the row of the cursor

    def write(self, text: str) -> int:
        """Write `text` above the line; return its length, as streams do."""
        if not text:
            return 0
        with LOCK:
            before = CLEAR if self._line and self._free else ""
            self._free = text.endswith("\n")
            after = f"{self._line}\r" if self._line and self._free else ""
            self.stream.write(f"{before}{text}{after}")
            self.stream.flush()
        return len(text)

    def draw(self, texts: Sequence[str]) -> None:
        """Draw the first of `texts` that fits, or take the line away when there is none."""
        if not self._free or not self._in_front():
            return
        room = self._columns() - 1  # in the last column some terminals begin a new row
        cut = texts[-1][:room] if texts else ""
        line = next((text for text in texts if len(text) <= room), cut)
        if line or self._line:
            os.write(self.stream.fileno(), f"{line}{CLEAR}\r".encode("ascii", "replace"))
        self._line = line

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except OSError:
            return 80

    def _in_front(self) -> bool:
        """Tell whether the terminal is ours now, or at least not another command's."""
        try:
            return os.tcgetpgrp(self.stream.fileno()) == os.getpgrp()
        except OSError:  # it is not the terminal that controls this process
            return True

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def can_draw(stream: TextIO | None) -> bool:
    """Tell whether `stream` is a terminal that lines can be drawn on."""
    if stream is None or os.name == "nt" or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return stream.isatty()
