"""Keys in a real database."""

import asyncpg
from prometheus_client import CollectorRegistry

from services.chassis import ids
from services.gateway.database import Database
from services.gateway.identity.grant import Limits
from services.gateway.quota.leases import Leases
from services.gateway.quota.quota_metrics import QuotaMetrics

KEY = "k" * 16
SPOOL = "5b0f9ba2-6f0c-4f0c-8a39-0f8d5b4b1111"


async def insert_key(connection: asyncpg.Connection, limits: Limits, key_id: str = KEY) -> None:
    """A key with these limits; nobody can call with it."""
    await connection.execute(
        "INSERT INTO keys (key_id, mac, pepper_id, owner, created_by, requests_per_minute, tokens_per_minute, "
        "concurrency, budget_nano_usd_per_day, budget_nano_usd_per_month) "
        "VALUES ($1, $2, 'p', 'o', 'test', $3, $4, $5, $6, $7)",
        key_id,
        bytes(32),
        limits.requests_per_minute,
        limits.tokens_per_minute,
        limits.concurrency,
        limits.usd_per_day,
        limits.usd_per_month,
    )


def leases_on(database: Database, *, spool_id: str = SPOOL) -> Leases:
    """Leases of a new gateway."""
    metrics = QuotaMetrics(CollectorRegistry())
    return Leases(database, metrics, run=ids.new_id(), gateway="gateway", spool_id=spool_id)
