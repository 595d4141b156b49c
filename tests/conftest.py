"""What all tests share: small data, and a calm use of the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.synthetic import make_workspace

if TYPE_CHECKING:
    from tests.ranks import Pool


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
