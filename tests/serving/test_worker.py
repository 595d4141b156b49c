"""The queue, deadlines and ends of jobs, with a model that only pretends."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import weakref
from pathlib import Path

import numpy as np
import pytest

from autoseg.errors import DataError, ResourceError
from autoseg.files import write_atomically
from autoseg.serving import worker as worker_module
from autoseg.serving.refusal import Refusal
from autoseg.serving.worker import EXHAUSTED, Worker


class Pretender:
    """A model of ten groups of tiles; `gate` holds it between two of them, `error` ends it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.gate, self.error, self.seen, self.released = threading.Event(), error, [], 0
        self.gate.set()

    def segment(self, image, output, look, begin):
        self.seen.append(image.read_text())
        if self.error is not None:
            raise self.error
        begin(10)
        for number in range(10):
            look()
            if number == 4:
                self.gate.wait(10)
        output.write_text(f"labels of {image.read_text()}")
        return ("unlike the others",) if image.read_text() == "odd" else ()

    def release(self):
        self.released += 1


def new_job(worker, text="an image"):
    job = worker.new_job(".png")
    job.image.write_text(text)
    return job


def run(scenario, model=None, places=2, deadline_s=30.0):
    worker = Worker(model or Pretender(), places, deadline_s)
    try:
        return asyncio.run(scenario(worker))
    finally:
        worker.model.gate.set()
        worker.close()
        assert not worker._home.path.exists()


async def refusal_of(worker, job):
    with pytest.raises(Refusal) as caught:
        await worker.labels_of(job)
    return caught.value


def test_each_image_gets_its_own_labels():
    async def scenario(worker):
        jobs = [new_job(worker, str(number)) for number in range(20)]
        for job in jobs:
            worker.submit(job)
        return [(await worker.labels_of(job)).read_text() for job in jobs]

    assert run(scenario, places=20) == [f"labels of {number}" for number in range(20)]


def test_beyond_its_places_the_queue_refuses_with_503_and_a_time():
    async def scenario(worker):
        worker.model.gate.clear()
        for _ in range(3):
            worker.submit(new_job(worker))
        with pytest.raises(Refusal, match="too many images are waiting") as caught:
            worker.submit(new_job(worker))
        return caught.value

    refusal = run(scenario, places=2)
    assert refusal.status == 503
    assert refusal.headers == {"retry-after": "5"}


def test_progress_and_warnings_are_told():
    async def scenario(worker):
        worker.model.gate.clear()
        job = new_job(worker, "odd")
        worker.submit(job)
        assert job.status() == {"id": job.id, "state": "waiting", "progress": 0.0}
        while job.progress < 0.5:
            await asyncio.sleep(0.01)
        assert job.status() == {"id": job.id, "state": "running", "progress": 0.5}
        worker.model.gate.set()
        await worker.labels_of(job)
        assert job.status() == {
            "id": job.id, "state": "done", "progress": 1.0, "warnings": ["unlike the others"]
        }  # fmt: skip

    run(scenario)


def test_past_its_deadline_a_job_ends_with_504_waiting_or_running():
    async def scenario(worker):
        worker.model.gate.clear()
        running, waiting = new_job(worker), new_job(worker, "never")
        worker.submit(running)
        worker.submit(waiting)
        begin = time.monotonic()
        assert (await refusal_of(worker, running)).status == 504
        assert (await refusal_of(worker, waiting)).status == 504
        assert time.monotonic() - begin < 5
        worker.model.gate.set()
        await asyncio.wait_for(waiting.done.wait(), 5)
        return worker.model.seen

    assert run(scenario, deadline_s=0.3) == ["an image"]


def test_a_job_that_is_closed_ends_between_tiles_and_its_files_go():
    async def scenario(worker):
        worker.model.gate.clear()
        job = new_job(worker)
        folder = job.image.parent
        assert folder.stat().st_mode & 0o777 == 0o700
        worker.submit(job)
        while job.progress < 0.5:
            await asyncio.sleep(0.01)
        job.close()
        assert folder.exists()  # the thread is still in it
        worker.model.gate.set()
        await asyncio.wait_for(job.done.wait(), 5)
        assert job.state == "failed"
        assert not folder.exists()

    run(scenario)


