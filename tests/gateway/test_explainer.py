"""What callers say of the route reaches the router, and what the router would do is told on both faces."""

import asyncio
import contextlib
import json
import pathlib
import tempfile
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import routing_pb2 as routing
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.router.v1 import router_service_pb2 as router

from services.chassis import status
from services.chassis.deadline import to_duration
from services.chassis.failure import Failure
from services.gateway.explainer import MOST_A_SECOND
from services.gateway.identity.credential import Credential, make
from services.gateway.identity.grant import Grant
from tests.fakes import delta, finished, saying, spec, started
from tests.gateway.answers import Answer, received
from tests.gateway.faces import Faces, faces

SCRIPTS = {"": saying(started(), delta("a"), finished()), "u": saying(started(), delta("a"), finished())}
PLACED = router.ExplainResponse(
    fate=router.EXPLAINED_FATE_PLACED,
    config_version="v7",
    decision=routing.Decision(
        strategy="adaptive",
        targets=2,
        eligible=1,
        candidates=[
            routing.CandidateScore(
                worker="local-0",
                provider="local",
                provider_model="m",
                role=routing.ROUTE_ROLE_PRIMARY,
                score=1.5,
                terms={"cost_usd": 0.25},
            ),
            routing.CandidateScore(
                worker="vendor-0", provider="vendor", role=routing.ROUTE_ROLE_FALLBACK, ruled_out_by="role"
            ),
        ],
    ),
)
HEADERS = (
    ("x-hybrid-session", "s"),
    ("x-hybrid-tags", "eu,fast"),
    ("x-hybrid-max-cost-usd", "0.5"),
    ("x-hybrid-first-content-slo-ms", "1500"),
    ("x-hybrid-criticality", "sheddable"),
)
HINTS = routing.RoutingHints(
    session="s",
    tags=["eu", "fast"],
    max_cost_nano_usd=500_000_000,
    first_content_slo=to_duration(1.5),
    criticality=routing.CRITICALITY_SHEDDABLE,
)


@contextlib.asynccontextmanager
async def serving(**settings: Any) -> AsyncIterator[Faces]:
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), SCRIPTS, **settings) as made:
            made.scene.router.explanation.CopyFrom(PLACED)
            yield made


@pytest.fixture
async def served() -> AsyncIterator[Faces]:
    """A gateway in front of one worker."""
    async with serving() as made:
        yield made


def chat(**fields: Any) -> HttpBody:
    asked = {"model": "scripted", "messages": [{"role": "user", "content": "hi" * 600}], **fields}
    return HttpBody(data=json.dumps(asked).encode())


def body(**fields: Any) -> HttpBody:
    return HttpBody(data=json.dumps({"model": "scripted", **fields}).encode())


async def explained(served: Faces, request: HttpBody, *metadata: tuple[str, str]) -> Answer:
    return await received(served.openai.CreateExplanation(request, metadata=metadata))


def hinted(ask: placement.PlacementAsk) -> dict[str, Any]:
    return {
        "tags": list(ask.tags),
        "max_cost": ask.max_cost_nano_usd,
        "slo": ask.first_content_slo.ToMilliseconds(),
        "criticality": ask.criticality,
    }


SAID = {"tags": ["eu", "fast"], "max_cost": 500_000_000, "slo": 1500, "criticality": routing.CRITICALITY_SHEDDABLE}


