"""The folder of a service: images and label maps while they are needed, and no longer."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import tempfile
from pathlib import Path

from autoseg.errors import AutosegError
from autoseg.locks import locked

log = logging.getLogger(__name__)

PREFIX = "autoseg_serve_"


class Home:
    """A folder among the system's temporary ones that only this user can read.

    It is locked while the process lives, so that the next service knows what a killed one left.
    """

    def __init__(self) -> None:
        """Make the folder; remove those of services that were killed."""
        self._remove_leftovers()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._lock = contextlib.ExitStack()
        self._lock.enter_context(locked(self.path, "autoseg serve"))
        log.info("images lie in %s as long as they are needed", self.path)

    def new_folder(self) -> Path:
        """Return a folder in it."""
        return Path(tempfile.mkdtemp(dir=self.path))

    def remove(self) -> None:
        """Remove all that is in it, and itself."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()

    def _remove_leftovers(self) -> None:
        for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            with contextlib.suppress(AutosegError, OSError):  # it is in use, or just gone
                if _is_own(folder) and (folder / ".autoseg.lock").exists():
                    with locked(folder):
                        shutil.rmtree(folder)
                    log.info("removed %s, which a service that was killed had left", folder)


def _is_own(folder: Path) -> bool:
    """Tell whether it is a folder of this user: others may put what they like beside it."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
