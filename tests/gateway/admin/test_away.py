"""An admin service whose database does not do its part."""

import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any, cast

import asyncpg
import pytest
import structlog.testing
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from services.gateway.admin.store import Store
from services.gateway.database import Database
from services.gateway.identity.peppers import Peppers
from tests.gateway.admin.office import Office, office


async def test_without_a_database_an_operator_is_told_to_come_back_and_what_is_refused_stays_so(
    directory: pathlib.Path,
) -> None:
    async with office(directory, f"postgresql://nobody@/none?host={directory}") as away:
        for method, request in (
            ("CreateKey", admin.CreateKeyRequest(spec=admin.KeySpec(owner="o"))),
            ("ListKeys", admin.ListKeysRequest()),
            ("RevokeKey", admin.RevokeKeyRequest(key_id="a" * 16)),
            ("RotateKey", admin.RotateKeyRequest(key_id="a" * 16)),
            ("QueryUsage", admin.QueryUsageRequest()),
        ):
            with pytest.raises(Failure, match="look before you ask again") as told:
                await away.ask(method, request)
            assert (told.value.reason, told.value.retry_after) == (reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, 1.0)
            with pytest.raises(Failure) as told:
                await away.ask(method, request, None)
            assert told.value.reason == reasons.ERROR_REASON_CREDENTIAL_INVALID
        with pytest.raises(Failure) as told:
            await away.ask("CreateKey", admin.CreateKeyRequest(), "reader")
        assert told.value.reason == reasons.ERROR_REASON_PERMISSION_DENIED


async def test_a_change_that_cannot_be_written_down_is_not_made(admins: Office, dsn: str) -> None:
    kept = (await admins.create()).key
    before = await admins.rows("SELECT * FROM keys")
    connection = await asyncpg.connect(dsn)
    await connection.execute("ALTER TABLE audit ADD CHECK (outcome = 'refused') NOT VALID")
    await connection.close()
    for method, request in (
        ("CreateKey", admin.CreateKeyRequest(spec=admin.KeySpec(owner="o"))),
        ("RevokeKey", admin.RevokeKeyRequest(key_id=kept.key_id)),
        ("RotateKey", admin.RotateKeyRequest(key_id=kept.key_id)),
    ):
        with pytest.raises(Failure) as told, structlog.testing.capture_logs():  # a crash takes a second to draw
            await admins.ask(method, request)
        assert told.value.reason == reasons.ERROR_REASON_INTERNAL
    assert await admins.rows("SELECT * FROM keys") == before


@pytest.mark.parametrize("postgres", ["embedded-18"], indirect=True)  # it takes as long as the bound
async def test_a_key_that_is_held_by_another_transaction_is_waited_for_in_bounds(admins: Office, dsn: str) -> None:
    key_id = (await admins.create()).key.key_id
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("SELECT FROM keys FOR UPDATE")
        with pytest.raises(Failure) as told:
            await admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id=key_id))
        assert told.value.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
    await connection.close()
    assert (await admins.ask("RevokeKey", admin.RevokeKeyRequest(key_id=key_id))).key.HasField("revoked_at")


@pytest.mark.parametrize(
    "error", [asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError, asyncpg.DeadlockDetectedError]
)
async def test_who_asks_every_moment_what_is_drained_is_told_to_come_back_whatever_the_database_says(
    error: type[asyncpg.PostgresError],
) -> None:
    class Locked:
        @contextlib.asynccontextmanager
        async def connection(self) -> AsyncIterator[Any]:
            raise error("no")
            yield

    store = Store(cast(Database, Locked()), cast(Peppers, None))
    with pytest.raises(Failure) as told:
        await store.drains()
    assert told.value.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