@pytest.mark.parametrize(
    ("error", "status", "fact"),
    [
        (DataError("is sheared", place="the image"), 422, "the image: is sheared"),
        (ResourceError("out of memory"), 503, "the machine has not enough memory for this image"),
        (ValueError("a secret of /home"), 500, "internal error"),
    ],
)
def test_what_goes_wrong_is_told_as_far_as_a_client_can_mend_it(error, status, fact, caplog):
    async def scenario(worker):
        job = new_job(worker)
        worker.submit(job)
        return await refusal_of(worker, job)

    refusal = run(scenario, Pretender(error))
    assert (refusal.status, refusal.fact) == (status, fact)
    assert (str(error) in caplog.text) == (status >= 500)


def test_memory_that_fails_again_and_again_ends_the_service():
    async def scenario(worker):
        ends = []
        for _ in range(EXHAUSTED):
            ends.append(worker.exhausted.is_set())
            job = new_job(worker)
            worker.submit(job)
            await refusal_of(worker, job)
        return [*ends, worker.exhausted.is_set()]

    model = Pretender(ResourceError("out of memory"))
    assert run(scenario, model) == [False] * EXHAUSTED + [True]
    assert model.released == EXHAUSTED


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_no_lack_of_memory():
    class Full(Pretender):
        def segment(self, image, output, look, begin):
            write_atomically(output, lambda stream: Path("/dev/full").write_text("labels"))

    async def scenario(worker):
        for _ in range(EXHAUSTED):
            job = new_job(worker)
            worker.submit(job)
            refusal = await refusal_of(worker, job)
            assert (refusal.status, refusal.fact) == (503, "there is no room for this image")
        return worker.exhausted.is_set(), worker.model.released

    assert run(scenario, Full()) == (False, 0)


@pytest.mark.parametrize("fail", [lambda: Refusal(504, "late"), lambda: ResourceError("full")])
def test_a_failed_job_that_is_kept_keeps_nothing_of_its_arrays(fail):
    class Large(Pretender):
        def segment(self, image, output, look, begin):
            array = np.zeros(9)
            self.array = weakref.ref(array)
            raise fail()

    async def scenario(worker):
        job = new_job(worker)
        worker.submit(job)
        worker.keep(job)
        await refusal_of(worker, job)
        gc.collect()
        return worker.model.array()

    assert run(scenario, Large()) is None


def test_at_the_end_waiting_jobs_are_sent_away_and_the_running_one_is_finished():
    async def scenario(worker):
        worker.model.gate.clear()
        running, waiting = new_job(worker), new_job(worker, "never")
        worker.submit(running)
        worker.submit(waiting)
        while running.state != "running":
            await asyncio.sleep(0.01)
        worker.stop()
        with pytest.raises(Refusal, match="stopping"):
            worker.new_job(".png")
        worker.model.gate.set()
        assert (await refusal_of(worker, waiting)).status == 503
        return (await worker.labels_of(running)).read_text()

    assert run(scenario) == "labels of an image"


def test_kept_results_are_bounded_in_time_and_number(monkeypatch):
    async def scenario(worker):
        jobs: list = []
        for number in range(4):
            job = new_job(worker, str(number))
            worker.submit(job)
            worker.keep(job)
            await worker.labels_of(job)
            jobs.append(job)
        assert list(worker.kept) == [job.id for job in jobs[-2:]]
        assert [job.labels.exists() for job in jobs] == [False, False, True, True]
        monkeypatch.setattr(worker_module, "KEEP_S", 0.0)
        worker.submit(last := new_job(worker))
        worker.keep(last)
        await worker.labels_of(last)
        await asyncio.sleep(0.05)
        assert list(worker.kept) == [job.id for job in jobs[-1:]]
        assert not last.labels.exists()
        return [job.image.parent for job in [*jobs, last]]

    monkeypatch.setattr(worker_module, "KEPT", 2)
    folders: list[Path] = run(scenario)
    assert [folder for folder in folders if folder.exists()] == []
