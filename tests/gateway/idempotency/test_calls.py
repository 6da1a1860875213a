"""Calls with an idempotency key over loopback: one run, however often it is asked for."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.api.httpbody_pb2 import HttpBody
from hybridinference.gateway.v1 import inference_service_pb2 as inference
from hybridinference.gateway.v1 import inference_service_pb2_grpc as inference_grpc
from hybridinference.gateway.v1 import openai_service_pb2_grpc as openai_grpc
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from prometheus_client import CollectorRegistry

from services.chassis.channel import open_channel
from services.chassis.failure import Failure
from services.chassis.server import open_server
from services.config.places import GatewayPlace
from services.gateway.channels import open_channels
from services.gateway.idempotency import verdict
from services.gateway.idempotency.forwarding import Forwarding
from services.gateway.idempotency.interceptor import IdempotencyInterceptor
from services.gateway.idempotency.runs import Policy, open_runs
from services.gateway.idempotency.transcript import Transcript
from services.gateway.identity import caller
from services.gateway.identity.grant import Grant
from tests.fakes import eventually

NAMED = (("idempotency-key", "order-7"),)
LARGE = 16  # MiB, of an answer that no window holds
COST = (("x-hybrid-cost-usd", "0.1"),)


class Work(inference_grpc.InferenceServiceServicer, openai_grpc.OpenAIServiceServicer):
    """Counts what is really run, and lets a test decide when it ends."""

    def __init__(self) -> None:
        self.runs = 0
        self.stopped = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()
        self.begun = asyncio.Event()
        self.failure: Failure | None = None
        self.ending: asyncio.Event | None = None  # what a run that is stopped still waits for

    async def _run(self) -> int:
        self.runs += 1
        number = self.runs
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.stopped.set()
            if self.ending is not None:
                await self.ending.wait()
            raise
        if self.failure is not None:
            raise self.failure
        return number

    async def Generate(self, request: inference.GenerateRequest, context: Any) -> inference.GenerateResponse:
        context.set_trailing_metadata(COST)
        return inference.GenerateResponse(generation_id=str(await self._run()))

    async def StreamGenerate(self, request: Any, context: Any) -> AsyncIterator[inference.StreamGenerateResponse]:
        context.set_trailing_metadata(COST)
        yield inference.StreamGenerateResponse(generation_id="first")
        yield inference.StreamGenerateResponse(generation_id=str(await self._run()))

    async def ListModels(self, request: Any, context: Any) -> inference.ListModelsResponse:
        return inference.ListModelsResponse(next_page_token=str(await self._run()))

    async def CreateCompletion(self, request: HttpBody, context: Any) -> None:  # type: ignore[override]
        self.runs += 1
        for _ in range(LARGE):
            await context.write(HttpBody(data=bytes(1 << 20)))

    async def CreateChatCompletion(self, request: HttpBody, context: Any) -> None:  # type: ignore[override]
        number = await self._run()
        told = request.data == b"fail"
        if told:
            verdict.failed()
        await context.send_initial_metadata((("x-http-status", "503"),) if told else (("x-run", str(number)),))
        await context.write(HttpBody(data=b"answer %d" % number))


class Caller(grpc.aio.ServerInterceptor):
    """Takes the caller's word for who calls."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        said = dict(handler_call_details.invocation_metadata)
        models = frozenset(filter(None, said.get("x-models", "").split(",")))
        caller.is_now(Grant(key_id=said.get("authorization", ""), owner="o", models=models))
        return await continuation(handler_call_details)


class Gateway:
    """One gateway's server, and a client of it."""

    def __init__(self, channel: grpc.aio.Channel, work: Work, registry: CollectorRegistry) -> None:
        self.typed = inference_grpc.InferenceServiceStub(channel)
        self.openai = openai_grpc.OpenAIServiceStub(channel)
        self.work = work
        self._registry = registry

    def counted(self, result: str) -> float:
        name = "hybrid_gateway_idempotent_requests_total"
        return self._registry.get_sample_value(name, {"result": result}) or 0.0

    async def generate(self, model: str = "m", metadata: Any = NAMED, timeout: float = 5.0) -> str:
        request = inference.GenerateRequest()
        request.spec.model = model
        answer = await self.typed.Generate(request, metadata=metadata, timeout=timeout)
        return str(answer.generation_id)

    async def chat(self, body: bytes = b"hello", metadata: Any = NAMED) -> tuple[dict[str, Any], bytes]:
        call = self.openai.CreateChatCompletion(HttpBody(data=body), metadata=metadata, timeout=5.0)
        headers = {str(key): value for key, value in await call.initial_metadata()}
        return headers, b"".join([part.data async for part in call])


