"""Who may call what: every method that a gateway serves, by every kind of caller."""

import asyncio
import contextlib
import datetime
import json
import pathlib
from collections.abc import AsyncIterator, Collection
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import openai_service_pb2 as compatible
from hybridinference.gateway.v1 import overview_service_pb2 as overview
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import routing_pb2 as routing
from prometheus_client import CollectorRegistry

from services.chassis import status
from services.chassis.channel import open_channel
from services.chassis.failure import Failure
from services.chassis.server import open_server
from services.gateway.database import DatabaseAway
from services.gateway.identity import caller, policy
from services.gateway.identity.credential import Credential
from services.gateway.identity.grant import ANYBODY, Grant
from services.gateway.identity.interceptor import IdentityInterceptor
from services.gateway.identity.keyring import Keyring
from tests.fakes import delta, finished, saying, spec, started
from tests.gateway.faces import TENANTS, Faces, faces
from tests.gateway.identity.keys import Rig, change, insert, made
from tests.gateway.scene import MODEL
from tests.postgres import EMBEDDED, Postgres, Servers

SERVICES = (
    gateway.DESCRIPTOR.services_by_name["InferenceService"],
    compatible.DESCRIPTOR.services_by_name["OpenAIService"],
    overview.DESCRIPTOR.services_by_name["OverviewService"],
    health_pb2.DESCRIPTOR.services_by_name["Health"],
    reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"],
)
# What anybody may ask a gateway, all of it. Whoever adds to it has to say here that it says nothing of a caller.
PUBLIC = {
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
}
# What answers whoever shows no key as well, and says less. tests/gateway/overview says what.
OPEN = {"/hybridinference.gateway.v1.OverviewService/Overview"}
# Comes with the health service, which does not implement it.
NOBODYS = {"/grpc.health.v1.Health/List"}
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
REFUSED = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
HELLO = {"whole": saying(started(), delta("hello"), finished())}


