"""Embeddings through a whole mesh: the official SDK, JSON and gRPC."""

import array
import asyncio
import base64
import contextlib
import json
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import grpc
import httpx2
import openai
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import inference_service_pb2_grpc as gateway_grpc
from hybridinference.inference.v1 import model_pb2 as model

from services.chassis import status
from services.chassis.channel import open_channel
from tests.mesh.driver import Mesh, mesh, until, wait_until
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

# Nobody listens at the vendor's address: what is refused before it is asked needs nobody.
CONFIG = """
gateway: {drain_seconds: 2}
providers:
  echo: {kind: echo, drain_seconds: 2}
  slow: {kind: echo, first_token_ms: 30000, drain_seconds: 0}
  vendor:
    kind: openai
    base_url: http://127.0.0.1:9/v1
    api_keys: [none]
    models: [{name: talk, capabilities: [chat]}, {name: embed, capabilities: [embeddings]}]
models:
  - {name: echo, routes: [{provider: echo}]}
  - {name: slow, routes: [{provider: slow}]}
  - {name: talk, routes: [{provider: vendor, model: talk}]}
  - {name: embed, routes: [{provider: vendor, model: embed}]}
"""


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    with mesh(CONFIG) as up:
        yield up


def test_floats_and_base64_are_the_same_vectors(running: Mesh) -> None:
    texts = ["one", "two", "Grüße 🚀"]
    floats = running.client.embeddings.create(model="echo", input=texts, encoding_format="float")
    encoded = running.client.embeddings.create(model="echo", input=texts)  # base64, which the SDK decodes by itself
    assert [item.index for item in floats.data] == [0, 1, 2]
    assert [item.embedding for item in floats.data] == [item.embedding for item in encoded.data]
    assert len({tuple(item.embedding) for item in floats.data}) == 3
    assert {len(item.embedding) for item in floats.data} == {8}
    assert floats.usage.prompt_tokens == floats.usage.total_tokens == 4
    assert (floats.object, floats.model) == ("list", "echo")
    asked = {"model": "echo", "input": texts, "encoding_format": "base64"}
    raw = httpx2.post(f"{running.base_url}/embeddings", json=asked).json()
    decoded = array.array("f", base64.b64decode(raw["data"][0]["embedding"])).tolist()
    assert decoded == floats.data[0].embedding


def test_token_ids_and_dimensions_are_passed_on(running: Mesh) -> None:
    one = running.client.embeddings.create(model="echo", input=[1, 2, 3], dimensions=5)
    assert (len(one.data), len(one.data[0].embedding), one.usage.prompt_tokens) == (1, 5, 3)
    several = running.client.embeddings.create(model="echo", input=[[1, 2, 3], [4]], dimensions=5)
    assert several.data[0].embedding == one.data[0].embedding
    assert len(several.data) == 2


def test_as_much_as_may_be_asked_for_comes_whole(running: Mesh) -> None:
    many = {"model": "echo", "input": ["x"] * 2048, "dimensions": 3072, "encoding_format": "base64"}
    answer = httpx2.post(f"{running.base_url}/embeddings", json=many, timeout=30).json()
    assert [item["index"] for item in answer["data"]] == list(range(2048))
    assert {len(base64.b64decode(item["embedding"])) for item in answer["data"]} == {4 * 3072}
    half = {"model": "echo", "input": ["x"] * 1024, "dimensions": 2048, "encoding_format": "float"}
    floats = httpx2.post(f"{running.base_url}/embeddings", json=half, timeout=30)
    assert len(floats.content) > 32 << 20, "no limit of the edge was met"
    assert {len(item["embedding"]) for item in floats.json()["data"]} == {2048}


