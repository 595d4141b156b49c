"""Chromium for pages that shall work in a browser; tests of them are skipped without one."""

import shutil

import pytest


@pytest.fixture(scope="module")
def chromium():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        # WebGL without a graphics card.
        options = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        started = playwright.chromium.launch(executable_path=executable, args=options)
        yield started
        started.close()
