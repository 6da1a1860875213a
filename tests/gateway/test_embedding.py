"""An embedding from ask to outcome."""

import asyncio
import pathlib
import random
import tempfile
from collections.abc import AsyncIterator

import grpc
import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import model_pb2 as model
from hybridinference.inference.v1 import provider_try_pb2 as provider_try
from hybridinference.worker.v1 import worker_service_pb2 as worker

from services.chassis.failure import Failure
from services.gateway.embedding import Embedding
from services.gateway.fallback import STRATEGY
from services.workers.provider import AttemptContext, Embedded
from tests.fakes import EmbedScript, eventually
from tests.gateway.scene import DEADLINES, Scene, scene

TRY = provider_try.ProviderTry(key=1, reason=reasons.ERROR_REASON_PROVIDER_CREDENTIAL, http_status=401)


async def broken(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    context.tries.append(TRY)
    raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no", retry_after=3.0)


async def hangs(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    return await asyncio.get_running_loop().create_future()


async def hangs_with_its_next_key(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    context.tries.append(TRY)
    return await hangs(spec, context)


async def large(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    vectors = [embedding.Embedding(values=[1.0] * 3072) for _ in spec.inputs]
    return Embedded(vectors, generation.Usage(input_tokens=1), "big")


async def huge(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    vectors = [embedding.Embedding(values=[1.0] * (1 << 24))]
    return Embedded(vectors, generation.Usage(input_tokens=1), "big")


async def empty(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    return Embedded([embedding.Embedding() for _ in spec.inputs], generation.Usage(), "m")


async def served(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
    assert context.tenant == "t"
    context.tries.append(TRY)
    return Embedded([embedding.Embedding(values=[0.5, 1.0])], generation.Usage(input_tokens=7), "at-the-provider")


SCRIPTS: dict[str, EmbedScript] = {
    "broken": broken,
    "broken_both": broken,
    "hangs": hangs,
    "hangs_with_its_next_key": hangs_with_its_next_key,
    "large": large,
    "huge": huge,
    "empty": empty,
    "served": served,
}


@pytest.fixture
async def two() -> AsyncIterator[Scene]:
    """Two workers: what breaks or hangs on the first one works on the second, unless its name says `both`."""
    with tempfile.TemporaryDirectory(prefix="g-") as directory:
        async with scene(pathlib.Path(directory), {}, {}) as made:
            made.providers[0].embeds = SCRIPTS
            made.providers[1].embeds = {"broken_both": broken, "broken": served, "hangs": served, "huge": huge}
            yield made


async def vectors(running: Embedding) -> worker.EmbedResponse:
    async with running.vectors() as answer:
        return answer


async def refused(running: Scene, script: str, **options: float) -> Failure:
    with pytest.raises(Failure) as caught:
        await vectors(await running.embed(script, **options))
    return caught.value


async def test_vectors_are_relayed_and_recorded_once(two: Scene) -> None:
    answer = await vectors(await two.embed("served"))
    assert [list(vector.values) for vector in answer.embeddings] == [[0.5, 1.0]]
    request = two.request
    assert (request.operation, request.outcome) == ("embeddings", ledger.OUTCOME_SUCCESS)
    assert (request.usage.input_tokens, request.provider_model) == (7, "at-the-provider")
    assert request.received_at.ToNanoseconds() <= request.first_content_at.ToNanoseconds()
    assert [attempt.outcome for attempt in two.attempts] == [ledger.OUTCOME_SUCCESS]
    await eventually(lambda: len(two.router.said("outcome")) == 1, seconds=30)
    assert len(two.router.said("first_content")) == 1
    assert two.router.said("outcome")[0].committed


async def test_the_router_is_asked_for_what_the_inputs_need(two: Scene) -> None:
    await vectors(await two.embed("", "x" * 400, "y" * 40))
    (ask,) = two.router.said("ask")
    assert list(ask.capabilities) == [model.CAPABILITY_EMBEDDINGS]
    assert (ask.model, ask.input_tokens, ask.max_output_tokens) == ("scripted", 110, 0)


async def test_a_failure_is_tried_elsewhere_unseen_and_its_tries_are_recorded(two: Scene) -> None:
    assert (await vectors(await two.embed("broken"))).provider_model == "at-the-provider"
    assert [attempt.worker for attempt in two.attempts] == ["w0", "w1"]
    assert [attempt.error_reason for attempt in two.attempts] == ["PROVIDER_UNAVAILABLE", ""]
    assert [list(attempt.tries) for attempt in two.attempts] == [[TRY], [TRY]]
    assert two.request.outcome == ledger.OUTCOME_SUCCESS


async def test_when_nobody_is_left_the_last_failure_is_told_with_when_to_come_back(two: Scene) -> None:
    failure = await refused(two, "broken_both")
    assert (failure.reason_name, failure.retry_after) == ("PROVIDER_UNAVAILABLE", 3.0)
    assert two.request.outcome == ledger.OUTCOME_ERROR


async def test_a_worker_lost_meanwhile_is_replaced(two: Scene) -> None:
    running = asyncio.create_task(vectors(await two.embed("hangs")))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    await two.stop_worker(0)
    assert (await running).provider_model == "at-the-provider"
    assert two.attempts[0].error_reason == "WORKER_LOST"


async def test_leaving_ends_the_work_at_the_worker(two: Scene) -> None:
    running = asyncio.create_task(vectors(await two.embed("hangs")))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await eventually(lambda: two.providers[0].closed == ["hangs"], seconds=1)
    assert two.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: not two.placements._leases and len(two.router.said("outcome")) == 1, seconds=1)


async def test_whenever_callers_leave_nothing_stays_behind(two: Scene) -> None:
    moments = random.Random(1)
    for _ in range(200):
        running = asyncio.create_task(vectors(await two.embed("hangs")))
        await asyncio.sleep(moments.choice((0, 0, moments.uniform(0, 0.004))))
        running.cancel()
        await asyncio.wait([running])
    await eventually(lambda: two.providers[0].running == 0 and not two.placements._leases, seconds=30)
    assert {record.request.outcome for record in two.book.records} <= {ledger.OUTCOME_CANCELLED}
    placed = {command.attempt_id for record in two.book.records for command in record.attempts}

    def given_back() -> bool:
        return placed <= {outcome.attempt_id for outcome in two.router.said("outcome")}

    await eventually(given_back, seconds=30)
    assert two.relay._room == 100


async def test_a_passed_deadline_is_told_and_ends_the_work(two: Scene) -> None:
    working = asyncio.Event()

    async def hangs_and_tells(spec: embedding.EmbeddingSpec, context: AttemptContext) -> Embedded:
        working.set()
        return await hangs(spec, context)

    two.providers[0].embeds = {"hangs": hangs_and_tells}
    for seconds in DEADLINES:
        two.book.records.clear()
        failure = await refused(two, "hangs", seconds=seconds)
        assert (failure.reason_name, two.request.outcome) == ("DEADLINE_EXCEEDED", ledger.OUTCOME_DEADLINE)
        if working.is_set():
            break
    assert failure.metadata["stage"] == "total"
    await eventually(lambda: "hangs" in two.providers[0].closed and two.providers[0].running == 0, seconds=1)
    assert len(two.attempts) == 1


async def test_what_was_asked_in_vain_until_the_deadline_is_recorded(two: Scene) -> None:
    for seconds in (*DEADLINES, *DEADLINES[-1:]):  # on a busy machine the worker's last word may be late
        two.book.records.clear()
        await refused(two, "hangs_with_its_next_key", seconds=seconds)
        assert two.request.outcome == ledger.OUTCOME_DEADLINE
        if two.attempts and two.attempts[0].tries:
            break
    assert list(two.attempts[0].tries) == [TRY]


async def test_an_input_without_a_vector_is_tried_elsewhere(two: Scene) -> None:
    await vectors(await two.embed("empty"))
    assert [attempt.error_reason for attempt in two.attempts] == ["PROVIDER_MALFORMED", ""]


async def test_as_many_vectors_as_may_be_asked_for_fit_into_one_answer(two: Scene) -> None:
    answer = await vectors(await two.embed("large", *["x"] * 2048))
    assert len(answer.embeddings) == 2048
    assert answer.ByteSize() > 25_000_000


async def test_vectors_too_large_for_one_answer_are_refused_by_name(two: Scene) -> None:
    failure = await refused(two, "huge")
    assert (failure.reason_name, failure.metadata["field"]) == ("REQUEST_TOO_LARGE", "inputs")


async def test_without_a_router_the_gateway_places_by_itself(two: Scene) -> None:
    await eventually(lambda: bool(two.fleet.workers), seconds=30)
    await two.stop_router()
    await eventually(lambda: not two.placements.connected.is_set(), seconds=30)
    await vectors(await two.embed())
    assert two.attempts[0].strategy == STRATEGY


async def test_a_worker_that_comes_back_is_asked_at_once(two: Scene) -> None:
    await vectors(await two.embed("served"))
    await two.stop_worker(0)
    await vectors(await two.embed("broken"))
    assert two.book.records[-1].attempts[0].error_reason == "WORKER_LOST"
    await two.start_worker(0)
    await vectors(await two.embed("served"))
    assert [attempt.worker for attempt in two.book.records[-1].attempts] == ["w0"]


async def test_a_request_is_under_way_until_its_vectors_are_passed_on(two: Scene) -> None:
    room = two.relay._room
    async with (await two.embed()).vectors():
        assert two.relay._room == room - 1
        assert not two.book.records
    assert (two.relay._room, two.request.outcome) == (room, ledger.OUTCOME_SUCCESS)


async def test_a_caller_that_leaves_with_the_vectors_at_hand_was_served(two: Scene) -> None:
    with pytest.raises(grpc.aio.InternalError):
        async with (await two.embed()).vectors():
            raise grpc.aio.InternalError("a write that nobody takes")
    assert two.request.outcome == ledger.OUTCOME_SUCCESS


async def test_vectors_that_cannot_be_passed_on_are_recorded_as_the_failure_they_are(two: Scene) -> None:
    with pytest.raises(Failure):
        async with (await two.embed()).vectors():
            raise Failure(reasons.ERROR_REASON_PROVIDER_MALFORMED, "not all numbers")
    assert two.request.error_reason == "PROVIDER_MALFORMED"


async def test_room_is_given_back(two: Scene) -> None:
    room = two.relay._room
    await vectors(await two.embed())
    await refused(two, "broken_both")
    assert two.relay._room == room


async def test_a_gateway_that_stops_tells_its_callers_and_tries_nothing_else(two: Scene) -> None:
    running = asyncio.create_task(vectors(await two.embed("hangs")))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    two.channels.interrupt()
    with pytest.raises(Failure) as caught:
        await running
    assert (caught.value.reason, caught.value.retry_after) == (reasons.ERROR_REASON_STREAM_INTERRUPTED, 1.0)
    assert (two.request.error_reason, len(two.attempts)) == ("STREAM_INTERRUPTED", 1)
    assert (await refused(two, "served")).reason == reasons.ERROR_REASON_STREAM_INTERRUPTED
