"""Small pictures of cases, each with a sentence under it."""

from __future__ import annotations

from collections.abc import Mapping

from autoseg.report.html import figure, picture, side_by_side


def gallery(overlays: Mapping[str, str], captions: Mapping[str, str]) -> str:
    """Return the pictures (data URIs by case) of the cases that have a caption, in that order."""
    shown = [
        figure(picture(overlays[case], f"overlay of {case}"), f"{case}: {text}")
        for case, text in captions.items()
        if case in overlays
    ]
    return side_by_side(shown, "pictures") if shown else ""
