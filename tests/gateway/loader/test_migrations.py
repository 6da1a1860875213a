"""Migrations: applied by dbmate itself, and safe to apply again."""

import asyncpg

from tests.gateway.loader.postgres import MIGRATIONS, Postgres


async def test_migrations_applied_twice_change_nothing(postgres: Postgres) -> None:
    assert "Applied" in postgres.migrate("twice")
    connection = await asyncpg.connect(postgres.dsn("twice"))
    try:
        await connection.execute("INSERT INTO spool_progress VALUES (gen_random_uuid(), 's', 1)")
        assert "Applied" not in postgres.migrate("twice")
        assert await connection.fetchval("SELECT count(*) FROM spool_progress") == 1
    finally:
        await connection.close()


def test_each_migration_waits_for_locks_only_so_long() -> None:
    files = sorted(MIGRATIONS.glob("*.sql"))
    assert files
    for file in files:
        assert "SET LOCAL lock_timeout" in file.read_text().partition("-- migrate:down")[0], file.name
