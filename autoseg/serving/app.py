"""The addresses of the service, and what each of them answers."""

from __future__ import annotations

import asyncio
import time
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from autoseg import __version__
from autoseg.errors import AutosegError
from autoseg.labels import Labels
from autoseg.report.viewer import scene_text, viewer_script, viewer_style
from autoseg.serving import contract, intake, login, monai_label, schema
from autoseg.serving.answers import file_of, wants_page
from autoseg.serving.job import Job
from autoseg.serving.leaving import or_gone
from autoseg.serving.mistakes import tell_mistakes
from autoseg.serving.model import IMAGE
from autoseg.serving.overheard import overheard
from autoseg.serving.refusal import Refusal
from autoseg.serving.worker import Worker
from autoseg.workflows.view import view_of_files
from autoseg.workflows.view_case import scene_of

SERVICE = "autoseg"
PAGE = ("index.html", "page.css", "service.js", "page.js")
ASYNC = "respond-async"  # RFC 7240: answer with the job, not with its result


def make_app(worker: Worker, token: str | None = None) -> FastAPI:
    """Return the ASGI application that answers with `worker`; `token` is what others check."""
    app = FastAPI(
        title=SERVICE, version=__version__, redirect_slashes=False, responses=schema.REFUSALS,
        docs_url=None, redoc_url=None,  # both would load scripts from elsewhere
    )  # fmt: skip
    bodies, began = intake.Intake(), time.monotonic()
    page, one_scene = _page(), asyncio.Lock()

    def about() -> dict[str, str]:
        return {"service": SERVICE, "version": __version__,
                "uptime": _clock(time.monotonic() - began)}  # fmt: skip

    @app.get("/", responses=schema.ROOT)
    async def root(request: Request) -> Response:
        if wants_page(request.headers.get("accept", "")):
            return HTMLResponse(page)
        return JSONResponse({"message": "autoseg is running", "status": "ok", **about()})

    @app.get("/api")
    async def api() -> dict[str, str]:
        return about()

    @app.get("/health", responses=schema.STOPPING)
    async def health() -> JSONResponse:
        status = "stopping" if worker.stopping else "ok"
        said = {"status": status, "waiting": worker.waiting}
        return JSONResponse(said, 503 if worker.stopping else 200)

    @app.get("/models")
    async def models() -> dict[str, Any]:
        return {"models": worker.model.description(), **worker.model.method()}

    @app.post("/predict", openapi_extra=schema.PREDICT, responses=schema.PREDICTED)
    async def predict(request: Request) -> Response:
        intake.check_type(request, "application/json")
        worker.check_room()
        body = await bodies.read(request)
        try:
            png = await asyncio.to_thread(contract.png_of, bytes(body))
        finally:
            bodies.release(body)
        job = worker.new_job(".png", request.state.request_id)
        try:
            job.image.write_bytes(png)
            worker.submit(job)
            labels = await or_gone(request, worker.labels_of(job))
            answer = await asyncio.to_thread(contract.answer_of, labels)
        finally:
            job.close()
        return Response(answer, media_type="application/json")

    @app.post("/segment", openapi_extra=schema.SEGMENT, responses=schema.SEGMENTED)
    async def segment(request: Request) -> Response:
        intake.check_type(request, *intake.IMAGE_TYPES)
        worker.check_room()
        job = worker.new_job("", request.state.request_id)
        try:
            await intake.save(request, job.image)
            job.be(await asyncio.to_thread(intake.ending_of_body, job.image))
            await asyncio.to_thread(intake.check_image, job.image)
            worker.submit(job)
            if ASYNC in request.headers.get("prefer", ""):
                worker.keep(job)
                said, place = job.status(), {"location": f"/jobs/{job.id}"}
                return JSONResponse(said, 202, place)
            await or_gone(request, worker.labels_of(job))
            return file_of(job.labels)
        finally:
            if job.id not in worker.kept:
                job.close()

    @app.get("/jobs/{job_id}")
    async def status(job_id: str) -> dict[str, Any]:
        return _job(worker, job_id).status()

    @app.get("/jobs/{job_id}/labels", responses=schema.LABELS)
    async def labels(job_id: str) -> Response:
        return file_of(_done(worker, job_id).labels)

    @app.get("/jobs/{job_id}/scene", responses=schema.SCENE)
    async def scene(job_id: str) -> Response:
        async with one_scene:  # it takes several times the memory of the scan
            job = _done(worker, job_id)
            if not job.scene.exists():
                await asyncio.to_thread(_write_scene, job, worker.model.labels)
        return file_of(job.scene)

    @app.delete("/jobs/{job_id}", status_code=204)
    async def forget(job_id: str) -> Response:
        worker.forget(_job(worker, job_id))
        return Response(status_code=204)

    app.include_router(monai_label.paths(worker))
    app.include_router(login.paths(token, bodies))

    tell_mistakes(app)
    return app


def _job(worker: Worker, job_id: str) -> Job:
    if job_id not in worker.kept:
        raise Refusal(404, "there is no such job, or its time is over")
    return worker.kept[job_id]


def _done(worker: Worker, job_id: str) -> Job:
    job = _job(worker, job_id)
    if job.refusal is not None:
        raise job.refusal
    if job.state != "done":
        raise Refusal(409, "the labels are not there yet", {"retry-after": "1"})
    return job


def _write_scene(job: Job, labels: Labels) -> None:
    try:
        image, made = (str(job.image), IMAGE, False), (str(job.labels), "the labels", False)
        with overheard(*image), overheard(*made):
            view = view_of_files(job.image, None, labels)
            text = scene_text(scene_of(view, {"labels": job.labels}, view.name))
        job.scene.write_text(text, encoding="utf-8")
    except (OSError, AutosegError) as error:
        job.scene.unlink(missing_ok=True)
        if job.image.exists():
            raise
        raise Refusal(404, "there is no such job, or its time is over") from error


def _page() -> str:
    folder = files("autoseg.serving") / "page"
    read = {name: (folder / name).read_text(encoding="utf-8") for name in PAGE}
    page = read["index.html"].replace("/* style of the viewer */", viewer_style())
    page = page.replace("/* style of the page */", read["page.css"])
    page = page.replace("/* script of the viewer */", viewer_script())
    script = f"(() => {{\n'use strict';\n{read['service.js']}{read['page.js']}}})();"
    return page.replace("/* script of the page */", script)


def _clock(seconds: float) -> str:
    """Return hours, minutes and seconds.

    >>> _clock(100_000)
    '27:46:40'
    """
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"
