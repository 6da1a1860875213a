"""AdminService: thin, over the store. The guard has seen to it that an operator may call it."""

import base64
import binascii
import datetime
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.gateway.v1 import admin_service_pb2_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.deadline import to_seconds
from services.chassis.failure import Failure
from services.config.access import Ceiling
from services.gateway.admin import drains, guard, keys, rows, usage
from services.gateway.admin.drains import Drain
from services.gateway.admin.store import Store
from services.gateway.admin.telling import Telling
from services.gateway.identity import credential as credentials

_PAGE, _MOST_PAGE = 100, 1000
# A router that is there hears of it in milliseconds.
_TELLING_SECONDS = 2.0
_TEXT_CHARACTERS = 256
_LONGEST_GRACE_SECONDS = 366 * 86_400.0
_TOKEN = re.compile(r"([0-9]{1,17}) ([a-z0-9]{16})")
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)

Context = grpc.aio.ServicerContext[Any, Any]


class AdminServicer(admin_service_pb2_grpc.AdminServiceServicer):
    """Keys, usage, and what is out of service.

    Attributes:
        known: what keys may have, by the configuration; another one replaces it at once.
        drainable: what can be taken out of service, by the configuration; another one replaces it at once.
        flags: what flags say, by name, as plain data; another one replaces it at once.
    """

    def __init__(
        self,
        store: Store,
        known: keys.Known,
        drainable: frozenset[Drain],
        telling: Telling,
        *,
        clock: Callable[[], datetime.datetime],
    ) -> None:
        """`telling` tells routers what is out of service; `clock` says what time it is, with its time zone."""
        self.drainable = drainable
        self.flags: Mapping[str, Mapping[str, Any]] = {}
        self._telling = telling
        self._store = store
        self.known = known
        self._clock = clock

    async def CreateKey(self, request: admin.CreateKeyRequest, context: Context) -> admin.CreateKeyResponse:
        """See the contract."""
        operator = guard.acting()
        terms = keys.checked(request.spec, self.known, now=self._clock())
        keys.require_within(terms.grant, operator.ceiling)
        credential = _new_secret()
        row = await self._store.create(operator.name, terms, credential)
        return admin.CreateKeyResponse(key=rows.key_of(row), credential=credential.text())

    async def ListKeys(self, request: admin.ListKeysRequest, context: Context) -> admin.ListKeysResponse:
        """See the contract."""
        operator = guard.acting()
        if len(request.owner) > _TEXT_CHARACTERS or "\0" in request.owner:
            raise _wrong("owner", f"must be text of at most {_TEXT_CHARACTERS} characters")
        if not 0 <= request.page_size <= _MOST_PAGE:
            raise _wrong("page_size", f"must be at most {_MOST_PAGE}")
        size = request.page_size or _PAGE
        found = await self._store.listed(
            operator.name,
            owners=operator.ceiling.owners,
            owner=request.owner,
            ended=request.include_ended,
            after=_place(request.page_token) if request.page_token else None,
            most=size + 1,
        )
        page = found[:size]
        token = _token(page[-1]["created_at"], page[-1]["key_id"]) if len(found) > size else ""
        return admin.ListKeysResponse(keys=[rows.key_of(row) for row in page], next_page_token=token)

    async def RevokeKey(self, request: admin.RevokeKeyRequest, context: Context) -> admin.RevokeKeyResponse:
        """See the contract."""
        operator = guard.acting()
        key_id = _key_id(request.key_id)
        row = await self._store.revoke(operator.name, key_id, owners=operator.ceiling.owners)
        return admin.RevokeKeyResponse(key=rows.key_of(row))

    async def RotateKey(self, request: admin.RotateKeyRequest, context: Context) -> admin.RotateKeyResponse:
        """See the contract."""
        operator = guard.acting()
        credential = _new_secret(_key_id(request.key_id))
        seconds = to_seconds(request.grace)
        if not 0 <= seconds <= _LONGEST_GRACE_SECONDS:
            raise _wrong("grace", "must be from nothing to a year")
        row = await self._store.rotate(
            operator.name,
            credential,
            datetime.timedelta(seconds=seconds),
            owners=operator.ceiling.owners,
            # A key has the ceiling of who made it: in other hands its secret might be more than those may give.
            only_own=operator.ceiling != Ceiling(),
        )
        return admin.RotateKeyResponse(key=rows.key_of(row), credential=credential.text())

    async def QueryUsage(self, request: admin.QueryUsageRequest, context: Context) -> admin.QueryUsageResponse:
        """See the contract."""
        operator = guard.acting()
        asked = usage.question(request, owners=operator.ceiling.owners, now=self._clock())
        return usage.answer(await self._store.summed(operator.name, asked.sql, asked.arguments, asked.details))

    async def Drain(self, request: admin.DrainRequest, context: Context) -> admin.DrainResponse:
        """See the contract."""
        wanted = drains.checked(request.kind, request.name, self.drainable)
        row = await self._store.drain(guard.acting().name, wanted, self.drainable)
        pending = await self._telling.pending(seconds=_TELLING_SECONDS)
        return admin.DrainResponse(drain=drains.shown(row), pending_routers=pending)

    async def Undrain(self, request: admin.UndrainRequest, context: Context) -> admin.UndrainResponse:
        """See the contract."""
        # What has gone from the configuration can be forgotten, too.
        there = {drains.of_row(row) for row in await self._store.drains()}
        wanted = drains.checked(request.kind, request.name, self.drainable | there)
        before = await self._store.undrain(guard.acting().name, wanted)
        pending = await self._telling.pending(seconds=_TELLING_SECONDS)
        return admin.UndrainResponse(drained_before=before, pending_routers=pending)

    async def ListDrains(self, request: admin.ListDrainsRequest, context: Context) -> admin.ListDrainsResponse:
        """See the contract."""
        found = await self._store.listed_drains(guard.acting().name)
        return admin.ListDrainsResponse(drains=[drains.shown(row) for row in found])

    async def ListFlags(self, request: admin.ListFlagsRequest, context: Context) -> admin.ListFlagsResponse:
        """See the contract."""
        changes = await self._store.flag_changes(guard.acting().name)
        answer = admin.ListFlagsResponse()
        for name, flag in sorted(self.flags.items()):
            shown = answer.flags.add(name=name, share=flag["share"], models=flag["models"], keys=flag["keys"])
            if name in changes:
                shown.changed_by = changes[name]["operator"]
                shown.changed_at.FromDatetime(datetime.datetime.fromisoformat(changes[name]["changed_at"]))
        return answer


def _new_secret(key_id: str = "") -> credentials.Credential:
    return credentials.make(os.urandom(credentials.ID_BYTES + credentials.SECRET_BYTES), key_id=key_id)


def _wrong(field: str, what: str) -> Failure:
    return Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{field}` {what}.", field=field)


def _key_id(text: str) -> str:
    # Not quoted: it may be a whole credential, by mistake.
    if not credentials.ID.fullmatch(text):
        raise _wrong("key_id", "must be the 16 characters between `hi_` and the secret")
    return text


def _token(made_at: datetime.datetime, key_id: str) -> str:
    return base64.urlsafe_b64encode(f"{(made_at - _EPOCH) // _MICROSECOND} {key_id}".encode()).decode()


def _place(token: str) -> tuple[datetime.datetime, str]:
    try:
        found = _TOKEN.fullmatch(base64.b64decode(token, altchars=b"-_", validate=True).decode("ascii", "replace"))
        if found:
            return _EPOCH + int(found[1]) * _MICROSECOND, found[2]
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise _wrong("page_token", "must be the `next_page_token` of the page before")
