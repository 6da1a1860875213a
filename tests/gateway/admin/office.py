"""An admin service over a real database, and operators who call it over a socket."""

import contextlib
import datetime
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import grpc
from google.protobuf.message import Message
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.gateway.v1 import admin_service_pb2_grpc
from prometheus_client import CollectorRegistry

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.server import open_server
from services.config.access import Ceiling, Operator
from services.config.places import RouterPlace
from services.gateway.admin import drains, rights
from services.gateway.admin.drains import Drain
from services.gateway.admin.guard import Guard
from services.gateway.admin.keys import Known
from services.gateway.admin.operators import Operators
from services.gateway.admin.servicer import AdminServicer
from services.gateway.admin.store import Store
from services.gateway.admin.telling import open_telling
from services.gateway.database import open_database
from services.gateway.identity.peppers import Peppers

KNOWN = Known({"small": "small", "big": "big", "alias": "big"}, frozenset(("local", "vendor")))
DRAINABLE = frozenset(
    Drain(kind, name)
    for kind, name in (
        ("gateway", "gateway"),
        ("gateway", "gateway-2"),
        ("worker", "local-0"),
        ("route", "org/small/local"),
    )
)
PEPPERS = Peppers.of([b"p" * 32, b"q" * 32])


class Office:
    """A running admin service.

    Attributes:
        address: where it listens.
        credentials: what each operator proves itself with, by name.
        guard: what stands before it.
        registry: its metrics.
        store: what it keeps.
        servicer: what answers.
    """

    def __init__(
        self, address: str, dsn: str, directory: pathlib.Path, guard: Guard, registry: CollectorRegistry
    ) -> None:
        self.address = address
        self.guard = guard
        self.registry = registry
        self.store: Store
        self.servicer: AdminServicer
        self._dsn = dsn
        self._directory = directory

    def credential(self, operator: str) -> str:
        """What an operator proves itself with."""
        return (self._directory / f"{operator}.key").read_text().strip()

    async def ask(self, method: str, request: Message | bytes, operator: str | None = "root") -> Any:
        """The answer to an operator's call.

        Raises:
            Failure: what the service said.
        """
        metadata = (("authorization", f"Bearer {self.credential(operator)}"),) if operator else ()
        return await self.call(method, request, metadata)

    async def call(self, method: str, request: Message | bytes, metadata: tuple[tuple[str, str], ...]) -> Any:
        """The answer to whoever calls. A request may be bytes, which need not be one.

        Raises:
            Failure: what the service said.
        """
        data = request if isinstance(request, bytes) else request.SerializeToString()
        response = getattr(admin, f"{method}Response", None)
        async with open_channel(self.address) as channel:
            path = method if method.startswith("/") else f"/{rights.NAME}/{method}"
            try:
                answer = await channel.unary_unary(path)(data, metadata=metadata, timeout=10)
            except grpc.aio.AioRpcError as error:
                raise status.from_rpc_error(error) from error
        return response.FromString(answer) if response else answer

    async def create(self, operator: str = "root", **fields: Any) -> admin.CreateKeyResponse:
        """A key of that spec."""
        request = admin.CreateKeyRequest(spec=admin.KeySpec(**{"owner": "team", **fields}))
        made: admin.CreateKeyResponse = await self.ask("CreateKey", request, operator)
        return made

    async def rows(self, sql: str, *arguments: object) -> list[dict[str, Any]]:
        """What the database answers."""
        connection = await asyncpg.connect(self._dsn)
        try:
            return [dict(row) for row in await connection.fetch(sql, *arguments)]
        finally:
            await connection.close()

    async def written(self) -> list[tuple[str, str, str | None, str]]:
        """The audit: who, what, which key, and what came of it."""
        found = await self.rows("SELECT operator, action, key_id, outcome FROM audit ORDER BY at, audit_id")
        return [(row["operator"], row["action"], row["key_id"], row["outcome"]) for row in found]


def operator(directory: pathlib.Path, name: str, **fields: Any) -> Operator:
    """One whose credential is in the directory."""
    return Operator(name=name, credential=str(directory / f"{name}.key"), **fields)


def operators(directory: pathlib.Path) -> list[Operator]:
    """One of each kind: `root`; `reader`, who sees usage alone; `lead`, who has a ceiling."""
    bounds = Ceiling(
        owners=("team",),
        models=("small",),
        scopes=("generate", "models"),
        budget_usd_per_month=10,
        criticality="critical",
        weight=1,
    )
    return [
        operator(directory, "root", may=("keys", "usage", "drains")),
        operator(directory, "reader", may=("usage",)),
        operator(directory, "maker_of-keys.1", may=("keys",)),
        operator(directory, "lead", ceiling=bounds),
    ]


@contextlib.asynccontextmanager
async def office(
    directory: pathlib.Path,
    dsn: str,
    *,
    peppers: Peppers = PEPPERS,
) -> AsyncIterator[Office]:
    """An admin service with the operators of `operators`."""
    registry = CollectorRegistry()
    address = f"unix:{directory}/a.sock"
    async with open_database(dsn, name="test-admin") as database, contextlib.AsyncExitStack() as stack:
        store = Store(database, peppers)

        async def drained() -> list[Drain]:
            return [drains.of_row(row) for row in await store.drains()]

        router = RouterPlace("router", f"unix:{directory}/r.sock")
        telling = await stack.enter_async_context(open_telling(drained, [router]))
        guard = Guard(Operators.of_files(operators(directory)), store.refused, registry)
        servicer = AdminServicer(store, KNOWN, DRAINABLE, telling, clock=lambda: datetime.datetime.now(datetime.UTC))
        async with open_server(
            address,
            lambda server: admin_service_pb2_grpc.add_AdminServiceServicer_to_server(servicer, server),
            [rights.NAME],
            registry,
            interceptors=[guard],
        ) as up:
            await up.mark_serving()
            made = Office(address, dsn, directory, guard, registry)
            made.store, made.servicer = store, servicer
            yield made