async def test_headers_of_every_path_and_the_message_of_every_method_tell_the_router_the_same(served: Faces) -> None:
    await received(served.openai.CreateChatCompletion(chat(), metadata=HEADERS))
    await received(served.openai.CreateCompletion(body(prompt="hi", user="u"), metadata=HEADERS))
    await received(served.openai.CreateResponse(body(input="hi"), metadata=HEADERS))
    await received(served.openai.CreateEmbedding(body(input="hi"), metadata=HEADERS))
    await served.inference.Generate(gateway.GenerateRequest(spec=spec(), routing=HINTS))
    async for _ in served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec(), routing=HINTS)):
        pass
    vectors = embedding.EmbeddingSpec(model="scripted", inputs=[embedding.EmbeddingInput(text="hi")])
    await served.inference.Embed(gateway.EmbedRequest(spec=vectors, routing=HINTS))
    asks = served.scene.router.said("ask")
    assert [hinted(ask) for ask in asks] == [SAID] * 7
    assert all(ask.affinity for ask in asks)
    assert len({ask.affinity for ask in asks if ask.key == asks[0].key}) == 2, "one caller with and without a label"


async def test_the_conversation_is_named_by_the_header_or_by_the_key_of_caches(served: Faces) -> None:
    for fields, metadata in (
        ({"prompt_cache_key": "a"}, ()),
        ({"prompt_cache_key": "b"}, (("x-hybrid-session", "a"),)),
        ({"prompt_cache_key": "b"}, ()),
        ({}, ()),
    ):
        await received(served.openai.CreateChatCompletion(chat(**fields), metadata=metadata))
    first, second, third, fourth = [ask.affinity for ask in served.scene.router.said("ask")]
    assert first == second != 0
    assert third not in (0, first)
    assert fourth == 0


async def test_what_is_asked_is_in_the_ledger_in_tokens_and_hashes(served: Faces) -> None:
    await received(served.openai.CreateChatCompletion(chat(max_tokens=7)))
    ask, record = served.scene.router.said("ask")[0], served.scene.request
    assert (record.estimated_input_tokens, record.max_output_tokens) == (ask.input_tokens, 7)
    assert list(record.prefix_hashes) == list(ask.prefix_hashes)
    assert (len(ask.prefix_hashes), ask.block_tokens) == (4, 64)


async def test_callers_with_other_credentials_have_other_hashes_and_keys(served: Faces) -> None:
    for key in ("a", "b"):
        metadata = (("authorization", f"Bearer {key}"),)
        await received(served.openai.CreateChatCompletion(chat(), metadata=metadata))
        await received(served.openai.CreateChatCompletion(chat(user="u"), metadata=metadata))
    a, labelled, b, _ = served.scene.router.said("ask")
    assert not {*a.prefix_hashes} & {*b.prefix_hashes}
    assert not {*a.prefix_hashes} & {*labelled.prefix_hashes}, "caches are apart by label, too"
    assert a.key == labelled.key != b.key, "a label is no share of its own"


@pytest.mark.parametrize(
    ("header", "value", "http"),
    [("x-hybrid-tags", "a b", 400), ("x-hybrid-criticality", "critical-plus", 403), ("x-hybrid-worker", "w0", 403)],
)
async def test_a_header_that_is_wrong_or_not_the_callers_is_named(
    served: Faces, header: str, value: str, http: int
) -> None:
    for asking in (
        served.openai.CreateChatCompletion(chat(), metadata=((header, value),)),
        served.openai.CreateResponse(body(input="hi"), metadata=((header, value),)),
        served.openai.CreateExplanation(chat(), metadata=((header, value),)),
    ):
        reply = await received(asking)
        assert (reply.metadata["x-http-status"], json.loads(reply.data)["error"]["param"]) == (str(http), header)
    assert not served.scene.router.said("ask")
    assert not served.scene.book.records


async def test_a_worker_is_chosen_where_the_configuration_allows_it() -> None:
    async with serving(allow_pinning=True) as served:
        await received(served.openai.CreateChatCompletion(chat(), metadata=(("x-hybrid-worker", "w0"),)))
        await served.inference.Generate(gateway.GenerateRequest(spec=spec(), routing=routing.RoutingHints(worker="w0")))
        assert [ask.worker for ask in served.scene.router.said("ask")] == ["w0", "w0"]


