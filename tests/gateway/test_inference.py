"""The typed face over real gRPC."""

import pathlib
import tempfile
from collections.abc import AsyncIterator

import grpc
import pytest
from hybridinference.gateway.v1 import inference_service_pb2 as gateway
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis import status
from services.chassis.failure import Failure
from services.gateway.fold import Fold
from services.workers.provider import AttemptContext, Embedded
from tests.fakes import Events, delta, eventually, finished, saying, spec, started
from tests.gateway.faces import TENANTS, Faces, faces
from tests.gateway.scripts import TWO, hangs


async def broken() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, "slower", retry_after=2, provider="p")


async def large(asked: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    return Embedded([embedding.Embedding(values=[1.0] * (3 << 20))], generation.Usage(), "large")


SCRIPTS = {
    "whole": saying(started(), delta("a"), delta("b"), finished(2)),
    "two": TWO,
    "broken": broken,
    "hangs": hangs,
}


@pytest.fixture
async def served() -> AsyncIterator[Faces]:
    """A gateway in front of one worker."""
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with faces(pathlib.Path(directory), SCRIPTS) as made:
            yield made


@pytest.mark.parametrize("script", ["whole", "two"])
async def test_generate_is_the_fold_of_stream_generate(served: Faces, script: str) -> None:
    responses = [one async for one in served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec(script)))]
    whole = await served.inference.Generate(gateway.GenerateRequest(spec=spec(script)))
    streamed, folded = (record.request for record in served.scene.book.records)
    assert [bool(one.generation_id) for one in responses] == [True] + [False] * (len(responses) - 1)
    assert responses[0].generation_id == streamed.generation_id
    assert whole.generation_id == folded.generation_id
    assert (streamed.streamed, folded.streamed, streamed.api) == (True, False, "inference")
    assert (whole.route.provider, whole.route.attempts) == ("scripted", 1)
    fold = Fold()
    fold.take(one.event for one in responses)
    whole.ClearField("generation_id")
    whole.ClearField("route")
    assert fold.whole() == whole


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_failure_is_a_status_with_its_reason(served: Faces, streamed: bool) -> None:
    if streamed:
        answer = served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec("broken"))).read()
    else:
        answer = served.inference.Generate(gateway.GenerateRequest(spec=spec("broken")))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await answer
    failure = status.from_rpc_error(caught.value)
    assert (failure.reason_name, failure.retry_after, failure.metadata) == (
        "PROVIDER_RATE_LIMITED",
        2,
        {"provider": "p"},
    )


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_leaves_ends_the_generation(served: Faces, streamed: bool) -> None:
    if streamed:
        call = served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec("hangs")))
    else:
        call = served.inference.Generate(gateway.GenerateRequest(spec=spec("hangs")))
    await eventually(lambda: bool(served.scene.router.said("first_content")), seconds=30)
    call.cancel()
    await eventually(lambda: bool(served.scene.book.records), seconds=30)
    assert served.scene.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: served.scene.providers[0].closed == ["hangs"], seconds=30)


async def test_models_come_in_pages(served: Faces) -> None:
    pages, token = [], ""
    while True:
        page = await served.inference.ListModels(gateway.ListModelsRequest(page_size=2, page_token=token))
        pages.append([model.name for model in page.models])
        token = page.next_page_token
        if not token:
            break
    assert pages == [["a/b:c", "b"], ["scripted"]]
    whole = await served.inference.ListModels(gateway.ListModelsRequest(page_size=3))
    assert (len(whole.models), whole.next_page_token) == (3, "")
    assert len((await served.inference.ListModels(gateway.ListModelsRequest())).models) == 3


async def test_a_page_that_is_too_large_is_refused(served: Faces) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.ListModels(gateway.ListModelsRequest(page_size=1001))
    assert status.from_rpc_error(caught.value).metadata["field"] == "page_size"


async def test_a_worker_is_told_a_mark_of_the_caller_and_not_the_credential(served: Faces) -> None:
    request = gateway.GenerateRequest(spec=spec("whole"))
    await served.inference.Generate(request, metadata=[("authorization", "Bearer x")])
    (context,) = served.scene.providers[0].contexts
    assert context.tenant == TENANTS.mark("Bearer x", "whole")
    assert "Bearer" not in context.tenant


