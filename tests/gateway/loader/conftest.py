"""A server for all tests of the loader, a migrated database for each."""

from collections.abc import Iterator

import pytest

from tests.gateway.loader.postgres import Postgres, running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with running() as server:
        yield server


@pytest.fixture
async def dsn(postgres: Postgres) -> str:
    return await postgres.copy_of("ledger")
