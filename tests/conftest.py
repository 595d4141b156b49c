"""What all tests share: small data, and a calm use of the machine."""

from pathlib import Path

import pytest

from tests.synthetic import make_workspace


@pytest.fixture
def phantoms(tmp_path: Path):
    """A workspace with five small phantom CTs in raw/PHANTOM."""
    return make_workspace(tmp_path)
