"""What several tests of the gateway share."""

import pathlib
import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def directory() -> Iterator[pathlib.Path]:
    """A short path: unix sockets live in it."""
    with tempfile.TemporaryDirectory(prefix="g-") as name:
        yield pathlib.Path(name)
