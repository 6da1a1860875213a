"""What is taken out of service is kept, written down, and told to routers again and again."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc
from hybridinference.gateway.v1 import admin_service_pb2 as admin
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.router.v1 import drains_pb2
from hybridinference.router.v1 import router_service_pb2 as router_service
from hybridinference.router.v1 import router_service_pb2_grpc as router_grpc

from services.chassis.failure import Failure
from services.config.places import RouterPlace
from services.gateway.admin import drains, servicer, telling
from services.gateway.admin.drains import Drain
from tests.fakes import eventually
from tests.gateway.admin.office import DRAINABLE, Office

GATEWAY, WORKER, ROUTE = admin.DRAIN_KIND_GATEWAY, admin.DRAIN_KIND_WORKER, admin.DRAIN_KIND_ROUTE


class _Health(health.aio.HealthServicer):  # type: ignore[misc]  # untyped
    def __init__(self, router: "ARouter") -> None:
        super().__init__()
        self._router = router

    async def Watch(self, request: Any, context: Any) -> None:
        self._router.watches += 1
        await super().Watch(request, context)


class ARouter(router_grpc.RouterServiceServicer):
    """Keeps what it is told."""

    def __init__(self, address: str) -> None:
        self.told: list[drains_pb2.Drains] = []
        self.watches = 0
        self.healthy = True
        self.address = address
        self._server: grpc.aio.Server | None = None

    async def SetDrains(self, request: router_service.SetDrainsRequest, context: Any) -> Any:
        self.told.append(request.drains)
        return router_service.SetDrainsResponse()

    async def start(self) -> None:
        self._server = grpc.aio.server()
        router_grpc.add_RouterServiceServicer_to_server(self, self._server)
        if self.healthy:
            health_pb2_grpc.add_HealthServicer_to_server(_Health(self), self._server)
        self._server.add_insecure_port(self.address)
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)


@pytest.fixture
async def router(admins: Office, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ARouter]:
    monkeypatch.setattr(servicer, "_TELLING_SECONDS", 30.0)  # it does answer, however slow the machine is
    made = ARouter(admins.address.replace("a.sock", "r.sock"))
    await made.start()
    yield made
    await made.stop()


async def drain(admins: Office, kind: Any, name: str, operator: str = "root") -> admin.DrainResponse:
    made: admin.DrainResponse = await admins.ask("Drain", admin.DrainRequest(kind=kind, name=name), operator)
    return made


async def refused(asking: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await asking
    return caught.value


async def test_what_is_drained_is_told_shown_written_down_and_undone(admins: Office, router: ARouter) -> None:
    done = await drain(admins, WORKER, "local-0")
    assert (done.drain.name, done.drain.operator, list(done.pending_routers)) == ("local-0", "root", [])
    assert router.told[-1] == drains_pb2.Drains(workers=["local-0"])
    since = done.drain.since
    assert (await drain(admins, WORKER, "local-0")).drain.since == since
    await drain(admins, ROUTE, "org/small/local")
    assert router.told[-1].routes == [drains_pb2.DrainedRoute(model="org/small", provider="local")]
    listed = (await admins.ask("ListDrains", admin.ListDrainsRequest())).drains
    assert [(each.kind, each.name) for each in listed] == [(ROUTE, "org/small/local"), (WORKER, "local-0")]
    for before in (True, False):
        undone = await admins.ask("Undrain", admin.UndrainRequest(kind=WORKER, name="local-0"))
        assert undone.drained_before is before
    assert not router.told[-1].workers
    acts = [act for _, act, _, _ in await admins.written()]
    assert acts == ["Drain", "Drain", "Drain", "ListDrains", "Undrain", "Undrain"]
    [first, *_] = await admins.rows("SELECT details FROM audit ORDER BY at, audit_id")
    assert json.loads(first["details"]) == {"kind": "worker", "name": "local-0"}


async def test_a_router_that_starts_again_is_told_again_without_anybody_asking(admins: Office, router: ARouter) -> None:
    await drain(admins, GATEWAY, "gateway-2")
    await router.stop()
    router.told.clear()
    await router.start()
    await eventually(lambda: bool(router.told), seconds=30)
    assert router.told[-1] == drains_pb2.Drains(gateways=["gateway-2"])


async def test_a_router_that_knows_is_left_alone(
    admins: Office, router: ARouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_LOOK_SECONDS", 0.01)
    await drain(admins, GATEWAY, "gateway-2")
    await eventually(lambda: router.watches > 0, seconds=30)
    told = len(router.told)
    await asyncio.sleep(0.3)
    assert len(router.told) <= told + 1  # one more where it had been told before it was seen to have come


@contextlib.asynccontextmanager
async def told_of(directory: pathlib.Path, read: telling.Read) -> AsyncIterator[ARouter]:
    """A router that is told what `read` gives, by nobody else, and has been told a first time."""
    router = ARouter(f"unix:{directory}/r.sock")
    await router.start()
    try:
        async with telling.open_telling(read, [RouterPlace("router", router.address)]):
            await eventually(lambda: bool(router.told), seconds=30)
            yield router
    finally:
        await router.stop()


class Drains:
    """What is out of service by the database."""

    def __init__(self) -> None:
        self.there: list[Drain] = []

    async def read(self) -> list[Drain]:
        return self.there


async def test_a_database_that_does_not_answer_is_asked_again_before_long(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(telling, "_AWAY_LOOK_SECONDS", 0.01)
    asked = 0

    async def read() -> list[Drain]:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, "Away.")
        return []

    async with told_of(tmp_path, read):
        pass
    assert asked == 3


@pytest.mark.parametrize(
    ("look_seconds", "again_seconds"), [(0.01, 3600.0), (3600.0, 0.2)], ids=["before long", "when it is told again"]
)
async def test_what_another_admin_process_has_changed_is_told(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, look_seconds: float, again_seconds: float
) -> None:
    monkeypatch.setattr(telling, "_LOOK_SECONDS", look_seconds)
    monkeypatch.setattr(telling, "_AGAIN_SECONDS", again_seconds)
    database = Drains()
    async with told_of(tmp_path, database.read) as router:
        database.there = [Drain("worker", "local-0")]
        await eventually(lambda: router.told[-1] == drains_pb2.Drains(workers=["local-0"]), seconds=30)


async def test_a_database_that_hangs_keeps_no_router_waiting_that_is_told_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "_LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(telling, "_AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(telling, "_RETRY_SECONDS", 0.1)
    asked = 0

    async def read() -> list[Drain]:
        nonlocal asked
        asked += 1
        if asked > 1:
            await asyncio.get_running_loop().create_future()
        return []

    async with told_of(tmp_path, read) as router:
        await eventually(lambda: asked > 2 and len(router.told) > 3, seconds=30)


async def test_a_router_that_nobody_can_watch_is_told_all_the_same(admins: Office, router: ARouter) -> None:
    await router.stop()
    router.healthy = False
    await router.start()
    done = await drain(admins, WORKER, "local-0")
    assert list(done.pending_routers) == []
    assert router.told[-1] == drains_pb2.Drains(workers=["local-0"])


async def test_routers_that_do_not_answer_are_named_and_the_drain_is_kept(admins: Office) -> None:
    done = await drain(admins, WORKER, "local-0")
    assert list(done.pending_routers) == ["router"]
    assert [row["name"] for row in await admins.rows("SELECT name FROM drains")] == ["local-0"]


async def test_the_last_gateway_cannot_be_drained_whoever_asks_at_the_same_time(
    admins: Office, router: ARouter
) -> None:
    asked = [drain(admins, GATEWAY, name) for name in ("gateway", "gateway-2")]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, Failure)]
    assert len(failures) == 1
    assert "the only gateway that is in service" in failures[0].message


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (WORKER, "locol-0", "did you mean local-0?"),
        (ROUTE, "x", "there are: org/small/local"),
        (admin.DRAIN_KIND_UNSPECIFIED, "local-0", "must be a gateway, a worker or a route"),
        (GATEWAY, "local-0", "is no gateway of this mesh"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(kind: int, name: str, said: str) -> None:
    with pytest.raises(Failure) as caught:
        drains.checked(kind, name, DRAINABLE)
    assert said in caught.value.message


async def test_it_takes_the_right_to(admins: Office) -> None:
    failure = await refused(drain(admins, WORKER, "local-0", "reader"))
    assert failure.reason_name == "PERMISSION_DENIED"
    assert await admins.rows("SELECT name FROM drains") == []


def test_a_model_whose_name_has_slashes_is_told_with_its_provider() -> None:
    told = drains.told([Drain("route", "a/b:c/p"), Drain("worker", "p-0"), Drain("gateway", "gateway")])
    assert (told.routes[0].model, told.routes[0].provider) == ("a/b:c", "p")
