"""The processes that the tests of several ranks share."""

from collections.abc import Iterator

import pytest

from tests.training.ranks import Pool


@pytest.fixture(scope="session")
def pool() -> Iterator[Pool]:
    """Three processes that can be ranks."""
    pool = Pool()
    yield pool
    pool.close()
