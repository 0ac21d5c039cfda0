"""A process that others of this room are forked from."""

from collections.abc import Iterator

import pytest

from tests.forks import Forks, forks


@pytest.fixture(scope="module")
def forked() -> Iterator[Forks]:
    with forks() as process:
        yield process
