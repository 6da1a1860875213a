"""A process works with a schema that it knows, and with no other."""

import pathlib
import subprocess
import sys

import asyncpg
import pytest

from services.gateway import schema
from tests.postgres import MIGRATIONS, ROOT, Postgres


def test_the_versions_that_are_known_are_those_of_the_migrations_that_are_shipped() -> None:
    assert list(schema.VERSIONS) == sorted(file.name.partition("_")[0] for file in MIGRATIONS.glob("*.sql"))


@pytest.mark.parametrize(
    ("applied", "told"),
    [
        (schema.VERSIONS, None),
        (schema.VERSIONS[:-1], f"lacks migrations: {schema.VERSIONS[-1]}; run `hybrid migrate`"),
        ((), "run `hybrid migrate`"),
        ((*schema.VERSIONS, "29990101000000"), "does not know: 29990101000000; use the release that brought them"),
        # To migrate would not help, so it is not said.
        ((*schema.VERSIONS[1:], "29990101000000"), "does not know: 29990101000000; use the release that brought them"),
    ],
)
def test_what_is_missing_or_newer_is_named_with_what_to_do(applied: tuple[str, ...], told: str | None) -> None:
    found = schema.difference(applied)
    assert (found is None) if told is None else (told in str(found))


async def test_a_migrated_database_is_known_and_an_empty_or_newer_one_is_refused(postgres: Postgres, dsn: str) -> None:
    await schema.check(dsn)
    with pytest.raises(schema.SchemaUnknown, match="run `hybrid migrate`"):
        await schema.check(postgres.dsn())
    connection = await asyncpg.connect(dsn)
    await connection.execute("INSERT INTO schema_migrations VALUES ('29990101000000')")
    await connection.close()
    with pytest.raises(schema.SchemaUnknown, match="29990101000000"):
        await schema.check(dsn)


def checked(*, file: pathlib.Path | None = None, said: str = "") -> tuple[int, str]:
    arguments = () if file is None else ("--config", str(file))
    done = subprocess.run(
        (sys.executable, "-m", "services.gateway.schema", *arguments),
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'gen'}"},
        input=said,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    return done.returncode, done.stderr


async def test_the_check_of_a_start_ends_well_or_says_what_to_do(dsn: str, tmp_path: pathlib.Path) -> None:
    file = tmp_path / "mesh.yaml"
    model = "providers: {e: {kind: echo}}\nmodels: [{name: e, routes: [{provider: e}]}]\n"
    file.write_text(f'{model}ledger: {{dsn: "{dsn}"}}\n')
    assert checked(file=file) == (0, "")
    file.write_text(f'{model}ledger: {{dsn: "postgresql://me:sesame@/x?host={tmp_path}"}}\n')
    code, said = checked(file=file)
    assert (code, "does not answer" in said, "sesame" in said) == (1, True, False), said


def test_what_is_no_dsn_is_not_repeated() -> None:
    for dsn in ("mysql://me:sesame@db/x", "postgresql://me:sesame@db:port/x"):
        code, said = checked(said=dsn)
        assert (code, "no DSN" in said or "none of PostgreSQL" in said, "sesame" in said) == (1, True, False), said