@contextlib.asynccontextmanager
async def gateway(
    directory: pathlib.Path,
    places: tuple[GatewayPlace, ...],
    index: int,
    policy: Policy | None = None,
    *,
    slow_reader_seconds: float = 60,
) -> AsyncIterator[Gateway]:
    registry, work, place = CollectorRegistry(), Work(), places[index]

    def add(server: grpc.aio.Server) -> None:
        inference_grpc.add_InferenceServiceServicer_to_server(work, server)
        openai_grpc.add_OpenAIServiceServicer_to_server(work, server)

    async with open_channels() as channels, open_runs(registry, policy) as runs:
        forwarding = Forwarding(channels, place.name, places)
        between = (Caller(), IdempotencyInterceptor(runs, forwarding, slow_reader_seconds=slow_reader_seconds))
        server = open_server(place.address, add, [], CollectorRegistry(), interceptors=between)
        async with server, open_channel(place.address) as channel:
            yield Gateway(channel, work, registry)


def places_of(directory: pathlib.Path, count: int) -> tuple[GatewayPlace, ...]:
    return tuple(GatewayPlace(f"g{index}", f"unix:{directory}/{index}.sock", "", "") for index in range(count))


def trailers(ended: Any) -> dict[str, Any]:
    return {str(key): value for key, value in ended.trailing_metadata()}


@pytest.fixture
async def one(directory: pathlib.Path) -> AsyncIterator[Gateway]:
    async with gateway(directory, places_of(directory, 1), 0, Policy(grace_seconds=0.05)) as made:
        yield made


async def test_a_second_try_is_given_the_first_one_s_answer(one: Gateway) -> None:
    assert [await one.generate(), await one.generate()] == ["1", "1"]
    assert one.work.runs == 1
    assert (one.counted("ran"), one.counted("replayed")) == (1, 1)


async def test_tries_at_once_share_one_run(one: Gateway) -> None:
    one.work.go.clear()
    tries = [asyncio.create_task(one.generate()) for _ in range(8)]
    await one.work.begun.wait()
    one.work.go.set()
    assert set(await asyncio.gather(*tries)) == {"1"}
    assert one.work.runs == 1


async def test_a_run_goes_on_for_the_next_try_when_its_caller_is_cut_off(directory: pathlib.Path) -> None:
    async with gateway(directory, places_of(directory, 1), 0) as one:
        one.work.go.clear()
        first = one.typed.StreamGenerate(inference.StreamGenerateRequest(), metadata=NAMED)
        await first.read()
        first.cancel()
        second = one.typed.StreamGenerate(inference.StreamGenerateRequest(), metadata=NAMED)
        assert (await second.read()).generation_id == "first"
        one.work.go.set()
        assert (await second.read()).generation_id == "1"
        assert one.work.runs == 1
        assert not one.work.stopped.is_set()


async def test_a_run_that_nobody_comes_back_for_is_ended(one: Gateway) -> None:
    one.work.go.clear()
    first = asyncio.create_task(one.generate())
    await one.work.begun.wait()
    first.cancel()
    async with asyncio.timeout(30):
        await one.work.stopped.wait()
    one.work.go.set()
    assert await one.generate() == "2"


async def test_who_comes_while_an_abandoned_run_still_ends_is_given_a_run_of_its_own(one: Gateway) -> None:
    one.work.go.clear()
    one.work.ending = asyncio.Event()
    first = asyncio.create_task(one.generate())
    await one.work.begun.wait()
    first.cancel()
    async with asyncio.timeout(30):
        await one.work.stopped.wait()
    one.work.go.set()
    second = asyncio.create_task(one.generate())
    assert await second == "2"
    one.work.ending.set()
    assert await one.generate() == "2", "what ended late has taken nothing with it"


async def test_a_failure_is_not_kept(one: Gateway) -> None:
    one.work.failure = Failure(reasons.ERROR_REASON_FLEET_SATURATED, "no room", retry_after=1)
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await one.generate()
    assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailers(failed.value)["x-hybrid-cost-usd"] == "0.1", "where its caller's limits stand, say"
    one.work.failure = None
    assert await one.generate() == "2"


async def test_a_stream_that_fails_before_its_first_word_may_be_tried_again_by_its_caller(
    directory: pathlib.Path,
) -> None:
    again = {"maxAttempts": 2, "initialBackoff": "0.01s", "maxBackoff": "0.01s", "backoffMultiplier": 1}
    retrying = again | {"retryableStatusCodes": ["RESOURCE_EXHAUSTED"]}
    config = json.dumps({"methodConfig": [{"name": [{}], "retryPolicy": retrying}]})
    options = (("grpc.service_config", config), ("grpc.default_authority", "localhost"))
    places = places_of(directory, 1)
    async with (
        gateway(directory, places, 0, Policy(grace_seconds=0.05)) as one,
        grpc.aio.insecure_channel(places[0].address, options=options) as channel,
    ):
        one.work.failure = Failure(reasons.ERROR_REASON_FLEET_SATURATED, "no room")
        call = openai_grpc.OpenAIServiceStub(channel).CreateChatCompletion(HttpBody(), metadata=NAMED)
        with pytest.raises(grpc.aio.AioRpcError):
            assert not [part async for part in call]
        assert one.work.runs == 2  # one whose headers have come is tried no more


