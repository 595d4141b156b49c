"""Viewers in a browser: opened, quiet, and read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from autoseg.report.scene import Scene
from autoseg.report.viewer import viewer_page

# Pixels are read from a copy: Chromium complains about reading a canvas that is drawn on.
PIXELS = """
  const copy = new OffscreenCanvas(canvas.width, canvas.height);
  const context = copy.getContext("2d", {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const d = context.getImageData(0, 0, canvas.width, canvas.height).data;
"""
SETTLED = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


@contextmanager
def opened(chromium: Any, folder: Path, scene: Scene, **options: Any) -> Iterator[Any]:
    """Return the page of a scene; at the end it must have complained of and fetched nothing."""
    path = folder / "viewer.html"
    path.write_text(viewer_page(scene), encoding="utf-8")
    context = chromium.new_context(viewport={"width": 1200, "height": 900}, **options)
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("canvas")
    page.evaluate(SETTLED)
    yield page
    context.close()
    assert complaints == []
    assert requests == [path.as_uri()]


def readout(page: Any) -> list[str]:
    """Return what is said about the voxel under the pointer or the crosshair."""
    page.evaluate(SETTLED)
    return list(page.locator(".readout > *").all_inner_texts())


def captions(page: Any) -> list[str]:
    """Return what is said above each picture."""
    page.evaluate(SETTLED)
    return list(page.locator("figcaption").all_inner_texts())


def contents(page: Any, script: str) -> list[Any]:
    """Return what `script`, made of PIXELS, finds in each picture."""
    page.evaluate(SETTLED)
    return [canvas.evaluate(script) for canvas in page.query_selector_all("canvas")]
