"""An answer that breaks off goes on at another replica, and the client sees nothing of it."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator, Callable

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation

from services.chassis.failure import Failure
from services.gateway.continuing import Spoken, continuable
from tests.fakes import Events, eventually, finished, saying, spec, started
from tests.gateway.scene import Scene, scene, text_of


def said(text: str, *ids: int) -> generation.GenerationEvent:
    return generation.GenerationEvent(delta=generation.Delta(text=text, tokens=len(ids), token_ids=ids))


def failing(reason: reasons.ErrorReason, *before: generation.GenerationEvent, **metadata: str) -> Callable[[], Events]:
    async def script() -> Events:
        for event in (started(), *before):
            yield event
        raise Failure(reason, "no", metadata=metadata)

    return script


async def hangs() -> Events:
    yield started()
    yield said("a", 1)
    yield said("", 2)  # a token whose text is held back
    await asyncio.get_running_loop().create_future()


@pytest.fixture
async def three(directory: pathlib.Path) -> AsyncIterator[Scene]:
    """Three workers; what the first one does not finish, the second one does."""
    first = {
        "lost": hangs,
        "draining": failing(reasons.ERROR_REASON_WORKER_DRAINING, said("a", 1)),
        "dead": failing(reasons.ERROR_REASON_ENGINE_FAILED, said("a", 1)),
        "idle": failing(reasons.ERROR_REASON_DEADLINE_EXCEEDED, said("a", 1), stage="idle"),
        "overloaded": failing(reasons.ERROR_REASON_PROVIDER_OVERLOADED, said("a", 1)),
        "thinking": failing(
            reasons.ERROR_REASON_WORKER_DRAINING,
            generation.GenerationEvent(delta=generation.Delta(reasoning="a", tokens=1, token_ids=[1])),
        ),
        "unknown": failing(
            reasons.ERROR_REASON_WORKER_DRAINING,
            said("a", 1),
            generation.GenerationEvent(delta=generation.Delta(text="b", tokens=1)),
        ),
    }
    rest = dict.fromkeys(first, saying(started(), said("b", 3), said("c", 4), finished(2)))
    async with scene(directory, first, dict(rest), dict(rest)) as made:
        yield made


async def read(running: Scene, script: str) -> list[generation.GenerationEvent]:
    events: list[generation.GenerationEvent] = []
    async with contextlib.aclosing((await running.begin(script)).events()) as batches:
        async for batch in batches:
            assert batch
            events += batch
    return events


async def rest_of(batches: AsyncIterator[list[generation.GenerationEvent]]) -> None:
    async for _ in batches:
        pass


async def test_a_killed_worker_s_answer_goes_on_with_nothing_repeated_or_lost(three: Scene) -> None:
    events: list[generation.GenerationEvent] = []
    async with contextlib.aclosing((await three.begin("lost")).events()) as batches:
        events += await anext(batches)
        while sum(event.delta.tokens for event in events) < 2:
            events += await anext(batches)
        await three.stop_worker(0)
        async for batch in batches:
            events += batch
    assert [event.WhichOneof("event") for event in events] == ["started", *["delta"] * 4, "finished"]
    assert text_of(events) == "abc"
    usage = events[-1].finished.usage
    assert (usage.input_tokens, usage.output_tokens, usage.estimated) == (1, 4, False)
    continuation = three.providers[1].contexts[-1].continuation
    assert continuation is not None
    assert (list(continuation.token_ids), continuation.text) == ([1, 2], "a")
    assert three.providers[0].contexts[-1].continuation is None


async def test_both_attempts_are_recorded_and_the_request_counts_each_token_once(three: Scene) -> None:
    assert text_of(await read(three, "draining")) == "abc"
    request = three.request
    assert (request.outcome, request.worker) == (ledger.OUTCOME_SUCCESS, "w1")
    assert (request.usage.input_tokens, request.usage.output_tokens) == (1, 3)
    assert [(one.kind, one.number, one.outcome, one.error_reason) for one in three.attempts] == [
        ("", 1, ledger.OUTCOME_ERROR, "WORKER_DRAINING"),
        ("continuation", 2, ledger.OUTCOME_SUCCESS, ""),
    ]
    assert [one.usage.output_tokens for one in three.attempts] == [1, 2]
    assert all(one.HasField("first_content_at") for one in three.attempts)
    assert request.first_content_at == three.attempts[0].first_content_at
    await eventually(lambda: len(three.router.said("outcome")) == 2, seconds=30)
    broken, whole = three.router.said("outcome")
    assert (broken.committed, broken.continuable, broken.wanted) == (True, True, True)
    assert not whole.wanted
    assert len(three.router.said("first_content")) == 2
    assert three.router.said("ask")[0].continuable
    assert not three.placements._leases


@pytest.mark.parametrize("script", ["dead", "idle"])
async def test_an_engine_that_died_or_fell_silent_is_replaced(three: Scene, script: str) -> None:
    assert text_of(await read(three, script)) == "abc"


async def test_a_worker_that_falls_silent_is_told_to_stop_and_replaced(three: Scene) -> None:
    reading = asyncio.create_task(read(three, "lost"))
    await eventually(lambda: bool(three.router.said("first_content")), seconds=30)
    now = asyncio.get_running_loop().time()
    three.sessions.to(three.router.addresses[0]).sweep(now=now + 11, idle_seconds=10, slow_reader_seconds=60)
    assert text_of(await reading) == "abc"
    assert [one.outcome for one in three.attempts] == [ledger.OUTCOME_DEADLINE, ledger.OUTCOME_SUCCESS]
    await eventually(lambda: three.providers[0].running == 0, seconds=1)


@pytest.mark.parametrize(
    ("script", "reason"),
    [("overloaded", "PROVIDER_OVERLOADED"), ("thinking", "WORKER_DRAINING"), ("unknown", "WORKER_DRAINING")],
)
async def test_what_cannot_be_gone_on_with_ends_as_it_broke(three: Scene, script: str, reason: str) -> None:
    with pytest.raises(Failure) as caught:
        await read(three, script)
    assert caught.value.reason_name == reason
    assert len(three.attempts) == 1
    await eventually(lambda: len(three.router.said("outcome")) == 1, seconds=30)
    assert not three.router.said("outcome")[0].wanted


async def test_a_router_that_knows_no_replica_interrupts_the_answer(three: Scene) -> None:
    three.router.refuses_continuations = True
    batches = (await three.begin("lost")).events()
    await anext(batches)
    await three.stop_worker(0)
    with pytest.raises(Failure) as caught:
        await rest_of(batches)
    assert caught.value.reason == reasons.ERROR_REASON_STREAM_INTERRUPTED
    assert (three.request.error_reason, three.request.usage.output_tokens) == ("STREAM_INTERRUPTED", 2)


async def test_an_answer_goes_on_twice(three: Scene) -> None:
    three.providers[1].scripts = {"draining": failing(reasons.ERROR_REASON_WORKER_DRAINING, said("b", 3))}
    assert text_of(await read(three, "draining")) == "abbc"
    third = three.providers[2].contexts[-1].continuation
    assert third is not None
    assert (list(third.token_ids), third.text) == ([1, 3], "ab")
    assert [one.kind for one in three.attempts] == ["", "continuation", "continuation"]
    assert three.request.usage.output_tokens == 4


async def test_a_replica_without_room_is_passed_over(three: Scene) -> None:
    three.providers[1].scripts = {"draining": failing(reasons.ERROR_REASON_WORKER_SATURATED)}
    assert text_of(await read(three, "draining")) == "abc"
    assert [one.error_reason for one in three.attempts] == ["WORKER_DRAINING", "WORKER_SATURATED", ""]
    assert three.request.usage.output_tokens == 3


async def test_a_replica_that_cannot_go_on_exactly_interrupts_the_answer(three: Scene) -> None:
    three.providers[1].scripts = {"draining": failing(reasons.ERROR_REASON_UNSUPPORTED)}
    with pytest.raises(Failure) as caught:
        await read(three, "draining")
    assert caught.value.reason == reasons.ERROR_REASON_STREAM_INTERRUPTED
    assert [one.error_reason for one in three.attempts] == ["WORKER_DRAINING", "UNSUPPORTED"]
    assert three.request.error_reason == "STREAM_INTERRUPTED"
    assert three.request.worker == "w0", "whose answer the caller has had"


async def test_what_an_answer_has_waited_for_a_place_is_the_same_once_it_has_gone_on(three: Scene) -> None:
    running = await three.begin("draining")
    batches = running.events()
    await anext(batches)
    waited = running.route().queue_time
    await rest_of(batches)
    assert (running.route().attempts, running.route().queue_time) == (2, waited)


async def test_without_a_router_the_answer_is_interrupted(three: Scene) -> None:
    batches = (await three.begin("lost")).events()
    await anext(batches)
    await three.stop_router()
    await eventually(lambda: not three.placements.connected.is_set(), seconds=30)
    await three.stop_worker(0)
    with pytest.raises(Failure) as caught:
        await rest_of(batches)
    assert caught.value.reason == reasons.ERROR_REASON_STREAM_INTERRUPTED


async def test_a_caller_that_leaves_what_goes_on_is_recorded_as_gone(three: Scene) -> None:
    async def goes_on() -> Events:
        yield started()
        yield said("b", 3)
        await asyncio.get_running_loop().create_future()

    three.providers[1].scripts = {"draining": goes_on}
    batches = (await three.begin("draining")).events()
    text = text_of(await anext(batches))
    while text != "ab":
        text += text_of(await anext(batches))
    await batches.aclose()
    assert three.request.outcome == ledger.OUTCOME_CANCELLED
    assert three.request.usage.output_tokens == 2
    assert [one.outcome for one in three.attempts] == [ledger.OUTCOME_ERROR, ledger.OUTCOME_CANCELLED]
    await eventually(lambda: three.providers[1].running == 0, seconds=1)


def test_one_choice_of_plain_text_can_be_gone_on_with_and_nothing_else() -> None:
    assert continuable(spec())
    for change in (
        {"choices": 2},
        {"logprobs": {}},
        {"tools": [{"name": "f"}]},
        {"response_format": {"json_object": {}}},
        {"response_format": {"json_schema": {"schema_json": "{}"}}},
        {"sampling": {"presence_penalty": 0.5}},
        {"sampling": {"frequency_penalty": -0.5}},
    ):
        assert not continuable(generation.GenerationSpec(**change)), change  # type: ignore[arg-type]
    for harmless in ({"choices": 1}, {"response_format": {"text": {}}}, {"sampling": {"presence_penalty": 0.0}}):
        assert continuable(generation.GenerationSpec(**harmless)), harmless  # type: ignore[arg-type]


@pytest.mark.parametrize("piece", [said("x", *range(100)), said("x" * 2000, 1)])
def test_what_is_kept_of_an_answer_is_bounded(piece: generation.GenerationEvent) -> None:
    spoken = Spoken(spec())
    for _ in range(500):
        spoken.hear([piece])
    assert spoken.possible
    told = spoken.continuation()
    assert (len(told.token_ids), told.text) == (500 * len(piece.delta.token_ids), 500 * piece.delta.text)
    for _ in range(500):
        spoken.hear([piece])
    assert not spoken.possible
    spoken.hear([piece])
    assert not spoken.possible


def test_nothing_said_is_nothing_to_go_on_with() -> None:
    assert not Spoken(spec()).possible
