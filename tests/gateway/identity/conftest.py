"""One database for all tests here: each makes keys of its own, and a copy takes longer than most of them."""

import pytest

from services.gateway import database
from services.gateway.identity import keyring, lookups
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


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is only slow is not taken for one that is away."""
    monkeypatch.setattr(database, "_CONNECT_SECONDS", 30.0)
    monkeypatch.setattr(lookups, "_PATIENCE_SECONDS", 30.0)
    monkeypatch.setattr(keyring, "_POLL_PATIENCE_SECONDS", 30.0)
