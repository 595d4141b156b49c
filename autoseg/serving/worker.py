"""One thread that segments, a bounded queue before it, and a deadline for every job."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from autoseg.errors import DataError, ResourceError
from autoseg.serving.home import Home
from autoseg.serving.job import Job
from autoseg.serving.model import Model
from autoseg.serving.refusal import Refusal, busy, no_room

log = logging.getLogger(__name__)

KEEP_S = 600.0  # a result that nobody fetched
KEPT = 64  # results at once
PATIENCE_S = 2.0  # at the end, for the tiles that are being predicted
EXHAUSTED = 3  # jobs in a row without memory, after which a fresh process does better


class Worker:
    """Takes jobs in the order they come, `places` of them beside the one that runs."""

    def __init__(self, model: Model, places: int, deadline_s: float) -> None:
        """Segment with `model`; give each job `deadline_s` from its beginning."""
        self.model, self.places, self.deadline_s = model, places, deadline_s
        self.stopping, self.exhausted = False, asyncio.Event()
        self.kept: dict[str, Job] = {}  # that are asked for by their id
        self._unfinished: list[Job] = []
        self._without_memory = 0
        self._thread = ThreadPoolExecutor(1, "segment")
        self._home = Home()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def waiting(self) -> int:
        """How many jobs wait for their turn."""
        return max(0, len(self._unfinished) - 1)

    def new_folder(self) -> Path:
        """Return a folder that only this user can read; raise Refusal at the end."""
        if self.stopping:
            raise busy("the service is stopping", 30)
        return self._home.new_folder()

    def new_job(self, ending: str, number: str = "") -> Job:
        """Return a job of request `number` in a folder of its own; raise Refusal at the end."""
        return Job(self.new_folder(), ending, time.monotonic() + self.deadline_s, number)

    def check_room(self) -> None:
        """Raise Refusal when all places are taken."""
        if self.stopping:
            raise busy("the service is stopping", 30)
        if len(self._unfinished) > self.places:
            raise busy("too many images are waiting already")

    def submit(self, job: Job) -> None:
        """Put `job` in the queue; raise Refusal when it is full."""
        self.check_room()
        job.deadline = time.monotonic() + self.deadline_s
        job.state = "waiting"
        self._unfinished.append(job)
        task = asyncio.create_task(self._work(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def keep(self, job: Job) -> None:
        """Let clients ask for `job` by its id, for a while."""
        finished = [j for j in self.kept.values() if j.done.is_set()]
        for gone in finished[: max(0, len(finished) - KEPT + 1)]:
            self.forget(gone)
        self.kept[job.id] = job

    def forget(self, job: Job) -> None:
        """Let a job and its result go."""
        self.kept.pop(job.id, None)
        job.close()

    async def labels_of(self, job: Job) -> Path:
        """Return the label map's file when it is there; raise Refusal when it will not be."""
        left_s = max(0.0, job.deadline - time.monotonic())
        try:
            await asyncio.wait_for(job.done.wait(), left_s)
        except asyncio.TimeoutError:
            job.cancel()
            raise Refusal(504, "the image takes longer than the service allows") from None
        if job.refusal is not None:
            raise job.refusal
        return job.labels

    def stop(self) -> None:
        """Take no more jobs, and send those away that wait."""
        self.stopping = True
        for job in self._unfinished:
            if job.state == "waiting":
                job.cancel()

    def close(self) -> bool:
        """End what runs, between two tiles, and remove all files; tell whether it has ended."""
        for job in self._unfinished:
            job.cancel()
        last = self._thread.submit(int)
        self._thread.shutdown(wait=False)
        ended = not wait([last], PATIENCE_S).not_done
        self.remove_files()
        return ended

    def remove_files(self) -> None:
        """Remove all images and label maps."""
        self._home.remove()

    async def _work(self, job: Job) -> None:
        loop = asyncio.get_running_loop()
        refusal: Refusal | None = None
        without_memory = False
        try:
            job.warnings = await loop.run_in_executor(self._thread, self._segment, job)
        except Exception as error:
            refusal = _refusal_of(error, job.number)
            without_memory = isinstance(error, ResourceError) and not _is_of_disk(error)
        self._unfinished.remove(job)
        if without_memory:
            await loop.run_in_executor(self._thread, self.model.release)
        self._count_memory(without_memory)
        job.finish("failed" if refusal else "done", refusal)
        loop.call_later(KEEP_S, self.forget, job)  # nobody else may come by to clear it away

    def _segment(self, job: Job) -> tuple[str, ...]:
        job.start()
        return self.model.segment(job.image, job.labels, job.look, job.begin)

    def _count_memory(self, without: bool) -> None:
        self._without_memory = self._without_memory + 1 if without else 0
        if self._without_memory >= EXHAUSTED:
            self.exhausted.set()


def _is_of_disk(error: ResourceError) -> bool:
    """Tell whether a file could not be written, which a fresh process would not do better."""
    return isinstance(error.__cause__, OSError)


def _refusal_of(error: Exception, number: str) -> Refusal:
    """Return what a client is told; what it cannot mend goes to the log.

    Without the error itself: a result is kept for a while, and a traceback keeps every array.
    """
    if isinstance(error, Refusal):
        return Refusal(error.status, error.fact, error.headers)
    if isinstance(error, DataError):
        return Refusal(422, str(error))
    if isinstance(error, ResourceError):
        log.error("%s %s", number, str(error))  # the error itself would stay in the record
        return (
            no_room()
            if _is_of_disk(error)
            else busy("the machine has not enough memory for this image", 30)
        )
    log.error("%s an image failed", number, exc_info=error)
    return Refusal(500, "internal error")