async def test_who_joins_a_stream_that_fails_before_its_first_word_is_told_with_the_status_that_it_was_joined(
    one: Gateway,
) -> None:
    one.work.go.clear()
    calls = [one.openai.CreateChatCompletion(HttpBody(), metadata=NAMED) for _ in range(2)]
    await eventually(lambda: one.counted("joined") == 1, seconds=10)
    one.work.failure = Failure(reasons.ERROR_REASON_FLEET_SATURATED, "no room")
    one.work.go.set()
    told = []
    for call in calls:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            assert not [part async for part in call]
        assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "idempotent-replayed" not in dict(await call.initial_metadata())
        told.append("idempotent-replayed" in trailers(failed.value))
    assert (one.work.runs, sorted(told)) == (1, [False, True])


async def test_a_failure_in_openai_s_words_is_not_kept(one: Gateway) -> None:
    assert (await one.chat(b"fail"))[0]["x-http-status"] == "503"
    assert await one.chat(b"fail") != (await one.chat(b"fail"))
    assert one.work.runs == 3


async def test_an_answer_comes_again_with_its_headers_and_says_so(one: Gateway) -> None:
    headers, body = await one.chat()
    again, same = await one.chat()
    assert (headers["x-run"], again["x-run"], body, same) == ("1", "1", b"answer 1", b"answer 1")
    assert "idempotent-replayed" not in headers
    assert again["idempotent-replayed"] == "true"


async def test_a_stream_is_followed_from_its_beginning(one: Gateway) -> None:
    one.work.go.clear()
    calls = [one.typed.StreamGenerate(inference.StreamGenerateRequest(), metadata=NAMED) for _ in range(2)]
    assert [(await call.read()).generation_id for call in calls] == ["first", "first"]
    one.work.go.set()
    assert [(await call.read()).generation_id for call in calls] == ["1", "1"]


async def test_one_name_for_two_requests_is_refused(one: Gateway) -> None:
    await one.generate("m")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await one.generate("other")
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "another request" in str(refused.value.details())


async def test_names_of_other_callers_and_methods_are_others(one: Gateway) -> None:
    assert await one.generate() == "1"
    assert await one.generate(metadata=(*NAMED, ("authorization", "k2"))) == "2"
    assert (await one.chat())[1] == b"answer 3"


async def test_what_a_key_was_given_is_not_given_again_when_it_may_do_less(one: Gateway) -> None:
    key = (*NAMED, ("authorization", "k"))
    before, after = (*key, ("x-models", "m,other")), (*key, ("x-models", "other"))
    assert [await one.generate(metadata=said) for said in (before, after, before)] == ["1", "2", "1"]


async def test_calls_without_a_name_and_those_that_cost_nothing_are_left_alone(one: Gateway) -> None:
    assert [await one.generate(metadata=()), await one.generate(metadata=())] == ["1", "2"]
    for wanted in ("3", "4"):
        listed = await one.typed.ListModels(inference.ListModelsRequest(), metadata=NAMED)
        assert listed.next_page_token == wanted


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(directory: pathlib.Path) -> None:
    # Each answer has 8 bytes, and is counted with what it takes to keep it.
    async with gateway(directory, places_of(directory, 1), 0, Policy(keep_bytes=7500)) as one:
        for name in "abcd":
            await one.chat(metadata=(("idempotency-key", name),))
        await one.chat(metadata=(("idempotency-key", "d"),))
        await one.chat(metadata=(("idempotency-key", "a"),))
        assert one.work.runs == 5


async def test_what_is_kept_goes_after_a_while(directory: pathlib.Path) -> None:
    async with gateway(directory, places_of(directory, 1), 0, Policy(keep_seconds=0.01)) as one:
        await one.generate()
        await asyncio.sleep(0.1)
        assert await one.generate() == "2"


async def test_there_may_be_as_many_named_requests_as_others() -> None:
    async def work(_: Transcript) -> None:
        await asyncio.Event().wait()

    async with asyncio.timeout(30), open_runs(CollectorRegistry()) as runs:
        with contextlib.ExitStack() as tries:
            for number in range(2000):
                tries.enter_context(runs.following(number.to_bytes(32, "big"), b"", work))


