"""A loader beside an embedded PostgreSQL as `hybrid up` runs it, with a spool that is there already."""

import asyncio
import contextlib
import pathlib
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.child import ENVIRONMENT, ROOT, ended
from services.cli import migrations, postgres, readiness
from services.cli.home import Home

_MIGRATIONS = ROOT / "infrastructure/postgres/migrations"
_UP_SECONDS = 60.0
_CONFIG = """
access: {keyless: true}
providers: {echo: {kind: echo}}
models: [{name: echo, routes: [{provider: echo}]}]
log: {level: warning}
"""


@contextlib.contextmanager
def database(home: pathlib.Path) -> Iterator[tuple[str, int]]:
    """An embedded server with the ledger's tables, and every setting that a mesh's has. Its DSN and process id."""
    embedded = postgres.prepare(Home(home))
    making, server = embedded.specs(ENVIRONMENT)
    subprocess.run(making.command, env=ENVIRONMENT, cwd=home, check=True, timeout=_UP_SECONDS)
    with (home / "postgres.log").open("wb") as log:
        process = subprocess.Popen(server.command, env=ENVIRONMENT, cwd=home, stdout=log, stderr=log)
    with ended(process, ask=True):
        asyncio.run(
            asyncio.wait_for(readiness.postgres_accepting(embedded.dsn.replace("hybridinference", "postgres")), 30)
        )
        migrating = migrations.spec(embedded.dsn, _MIGRATIONS, ENVIRONMENT, after=())
        subprocess.run(
            migrating.command, env=dict(migrating.environment), check=True, capture_output=True, timeout=_UP_SECONDS
        )
        yield embedded.dsn, process.pid


async def _answering(dsn: str) -> None:
    async with asyncio.timeout(_UP_SECONDS):
        await readiness.postgres_accepting(dsn)


@contextlib.contextmanager
def loading(home: pathlib.Path, dsn: str) -> Iterator[int]:
    """A loader. Its process id."""
    (home / "mesh.yaml").write_text(_CONFIG, encoding="utf-8")
    (home / "run").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "services.gateway.loader", "--config", "mesh.yaml", "--dsn", dsn],
        cwd=home,
        env=ENVIRONMENT,
    )
    with ended(process, ask=True):
        yield process.pid
