"""A mesh with a PostgreSQL of one's own: Debian's 15, over TLS, as a role that owns nothing but its schema."""

import asyncio
import contextlib
import pathlib
import urllib.parse
from collections.abc import Iterator

import asyncpg
import pytest

from tests.edge.certificates import Authority
from tests.mesh.driver import Mesh, free_port, mesh
from tests.postgres import DEBIAN, MIGRATIONS, Postgres, running

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {drain_seconds: 1}
providers: {echo: {kind: echo, drain_seconds: 1}}
models: [{name: echo, routes: [{provider: echo}]}]
ledger: {dsn: "${LEDGER_DSN:?}"}
"""
PASSWORD = "open/sesame@%20:?"
ACCESS = "local all postgres trust\nhostssl shared mesh 127.0.0.1/32 scram-sha-256\n"
# As its owner sets it up: others may have tables there, too.
SETUP = (
    f"CREATE ROLE mesh LOGIN PASSWORD '{PASSWORD}'",
    "CREATE DATABASE shared",
    "REVOKE ALL ON DATABASE shared FROM PUBLIC",
    "GRANT CONNECT, TEMPORARY ON DATABASE shared TO mesh",
)


@contextlib.contextmanager
def served(tls: pathlib.Path) -> Iterator[Postgres]:
    """The server; it takes TLS alone, and has a role `mesh` that owns the schema of its name in a database `shared`."""
    authority = Authority()
    authority.write(tls, "server")
    (tls / "server.key").chmod(0o600)
    (tls / "authority.crt").write_bytes(authority.pem)
    with running(DEBIAN) as server:
        server.stop()
        (server.directory / "data/pg_hba.conf").write_text(ACCESS)
        files = (f"ssl_cert_file={tls}/server.crt", f"ssl_key_file={tls}/server.key")
        server.options = ("listen_addresses=127.0.0.1", "ssl=on", *files)
        server.port = free_port()
        server.start()
        asyncio.run(told(server.dsn(), *SETUP))
        asyncio.run(told(server.dsn("shared"), "CREATE SCHEMA mesh AUTHORIZATION mesh"))
        yield server


async def told(dsn: str, *statements: str) -> list[list[object]]:
    """What the last of them answers."""
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            rows = await connection.fetch(statement)
        return [list(row) for row in rows]
    finally:
        await connection.close()


def test_it_is_migrated_when_told_to_and_serves_over_tls_and_says_its_password_nowhere(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(tmp_path) as server, mesh(CONFIG, up=False) as one:
        address = f"mesh:{urllib.parse.quote(PASSWORD, safe='')}@localhost:{server.port}/shared"
        trust = f"sslmode=verify-full&sslrootcert={tmp_path}/authority.crt"
        monkeypatch.setenv("LEDGER_DSN", f"postgresql://{address}?{trust}")

        refused = one.hybrid("up", "--detach", "--port", str(one.port))
        assert refused.returncode != 0
        assert "run `hybrid migrate`" in refused.stderr
        migrated = one.hybrid("migrate", "--config", str(one.config))
        assert migrated.stdout.split()[1::2] == [file.name for file in sorted(MIGRATIONS.glob("*.sql"))], migrated

        one.up()
        answer = one.client.chat.completions.create(model="echo", messages=[{"role": "user", "content": "one two"}])
        row = one.row_of(answer.id.removeprefix("chatcmpl-"))
        assert (row["outcome"], row["cost_usd"]) == ("success", "0.000000000")
        told_of = one.hybrid("why", answer.id)
        assert f"x-request-id {row['edge_request_id']}" in told_of.stdout
        assert one.hybrid("why", row["edge_request_id"]).stdout == told_of.stdout
        assert nowhere(one, address), "the password is in an argument or a file"
        one.down()

        schemas = "SELECT DISTINCT schemaname FROM pg_tables WHERE tableowner = 'mesh'"
        assert asyncio.run(told(server.dsn("shared"), schemas)) == [["mesh"]]


def nowhere(one: Mesh, address: str) -> bool:
    words = [word for process in one.processes() for word in process.cmdline()]
    files = [
        path.read_text(errors="replace") for path in one.home.rglob("*") if path.is_file() and path.stat().st_size < 1e7
    ]
    assert words
    return not [text for text in (*words, *files) for secret in (PASSWORD, address) if secret in text]