class Gate:
    """A gateway whose callers need keys."""

    def __init__(self, dsn: str, rig: Rig, served: Faces, channel: grpc.aio.Channel) -> None:
        self.dsn = dsn
        self.rig = rig
        self.served = served
        self.channel = channel

    async def end(self, method: str, *headers: str) -> grpc.StatusCode:
        """How a call of any method begins: OK once it has said anything, or ended so."""
        metadata = [("authorization", header) for header in headers]
        call = self.channel.unary_stream(method)(b"", metadata=metadata, timeout=5)
        try:
            return grpc.StatusCode.OK if await call.read() is not grpc.aio.EOF else await call.code()
        except grpc.aio.AioRpcError as error:
            return error.code()
        finally:
            call.cancel()

    async def failure(self, *metadata: tuple[str, str]) -> Failure:
        """What a generation that is refused is told."""
        request = gateway.GenerateRequest(spec=spec("whole"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.served.inference.Generate(request, metadata=metadata, timeout=5)
        return status.from_rpc_error(caught.value)

    def counted(self, result: str) -> float:
        registry = self.served.registry
        return registry.get_sample_value("hybrid_gateway_authentications_total", {"result": result}) or 0.0


def bearer(key: Credential) -> str:
    return f"Bearer {key.text()}"


def authorized(key: Credential) -> tuple[tuple[str, str], ...]:
    return (("authorization", bearer(key)),)


@pytest.fixture
def postgres(postgres_servers: Servers) -> Postgres:
    """One server is enough here: what is asked of it is test_keyring.py's."""
    return postgres_servers.of(EMBEDDED)


@pytest.fixture
async def registered(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every method that servers made from now on are given."""
    found: set[str] = set()
    real = grpc.aio.server

    def server(*arguments: Any, **more: Any) -> grpc.aio.Server:
        made = real(*arguments, **more)
        add = made.add_generic_rpc_handlers

        def recording(handlers: Collection[Any]) -> None:
            for handler in handlers:
                found.update(handler._method_handlers)
            add(handlers)

        made.add_generic_rpc_handlers = recording  # type: ignore[method-assign]
        return made

    monkeypatch.setattr(grpc.aio, "server", server)
    return found


@pytest.fixture
async def gate(directory: pathlib.Path, dsn: str, registered: set[str]) -> AsyncIterator[Gate]:
    rig = Rig(dsn)
    task = asyncio.create_task(rig.keyring._lookups.follow())
    try:
        async with (
            faces(directory, HELLO, keyring=rig.keyring) as served,
            open_channel(f"unix:{directory}/g.sock") as channel,
        ):
            yield Gate(dsn, rig, served, channel)
    finally:
        task.cancel()
        await rig.database.close()


async def test_every_method_that_is_served_is_public_by_name_or_needs_a_key(gate: Gate, registered: set[str]) -> None:
    in_contracts = {f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods}
    gateways = {method for method in registered if not method.startswith("/hybridinference.router.")}
    gateways = {method for method in gateways if not method.startswith("/hybridinference.worker.")}
    assert gateways == in_contracts
    assert set(policy.PUBLIC) == PUBLIC
    assert set(policy.OPEN) == OPEN
    assert set(policy.SCOPES) | PUBLIC | OPEN | NOBODYS == gateways, (
        "an RPC without a policy, or a policy without an RPC"
    )
    right, revoked, expired = [await insert(gate.dsn, made()) for _ in range(3)]
    await change(gate.dsn, revoked, "revoked_at = now()")
    await change(gate.dsn, expired, "expires_at = $1", LONG_AGO)
    wrong = [bearer(each) for each in (made(), made(key_id=right.key_id), revoked, expired)]
    for method in sorted(gateways):
        if method in PUBLIC:
            assert await gate.end(method) == grpc.StatusCode.OK, method
            continue
        if method in NOBODYS:
            assert await gate.end(method, bearer(right)) == grpc.StatusCode.PERMISSION_DENIED, method
            continue
        without = grpc.StatusCode.OK if method in OPEN else grpc.StatusCode.UNAUTHENTICATED
        assert await gate.end(method) == without, method
        for header in (*wrong, "Bearer ", "Basic x", right.text(), bearer(right) + "x"):
            assert await gate.end(method, header) == grpc.StatusCode.UNAUTHENTICATED, method
        assert await gate.end(method, bearer(right), bearer(made())) == grpc.StatusCode.UNAUTHENTICATED, method
        assert await gate.end(method, bearer(right)) not in REFUSED, method
    assert gate.counted("missing") == len(policy.SCOPES)
    for result in ("accepted", "unknown", "wrong", "revoked", "expired"):
        assert gate.counted(result) == len(policy.SCOPES) + len(OPEN), result


async def test_each_scope_opens_its_methods_and_no_other(gate: Gate) -> None:
    keys = {scope: await insert(gate.dsn, made(), scopes=[scope]) for scope in set(policy.SCOPES.values())}
    for method, needed in policy.SCOPES.items():
        for scope, key in keys.items():
            code = await gate.end(method, bearer(key))
            assert (code == grpc.StatusCode.PERMISSION_DENIED) == (scope != needed), (method, scope)
    failure = await gate.failure(*authorized(keys["embed"]))
    assert failure.reason == reasons.ERROR_REASON_PERMISSION_DENIED
    assert failure.metadata["scope"] == "generate"
    assert "lacks the scope `generate`" in failure.message
    assert gate.counted("denied")


async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(gate: Gate) -> None:
    right, revoked, expired = [await insert(gate.dsn, made()) for _ in range(3)]
    await change(gate.dsn, revoked, "revoked_at = now()")
    await change(gate.dsn, expired, "expires_at = $1", LONG_AGO)
    failures = [await gate.failure(*authorized(each)) for each in (made(), made(key_id=right.key_id), revoked, expired)]
    assert {failure.reason for failure in failures} == {reasons.ERROR_REASON_CREDENTIAL_INVALID}
    assert len({(failure.message, failure.retry_after, str(failure.metadata)) for failure in failures}) == 1


@pytest.mark.parametrize(
    "header",
    [
        "Bearer hi_' OR 1=1 --_" + "A" * 43,
        f"Bearer hi_{'a' * 16}_{'A' * 30}'; DROP TABLE keys",
        "Bearer hi_\\x00\\x00_x",
        "Bearer hi_%%%%%%%%%%%%%%%%_" + "_" * 43,
        "Bearer $1",
        "Bearer " + "A" * 20_000,
    ],
)
async def test_what_has_not_the_form_of_a_key_reaches_no_database(gate: Gate, header: str) -> None:
    failure = await gate.failure(("authorization", header))
    assert failure.reason == reasons.ERROR_REASON_CREDENTIAL_INVALID
    assert header[-20:] not in failure.message
    assert gate.rig.database.asked == 0
    assert gate.counted("malformed") == 1


async def test_a_name_of_a_model_is_never_part_of_a_question(gate: Gate) -> None:
    key = await insert(gate.dsn, made(), models=["b"])
    for name in ("b'; DROP TABLE keys; --", MODEL, "b' OR 'a'='a", "%", "B", "b "):
        request = gateway.GenerateRequest(spec=spec("whole"))
        request.spec.model = name
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gate.served.inference.Generate(request, metadata=authorized(key))
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert (caught.value.details() or "").endswith("; there are: b.")
    assert gate.rig.database.asked == 1, "for the key"


async def test_a_model_that_is_not_the_keys_is_in_no_list_and_explained_to_nobody(gate: Gate) -> None:
    key, none = await insert(gate.dsn, made(), models=["a/b:c"]), await insert(gate.dsn, made(), models=["gone"])
    listed = await gate.served.inference.ListModels(gateway.ListModelsRequest(), metadata=authorized(key))
    assert [model.name for model in listed.models] == ["a/b:c"]
    listed = await gate.served.inference.ListModels(gateway.ListModelsRequest(), metadata=authorized(none))
    assert not listed.models
    call = gate.served.openai.ListModels(compatible.OpenAIServiceListModelsRequest(), metadata=authorized(key))
    assert [model["id"] for model in json.loads((await anext(aiter(call))).data)["data"]] == ["a/b:c"]
    call = gate.served.openai.GetModel(compatible.OpenAIServiceGetModelRequest(id="b"), metadata=authorized(key))
    assert json.loads((await anext(aiter(call))).data)["error"]["code"] == "model_not_found"
    explained = gateway.ExplainRouteRequest(spec=spec("whole"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gate.served.inference.ExplainRoute(explained, metadata=authorized(key))
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    body = json.dumps({"model": "b", "input": "x"}).encode()
    call = gate.served.openai.CreateEmbedding(HttpBody(data=body), metadata=authorized(key))
    assert json.loads((await anext(aiter(call))).data)["error"]["code"] == "model_not_found"


async def test_the_router_and_the_worker_hear_of_the_key_what_it_may_and_a_mark_that_outlives_a_rotation(
    gate: Gate,
) -> None:
    key = await insert(gate.dsn, made(), weight=2.5, providers=["scripted"], criticality=routing.CRITICALITY_SHEDDABLE)
    request = gateway.GenerateRequest(spec=spec("whole"))
    request.routing.criticality = routing.CRITICALITY_CRITICAL
    await gate.served.inference.Generate(request, metadata=authorized(key))
    ask = gate.served.scene.router.said("ask")[0]
    assert (ask.key_weight, list(ask.providers)) == (2.5, ["scripted"])
    assert ask.criticality == routing.CRITICALITY_SHEDDABLE, "a caller may not rise above its key"
    assert ask.key == TENANTS.credential_mark(key.key_id)
    assert ask.key_id == key.key_id, "flags are for keys by name"
    context = gate.served.scene.providers[0].contexts[0]
    assert context.tenant == TENANTS.mark(key.key_id, "whole")


async def test_a_key_may_be_more_critical_than_others_and_its_caller_less(gate: Gate) -> None:
    plus, plain = (
        await insert(gate.dsn, made(), criticality=routing.CRITICALITY_CRITICAL_PLUS),
        await insert(gate.dsn, made()),
    )
    said = routing.CRITICALITY_CRITICAL_PLUS, routing.CRITICALITY_SHEDDABLE, routing.CRITICALITY_UNSPECIFIED
    for criticality in said:
        request = gateway.GenerateRequest(spec=spec("whole"))
        request.routing.criticality = criticality
        await gate.served.inference.Generate(request, metadata=authorized(plus))
    assert tuple(ask.criticality for ask in gate.served.scene.router.said("ask")) == said
    request = gateway.GenerateRequest(spec=spec("whole"))
    request.routing.criticality = routing.CRITICALITY_CRITICAL_PLUS
    with pytest.raises(grpc.aio.AioRpcError, match="at most `critical`"):
        await gate.served.inference.Generate(request, metadata=authorized(plain))


class Away:
    """A keyring whose database is away."""

    async def judge(self, credential: Credential) -> Any:
        raise DatabaseAway("test")


class Unverifiable:
    """A keyring that lacks a pepper."""

    async def judge(self, credential: Credential) -> Any:
        return "unverifiable", None


@pytest.mark.parametrize("keyring", [Away(), Unverifiable()])
async def test_what_is_not_the_callers_fault_is_not_called_a_wrong_key(directory: pathlib.Path, keyring: Any) -> None:
    async with faces(directory, HELLO, keyring=keyring) as served:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await served.inference.ListModels(gateway.ListModelsRequest(), metadata=authorized(made()))
    failure = status.from_rpc_error(caught.value)
    assert failure.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
    assert failure.retry_after == 1


async def whoami(request: bytes, context: Any) -> bytes:
    await asyncio.sleep(0)
    return caller.current().owner.encode()


@contextlib.asynccontextmanager
async def serving(directory: pathlib.Path, keyring: Keyring | None, method: str) -> AsyncIterator[grpc.aio.Channel]:
    """A gateway's server with one method of its own."""
    service, _, name = method.removeprefix("/").partition("/")

    def add(server: grpc.aio.Server) -> None:
        handlers = {name: grpc.unary_unary_rpc_method_handler(whoami)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))

    address, registry = f"unix:{directory}/x.sock", CollectorRegistry()
    interceptors = [IdentityInterceptor(keyring, registry)]
    async with open_server(address, add, [], registry, interceptors=interceptors), open_channel(address) as channel:
        yield channel


@pytest.mark.parametrize("keyless", [True, False])
async def test_a_method_that_nobody_has_thought_of_is_refused_to_everybody(
    directory: pathlib.Path, dsn: str, keyless: bool
) -> None:
    key, rig = await insert(dsn, made()), Rig(dsn)
    for method in ("/hybridinference.gateway.v1.InferenceService/Forgotten", "/grpc.channelz.v1.Channelz/GetServers"):
        async with serving(directory, None if keyless else rig.keyring, method) as channel:
            for metadata in (authorized(key), ()):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await channel.unary_unary(method)(b"", metadata=metadata)
                assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED
    assert rig.database.asked == 0


async def test_a_method_that_there_is_not_is_unimplemented_as_clients_that_try_expect(gate: Gate) -> None:
    for method in ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", "/no.Service/Method"):
        assert await gate.end(method) == grpc.StatusCode.UNIMPLEMENTED


class Owners:
    """A keyring in which every key is its own's."""

    async def judge(self, credential: Credential) -> Any:
        await asyncio.sleep(0)
        return "accepted", Grant(key_id=credential.key_id, owner=credential.key_id)


async def test_calls_at_once_are_each_made_by_their_own_caller(directory: pathlib.Path) -> None:
    method = next(iter(policy.SCOPES))
    keys = [made() for _ in range(50)]
    async with serving(directory, Owners(), method) as channel:  # type: ignore[arg-type]
        owners = await asyncio.gather(*(channel.unary_unary(method)(b"", metadata=authorized(key)) for key in keys))
    assert [owner.decode() for owner in owners] == [key.key_id for key in keys]


async def test_without_keys_whoever_calls_is_anybody_and_a_credential_only_marks_the_tenant(
    directory: pathlib.Path,
) -> None:
    async with faces(directory, HELLO) as served:
        for metadata in ((), (("authorization", "Bearer none"),), authorized(made())):
            await served.inference.Generate(gateway.GenerateRequest(spec=spec("whole")), metadata=metadata)
        tenants = [context.tenant for context in served.scene.providers[0].contexts]
    assert tenants[:2] == [TENANTS.mark("", "whole"), TENANTS.mark("Bearer none", "whole")]
    assert len(set(tenants)) == 3
    assert ANYBODY.scopes == frozenset()


async def test_a_request_that_is_refused_is_not_read(gate: Gate) -> None:
    garbage = b"\xff" * 1000
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await gate.channel.unary_unary("/hybridinference.gateway.v1.InferenceService/Generate")(garbage)
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED
