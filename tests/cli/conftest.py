"""Homes in short directories, since unix sockets need short paths."""

import pathlib
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from services.cli.home import Home


@pytest.fixture
def home() -> Iterator[Home]:
    """A home that is prepared, and removed at the end."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="hyb", dir="/tmp"))
    made = Home(path)
    made.prepare()
    yield made
    shutil.rmtree(path)
