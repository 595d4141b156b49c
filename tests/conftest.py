"""What all tests share: small data, and a calm use of the machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.synthetic import make_workspace

if TYPE_CHECKING:
    from tests.ranks import Pool


@pytest.fixture(scope="module")  # no longer: playwright occupies the thread's event loop
def chromium():
    """Debian's Chromium, driven by playwright; without either, tests that look at pages skip."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("Chromium is not installed")
    with api.sync_playwright() as playwright:
        # WebGL without a graphics card, and nothing that asks for its own sake; playwright
        # itself adds what stops updates, synchronising and first-run pages.
        options = ["--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic"]
        started = playwright.chromium.launch(executable_path=executable, args=options)
        yield started
        started.close()


@pytest.fixture
def phantoms(tmp_path: Path):
    """A workspace with five small phantom CTs in raw/PHANTOM."""
    return make_workspace(tmp_path)


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Three processes that can be ranks."""
    from tests.ranks import Pool  # loads torch, which most tests do without

    pool = Pool()
    yield pool
    pool.close()
