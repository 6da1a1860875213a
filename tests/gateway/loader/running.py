"""Loaders in this process, and what is in the ledger then."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import asyncpg
from hybridinference.gateway.v1 import ledger_pb2
from prometheus_client import CollectorRegistry

from services.gateway.loader.loading import Keeping, Loader
from services.gateway.loader.store import open_store

DAY = Keeping(86_400, 64 << 20)


def loader_of(spool: pathlib.Path, dsn: str, registry: CollectorRegistry, keeping: Keeping = DAY) -> Loader:
    return Loader(spool, lambda: open_store(dsn), registry, keeping=keeping)


async def load_once(
    spool: pathlib.Path, dsn: str, registry: CollectorRegistry | None = None, keeping: Keeping = DAY
) -> None:
    """What a loader does that is told to stop at once: all there is, once."""
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(30):
        await loader_of(spool, dsn, registry or CollectorRegistry(), keeping).follow(stop)


@contextlib.asynccontextmanager
async def following(loader: Loader) -> AsyncIterator[None]:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(loader.follow(stop))
        try:
            yield
        finally:
            stop.set()


async def query(dsn: str, sql: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetch(sql, *arguments)
    finally:
        await connection.close()


async def ids(dsn: str) -> list[str]:
    return [str(row["generation_id"]) for row in await query(dsn, "SELECT generation_id FROM requests ORDER BY 1")]


def ids_of(records: list[ledger_pb2.LedgerRecord]) -> list[str]:
    return sorted(one.request.generation_id for one in records)


async def progress(dsn: str) -> dict[str, int]:
    return {row["segment"]: row["loaded_bytes"] for row in await query(dsn, "SELECT * FROM spool_progress")}


def payloads(records: list[ledger_pb2.LedgerRecord]) -> list[bytes]:
    return [one.SerializeToString() for one in records]


def load_for_ever(spool: pathlib.Path, dsn: str) -> None:
    """A process of its own, until it is killed."""
    asyncio.run(loader_of(spool, dsn, CollectorRegistry()).follow(asyncio.Event()))
