"""Fixtures of the router's tests."""

import pathlib
import tempfile
from collections.abc import AsyncIterator, Iterator

import pytest

from services.config.mesh import MeshConfig
from tests.router.harness import Router, open_router
from tests.router.scene import mesh_config


@pytest.fixture
def home() -> Iterator[pathlib.Path]:
    """A directory whose path is short enough for sockets; pytest's own is not."""
    with tempfile.TemporaryDirectory(prefix="hr-") as path:
        yield pathlib.Path(path)


@pytest.fixture
def addresses(home: pathlib.Path) -> list[str]:
    """Where two workers listen."""
    return [f"unix:{home}/w{index}.sock" for index in range(2)]


@pytest.fixture
def config(addresses: list[str]) -> MeshConfig:
    """Two workers, whose silence is no news."""
    return mesh_config(addresses=addresses, router={"stale_seconds": 60, "breaker": {"consecutive_failures": 2}})


@pytest.fixture
async def router(home: pathlib.Path, config: MeshConfig) -> AsyncIterator[Router]:
    """A router with two workers that are well."""
    async with open_router(home, config) as up:
        yield up
