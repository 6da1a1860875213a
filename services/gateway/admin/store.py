"""Keys and the audit in PostgreSQL: each change and what is written of it in one transaction."""

import contextlib
import datetime
import json
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from typing import Any

import asyncpg
import structlog
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis import ids
from services.chassis.failure import Failure
from services.gateway.admin import drains, rows, statements
from services.gateway.admin.drains import Drain
from services.gateway.admin.flags import Saying
from services.gateway.admin.keys import Terms
from services.gateway.database import Database, DatabaseAway
from services.gateway.identity.credential import Credential
from services.gateway.identity.peppers import Peppers

LOG = structlog.get_logger()

_RETRY_SECONDS = 1.0
# A little more than what PostgreSQL is told, so that it is the one that gives up.
_USAGE_SECONDS = 31.0


class Store:
    """What the admin service keeps. `owners` bounds whose keys there are for an operator; None is everybody's."""

    def __init__(self, database: Database, peppers: Peppers) -> None:
        """`peppers` has the one under which new secrets are stored."""
        self._database = database
        self._peppers = peppers

    async def create(self, operator: str, terms: Terms, credential: Credential) -> asyncpg.Record:
        """Make a key, and return its row.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE; it may have been made, and nobody knows its secret.
        """
        pepper_id, mac = self._peppers.mac(credential)
        async with self._changing() as connection:
            made = (credential.key_id, mac, pepper_id, operator, *rows.values(terms))
            [row] = await connection.fetch(statements.CREATE, *made)
            await _write(connection, operator, "CreateKey", credential.key_id, rows.details(terms))
        return row

    async def listed(
        self,
        operator: str,
        *,
        owners: Sequence[str] | None,
        owner: str,
        ended: bool,
        after: tuple[datetime.datetime, str] | None,
        most: int,
    ) -> list[asyncpg.Record]:
        """Keys, newest first.

        Args:
            operator: who asks.
            owners: see above.
            owner: only theirs; "" is everybody's.
            ended: those that are revoked or expired, too.
            after: when the last of the page before was made, and its id.
            most: how many.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE.
        """
        moment, key_id = after or (None, "")
        async with self._changing() as connection:
            found = await connection.fetch(statements.LIST, owners, owner, ended, moment, key_id, most)
            await _write(connection, operator, "ListKeys", None, {"owner": owner} if owner else {})
        return found

    async def revoke(self, operator: str, key_id: str, *, owners: Sequence[str] | None) -> asyncpg.Record:
        """End a key; one that has ended stays as it is.

        Raises:
            Failure: SPEC_INVALID where there is no such key; ACCOUNTING_UNAVAILABLE.
        """
        async with self._changing() as connection:
            await self._taken(connection, key_id, owners)
            [row] = await connection.fetch(statements.REVOKE, key_id)
            await _write(connection, operator, "RevokeKey", key_id, {})
        return row

    async def rotate(
        self,
        operator: str,
        credential: Credential,
        grace: datetime.timedelta,
        *,
        owners: Sequence[str] | None,
        only_own: bool,
    ) -> asyncpg.Record:
        """Give a key another secret.

        Args:
            operator: who asks.
            credential: the key with its new secret.
            grace: how long the secret before is taken, too.
            owners: see above.
            only_own: whether the operator has to be the one who made it.

        Raises:
            Failure: SPEC_INVALID where there is no such key, or it has ended; PERMISSION_DENIED where it is another
                operator's; ACCOUNTING_UNAVAILABLE: it may have been done, and nobody knows the new secret.
        """
        key_id = credential.key_id
        pepper_id, mac = self._peppers.mac(credential)
        async with self._changing() as connection:
            before = await self._taken(connection, key_id, owners)
            if only_own and before["created_by"] != operator:
                raise Failure(
                    reasons.ERROR_REASON_PERMISSION_DENIED,
                    f"The key `{key_id}` was made by another operator, whose ceiling it has: "
                    "its secret is given by them, or by an operator without a ceiling.",
                    field="key_id",
                )
            if before["revoked_at"] is not None or (before["expires_at"] and before["expires_at"] <= before["now"]):
                raise Failure(
                    reasons.ERROR_REASON_SPEC_INVALID, f"The key `{key_id}` has ended; make another.", field="key_id"
                )
            [row] = await connection.fetch(statements.ROTATE, key_id, mac, pepper_id, grace)
            await _write(connection, operator, "RotateKey", key_id, {"grace_seconds": grace.total_seconds()})
        return row

    async def summed(
        self, operator: str, sql: str, arguments: Sequence[object], details: Mapping[str, Any]
    ) -> list[asyncpg.Record]:
        """What a question about usage is answered with; see `services.gateway.admin.usage`.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE.
        """
        async with self._changing() as connection:
            await connection.execute(statements.PATIENT)
            found = await connection.fetch(sql, *arguments, timeout=_USAGE_SECONDS)
            await _write(connection, operator, "QueryUsage", None, details)
        return found

    async def drain(self, operator: str, wanted: Drain, among: Collection[Drain]) -> asyncpg.Record:
        """Keep in mind that something is out of service; its row.

        Raises:
            Failure: SPEC_INVALID for the last gateway of `among` in service; ACCOUNTING_UNAVAILABLE.
        """
        async with self._changing() as connection:
            await connection.execute(statements.LOCK_DRAINS)
            there = await connection.fetch(statements.DRAINS)
            drains.require_gateway_left(wanted, map(drains.of_row, there), among)
            [row] = await connection.fetch(statements.DRAIN, wanted.kind, wanted.name, operator)
            await _write(connection, operator, "Drain", None, {"kind": wanted.kind, "name": wanted.name})
        return row

    async def undrain(self, operator: str, wanted: Drain) -> bool:
        """Keep in mind that something is in service again; whether it was out of it.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE.
        """
        async with self._changing() as connection:
            before = await connection.fetch(statements.UNDRAIN, wanted.kind, wanted.name)
            await _write(connection, operator, "Undrain", None, {"kind": wanted.kind, "name": wanted.name})
        return bool(before)

    async def drains(self) -> list[asyncpg.Record]:
        """What is out of service, by kind and name.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE.
        """
        try:
            async with self._database.connection() as connection:
                return await connection.fetch(statements.DRAINS)
        except (DatabaseAway, asyncpg.PostgresError) as error:  # asked every moment, and not logged each time
            raise Failure(
                reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE,
                "The database does not answer now.",
                retry_after=_RETRY_SECONDS,
            ) from error

    async def listed_drains(self, operator: str) -> list[asyncpg.Record]:
        """As `drains`, asked by an operator, and written down."""
        async with self._changing() as connection:
            found = await connection.fetch(statements.DRAINS)
            await _write(connection, operator, "ListDrains", None, {})
        return found

    async def note_flags(self, said: Saying, usual: Mapping[str, Mapping[str, Any]]) -> None:
        """Write down each flag that says another thing than was written down last; at first, than the `usual`.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE.
        """
        async with self._changing() as connection:
            await connection.execute(statements.LOCK_FLAGS)
            known = {row["flag"]: json.loads(row["after"]) for row in await connection.fetch(statements.FLAGS)}
            for name, after in said.flags.items():
                before = known.get(name, usual[name])
                if before != after:
                    details = {"flag": name, "before": before, "after": after, "config_version": said.version}
                    details["file_changed_at"] = said.at.isoformat()
                    await _write(connection, said.by, "SetFlag", None, details)

    async def flag_changes(self, operator: str) -> dict[str, asyncpg.Record]:
        """The last change of each flag that was written down, by the flag's name; asking is, too.

        Raises:
            Failure: ACCOUNTING_UNAVAILABLE.
        """
        async with self._changing() as connection:
            found = {row["flag"]: row for row in await connection.fetch(statements.FLAGS)}
            await _write(connection, operator, "ListFlags", None, {})
        return found

    async def refused(self, operator: str, action: str, key_id: str | None, details: Mapping[str, Any]) -> None:
        """Write down what an operator tried in vain. It stays refused where that cannot be written."""
        try:
            async with self._changing() as connection:
                await _write(connection, operator, action, key_id, details, outcome="refused")
        except Failure:
            LOG.error("admin.unwritten", operator=operator, action=action, key_id=key_id)

    async def _taken(self, connection: asyncpg.Connection, key_id: str, owners: Sequence[str] | None) -> asyncpg.Record:
        """The key's row, which nobody else changes before the transaction ends."""
        row = await connection.fetchrow(statements.TAKE, owners, key_id)
        if row is None:
            raise Failure(reasons.ERROR_REASON_SPEC_INVALID, f"There is no key `{key_id}`.", field="key_id")
        return row

    @contextlib.asynccontextmanager
    async def _changing(self) -> AsyncIterator[asyncpg.Connection]:
        """A transaction: what is done in it is done, and written down, together or not at all."""
        refusal = None
        try:
            async with self._database.connection() as connection:
                try:
                    async with connection.transaction():
                        yield connection
                except Failure as failure:  # rolled back; the connection is none the worse for it
                    refusal = failure
        except (DatabaseAway, asyncpg.LockNotAvailableError, asyncpg.QueryCanceledError) as error:
            LOG.warning("admin.database_away", error=type(error).__name__)
            raise Failure(
                reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE,
                "The database does not answer now. What was asked for may have been done: look before you ask again.",
                retry_after=_RETRY_SECONDS,
            ) from error
        if refusal is not None:
            raise refusal


async def _write(
    connection: asyncpg.Connection,
    operator: str,
    action: str,
    key_id: str | None,
    details: Mapping[str, Any],
    *,
    outcome: str = "done",
) -> None:
    await connection.execute(statements.WRITE, ids.new_id(), operator, action, key_id, json.dumps(details), outcome)
