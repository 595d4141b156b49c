"""The viewer: a scan with label maps in three planes, on a page that needs nothing but a browser.

A scene (`scene.py`) travels as JSON; the scripts `viewer*.js` make the pictures. Letters on their
edges tell the patient's sides.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from html import escape
from importlib.resources import files

from autoseg.report.html import MARK
from autoseg.report.scene import Scene

PARTS = (  # viewer_*.js
    "volume", "drawing", "state", "panes", "pointer", "touch", "keys", "controls", "names",
)  # fmt: skip
# The page may fetch nothing at all.
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


def scene_text(scene: Scene) -> str:
    """Return the scene as JSON that may stand inside a page."""
    text = json.dumps(asdict(scene), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def viewer_style() -> str:
    """Return the style sheet that a page with viewers needs once."""
    return _read("viewer.css")


def viewer_script() -> str:
    """Return the script that a page with viewers needs once.

    It stands after all `viewer_fragment`s, which it opens when they come into view, and defines
    `autosegViewer(element, scene)` for scenes that are fetched later.
    """
    scripts = [*(f"viewer_{part}.js" for part in PARTS), "viewer.js"]
    return "(() => {\n'use strict';\n" + "\n".join(map(_read, scripts)) + "})();\n"


def viewer_fragment(scene: Scene) -> str:
    """Return the HTML of one viewer; the script opens it when it comes into view."""
    data = f'<script type="application/json">{scene_text(scene)}</script>'
    return f'<div class="autoseg-viewer" data-scene>{data}</div>'


def viewer_page(scene: Scene) -> str:
    """Return a page with one viewer: a whole file, without a reference to any other."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="{MARK}">'
        f"<title>{escape(scene.title)}</title><style>{viewer_style()}</style></head>\n"
        f'<body class="autoseg-viewer-page">{viewer_fragment(scene)}\n'
        f"<script>{viewer_script()}</script></body></html>\n"
    )


def _read(name: str) -> str:
    return (files("autoseg.report") / name).read_text(encoding="utf-8")
