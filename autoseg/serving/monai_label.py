"""MONAI Label's addresses, so that its client in 3D Slicer is one of ours.

What that client needs of them: what there is, an image sent once, and its labels. There is no
store of images, no training and nothing that is drawn by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from autoseg import __version__
from autoseg.case_files import PICTURES, ending_of
from autoseg.label_table import value_names
from autoseg.labels import Labels
from autoseg.serving import intake, schema
from autoseg.serving.answers import file_of, form_of
from autoseg.serving.forms import check_form, save_form
from autoseg.serving.job import Job
from autoseg.serving.leaving import or_gone
from autoseg.serving.model import Model
from autoseg.serving.refusal import Refusal
from autoseg.serving.sessions import Session, Sessions
from autoseg.serving.worker import Worker

RESULT_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".mha")
OUTPUTS = ("all", "image", "json")
Output = Annotated[str, Query(json_schema_extra={"enum": [*OUTPUTS]})]


def paths(worker: Worker) -> APIRouter:
    """Return the addresses, which answer with `worker`."""
    router, sessions = APIRouter(), Sessions()
    about = _about(worker.model)

    @router.get("/info", include_in_schema=False)
    @router.get("/info/")
    async def info() -> dict[str, Any]:
        return about

    @router.put("/session", include_in_schema=False)
    @router.put("/session/", openapi_extra=schema.SESSION_FORM, responses=schema.SESSION)
    async def begin(request: Request) -> dict[str, Any]:
        reader, folder = check_form(request), worker.new_folder()
        try:
            await save_form(request, reader, "files", folder / "image")
            session = sessions.add(await asyncio.to_thread(_checked, folder / "image"))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return {"session_id": session.id, "session_info": session.info()}

    @router.get("/session/{session_id}", responses=schema.SESSION_OR_IMAGE)
    async def session(session_id: str, image: str = "false") -> Response:
        found = sessions.find(session_id)
        return file_of(found.image) if image.lower() == "true" else JSONResponse(found.info())

    @router.delete("/session/{session_id}", responses=schema.SESSION)
    async def end(session_id: str) -> dict[str, Any]:
        found = sessions.find(session_id)
        sessions.forget(session_id)
        return found.info()

    @router.post("/infer/{model}", openapi_extra=schema.INFER_FORM, responses=schema.INFERRED)
    async def infer(
        request: Request, model: str, image: str = "", session_id: str = "", output: Output = "all"
    ) -> Response:
        if model not in about["models"]:
            raise Refusal(404, f"there is no such model, only {', '.join(about['models'])}")
        if output not in OUTPUTS:
            raise Refusal(422, f"expected output {', '.join(OUTPUTS)}")
        reader = check_form(request)
        worker.check_room()
        job = worker.new_job("", request.state.request_id)
        try:
            words = await save_form(request, reader, "file", job.image)
            if session_id:
                _share(sessions.find(session_id), job)
            elif job.image.exists():
                job.image = await asyncio.to_thread(_checked, job.image)
            else:
                raise _nothing(image)
            job.labels = job.labels.with_name(f"labels{_ending(words, job.image)}")
            began = time.monotonic()
            worker.submit(job)
            labels = await or_gone(request, worker.labels_of(job))
            if output == "image":
                return file_of(labels)
            said = _said(job, worker.model.labels, time.monotonic() - began)
            return JSONResponse(said) if output == "json" else form_of(said, labels)
        finally:
            job.close()

    return router


def _about(model: Model) -> dict[str, Any]:
    """Return what `/info/` says; the models are one, as they are an ensemble."""
    said = model.description()
    parts = [_described(one["model"], one["folds"]) for one in said]
    flat = ending_of(Path(model.engine.plan.file_ending)) in PICTURES
    names = value_names(model.labels)
    described = {
        "type": "segmentation", "dimension": 2 if flat else 3, "config": {},
        "labels": {name: value for value, name in names.items()},
        "description": f"{said[0]['dataset']}: {' + '.join(parts)}",
    }  # fmt: skip
    return {
        "name": "autoseg", "description": "segmentation without a store of images",
        "version": __version__, "labels": list(names.values()),
        "models": {said[0]["dataset"]: described},
        "trainers": {}, "strategies": {}, "scoring": {}, "train_stats": {}, "datastore": {},
    }  # fmt: skip


def _described(model: str, folds: list[str]) -> str:
    return f"{model}, fold{'s' if len(folds) > 1 else ''} {' '.join(folds)}"


def _said(job: Job, labels: Labels, seconds: float) -> dict[str, Any]:
    return {
        "label_names": names_in_a_row(labels),
        "latencies": {"total": round(seconds, 2)},
        "warnings": list(job.warnings),
    }


def names_in_a_row(labels: Labels) -> dict[str, int]:
    """Return names and their values, with a name for each value in between that has none.

    3D Slicer gives the first name to value 1, the second to value 2, and so on.
    """
    names = value_names(labels)
    return {names.get(value, f"no label {value}"): value for value in range(1, max(names) + 1)}


def _checked(image: Path) -> Path:
    """Return a body's file under the name that its type calls for; raise Refusal."""
    if not image.exists():
        raise Refusal(422, "the form has no file, expected one image")
    named = image.rename(image.with_name(f"image{intake.ending_of_body(image)}"))
    intake.check_image(named)
    return named


def _share(session: Session, job: Job) -> None:
    """Let `job` have a session's image, also when the session ends meanwhile."""
    if job.image.exists():
        raise Refusal(422, "there is a session and a file, expected one of them")
    os.link(session.image, job.image)
    job.be(ending_of(session.image))


def _nothing(image: str) -> Refusal:
    if not image:
        return Refusal(422, "there is no image, expected a session_id or a file")
    fact = "there is no store of images here: send the image itself, as a session or as a file"
    return Refusal(404, fact)


def _ending(words: dict[str, str], image: Path) -> str:
    """Return the file type that a client wants its labels in; by default that of its image."""
    try:
        params = json.loads(words.get("params") or "{}")
    except (ValueError, RecursionError) as error:
        raise Refusal(422, "params is not valid JSON") from error
    if not isinstance(params, dict):
        raise Refusal(422, "params is no JSON object")
    own = ending_of(image)
    wanted = params.get("result_extension") or own
    if wanted not in (*RESULT_ENDINGS, own):
        raise Refusal(422, f"expected result_extension {', '.join(RESULT_ENDINGS)}")
    return str(wanted)
