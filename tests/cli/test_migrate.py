"""`hybrid migrate`: applies, says what it did, waits for no lock for long, and repeats no password."""

import pathlib
import shutil
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from services.cli import migrate
from services.cli.home import Home
from services.cli.problem import Problem
from tests.postgres import MIGRATIONS, Postgres

# It takes tables that are in use, and puts others in their place.
REBUILDING = MIGRATIONS / "20261125230200_accounts.sql"


@pytest.fixture
async def empty(postgres: Postgres) -> AsyncIterator[str]:
    """The DSN of a database without tables."""
    made = await postgres.copy_of("template0")
    yield made
    await postgres.drop(made)


async def test_it_applies_what_is_missing_says_so_and_finds_nothing_the_second_time(empty: str) -> None:
    told = migrate.migrate(empty).splitlines()
    assert told == [f"applied {file.name}" for file in sorted(MIGRATIONS.glob("*.sql"))]
    assert migrate.migrate(empty) == "nothing to apply: the tables are up to date"


async def test_a_database_that_is_newer_is_refused(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO schema_migrations VALUES ('29990101000000')")
    await connection.close()
    with pytest.raises(Problem, match="does not know: 29990101000000"):
        migrate.migrate(dsn)


async def test_a_lock_that_does_not_come_ends_it_with_nothing_done_and_it_can_be_run_again(
    postgres: Postgres, tmp_path: pathlib.Path
) -> None:
    name = f"locked_{uuid.uuid4().hex}"
    every = sorted(MIGRATIONS.glob("*.sql"))
    first = every.index(REBUILDING)
    postgres.migrate(name, every[:first])
    for file in every:
        shutil.copy(file, tmp_path)
    quick = REBUILDING.read_text().replace("lock_timeout = '5s'", "lock_timeout = '100ms'")
    (tmp_path / REBUILDING.name).write_text(quick)
    blocker = await asyncpg.connect(postgres.dsn(name))
    async with blocker.transaction():
        await blocker.fetch("SELECT count(*) FROM requests")
        with pytest.raises(Problem, match="nothing of it was done"):
            migrate.migrate(postgres.dsn(name), tmp_path)
    assert await blocker.fetchval("SELECT to_regclass('requests_hourly') IS NULL")
    assert migrate.migrate(postgres.dsn(name), tmp_path) == "\n".join(f"applied {file.name}" for file in every[first:])
    await blocker.close()
    await postgres.drop(postgres.dsn(name))


@pytest.mark.parametrize("dsn", ["postgresql://me:sesame@db/x", "postgresql://me@db/x?password=sesame"])
def test_a_password_is_not_taken_as_an_argument(home: Home, dsn: str) -> None:
    with pytest.raises(Problem, match="PGPASSFILE") as caught:
        migrate.dsn_of(home, None, dsn)
    assert "sesame" not in str(caught.value)


def test_a_mesh_with_an_embedded_database_has_nothing_to_migrate(home: Home, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "mesh.yaml"
    file.write_text("providers: {e: {kind: echo}}\nmodels: [{name: e, routes: [{provider: e}]}]\n")
    with pytest.raises(Problem, match="migrated whenever the mesh starts"):
        migrate.dsn_of(home, file, None)


@pytest.mark.parametrize("dsn", ["postgresql://me:ses%21me@127.0.0.1:1/x", "postgresql://me:ses%21me@db:port/x"])
def test_no_failure_repeats_the_password(dsn: str) -> None:
    with pytest.raises(Problem, match="cannot be migrated") as caught:
        migrate.migrate(dsn)
    assert "ses%21me" not in str(caught.value)
    assert "ses!me" not in str(caught.value)
