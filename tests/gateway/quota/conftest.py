"""A real database for tests of leases."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.gateway.database import Database, open_database


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    made = await asyncpg.connect(dsn)
    yield made
    await made.close()


@pytest.fixture
async def database(dsn: str) -> AsyncIterator[Database]:
    async with open_database(dsn, name="test") as made:
        yield made