async def test_a_field_that_is_wrong_is_named(served: Faces) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.Generate(gateway.GenerateRequest(spec=spec(), routing=routing.RoutingHints(worker="w")))
    failure = status.from_rpc_error(caught.value)
    assert (failure.reason_name, failure.metadata["field"]) == ("PERMISSION_DENIED", "routing.worker")


async def test_the_typed_face_tells_what_the_router_says_without_workers(served: Faces) -> None:
    told = await served.inference.ExplainRoute(gateway.ExplainRouteRequest(spec=spec(), routing=HINTS))
    assert (told.fate, told.config_version, told.decision.strategy) == ("placed", "v7", "adaptive")
    assert [candidate.worker for candidate in told.decision.candidates] == ["", ""]
    assert [hinted(ask) for ask in served.scene.router.explained] == [SAID]
    assert not served.scene.router.said("ask")
    assert not served.scene.book.records


async def test_workers_are_named_where_callers_may_know_them() -> None:
    async with serving(show_worker=True) as served:
        told = await served.inference.ExplainRoute(gateway.ExplainRouteRequest(spec=spec()))
        assert [candidate.worker for candidate in told.decision.candidates] == ["local-0", "vendor-0"]
        reply = json.loads((await explained(served, chat())).data)
        assert [candidate["worker"] for candidate in reply["candidates"]] == ["local-0", "vendor-0"]


class Limited:
    """Takes whatever has the form of a key for one that may use the provider `local` alone."""

    async def judge(self, credential: Credential) -> tuple[str, Grant]:
        return "accepted", Grant(key_id=credential.key_id, owner="o", providers=("local",))


async def test_a_key_hears_of_no_provider_that_it_may_not_use() -> None:
    async with serving(keyring=Limited()) as served:
        told = (await explained(served, chat(), ("authorization", f"Bearer {make(bytes(42)).text()}"))).data
        assert [one["provider"] for one in json.loads(told)["candidates"]] == ["local"]
        assert b"vendor" not in told


async def test_the_openai_face_tells_it_as_json(served: Faces) -> None:
    reply = await explained(served, chat(stream=True, prompt_cache_key="c"), *HEADERS[1:])
    assert json.loads(reply.data) == {
        "object": "explanation",
        "model": "scripted",
        "fate": "placed",
        "strategy": "adaptive",
        "targets": 2,
        "eligible": 1,
        "ahead": 0,
        "config_version": "v7",
        "candidates": [
            {"provider": "local", "model": "m", "role": "primary", "ruled_out_by": None, "score": 1.5,
             "terms": {"cost_usd": 0.25}},
            {"provider": "vendor", "model": "", "role": "fallback", "ruled_out_by": "role", "score": None, "terms": {}},
        ],
        "error": None,
    }  # fmt: skip
    (ask,) = served.scene.router.explained
    assert hinted(ask) == SAID
    assert ask.affinity


async def test_a_prompt_is_explained_as_a_completion(served: Faces) -> None:
    await explained(served, body(prompt="hi"))
    (ask,) = served.scene.router.explained
    assert (list(ask.capabilities), ask.max_output_tokens) == ([model.CAPABILITY_COMPLETIONS], 16)
    several = await explained(served, body(prompt=["a", "b"]))
    assert several.metadata["x-http-status"] == "400"
    assert json.loads(several.data)["error"]["param"] == "prompt"


async def test_what_would_be_refused_is_told_in_the_callers_words(served: Faces) -> None:
    refusal = Failure(
        reasons.ERROR_REASON_UNSUPPORTED, "No.", field="tools", model="scripted", provider="p", capability="stop"
    )
    served.scene.router.explanation.CopyFrom(
        router.ExplainResponse(fate=router.EXPLAINED_FATE_REFUSED, refusal=status.to_status(refusal))
    )
    reply = await explained(served, chat(stop="x"))
    told = json.loads(reply.data)
    assert (told["fate"], told["error"]["code"], told["error"]["param"]) == ("refused", "unsupported_parameter", "stop")
    asked = spec()
    asked.sampling.stop.append("x")
    typed = await served.inference.ExplainRoute(gateway.ExplainRouteRequest(spec=asked))
    assert status.from_status(typed.refusal).metadata["field"] == "sampling.stop"


