"""How callers are told what a request has cost."""

import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from tests.fakes import delta, spec
from tests.gateway.answers import received
from tests.gateway.faces import Faces, faces
from tests.gateway.scene import MODEL
from tests.gateway.test_costs import TOKENS, WHOLE, WHOLE_COST, failing

USD = f"0.{WHOLE_COST:09d}"
_VECTOR_COST = 2_000


def asked(method: str, **fields: Any) -> HttpBody:
    """A request for the script `s`."""
    content: dict[str, Any] = {
        "CreateChatCompletion": {"messages": [{"role": "user", "content": "hello"}], "user": "s"},
        "CreateResponse": {"input": "hello", "user": "s"},
        "CreateCompletion": {"prompt": "s"},
        "CreateEmbedding": {"input": "hello"},
    }[method]
    return HttpBody(data=json.dumps({"model": MODEL, **content, **fields}).encode())


@pytest.fixture
async def served(directory: pathlib.Path) -> AsyncIterator[Faces]:
    """Both faces before a worker that answers, and one that breaks off."""
    scripts = {"s": WHOLE, "cut": failing(reasons.ERROR_REASON_PROVIDER_OVERLOADED, delta("a"))}
    async with faces(directory, scripts, config=TOKENS) as made:
        yield made


@pytest.mark.parametrize("method", ["CreateChatCompletion", "CreateResponse", "CreateCompletion"])
async def test_a_whole_answer_has_its_cost_in_a_header(served: Faces, method: str) -> None:
    fields = {"prompt": ["s", "s"]} if method == "CreateCompletion" else {}
    reply = await received(getattr(served.openai, method)(asked(method, **fields)))
    both = 2 * WHOLE_COST if fields else WHOLE_COST
    assert reply.metadata["x-hybrid-cost-usd"] == f"0.{both:09d}"


@pytest.mark.parametrize("method", ["CreateChatCompletion", "CreateResponse", "CreateCompletion"])
async def test_a_stream_has_its_cost_in_a_comment_before_its_last_event(served: Faces, method: str) -> None:
    reply = await received(getattr(served.openai, method)(asked(method, stream=True)))
    assert reply.data.endswith(f"\n\n: x-hybrid-cost-usd: {USD}\n\ndata: [DONE]\n\n".encode())
    assert reply.data.count(b"x-hybrid-cost-usd") == 1


async def test_vectors_have_their_cost_in_a_header(served: Faces) -> None:
    reply = await received(served.openai.CreateEmbedding(asked("CreateEmbedding")))
    assert reply.metadata["x-hybrid-cost-usd"] == f"0.{_VECTOR_COST:09d}"


async def test_a_failure_says_what_it_has_cost(served: Faces) -> None:
    reply = await received(served.openai.CreateChatCompletion(asked("CreateChatCompletion", user="cut")))
    assert reply.metadata["x-http-status"] == "503"
    (record,) = served.scene.book.records
    assert reply.metadata["x-hybrid-cost-usd"] == f"0.{record.request.cost_nano_usd:09d}"
    assert record.request.cost_nano_usd > 0


async def test_the_typed_api_says_it_in_the_route_and_behind_the_answer(served: Faces) -> None:
    whole = served.inference.Generate(gateway.GenerateRequest(spec=spec("s")))
    vectors = served.inference.Embed(
        gateway.EmbedRequest(spec=embedding.EmbeddingSpec(model=MODEL, inputs=[embedding.EmbeddingInput(text="a")]))
    )
    stream = served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec("s")))
    *_, last = [one async for one in stream]
    for call, route, cost in (
        (whole, (await whole).route, WHOLE_COST),
        (stream, last.route, WHOLE_COST),
        (vectors, (await vectors).route, _VECTOR_COST),
    ):
        assert route.cost_nano_usd == cost
        assert await trailing(call) == f"0.{cost:09d}"


async def trailing(call: Any) -> str:
    return {str(key): str(value) for key, value in await call.trailing_metadata()}["x-hybrid-cost-usd"]
