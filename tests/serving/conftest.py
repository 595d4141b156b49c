from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.inference.conftest import make_bundle
from tests.serving.browsing import Visit
from tests.serving.flat import Service, make_flat_bundle, served

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHONE = {"width": 360, "height": 780}


@pytest.fixture(scope="session")
def flat_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flat_bundle(tmp_path_factory.mktemp("flat") / "bundle", ("0", "1"))


@pytest.fixture(scope="session")
def service(flat_bundle: Path) -> Iterator[Service]:
    with served(flat_bundle, "--queue", "100") as running:
        yield running


@pytest.fixture(scope="session")
def solid_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model for volumes, with two targets."""
    return make_bundle(tmp_path_factory.mktemp("solid") / "bundle")


@pytest.fixture(scope="session")
def solid_service(solid_bundle: Path) -> Iterator[Service]:
    with served(solid_bundle) as running:
        yield running


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Page]]:
    """Open the page of a service; in the end, nothing was fetched elsewhere, or amiss unasked."""
    visits: list[Visit] = []

    def begin(service: Service, *refusals: int) -> Page:
        """`refusals` are the statuses that the test provokes: Chromium notes them."""
        visits.append(Visit(chromium.new_page(viewport=PHONE), service, refusals))
        return visits[-1].page

    yield begin
    for past in visits:
        past.end()
