"""An admin service for each test."""

import pathlib
from collections.abc import AsyncIterator

import pytest

from services.gateway import database
from tests.gateway.admin.office import Office, office


@pytest.fixture
async def admins(directory: pathlib.Path, dsn: str) -> AsyncIterator[Office]:
    """One with the operators of `tests.gateway.admin.office.operators`."""
    async with office(directory, dsn) as opened:
        yield opened


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is only slow is not taken for one that is away."""
    monkeypatch.setattr(database, "_CONNECT_SECONDS", 30.0)
