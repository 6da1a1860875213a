"""Migrations: applied by dbmate itself, and safe to apply again."""

import asyncpg

from services.gateway.loader.rows import ATTEMPT_COLUMNS, REQUEST_COLUMNS, parse
from tests.gateway.loader.records import TODAY, record
from tests.postgres import MIGRATIONS, Postgres


async def test_migrations_applied_twice_change_nothing(postgres: Postgres) -> None:
    assert "Applied" in postgres.migrate("twice")
    connection = await asyncpg.connect(postgres.dsn("twice"))
    try:
        await connection.execute("INSERT INTO spool_progress VALUES (gen_random_uuid(), 's', 1)")
        assert "Applied" not in postgres.migrate("twice")
        assert await connection.fetchval("SELECT count(*) FROM spool_progress") == 1
    finally:
        await connection.close()


async def test_a_writer_of_the_version_before_still_writes(postgres: Postgres) -> None:
    rows = parse(record(attempts=2).SerializeToString(), TODAY)
    connection = await asyncpg.connect(await postgres.copy_of("ledger"))
    try:
        before = ATTEMPT_COLUMNS[: ATTEMPT_COLUMNS.index("tries")]
        attempts = [attempt[: len(before)] for attempt in rows.attempts]
        await connection.copy_records_to_table("attempts", columns=before, records=attempts)
        assert [row["tries"] for row in await connection.fetch("SELECT tries FROM attempts")] == ["[]", "[]"]
    finally:
        await connection.close()


async def test_a_writer_that_knows_no_decisions_still_writes(postgres: Postgres) -> None:
    rows = parse(record(attempts=2).SerializeToString(), TODAY)
    connection = await asyncpg.connect(await postgres.copy_of("ledger"))
    try:
        for table, columns, written, first in (
            ("requests", REQUEST_COLUMNS, [rows.request], "estimated_input_tokens"),
            ("attempts", ATTEMPT_COLUMNS, rows.attempts, "kind"),
        ):
            before = columns[: columns.index(first)]
            cut = [row[: len(before)] for row in written]
            await connection.copy_records_to_table(table, columns=before, records=cut)
        one = await connection.fetchrow(
            "SELECT estimated_input_tokens, max_output_tokens, refused_by, prefix_hashes FROM requests"
        )
        assert tuple(one) == (0, 0, None, [])
        assert [tuple(row) for row in await connection.fetch("SELECT kind, decision FROM attempts")] == [("", None)] * 2
    finally:
        await connection.close()


def test_each_migration_waits_for_locks_only_so_long() -> None:
    files = sorted(MIGRATIONS.glob("*.sql"))
    assert files
    for file in files:
        assert "SET LOCAL lock_timeout" in file.read_text().partition("-- migrate:down")[0], file.name
