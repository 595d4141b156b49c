"""What is logged of one image is for who sent it: clients do not see the log of a service."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

OURS = "autoseg"


@contextmanager
def overheard(place: str, name: str, aloud: bool = True) -> Iterator[list[str]]:
    """Give what this thread's block logs of the file `place`, each sentence once, as of `name`.

    The log has it in the same words, without the place; not at all unless `aloud`, for a file that
    is read another time. Other threads, and other lines, go their way.
    """
    said: list[str] = []
    thread = threading.get_ident()

    def passes(record: logging.LogRecord) -> bool:
        who, _, text = record.getMessage().replace(place, name).partition(": ")
        if record.thread != thread or who != name:
            return True
        if text in said:
            return False
        said.append(text)
        record.msg, record.args = f"{name}: {text}", ()
        return aloud

    handlers = list(logging.getLogger(OURS).handlers)
    for handler in handlers:
        handler.addFilter(passes)
    try:
        yield said
    finally:
        for handler in handlers:
            handler.removeFilter(passes)
