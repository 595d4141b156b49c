"""The standard streams as image files: "-" for an input or for the output.

Only NIfTI goes through a pipe: its first bytes say what it is. While the output is a pipe, whatever
is printed goes to stderr, so that nothing but the image reaches the reader.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from autoseg.errors import DataError, UsageError, spoken_of
from autoseg.nifti_header import FIELDS
from autoseg.sniff import check_file

PIPE = "-"
STDIN_STEM, STDOUT_STEM = "stdin", "labels"
STDOUT = 1  # the number of the stream that the shell connects
GZIP = b"\x1f\x8b"


@contextlib.contextmanager
def connected(images: Sequence[str], output: str) -> Iterator[tuple[list[Path], Path]]:
    """Yield `images` and `output` as paths, with files of a temporary folder in place of "-".

    What was written to such an output goes to stdout when the block ends without an error.
    """
    if PIPE not in images and output != PIPE:
        yield [Path(image) for image in images], Path(output)
        return
    if list(images).count(PIPE) > 1:
        raise UsageError("stdin can be one image only", expected="one '-' after -i")
    with tempfile.TemporaryDirectory(prefix="autoseg_") as folder, contextlib.ExitStack() as stack:
        paths = [_stdin(Path(folder)) if image == PIPE else Path(image) for image in images]
        for path in [path for path in paths if path.parent == Path(folder)]:
            stack.enter_context(spoken_of(str(path), STDIN_STEM))
        if output != PIPE:
            yield paths, Path(output)
            return
        stdout = stack.enter_context(_kept_clean())
        plain = paths[0].name.lower().endswith(".nii")
        result = Path(folder) / f"{STDOUT_STEM}{'.nii' if plain else '.nii.gz'}"
        with spoken_of(str(result), "stdout"):
            yield paths, result
        with result.open("rb") as source, os.fdopen(os.dup(stdout), "wb") as stream:
            shutil.copyfileobj(source, stream)


def _stdin(folder: Path) -> Path:
    """Return what stands on stdin as a file whose ending says what it is."""
    if sys.stdin is None or sys.stdin.isatty():
        remedy = "for example: cat scan.nii.gz | autoseg_predict -i - -o - > labels.nii.gz"
        raise UsageError("nothing is piped to stdin", remedy=remedy)
    stream = sys.stdin.buffer
    start = stream.read(4096)
    path = folder / f"{STDIN_STEM}{'.nii.gz' if start.startswith(GZIP) else '.nii'}"
    with path.open("wb") as copy:
        copy.write(start)
        if start.startswith(GZIP) or _is_nifti(start):
            shutil.copyfileobj(stream, copy)
            return path
    try:
        check_file(path)
    except DataError as error:  # empty, a web page, ...
        error.place = "stdin"
        raise
    raise DataError("is no NIfTI file", place="stdin", expected="NIfTI, compressed or not")


def _is_nifti(start: bytes) -> bool:
    sizes = {struct.unpack_from(order + "i", start)[0] for order in "<>"} if start[3:] else set()
    return bool(sizes & set(FIELDS))


@contextlib.contextmanager
def _kept_clean() -> Iterator[int]:
    """Yield the true stdout; in the block, everything else that is printed goes to stderr."""
    if sys.stdout is None or sys.stdout.isatty():
        fact = "stdout is a terminal, or closed"
        raise UsageError(fact, remedy="send the label map to a file: > labels.nii.gz")
    sys.stdout.flush()
    stdout = os.dup(STDOUT)
    os.dup2(2, STDOUT)
    try:
        yield stdout
    finally:
        sys.stdout.flush()
        os.dup2(stdout, STDOUT)
        os.close(stdout)
