"""An admin service for each test."""

import pathlib
from collections.abc import AsyncIterator

import pytest

from tests.gateway.admin.office import Office, office


@pytest.fixture
async def admins(directory: pathlib.Path, dsn: str) -> AsyncIterator[Office]:
    """One with the operators of `tests.gateway.admin.office.operators`."""
    async with office(directory, dsn) as opened:
        yield opened
