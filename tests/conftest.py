"""What holds for all tests, and the databases that many of them need."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.postgres import Postgres, Servers

# A busy machine is no fault of an example's.
hypothesis.settings.register_profile("mesh", deadline=None)
hypothesis.settings.load_profile("mesh")


@pytest.fixture(scope="session")
def postgres_servers() -> "Iterator[Servers]":
    """Imported late: tests of clients run in an environment without a driver."""
    from tests.postgres import Servers

    with contextlib.ExitStack() as stack:
        yield Servers(stack)


# The names are SERVERS of tests/postgres.py. Whatever asks for a database is run on both.
@pytest.fixture(params=["embedded-18", "debian-15"])
def postgres(request: pytest.FixtureRequest, postgres_servers: "Servers") -> "Postgres":
    """A running server with a migrated database `ledger`, which is to be copied and not used."""
    return postgres_servers.of(request.param)


@pytest.fixture
async def dsn(postgres: "Postgres") -> AsyncIterator[str]:
    """A migrated, empty database of this test alone."""
    made = await postgres.copy_of("ledger")
    yield made
    await postgres.drop(made)
