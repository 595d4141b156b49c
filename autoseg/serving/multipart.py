"""multipart/form-data, read piece by piece: linear in the body, bounded in memory.

Names of files are not looked at: who sends them may call them anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from autoseg.serving.refusal import Refusal

HEAD_BYTES = 8 << 10  # of the lines before a part's content; clients send whole paths there
PARTS = 16
MULTIPART = "multipart/form-data"
# RFC 2046 allows fewer signs; MONAI Label's client has a dollar in its boundary.
BOUNDARY = re.compile(r';\s*boundary=(?:"([!#-~ ]{0,69}[!#-~])"|([!#-:<-~]{1,70}))\s*(?:;|$)', re.I)
PARAMETER = re.compile(rb';[ \t]*([\w*-]+)=("(?:[^"\\]|\\.)*"|[^\s";]*)[ \t]*', re.DOTALL)


@dataclass(frozen=True, eq=False)
class Part:
    """One part of a form; `file` when it came with the name of a file, whatever that is."""

    name: str
    file: bool


class Multipart:
    """Takes a body in pieces of any length, gives its parts in pieces."""

    def __init__(self, content_type: str) -> None:
        """Read a body of this Content-Type; raise Refusal for another one."""
        if content_type.partition(";")[0].strip().lower() != MULTIPART:
            raise Refusal(415, f"expected Content-Type {MULTIPART}")
        found = BOUNDARY.search(content_type)
        if found is None:
            raise Refusal(422, "the Content-Type names no boundary")
        self._mark = b"\r\n--" + (found[1] or found[2]).encode("ascii")
        self._held = bytearray(b"\r\n")  # so that the first boundary is like the others
        self._part: Part | None = None  # whose content comes next; None: a boundary or a head
        self._at_mark, self._ended, self._parts, self._seen = True, False, 0, 0

    def feed(self, data: bytes) -> Iterator[tuple[Part, bytes]]:
        """Yield what `data` adds to each part; first of each part comes b"". Raises Refusal."""
        if self._ended:
            return  # RFC 2046: what follows is to be ignored
        self._held += data
        while True:
            if self._part is not None:
                end = self._held.find(self._mark)
                if end < 0:
                    end = max(0, len(self._held) - len(self._mark) + 1)
                    if end:
                        yield self._part, self._take(end)
                    return
                if end:
                    yield self._part, self._take(end)
                self._part, self._at_mark = None, True
            if self._at_mark and not self._pass_mark():
                return
            part = self._head()
            if part is None:
                return
            self._part = part
            yield part, b""

    def finish(self) -> None:
        """Raise Refusal unless the last boundary has come."""
        if not self._ended:
            raise _wrong("is cut short")

    def _pass_mark(self) -> bool:
        """Pass a boundary, which may have come only in part; tell whether a head follows."""
        wanted, held = self._mark, self._held
        if not wanted.startswith(held[: len(wanted)]):
            raise _wrong("does not begin with its boundary")
        if len(held) < len(wanted) + 2:
            return False
        after = bytes(held[len(wanted) : len(wanted) + 2])
        if after == b"--":
            self._ended = True
            held.clear()
            return False
        if after != b"\r\n":
            raise _wrong("has something after a boundary")
        self._take(len(wanted))  # the line's end stays: before an empty head it ends that as well
        self._at_mark, self._seen = False, 0
        return True

    def _head(self) -> Part | None:
        """Return the part that begins, None while its head has not come whole."""
        end = self._held.find(b"\r\n\r\n", max(0, self._seen - 3))
        if end > HEAD_BYTES or (end < 0 and len(self._held) > HEAD_BYTES):
            raise _wrong(f"has a part with a head of more than {HEAD_BYTES:,} bytes")
        if end < 0:
            self._seen = len(self._held)
            return None
        lines = self._take(end + 4)[2:-4].split(b"\r\n")
        self._parts += 1
        if self._parts > PARTS:
            raise _wrong(f"has more than {PARTS} parts")
        return _part(lines)

    def _take(self, count: int) -> bytes:
        taken = bytes(self._held[:count])
        del self._held[:count]
        return taken


def _part(lines: list[bytes]) -> Part:
    """Return what the lines of a head say of their part."""
    heads = [line.partition(b":") for line in lines]
    said = [value.strip() for key, _, value in heads if key.lower() == b"content-disposition"]
    if len(said) != 1 or said[0][:9].lower() != b"form-data":
        raise _wrong("has a part without a Content-Disposition of its own")
    rest, place, names = said[0], 9, {}
    while place < len(rest):
        found = PARAMETER.match(rest, place)
        if found is None or found[1].lower() in names:
            raise _wrong("has a Content-Disposition that cannot be read")
        names[found[1].lower()] = found[2].strip(b'"')
        place = found.end()
    if b"name" not in names:
        raise _wrong("has a part without a name")
    return Part(names[b"name"].decode("latin-1"), b"filename" in names or b"filename*" in names)


def _wrong(fact: str) -> Refusal:
    return Refusal(422, f"the form {fact}")
