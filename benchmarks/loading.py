"""A loader beside an embedded PostgreSQL as `hybrid up` runs it, with a spool that is there already."""

import asyncio
import contextlib
import dataclasses
import pathlib
import subprocess
import sys
import time
from collections.abc import Iterator

import asyncpg

from benchmarks.child import ENVIRONMENT, ROOT, ended
from benchmarks.cpu import Usage, sample
from services.cli import migrations, postgres, readiness
from services.cli.home import Home

_MIGRATIONS = ROOT / "infrastructure/postgres/migrations"
_UP_SECONDS = 60.0
_LOOK_SECONDS = 0.1
_CONFIG = """
access: {keyless: true}
providers: {echo: {kind: echo}}
models: [{name: echo, routes: [{provider: echo}]}]
log: {level: warning}
"""
_COUNT = "SELECT coalesce(sum(requests), 0)::bigint FROM requests_hourly"
_AMISS = """
SELECT (SELECT count(*) FROM requests) <> $1 OR (SELECT count(*) FROM attempts) <> $1
    OR (SELECT sum(cost_nano_usd) FROM requests) <> (SELECT sum(cost_nano_usd) FROM requests_hourly)
    OR (SELECT sum(attempts) FROM attempts_hourly) <> $1
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Loaded:
    """What happened from the first batch's commit to the last one's.

    Attributes:
        requests: loaded in that time, each with one attempt.
        seconds: how long it took.
        loader: the loader's CPU.
        database: that of all processes of PostgreSQL.
    """

    requests: int
    seconds: float
    loader: Usage
    database: Usage

    def figures(self) -> dict[str, float]:
        """Rate, and CPU for a request."""
        return {
            "requests_per_second": self.requests / self.seconds,
            "seconds": self.seconds,
            "loader_us": self.loader.ns / self.requests / 1e3,
            "postgres_us": self.database.ns / self.requests / 1e3,
            "loader_cores": self.loader.ns / 1e9 / self.seconds,
            "postgres_cores": self.database.ns / 1e9 / self.seconds,
        }


@contextlib.contextmanager
def database(home: pathlib.Path) -> Iterator[tuple[str, int]]:
    """An embedded server with the ledger's tables, and every setting that a mesh's has. Its DSN and process id."""
    embedded = postgres.prepare(Home(home))
    making, server = embedded.specs(ENVIRONMENT)
    subprocess.run(making.command, env=ENVIRONMENT, cwd=home, check=True, timeout=_UP_SECONDS)
    with (home / "postgres.log").open("wb") as log:
        process = subprocess.Popen(server.command, env=ENVIRONMENT, cwd=home, stdout=log, stderr=log)
    with ended(process, ask=True):
        asyncio.run(_answering(embedded.dsn.replace("hybridinference", "postgres")))
        migrating = migrations.spec(embedded.dsn, _MIGRATIONS, ENVIRONMENT, after=())
        subprocess.run(
            migrating.command, env=dict(migrating.environment), check=True, capture_output=True, timeout=_UP_SECONDS
        )
        yield embedded.dsn, process.pid


async def _answering(dsn: str) -> None:
    async with asyncio.timeout(_UP_SECONDS):
        await readiness.postgres_accepting(dsn)


async def load(home: pathlib.Path, dsn: str, server: int, requests: int) -> Loaded:
    """Have a loader process load a spool of so many requests into an empty ledger.

    Raises:
        RuntimeError: the ledger is not what was in the spool, or that was too little.
    """
    connection = await asyncpg.connect(dsn)
    try:
        with _loader(home, dsn) as loader:
            processes = {"loader": [loader], "postgres": [server]}
            first = await _reached(connection, 1)
            before, begun = sample(processes), time.perf_counter()
            await _reached(connection, requests)
            seconds, after = time.perf_counter() - begun, sample(processes)
        if first == requests:
            raise RuntimeError("all of it was loaded at once: too little to measure")
        if await connection.fetchval(_AMISS, requests):
            raise RuntimeError("rows or sums are not what was in the spool")
    finally:
        await connection.close()
    used = {name: after[name] - before[name] for name in processes}
    return Loaded(requests - first, seconds, used["loader"], used["postgres"])


async def _reached(connection: asyncpg.Connection, requests: int) -> int:
    """Wait for so many requests in the ledger; how many there are then."""
    while (count := int(await connection.fetchval(_COUNT))) < requests:  # noqa: ASYNC110 - nothing tells us
        await asyncio.sleep(_LOOK_SECONDS)
    return count


@contextlib.contextmanager
def _loader(home: pathlib.Path, dsn: str) -> Iterator[int]:
    (home / "mesh.yaml").write_text(_CONFIG, encoding="utf-8")
    (home / "run").mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "services.gateway.loader", "--config", "mesh.yaml", "--dsn", dsn],
        cwd=home,
        env=ENVIRONMENT,
    )
    with ended(process, ask=True):
        yield process.pid