async def test_whichever_gateway_a_try_reaches_there_is_one_run(directory: pathlib.Path) -> None:
    places = places_of(directory, 2)
    async with gateway(directory, places, 0) as first, gateway(directory, places, 1) as second:
        for name in "abcdefgh":
            named = (("idempotency-key", name),)
            answers = {await each.generate(metadata=named) for each in (first, second, first)}
            streams = {(await each.chat(metadata=named))[1] for each in (second, first, second)}
            assert len(answers) == len(streams) == 1
        assert first.work.runs + second.work.runs == 16
        assert min(first.work.runs, second.work.runs) > 0


async def test_trailers_come_through_from_the_other_gateway(directory: pathlib.Path) -> None:
    places = places_of(directory, 2)
    async with gateway(directory, places, 0) as first, gateway(directory, places, 1) as second:
        for name in "abcdefgh":
            named = (("idempotency-key", name),)
            for each in (first, second):
                streamed = each.typed.StreamGenerate(inference.StreamGenerateRequest(), metadata=named)
                assert len([answer async for answer in streamed]) == 2
                assert dict(await streamed.trailing_metadata())["x-hybrid-cost-usd"] == "0.1"
        for each in (first, second):
            each.work.failure = Failure(reasons.ERROR_REASON_RATE_LIMITED, "later", retry_after=1)
        for name in "abcdefgh":
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await first.generate(metadata=(("idempotency-key", name),))
            assert trailers(failed.value)["x-hybrid-cost-usd"] == "0.1"
            assert failed.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_failures_come_through_from_the_other_gateway_as_they_are(directory: pathlib.Path) -> None:
    places = places_of(directory, 2)
    async with gateway(directory, places, 0) as first, gateway(directory, places, 1) as second:
        for each in (first, second):
            each.work.failure = Failure(reasons.ERROR_REASON_MODEL_NOT_FOUND, "no such model")
        for name in "abcd":
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await first.generate(metadata=(("idempotency-key", name),))
            assert failed.value.code() is grpc.StatusCode.NOT_FOUND
            assert failed.value.details() == "no such model"


async def test_a_gateway_that_is_gone_is_done_without(directory: pathlib.Path) -> None:
    async with gateway(directory, places_of(directory, 2), 0) as first:
        for name in "abcdefgh":
            named = (("idempotency-key", name),)
            assert await first.generate(metadata=named) == await first.generate(metadata=named)
            assert (await first.chat(metadata=named))[1] == (await first.chat(metadata=named))[1]
        assert first.work.runs == 16


async def test_who_does_not_read_is_told_so_whichever_gateway_runs_it(directory: pathlib.Path) -> None:
    places = places_of(directory, 2)
    async with (
        gateway(directory, places, 0, slow_reader_seconds=0.1) as first,
        gateway(directory, places, 1) as second,
    ):
        calls = [
            first.openai.CreateCompletion(HttpBody(), metadata=(("idempotency-key", name),), timeout=10.0)
            for name in "abcd"
        ]
        for call in calls:
            await call.initial_metadata()
        await asyncio.sleep(0.3)
        for call in calls:
            with pytest.raises(grpc.aio.AioRpcError) as told:
                assert len([part async for part in call]) < LARGE
            assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert min(first.work.runs, second.work.runs) > 0


async def test_a_gateway_that_ends_ends_what_nobody_waits_for(directory: pathlib.Path) -> None:
    async with asyncio.timeout(30), gateway(directory, places_of(directory, 1), 0) as one:
        one.work.go.clear()
        first = asyncio.create_task(one.generate())
        await one.work.begun.wait()
        first.cancel()
    assert one.work.stopped.is_set()


async def test_an_answer_for_which_there_is_no_memory_ends_with_an_error_and_leaves_nothing(
    directory: pathlib.Path,
) -> None:
    room = Policy(run_bytes=(LARGE // 2) << 20)
    async with gateway(directory, places_of(directory, 1), 0, room) as one:
        for _number in range(2):  # what the first took is there again
            call = one.openai.CreateCompletion(HttpBody(), metadata=NAMED, timeout=5.0)
            with pytest.raises(grpc.aio.AioRpcError) as told:
                assert len([part async for part in call]) < LARGE
            assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert (await one.chat())[1] == b"answer 3"


async def test_what_is_kept_makes_room_for_what_runs(directory: pathlib.Path) -> None:
    async with gateway(directory, places_of(directory, 1), 0, Policy(run_bytes=(LARGE + 1) << 20)) as one:
        for name in "ab":
            call = one.openai.CreateCompletion(HttpBody(), metadata=(("idempotency-key", name),), timeout=5.0)
            assert len([part async for part in call]) == LARGE


def test_of_an_answer_without_room_only_its_last_words_are_kept() -> None:
    def full(_: int) -> None:
        raise Failure(reasons.ERROR_REASON_FLEET_SATURATED, "full")

    transcript, refused = Transcript(full), 0
    for _ in range(100):
        try:
            transcript.add(b"x")
        except Failure:
            refused += 1
    assert refused > 90
    assert transcript.bytes == 0
