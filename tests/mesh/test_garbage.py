"""Bad input gets a clear, typed error that names the field, on both faces; nothing crashes."""

import json
from typing import Any

import grpc
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import conversation_pb2 as conversation

from services.chassis import status
from services.chassis.channel import open_channel
from tests.mesh.driver import Mesh

pytestmark = [pytest.mark.slow, pytest.mark.edge]

GOOD = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


def post(mesh: Mesh, data: bytes, path: str = "/chat/completions") -> tuple[int, dict[str, Any]]:
    response = mesh.client._client.post(
        mesh.base_url + path, content=data, headers={"content-type": "application/json"}
    )
    return response.status_code, response.json()["error"]


@pytest.mark.parametrize(
    ("change", "status_code", "param"),
    [
        ({"temperature": -1}, 400, "temperature"),
        ({"temperature": "hot"}, 400, "temperature"),
        ({"messages": "hello"}, 400, "messages"),
        ({"messages": []}, 400, "messages"),
        ({"messages": [{"role": "nobody", "content": "x"}]}, 400, "messages[0].role"),
        ({"max_tokens": 0}, 400, "max_tokens"),
        ({"top_p": 0}, 400, "top_p"),
        ({"n": 1000}, 400, "n"),
        ({"model": "nobody"}, 404, "model"),
        ({"model": None}, 400, "model"),
        ({"stream": "yes"}, 400, "stream"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, 400, "tools"),
        ({"no_such_field": 1}, 400, "no_such_field"),
    ],
)
def test_a_bad_field_is_named(echo: Mesh, change: dict[str, Any], status_code: int, param: str) -> None:
    got, error = post(echo, json.dumps(GOOD | change).encode())
    assert got == status_code, error
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    if status_code == 400:
        assert error["param"] == param
    assert param in error["message"] or str(change["model"]) in error["message"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000])
def test_malformed_json_is_a_400(echo: Mesh, data: bytes) -> None:
    got, error = post(echo, data)
    assert got == 400
    assert error["type"] == "invalid_request_error"


def test_an_unknown_path_is_a_404(echo: Mesh) -> None:
    got, error = post(echo, b"{}", "/nowhere")
    assert (got, error["code"]) == (404, "unknown_url")


def test_an_oversize_body_is_a_413(echo: Mesh) -> None:
    got, error = post(echo, json.dumps(GOOD | {"user": "x" * (33 << 20)}).encode())
    assert (got, error["code"]) == (413, "request_too_large")


def test_the_sdk_raises_the_right_class(echo: Mesh) -> None:
    client = echo.client
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(**GOOD, temperature=-1)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(**(GOOD | {"model": "nobody"}))


@pytest.mark.parametrize(
    ("field", "reason", "code"),
    [
        ("sampling.temperature", "SPEC_INVALID", grpc.StatusCode.INVALID_ARGUMENT),
        ("messages", "SPEC_INVALID", grpc.StatusCode.INVALID_ARGUMENT),
        ("model", "MODEL_NOT_FOUND", grpc.StatusCode.NOT_FOUND),
        ("tools", "UNSUPPORTED", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_grpc_gets_a_typed_status(echo: Mesh, field: str, reason: str, code: grpc.StatusCode) -> None:
    request = gateway.GenerateRequest()
    request.spec.model = "echo"
    request.spec.messages.add(role=conversation.ROLE_USER).parts.add(text="hello")
    if field == "sampling.temperature":
        request.spec.sampling.temperature = -1
    elif field == "messages":
        del request.spec.messages[:]
    elif field == "model":
        request.spec.model = "nobody"
    else:
        request.spec.tools.add(name="f")
    async with open_channel(f"127.0.0.1:{echo.port}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await gateway_grpc.InferenceServiceStub(channel).Generate(request, timeout=10)
    failure = status.from_rpc_error(caught.value)
    assert (caught.value.code(), failure.reason_name) == (code, reason)
    if reason != "MODEL_NOT_FOUND":
        assert failure.metadata["field"] == field


def test_the_mesh_still_answers_after_all_of_it(echo: Mesh) -> None:
    answer = echo.client.chat.completions.create(**GOOD)
    assert answer.choices[0].message.content == "hello"
    assert all(process["restarts"] == 0 for process in echo.status()["mesh"]["processes"])
