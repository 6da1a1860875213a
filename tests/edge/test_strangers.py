"""What strangers make up leaves nothing that grows: no statistics, no long log lines, and no way past the gateway."""

import asyncio
import json
import uuid

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from services.gateway import arrival, hints

pytestmark = [pytest.mark.edge, pytest.mark.asyncio(loop_scope="module")]

REAL = "hybridinference.gateway.v1.InferenceService"


@pytest.fixture(scope="module")
def sections():
    return {"access": {"keyless": True}, "edge": {"hosts": ["mesh.example"]}}


async def call(channel, method):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(method)(b"", timeout=5)
    return caught.value.code()


async def test_invented_methods_models_and_paths_add_no_statistics(envoy, http):
    async def ask(number):
        for method in (f"/{REAL}/Invented{number}", f"/invented{number}.Service/Method"):
            assert await call(channel, method) is grpc.StatusCode.UNIMPLEMENTED
        for name in (f"invented{number}", f"in\"v'e\n\x00{number}"):
            await http.post("/v1/chat/completions", json={"model": name})
        # Headers by which Envoy names statistics, where it trusts the caller.
        headers = {"x-envoy-upstream-alt-stat-name": f"invented{number}", "x-envoy-decorator-operation": "invented"}
        await http.get(f"/v1/invented{number}", headers=headers)

    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        await ask(0)  # the first of each kind may add what all share
        before = await envoy.stats()
        for number in range(1, 50):
            await ask(number)
        after = await envoy.stats()
    assert not [line for line in after if "invented" in line.lower()]
    assert len(after) == len(before)
    assert any("InferenceService" in line for line in after) or any("OpenAIService" in line for line in after)


async def test_long_headers_make_no_long_lines(envoy, http):
    mark = uuid.uuid4().hex
    headers = {"x-request-id": mark + "x" * 30_000, "user-agent": "y" * 20_000, "traceparent": "z" * 5_000}
    assert (await http.get("/v1/models/" + "m" * 3_000, headers=headers)).status_code < 500
    line = next(line for line in (await envoy.logged(mark)).splitlines() if mark in line)
    assert len(line) < 1_500
    assert json.loads(line)["request_id"].startswith(mark)


async def test_what_callers_send_cannot_break_a_line(envoy, http):
    mark = uuid.uuid4().hex
    assert (await http.get(f"/v1/{mark}", headers={"user-agent": b"\x1b[31m"})).status_code == 400
    await http.get(f"/v1/%0d%0a{mark}%1b[31m", headers={"user-agent": '","status":200} é\t\\'.encode()})
    (line,) = (line for line in (await envoy.logged(mark)).splitlines() if mark in line)
    assert "\x1b" not in line
    assert json.loads(line)["status"] == 404


async def test_only_the_gateways_own_services_are_there(envoy):
    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        for method in ("router.v1.RouterService/WatchFleet", "worker.v1.WorkerService/Execute"):
            assert await call(channel, f"/hybridinference.{method}") is grpc.StatusCode.UNIMPLEMENTED

    def listed():
        with grpc.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
            return set(ProtoReflectionDescriptorDatabase(channel).get_services())

    assert await asyncio.to_thread(listed) == {
        REAL,
        "hybridinference.gateway.v1.OpenAIService",
        "hybridinference.gateway.v1.OverviewService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


OURS = (
    "provider",
    "model",
    "attempts",
    "queue-ms",
    "dropped",
    "tenant",
    "continuation",
    "forwarded",
    "sample",
    "t",
    "x",
)
INTERNAL = (*(f"x-hybrid-{name}" for name in OURS), "x-http-status", "x-envoy-original-path", "x-envoy-attempt-count")


# What callers may say of the route, and when they want to have been answered.
THEIRS = {name: name for name in (*hints.HEADERS.values(), arrival.TIMEOUT)}


async def test_what_only_the_mesh_may_say_does_not_get_past_the_edge(envoy, gateway, http):
    said = dict.fromkeys(INTERNAL, "429") | THEIRS | {"x-request-id": "mine"}
    assert (await http.get("/v1/models?page=1", headers=said)).status_code == 200
    arrived = dict(gateway.script.metadata)
    assert arrived["x-envoy-original-path"] == "/v1/models?page=1", "the edge's own"
    assert arrived["x-request-id"] == "mine"
    assert THEIRS.items() <= arrived.items()
    assert not {*INTERNAL} - {"x-envoy-original-path"} & {*arrived}

    async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}") as channel:
        await channel.unary_unary(f"/{REAL}/Generate")(b"", metadata=tuple(said.items()), timeout=5)
    arrived = gateway.script.metadata
    assert THEIRS.items() <= arrived.items()
    assert not {*INTERNAL} & {*arrived}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/unknown", "/api/v1/models", "/healthz", "/"])
async def test_answers_do_not_tell_what_the_edge_is(http, path):
    reply = await http.get(path)
    assert not [name for name in reply.headers if name == "server" or name.startswith("x-envoy-")]


BY_NAME = ("localhost", "LocalHost:8080", "mesh.localhost", "mesh.example:8443")
BY_ADDRESS = ("127.0.0.1:1", "127.9.9.9", "[::1]:8080")
OTHERS = ("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "a.mesh.example")


@pytest.mark.parametrize("path", ["/v1/models", "/openapi.json"])
async def test_without_keys_a_page_whose_name_is_made_to_lead_here_is_refused(http, gateway, path):
    for name in (*BY_NAME, *BY_ADDRESS):
        assert (await http.get(path, headers={"host": name})).status_code == 200
    gateway.script.clear()
    for name in OTHERS:
        refused = await http.get(path, headers={"host": name})
        assert refused.status_code == 403
        assert "`edge.hosts`" in refused.json()["error"]["message"]
    assert not gateway.script.metadata, "none has got to a gateway"


async def test_without_keys_grpc_is_called_by_a_name_of_this_machine(envoy):
    for name, code in (("mesh.example", grpc.StatusCode.OK), ("evil.example", grpc.StatusCode.PERMISSION_DENIED)):
        options = [("grpc.default_authority", name)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{envoy.port}", options=options) as channel:
            asked = channel.unary_unary(f"/{REAL}/Generate")(b"", timeout=5)
            assert await asked.code() is code