@pytest.mark.parametrize(
    ("asked", "error", "param"),
    [
        ({"model": "nobody", "input": "a"}, openai.NotFoundError, None),
        ({"model": "echo", "input": ["a", ""]}, openai.BadRequestError, "input[1]"),
        ({"model": "echo", "input": ["a"] * 2049}, openai.BadRequestError, "input"),
        ({"model": "echo", "input": "a", "extra_body": {"truncate": True}}, openai.BadRequestError, "truncate"),
        ({"model": "embed", "input": "a", "dimensions": 7}, openai.BadRequestError, "dimensions"),
        ({"model": "embed", "input": [1]}, openai.BadRequestError, "input[0]"),
        ({"model": "talk", "input": "a"}, openai.BadRequestError, "model"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    running: Mesh, asked: dict[str, object], error: type[openai.APIStatusError], param: str | None
) -> None:
    with pytest.raises(error) as caught:
        running.client.embeddings.create(**asked)  # type: ignore[arg-type]
    assert caught.value.param == param


def test_a_model_that_only_embeds_does_not_chat(running: Mesh) -> None:
    with pytest.raises(openai.BadRequestError, match="The model `embed` cannot chat") as caught:
        running.client.chat.completions.create(model="embed", messages=[{"role": "user", "content": "a"}])
    assert (caught.value.param, caught.value.code) == ("model", "unsupported_parameter")


def test_a_parameter_that_no_provider_has_is_refused_under_the_callers_name(running: Mesh) -> None:
    for body in ({"min_p": 0.1}, {"verbosity": "low"}, {"seed": 1}, {"logprobs": True}):
        with pytest.raises(openai.BadRequestError) as caught:
            running.client.chat.completions.create(
                model="talk", messages=[{"role": "user", "content": "a"}], extra_body=body
            )
        (name,) = body
        assert caught.value.param == name
        assert f"`{name}` is not supported by vendor" in caught.value.message


def test_json_of_the_typed_face(running: Mesh) -> None:
    url = f"http://127.0.0.1:{running.port}/api/v1/embed"
    asked = {"spec": {"model": "echo", "inputs": [{"text": "one"}, {"token_ids": {"ids": [1, 2]}}], "user": "u"}}
    answer = httpx2.post(url, json=asked).json()
    assert [len(item["values"]) for item in answer["embeddings"]] == [8, 8]
    row = running.row_of(answer["generation_id"])
    assert (row["operation"], row["api"], row["outcome"], row["user_label"]) == (
        *("embeddings", "inference", "success", "u"),
    )
    assert (row["input_tokens"], row["output_tokens"], row["provider"], row["attempts"]) == (3, 0, "echo", 1)
    wrong = httpx2.post(url, json={"spec": {"model": "echo"}})
    assert (wrong.status_code, "`inputs`" in wrong.json()["message"]) == (400, True)


def test_json_of_the_typed_face_is_refused_before_the_edge_would_choke_on_it(running: Mesh) -> None:
    def embed(inputs: int) -> httpx2.Response:
        asked = {"spec": {"model": "echo", "inputs": [{"text": "x"}] * inputs, "dimensions": 4096}}
        return httpx2.post(f"http://127.0.0.1:{running.port}/api/v1/embed", json=asked, timeout=30)

    largest = embed(510)
    assert (largest.status_code, len(largest.json()["embeddings"])) == (200, 510)
    beyond = embed(520)
    assert (beyond.status_code, "too many for JSON" in beyond.json()["message"]) == (400, True)


def test_grpcurl_embeds(running: Mesh) -> None:
    asked = json.dumps({"spec": {"model": "echo", "inputs": [{"text": "one"}], "dimensions": 3}})
    address, method = f"127.0.0.1:{running.port}", "hybridinference.gateway.v1.InferenceService/Embed"
    grpcurl = pathlib.Path(sys.executable).with_name("grpcurl")
    done = subprocess.run(
        [str(grpcurl), "-plaintext", "-d", asked, address, method],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["embeddings"][0]["values"]) == 3


async def test_grpc_tells_models_that_embed_and_embeds(running: Mesh) -> None:
    async with open_channel(f"127.0.0.1:{running.port}") as channel:
        stub = gateway_grpc.InferenceServiceStub(channel)
        listed = await stub.ListModels(gateway.ListModelsRequest())
        able = {one.name for one in listed.models if model.CAPABILITY_EMBEDDINGS in one.capabilities}
        assert able == {"echo", "slow", "embed"}
        request = gateway.EmbedRequest()
        request.spec.model = "echo"
        request.spec.inputs.add(text="one")
        assert len((await stub.Embed(request)).embeddings[0].values) == 8
        request.spec.model = "slow"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Embed(request, timeout=0.5)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert status.from_rpc_error(caught.value).reason_name == "DEADLINE_EXCEEDED"


async def test_a_client_that_leaves_frees_the_worker(running: Mesh) -> None:
    def at_work() -> float:
        return total(running, "slow-0", "hybrid_worker_attempts_running")

    async with running.async_client() as client:
        asking = asyncio.create_task(client.embeddings.create(model="slow", input="a", user="leaves"))
        await until(lambda: asyncio.to_thread(lambda: at_work() == 1), seconds=30)
        asking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asking
    await until(lambda: asyncio.to_thread(lambda: at_work() == 0), seconds=1)

    def told() -> bool:
        rows = [row for row in running.requests() if row["user_label"] == "leaves"]
        return [row["outcome"] for row in rows] == ["cancelled"]

    await asyncio.to_thread(wait_until, told, seconds=30)


def test_no_input_and_no_vector_is_in_a_log(running: Mesh) -> None:
    canary = "c4n4ry-of-embeddings"
    vector = running.client.embeddings.create(model="echo", input=canary, encoding_format="float").data[0].embedding
    for log in (running.home / "logs").iterdir():
        text = log.read_text(encoding="utf-8", errors="replace")
        assert canary not in text, log
        assert json.dumps(vector[0]) not in text, log
