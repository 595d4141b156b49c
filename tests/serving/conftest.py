from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.serving.flat import Service, make_flat_bundle, served


@pytest.fixture(scope="session")
def flat_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_flat_bundle(tmp_path_factory.mktemp("flat") / "bundle", ("0", "1"))


@pytest.fixture(scope="session")
def service(flat_bundle: Path) -> Iterator[Service]:
    with served(flat_bundle, "--queue", "100") as running:
        yield running
