"""Keys in a database, as an operator would have made them."""

import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
from prometheus_client import CollectorRegistry

from services.gateway.database import Database
from services.gateway.identity import credential as credentials
from services.gateway.identity.credential import Credential
from services.gateway.identity.keyring import Keyring
from services.gateway.identity.peppers import Peppers

PEPPERS = Peppers.of([b"p" * 32])
_RANDOM = credentials.ID_BYTES + credentials.SECRET_BYTES


class CountingDatabase(Database):
    """Counts how often it is asked for a connection."""

    asked = 0

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        self.asked += 1
        async with super().connection() as connection:
            yield connection


def made(key_id: str = "") -> Credential:
    """A credential that nobody has had before."""
    return credentials.make(os.urandom(_RANDOM), key_id=key_id)


async def insert(dsn: str, credential: Credential, *, peppers: Peppers = PEPPERS, **columns: Any) -> Credential:
    """Store a key; `columns` of the table beside those that every key has."""
    pepper_id, mac = peppers.mac(credential)
    row = {
        "key_id": credential.key_id,
        "mac": mac,
        "pepper_id": pepper_id,
        "owner": "team",
        "created_by": "root",
        **columns,
    }
    names = ", ".join(row)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    await execute(dsn, f"INSERT INTO keys ({names}) VALUES ({places})", *row.values())
    return credential


async def change(dsn: str, credential: Credential, what: str, *values: Any) -> None:
    """Change a key as the admin service does: with the time of it."""
    await execute(
        dsn, f"UPDATE keys SET {what}, changed_at = now() WHERE key_id = ${len(values) + 1}", *values, credential.key_id
    )


async def execute(dsn: str, statement: str, *values: Any) -> None:
    """Have the database do something."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement, *values)
    finally:
        await connection.close()


class Rig:
    """A keyring, what it asks, and its clocks, which stand still."""

    def __init__(self, dsn: str, *, most: int = 100, peppers: Peppers = PEPPERS, **more: Any) -> None:
        self.now = 1_800_000_000.0
        self.passed = 0.0
        self.database = CountingDatabase(dsn, name="test", most=2)
        self.registry = CollectorRegistry()
        self.keyring = Keyring(
            self.database,
            peppers,
            self.registry,
            most=most,
            ceilings=more.pop("ceilings", {}),
            clock=lambda: self.now,
            monotonic=lambda: self.passed,
        )

    async def verdict(self, credential: Credential) -> str:
        """What it is worth."""
        return (await self.keyring.judge(credential))[0]

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0
