"""What a request is refused with: a status, a sentence, and sometimes a header."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """The answer to a request that cannot be met; `fact` is for the client and names no path."""

    def __init__(self, status: int, fact: str, headers: Mapping[str, str] | None = None) -> None:
        """Keep the HTTP `status`, the sentence for the client, and headers to send with it."""
        super().__init__(fact)
        self.status, self.fact, self.headers = status, fact, dict(headers or {})


def busy(fact: str, seconds: int = 5) -> Refusal:
    """Return the refusal of a request that may be sent again after a while."""
    return Refusal(503, fact, {"retry-after": str(seconds)})


def no_room() -> Refusal:
    """Return the refusal of an image for which the disk has no room."""
    return busy("there is no room for this image", 30)