@pytest.mark.parametrize(
    ("field", "header"), [("tags", "x-hybrid-tags"), ("max_cost_nano_usd", "x-hybrid-max-cost-usd")]
)
async def test_what_a_router_says_of_a_hint_is_said_of_its_header(served: Faces, field: str, header: str) -> None:
    name = f"routing.{field}"
    why = Failure(reasons.ERROR_REASON_SPEC_INVALID, f"`{name}` rules everything out.", field=name)
    served.scene.router.refusal = placement.Refusal(status=status.to_status(why))
    for asking in (
        served.openai.CreateChatCompletion(chat(), metadata=HEADERS),
        served.openai.CreateResponse(body(input="hi"), metadata=HEADERS),
        served.openai.CreateCompletion(body(prompt="hi"), metadata=HEADERS),
    ):
        error = (await received(asking)).json["error"]
        assert (error["param"], error["message"]) == (header, f"`{header}` rules everything out.")


async def test_a_wait_is_told_with_how_many_are_ahead(served: Faces) -> None:
    served.scene.router.explanation.CopyFrom(router.ExplainResponse(fate=router.EXPLAINED_FATE_WAITING, ahead=3))
    told = json.loads((await explained(served, chat())).data)
    assert (told["fate"], told["ahead"]) == ("waiting", 3)


@pytest.mark.parametrize("request_", [chat(messages=[]), chat(n=99), body(), HttpBody(data=b"{")])
async def test_what_is_no_request_is_refused_as_it_would_be(served: Faces, request_: HttpBody) -> None:
    assert (await explained(served, request_)).metadata["x-http-status"] == "400"
    assert not served.scene.router.explained


async def test_no_more_is_explained_in_a_second_than_the_router_can_do_besides() -> None:
    now = asyncio.get_running_loop().time
    request = gateway.ExplainRouteRequest(spec=spec())
    refused: list[grpc.aio.AioRpcError] = []
    for _ in range(3):  # a machine may take so long that there is room for all of them
        async with serving() as served:
            began = now()
            asking = [served.inference.ExplainRoute(request) for _ in range(3 * MOST_A_SECOND)]
            told = await asyncio.gather(*asking, return_exceptions=True)
            took = now() - began
        refused = [one for one in told if isinstance(one, grpc.aio.AioRpcError)]
        assert MOST_A_SECOND <= len(told) - len(refused) <= MOST_A_SECOND * (1 + took) + 1
        if refused:
            break
    failure = status.from_rpc_error(refused[0])
    assert failure.reason_name == "RATE_LIMITED"
    assert 0 < (failure.retry_after or 0) <= 1 / MOST_A_SECOND


async def test_without_a_router_nothing_can_be_told(served: Faces) -> None:
    await served.scene.stop_router()
    reply = await explained(served, chat())
    assert (reply.metadata["x-http-status"], reply.metadata["retry-after"]) == ("503", "1")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.ExplainRoute(gateway.ExplainRouteRequest(spec=spec()))
    failure = status.from_rpc_error(caught.value)
    assert (caught.value.code(), failure.reason_name, failure.retry_after) == (
        grpc.StatusCode.UNAVAILABLE, "ROUTER_UNAVAILABLE", 1.0
    )  # fmt: skip


async def test_a_refusal_is_recorded_with_what_ruled_everybody_out(served: Faces) -> None:
    why = routing.Decision(strategy="adaptive", targets=2, ruled_out={"max_cost": 2})
    refused = placement.Refusal(
        status=status.to_status(Failure(reasons.ERROR_REASON_FLEET_SATURATED, "Full.")), decision=why
    )
    served.scene.router.refusal = refused
    await received(served.openai.CreateChatCompletion(chat()))
    assert served.scene.request.refused_by == why
