"""The gateway's connections: what they find, and what they say of a database that cannot be used."""

import pathlib

import pytest

from services.gateway.database import DatabaseAway, open_database
from services.gateway.schema import SchemaUnknown
from tests.postgres import Postgres


async def test_a_start_refuses_tables_that_this_release_does_not_know(postgres: Postgres) -> None:
    async with open_database(postgres.dsn(), name="test") as database:
        with pytest.raises(SchemaUnknown, match="run `hybrid migrate`"):
            await database.require_schema()
        with pytest.raises(DatabaseAway):
            async with database.connection():
                pass


async def test_a_start_goes_on_while_the_database_is_away_and_asks_later(tmp_path: pathlib.Path) -> None:
    async with open_database(f"postgresql://postgres@/x?host={tmp_path}", name="test") as database:
        await database.require_schema()


async def test_tables_that_a_newer_release_brings_later_end_nothing_that_runs(dsn: str) -> None:
    async with open_database(dsn, name="test") as database:
        await database.require_schema()
        async with database.connection() as connection:
            await connection.execute("INSERT INTO schema_migrations VALUES ('29990101000000')")
            connection.terminate()
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT 1") == 1
    async with open_database(dsn, name="test") as database:
        with pytest.raises(SchemaUnknown, match="29990101000000"):
            await database.require_schema()
