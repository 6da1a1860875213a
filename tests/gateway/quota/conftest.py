"""A real database for tests of leases."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.gateway import database as databases
from services.gateway.database import Database, open_database
from services.gateway.quota import leases


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(dsn)
    yield made
    await made.close()


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    async with open_database(dsn, name="test") as made:
        yield made


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is only slow is not taken for one that is away."""
    monkeypatch.setattr(databases, "_CONNECT_SECONDS", 30.0)
    monkeypatch.setattr(leases, "_PATIENCE_SECONDS", 30.0)