async def test_a_whole_answer_says_what_was_left_out(served: Faces) -> None:
    served.scene.router.drop_unsupported = True
    request = gateway.GenerateRequest(spec=spec("whole"))
    request.spec.sampling.seed = 1
    assert list((await served.inference.Generate(request)).dropped_fields) == ["sampling.seed"]


async def test_a_prompt_instead_of_messages_is_a_completion(served: Faces) -> None:
    served.scene.providers[0].scripts = {"go on": saying(started(), delta("and on"), finished(1))}
    request = gateway.GenerateRequest(spec={"model": "scripted", "prompt": {"text": "go on"}})
    assert (await served.inference.Generate(request)).choices[0].content.text == "and on"
    assert (served.scene.request.api, served.scene.request.operation) == ("inference", "completions")
    request.spec.messages.add()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.Generate(request)
    assert status.from_rpc_error(caught.value).metadata["field"] == "prompt"


async def test_vectors_come_with_the_id_of_their_row(served: Faces) -> None:
    request = gateway.EmbedRequest()
    request.spec.model = "scripted"
    request.spec.inputs.add(text="a")
    request.spec.inputs.add(text="b")
    response = await served.inference.Embed(request)
    assert [list(one.values) for one in response.embeddings] == [[1.0], [1.0]]
    assert response.generation_id == served.scene.request.generation_id
    assert (response.provider_model, response.usage.input_tokens) == ("scripted", 1)
    assert (served.scene.request.api, served.scene.request.operation) == ("inference", "embeddings")


async def test_vectors_too_large_for_json_are_refused_where_json_was_asked_for(served: Faces) -> None:
    served.scene.providers[0].embeds = {"": large}
    request = gateway.EmbedRequest()
    request.spec.model = "scripted"
    request.spec.inputs.add(text="a")
    assert len((await served.inference.Embed(request)).embeddings[0].values) == 3 << 20
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await served.inference.Embed(request, metadata=[("x-envoy-original-path", "/api/v1/embed")])
    failure = status.from_rpc_error(caught.value)
    assert (failure.reason_name, failure.metadata["field"]) == ("SPEC_INVALID", "inputs")


async def test_a_batch_is_joined_for_the_client(served: Faces) -> None:
    served.scene.providers[0].scripts = {"many": saying(started(), *[delta("x")] * 50, finished(50))}
    responses = [one async for one in served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec("many")))]
    events: list[generation.GenerationEvent] = [one.event for one in responses]
    assert sum(event.delta.tokens for event in events) == 50
    assert len(events) < 50


@pytest.mark.parametrize("shown", [False, True])
async def test_every_answer_says_how_it_was_served(shown: bool) -> None:
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        workers = ({"s": broken}, {"s": SCRIPTS["whole"]})
        async with faces(pathlib.Path(directory), *workers, show_worker=shown) as served:
            stream = served.inference.StreamGenerate(gateway.StreamGenerateRequest(spec=spec("s")))
            first, *others, last = [one async for one in stream]
            assert not any(one.HasField("route") for one in others)
            assert last.route.HasField("cost_nano_usd")
            for one in (first, last):  # what comes all at once has it in its first message too
                one.route.ClearField("cost_nano_usd")
            assert last.route == first.route
            whole = await served.inference.Generate(gateway.GenerateRequest(spec=spec("s")))
            asked = embedding.EmbeddingSpec(model="scripted", inputs=[embedding.EmbeddingInput(text="a")])
            vectors = await served.inference.Embed(gateway.EmbedRequest(spec=asked))
    for answer, attempts in ((first, 2), (whole, 2), (vectors, 1)):
        route = answer.route
        worker = f"w{attempts - 1}" if shown else ""
        assert (route.provider, route.attempts, route.worker) == ("scripted", attempts, worker)
        assert 0 < route.queue_time.ToMicroseconds() < 5e6
