"""What a caller says, a credential above all, is in no log and no metric: not at debug level, not of a bad request."""

import json
import time
from typing import Any

import grpc
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis.channel import open_channel
from tests.mesh.driver import Mesh, mesh
from tests.mesh.scrape import exposition

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {drain_seconds: 2}
log: {level: debug}
providers:
  echo: {kind: echo, workers: 1, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
"""
SECRET = "s3cr3t-c4n4ry"
LABEL = f"label-{SECRET}"
HEADERS = {
    "authorization": f"Bearer {SECRET}",
    "x-api-key": SECRET,
    "x-anything": SECRET,
    "cookie": f"session={SECRET}",
    "openai-organization": SECRET,
}
USER = {"role": "user", "content": f"say {SECRET}"}
CALL = {"id": SECRET, "type": "function", "function": {"name": "f", "arguments": json.dumps({"key": SECRET})}}
TURNS = [USER, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": SECRET, "content": SECRET}]
TOOL = {"type": "function", "function": {"name": "f", "description": SECRET, "parameters": {"title": SECRET}}}

# Each with what is expected of it, so that every way through the mesh is really taken.
BODIES: list[tuple[int, dict[str, Any]]] = [
    (200, {}),
    (200, {"stream": True}),
    (200, {"user": LABEL}),
    (200, {"stream": True, "echo": {"fail": "PROVIDER_UNAVAILABLE", "fail_after_tokens": 1}}),
    (503, {"echo": {"fail": "PROVIDER_UNAVAILABLE"}}),
    (400, {"echo": {SECRET: SECRET}}),
    (400, {SECRET: SECRET}),
    (400, {"messages": TURNS, "tools": [TOOL]}),
    (400, {"messages": [{"role": SECRET, "content": SECRET}]}),
    (400, {"messages": [{"role": "user", "content": [{"type": SECRET, SECRET: SECRET}]}]}),
    (400, {"temperature": SECRET}),
    (400, {"tool_choice": SECRET}),
    (400, {"response_format": {"type": SECRET}}),
    (400, {"stop": [SECRET]}),
    (404, {"model": SECRET}),
]
FILES_THAT_MAY = ("postgres", "spool")  # the ledger keeps the label, and the model that was asked for


@pytest.fixture(scope="module")
def echo() -> Any:
    """A mesh that says as much as it can."""
    with mesh(CONFIG) as running:
        yield running


def post(echo: Mesh, path: str, data: bytes) -> int:
    client = echo.client._client
    headers = {**HEADERS, "content-type": "application/json"}
    return int(client.post(f"http://127.0.0.1:{echo.port}{path}", content=data, headers=headers).status_code)


async def typed(echo: Mesh) -> None:
    """The typed face, with a deadline that passes and metadata of a client's own."""
    request = gateway.GenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text=SECRET)
    request.spec.provider_options_json = json.dumps({"echo": {"hang_after_tokens": 1}})
    for address in (f"127.0.0.1:{echo.port}", echo.gateway):
        async with open_channel(address) as channel:
            stub = gateway_grpc.InferenceServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Generate(request, timeout=0.3, metadata=tuple(HEADERS.items()))


async def test_a_secret_is_in_no_log_and_no_metric(echo: Mesh) -> None:
    good = {"model": "echo", "messages": [USER]}
    for expected, change in BODIES:
        assert post(echo, "/v1/chat/completions", json.dumps(good | change).encode()) == expected, change
    for data in (
        f"{SECRET}".encode(),
        f'{{"model": "{SECRET}'.encode(),
        f'["{SECRET}"]'.encode(),
        SECRET.encode("utf-16"),
    ):
        assert post(echo, "/v1/chat/completions", data) == 400
    assert post(echo, f"/v1/chat/completions?api_key={SECRET}", json.dumps(good).encode()) == 200
    assert post(echo, "/api/v1/generate", json.dumps({"spec": {SECRET: SECRET}}).encode()) == 400
    await typed(echo)
    processes = [process["name"] for process in echo.status()["mesh"]["processes"]]
    wait_for_access_log(echo)

    for process in processes:
        if (echo.home / f"run/{process}.metrics.sock").exists():
            told = exposition(echo, process)
            assert "process_resident_memory_bytes" in told
            assert SECRET not in told, process
    logs = [file for file in echo.home.rglob("*") if file.is_file() and not of_the_ledger(echo, file)]
    assert {"gateway.log", "router.log", "echo-0.log", "envoy-access.log"} <= {file.name for file in logs}
    for file in logs:
        assert SECRET.encode() not in file.read_bytes(), file

    labelled = [row for row in echo.requests() if SECRET in json.dumps(row)]
    assert labelled, "the label did not reach the ledger: nothing was searched for"
    for row in labelled:
        assert [key for key, value in row.items() if SECRET in json.dumps(value)] in (["user_label"], ["model"]), row


def wait_for_access_log(echo: Mesh) -> None:
    """Envoy writes its access log once a second or so: wait until every call is in it."""
    log = echo.home / "logs/envoy-access.log"
    wanted = len(BODIES) + 4 + 3
    deadline = time.monotonic() + 15
    while log.read_bytes().count(b'"path"') < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def of_the_ledger(echo: Mesh, file: Any) -> bool:
    return file.relative_to(echo.home).parts[0] in FILES_THAT_MAY
