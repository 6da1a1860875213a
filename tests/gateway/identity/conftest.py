"""One database for all tests here: each makes keys of its own, and a copy takes longer than most of them."""

import pytest

from tests.postgres import Postgres


@pytest.fixture(scope="session")
def copies() -> dict[str, str]:
    """DSNs by the name of the server."""
    return {}


@pytest.fixture
async def dsn(postgres: Postgres, copies: dict[str, str]) -> str:
    """A migrated database, which other tests here use as well."""
    if postgres.which not in copies:
        copies[postgres.which] = await postgres.copy_of("ledger")
    return copies[postgres.which]
