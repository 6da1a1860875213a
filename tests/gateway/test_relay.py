"""A generation from ask to outcome."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import provider_try_pb2 as provider_try

from services.chassis import status
from services.chassis.failure import Failure
from services.gateway.attempt import CREDIT_BYTES
from services.gateway.fallback import STRATEGY
from tests.fakes import Events, delta, eventually, finished, saying, started
from tests.gateway.scene import DEADLINES, Scene, scene, text_of

WHOLE = saying(started(), delta("a"), delta("b"), finished(2))


async def broken_before_content() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")


async def broken_after_content() -> Events:
    yield started()
    yield delta("a")
    raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")


async def hanging_after_content() -> Events:
    yield started()
    yield delta("a")
    await asyncio.get_running_loop().create_future()


async def hanging_before_content() -> Events:
    yield started()
    await asyncio.get_running_loop().create_future()


class Flood:
    """A script that sends kilobytes for as long as somebody takes them."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self) -> Events:
        yield started()
        while True:
            yield delta("x" * 1024)
            self.sent += 1024
            await asyncio.sleep(0)


@pytest.fixture
async def two(directory: pathlib.Path) -> AsyncIterator[Scene]:
    """Two workers: what breaks or hangs on the first one works on the second, unless its name says `both`."""
    first = {
        "whole": WHOLE,
        "broken_before": broken_before_content,
        "broken_after": broken_after_content,
        "broken_both": broken_before_content,
        "hangs_before": hanging_before_content,
        "hangs_after": hanging_after_content,
        "flood": Flood(),
        "cut": saying(started(), delta("a")),
        "cut_at_once": saying(started()),
    }
    second = dict.fromkeys(first, WHOLE) | {"broken_both": broken_before_content}
    async with scene(directory, first, second) as made:
        yield made


async def refused(running: Scene, script: str, **options: float) -> Failure:
    with pytest.raises(Failure) as caught:
        await running.run(script, **options)
    return caught.value


async def test_an_answer_is_relayed_and_recorded_once(two: Scene) -> None:
    assert await two.run("whole") == "ab"
    assert two.request.outcome == ledger.OUTCOME_SUCCESS
    assert list(two.request.finish_reasons) == [generation.FINISH_REASON_STOP]
    assert (two.request.usage.input_tokens, two.request.usage.output_tokens) == (1, 2)
    assert (two.request.worker, two.request.provider_model) == ("w0", "scripted")
    assert [attempt.outcome for attempt in two.attempts] == [ledger.OUTCOME_SUCCESS]
    assert two.request.received_at.ToNanoseconds() <= two.request.first_content_at.ToNanoseconds()
    await eventually(lambda: len(two.router.said("outcome")) == 1, seconds=1)
    assert len(two.router.said("first_content")) == 1


@pytest.mark.parametrize("script", ["broken_before", "cut_at_once"])
async def test_a_failure_before_the_first_content_is_tried_elsewhere_unseen(two: Scene, script: str) -> None:
    assert await two.run(script) == "ab"
    assert [attempt.worker for attempt in two.attempts] == ["w0", "w1"]
    assert [attempt.outcome for attempt in two.attempts] == [ledger.OUTCOME_ERROR, ledger.OUTCOME_SUCCESS]
    assert two.request.outcome == ledger.OUTCOME_SUCCESS


async def test_a_worker_lost_before_the_first_content_is_replaced(two: Scene) -> None:
    running = asyncio.create_task(two.run("hangs_before"))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    await two.stop_worker(0)
    assert await running == "ab"
    assert two.attempts[0].error_reason == "WORKER_LOST"


async def test_when_nobody_is_left_the_last_failure_is_told(two: Scene) -> None:
    assert (await refused(two, "broken_both")).reason == reasons.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert two.request.outcome == ledger.OUTCOME_ERROR
    assert len(two.attempts) == 2


@pytest.mark.parametrize(
    ("script", "reason"),
    [("broken_after", "PROVIDER_UNAVAILABLE"), ("cut", "TRUNCATED")],
)
async def test_a_stream_that_has_begun_is_not_tried_again(two: Scene, script: str, reason: str) -> None:
    assert (await refused(two, script)).reason_name == reason
    assert len(two.attempts) == 1
    assert two.request.error_reason == reason
    assert two.request.usage.output_tokens == 1
    assert two.request.usage.estimated


async def test_a_worker_lost_in_mid_stream_interrupts_the_stream(two: Scene) -> None:
    batches = (await two.begin("hangs_after")).events()
    assert text_of(await anext(batches)) == "a"
    await two.stop_worker(0)
    with pytest.raises(Failure) as caught:
        await anext(batches)
    assert caught.value.reason == reasons.ERROR_REASON_STREAM_INTERRUPTED
    assert two.request.error_reason == "STREAM_INTERRUPTED"


async def test_a_worker_is_told_whom_it_works_for_and_what_it_asked_in_vain_is_recorded(two: Scene) -> None:
    tried = provider_try.ProviderTry(key=1, reason=reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, http_status=429)

    async def asks_twice() -> Events:
        two.providers[0].contexts[-1].tries.append(tried)
        yield started()
        yield delta("a")
        yield finished()

    async def asks_in_vain() -> Events:
        two.providers[0].contexts[-1].tries.append(tried)
        raise Failure(reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, "no")
        yield started()

    for script in (asks_twice, asks_in_vain):
        two.providers[0].scripts = {"whole": script}
        await two.run("whole")
    assert {context.tenant for context in two.providers[0].contexts} == {"t"}
    served, failed = ([list(one.tries) for one in record.attempts] for record in two.book.records)
    assert (served, failed) == ([[tried]], [[tried], []])


async def test_what_was_asked_in_vain_until_the_deadline_is_recorded(two: Scene) -> None:
    tried = provider_try.ProviderTry(key=1, reason=reasons.ERROR_REASON_PROVIDER_RATE_LIMITED, http_status=429)

    async def hangs_with_its_next_key() -> Events:
        two.providers[0].contexts[-1].tries.append(tried)
        async for event in hanging_before_content():
            yield event

    two.providers[0].scripts = {"whole": hangs_with_its_next_key}
    for seconds in (*DEADLINES, *DEADLINES[-1:]):  # on a busy machine the worker's last word may be late
        two.book.records.clear()
        failure = await refused(two, "whole", seconds=seconds)
        if not two.attempts:
            continue
        # The worker was silent. But it is the caller's time that was up, and that is no fault of the worker.
        assert (failure.reason_name, failure.metadata["stage"]) == ("DEADLINE_EXCEEDED", "total")
        if two.attempts[0].tries:
            break
    assert list(two.attempts[0].tries) == [tried]
    attempt_id = two.attempts[0].attempt_id
    await eventually(lambda: attempt_id in [said.attempt_id for said in two.router.said("outcome")], seconds=30)
    (told,) = [said.status for said in two.router.said("outcome") if said.attempt_id == attempt_id]
    assert status.from_status(told).metadata["stage"] == "total"


async def test_what_was_left_out_is_known_with_the_first_content(two: Scene) -> None:
    two.router.drop_unsupported = True
    running = await two.begin("whole")
    running.call.spec.sampling.seed = 1  # the scripted provider has no seeds
    async with contextlib.aclosing(running.events()) as batches:
        await anext(batches)
        assert running.dropped == ("sampling.seed",)


async def test_leaving_cancels_the_work_and_is_recorded(two: Scene) -> None:
    batches = (await two.begin("hangs_after")).events()
    await anext(batches)
    await batches.aclose()
    assert two.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: two.providers[0].closed == ["hangs_after"], seconds=1)
    await eventually(lambda: len(two.router.said("outcome")) == 1, seconds=1)
    assert not two.router.said("outcome")[0].wanted


async def test_a_client_that_hangs_up_on_the_last_event_had_the_whole_answer(two: Scene) -> None:
    batches = (await two.begin("whole")).events()
    async for events in batches:
        if events[-1].HasField("finished"):
            break
    await batches.aclose()
    assert two.request.outcome == ledger.OUTCOME_SUCCESS
    assert [attempt.outcome for attempt in two.attempts] == [ledger.OUTCOME_SUCCESS]


async def test_leaving_before_the_first_content_cancels_the_work(two: Scene) -> None:
    running = asyncio.create_task(two.run("hangs_before"))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert two.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: two.providers[0].running == 0, seconds=1)


@pytest.mark.parametrize("script", ["hangs_before", "hangs_after"])
async def test_a_deadline_ends_the_attempt_and_nothing_follows(two: Scene, script: str) -> None:
    for seconds in DEADLINES:
        two.book.records.clear()
        failure = await refused(two, script, seconds=seconds)
        assert failure.reason == reasons.ERROR_REASON_DEADLINE_EXCEEDED
        assert two.request.outcome == ledger.OUTCOME_DEADLINE
        if two.providers[0].contexts:
            break
    assert len(two.attempts) == 1
    await eventually(lambda: two.providers[0].running == 0, seconds=1)


async def test_a_deadline_counts_while_the_router_thinks(two: Scene) -> None:
    two.router.silent = True
    failure = await refused(two, "whole", seconds=0.1)
    assert (failure.reason, failure.metadata["stage"]) == (reasons.ERROR_REASON_DEADLINE_EXCEEDED, "placement")
    await eventually(lambda: len(two.router.said("withdrawal")) == 1, seconds=1)
    assert two.request.outcome == ledger.OUTCOME_DEADLINE


async def test_a_worker_runs_no_further_ahead_than_its_credit(two: Scene) -> None:
    flood = two.providers[0].scripts["flood"]
    assert isinstance(flood, Flood)
    batches = (await two.begin("flood")).events()
    await anext(batches)
    neighbour = await two.run("whole")
    assert neighbour == "ab"
    await eventually(lambda: flood.sent >= CREDIT_BYTES // 2, seconds=30)
    before = flood.sent
    assert before <= CREDIT_BYTES + 2048
    async with asyncio.timeout(30):
        while flood.sent <= before:  # in how many batches it comes is for the machine to say
            await anext(batches)
    await batches.aclose()


async def test_without_a_router_the_gateway_places_alone_and_tries_once(two: Scene) -> None:
    await eventually(lambda: bool(two.fleet.workers), seconds=30)
    await two.stop_router()
    await eventually(lambda: not two.placements.connected.is_set(), seconds=30)
    assert await two.run("whole") == "ab"
    assert two.attempts[0].strategy == STRATEGY
    two.book.records.clear()
    failure = await refused(two, "broken_before")
    assert failure.reason == reasons.ERROR_REASON_PROVIDER_UNAVAILABLE
    assert failure.retry_after is not None
    assert len(two.attempts) == 1


async def test_a_router_that_hangs_is_as_good_as_none(two: Scene) -> None:
    await eventually(lambda: bool(two.fleet.workers), seconds=30)
    two.placements.patience_seconds = 0.1
    two.router.silent = True
    assert await two.run("whole", seconds=10) == "ab"
    assert two.attempts[0].strategy == STRATEGY
    await eventually(lambda: len(two.router.said("withdrawal")) == 1, seconds=1)


async def test_a_router_that_comes_back_hears_of_running_leases(two: Scene) -> None:
    batches = (await two.begin("hangs_after")).events()
    await anext(batches)
    await two.stop_router()
    await eventually(lambda: not two.placements.connected.is_set(), seconds=30)
    two.router.commands.clear()
    await two.start_router()
    await eventually(lambda: len(two.router.said("hello")) == 1, seconds=3)
    leases = two.router.said("hello")[0].leases
    assert [(lease.worker, lease.committed) for lease in leases] == [("w0", True)]
    await batches.aclose()
    await eventually(lambda: len(two.router.said("outcome")) == 1, seconds=1)


async def test_a_full_ledger_refuses_before_anything_is_placed(two: Scene) -> None:
    two.book.full = Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, "full", retry_after=5)
    assert (await refused(two, "whole")).reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
    assert two.router.said("ask") == []
    assert two.book.records == []


async def test_too_many_at_once_are_refused_and_room_is_given_back(directory: pathlib.Path) -> None:
    async with scene(directory, {"whole": WHOLE, "hangs": hanging_after_content}, max_running=1) as one:
        batches = (await one.begin("hangs")).events()
        await anext(batches)
        assert (await refused(one, "whole")).reason == reasons.ERROR_REASON_FLEET_SATURATED
        await batches.aclose()
        assert await one.run("whole") == "ab"


async def test_a_silent_worker_is_found_and_told_to_stop(two: Scene) -> None:
    silent = asyncio.create_task(two.run("hangs_after"))
    await eventually(lambda: bool(two.router.said("first_content")), seconds=30)
    now = asyncio.get_running_loop().time()
    session = two.sessions.to(two.router.addresses[0])
    session.sweep(now=now + 5, idle_seconds=10, slow_reader_seconds=1)
    session.sweep(now=now + 11, idle_seconds=10, slow_reader_seconds=1)
    with pytest.raises(Failure) as caught:
        await silent
    assert (caught.value.reason, caught.value.metadata["stage"]) == (reasons.ERROR_REASON_DEADLINE_EXCEEDED, "idle")
    await eventually(lambda: two.providers[0].closed == ["hangs_after"], seconds=1)


class Stuck:
    """A reader that takes one batch and stops, until it is let go."""

    def __init__(self, scene: Scene, script: str) -> None:
        self.taken = asyncio.Event()
        self.go = asyncio.Event()
        self._scene = scene
        self._script = script

    async def read(self) -> str:
        text = ""
        async with contextlib.aclosing((await self._scene.begin(self._script)).events()) as batches:
            async for events in batches:
                text += text_of(events)
                self.taken.set()
                await self.go.wait()
        return text

    def sweep(self, seconds: float) -> None:
        """Look after it as if so many seconds had passed."""
        now = asyncio.get_running_loop().time() + seconds
        session = self._scene.sessions.to(self._scene.router.addresses[0])
        session.sweep(now=now, idle_seconds=1, slow_reader_seconds=10)


@pytest.mark.parametrize("script", ["flood", "hangs_after"])
async def test_a_reader_that_does_not_read_loses_its_attempt_and_is_told_when_it_reads(two: Scene, script: str) -> None:
    reader = Stuck(two, script)
    reading = asyncio.create_task(reader.read())
    await reader.taken.wait()
    reader.sweep(9)
    neighbour = await two.run("whole")
    assert (neighbour, script in two.providers[0].closed) == ("ab", False)
    two.book.records.clear()
    for seconds in (11, 12):
        reader.sweep(seconds)
    await eventually(lambda: script in two.providers[0].closed, seconds=1)
    reader.go.set()
    with pytest.raises(Failure) as caught:
        await reading
    assert caught.value.reason == reasons.ERROR_REASON_SLOW_CONSUMER
    assert two.request.error_reason == "SLOW_CONSUMER"


async def test_a_slow_reader_of_an_answer_that_is_whole_still_gets_it(two: Scene) -> None:
    reader = Stuck(two, "whole")
    reading = asyncio.create_task(reader.read())
    await reader.taken.wait()
    reader.sweep(11)
    reader.go.set()
    assert await reading == "ab"
    assert two.request.outcome == ledger.OUTCOME_SUCCESS


@pytest.mark.parametrize("script", ["flood", "hangs_after", "whole"])
async def test_a_reader_that_never_comes_back_is_ended(two: Scene, script: str) -> None:
    reader = Stuck(two, script)
    reading = asyncio.create_task(reader.read())
    await reader.taken.wait()
    for seconds in (11, 3601, 3602):
        reader.sweep(seconds)
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert reading.cancelling() == 1
    assert two.request.error_reason == "SLOW_CONSUMER"


@pytest.mark.parametrize("script", ["hangs_before", "hangs_after"])
async def test_a_gateway_that_stops_tells_its_callers_and_tries_nothing_else(two: Scene, script: str) -> None:
    reading = asyncio.create_task(two.run(script))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    two.sessions.interrupt()
    with pytest.raises(Failure) as caught:
        await reading
    assert (caught.value.reason, caught.value.retry_after) == (reasons.ERROR_REASON_STREAM_INTERRUPTED, 1.0)
    assert two.request.error_reason == "STREAM_INTERRUPTED"
    assert len(two.attempts) == 1
    await eventually(lambda: two.providers[0].closed == [script], seconds=1)
    two.book.records.clear()
    assert (await refused(two, "whole")).reason == reasons.ERROR_REASON_STREAM_INTERRUPTED
    await eventually(lambda: len(two.router.said("outcome")) == 2, seconds=1)


async def test_an_answer_that_comes_after_a_long_silence_blames_no_reader(two: Scene) -> None:
    gate = asyncio.Event()

    async def late() -> Events:
        yield started()
        await gate.wait()
        yield delta("a")
        yield finished()

    two.providers[0].scripts = {"late": late}
    running = asyncio.create_task(two.run("late"))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    session = two.sessions.to(two.router.addresses[0])
    for seconds in (20, 60):
        session.sweep(now=asyncio.get_running_loop().time() + seconds, idle_seconds=100, slow_reader_seconds=10)
    gate.set()
    assert await running == "a"


async def test_a_worker_that_says_cancelled_unasked_ends_the_request(two: Scene) -> None:
    async def cancelled() -> Events:
        yield started()
        raise Failure(reasons.ERROR_REASON_CANCELLED, "no")

    two.providers[0].scripts = {"cancelled": cancelled}
    assert (await refused(two, "cancelled")).reason == reasons.ERROR_REASON_CANCELLED
    assert two.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: len(two.router.said("outcome")) == 1, seconds=1)


@pytest.mark.parametrize("told", [[], [generation.FINISH_REASON_UNSPECIFIED]])
async def test_an_end_without_a_reason_is_no_end(two: Scene, told: list[generation.FinishReason]) -> None:
    end = generation.GenerationEvent(finished=generation.Finished(reasons=told))
    two.providers[0].scripts = {"whole": saying(started(), end)}
    assert await two.run("whole") == "ab"
    assert [attempt.error_reason for attempt in two.attempts] == ["TRUNCATED", ""]


async def test_a_fault_of_the_gateway_is_no_cancellation(two: Scene) -> None:
    two.providers[0].scripts = {"whole": saying(started(), delta("a"), finished())}
    running = await two.begin("whole")
    running._commit = None  # type: ignore[assignment,method-assign]
    with pytest.raises(TypeError):
        async for _ in running.events():
            pass
    assert (two.request.outcome, two.request.error_reason) == (ledger.OUTCOME_ERROR, "INTERNAL")


async def test_a_caller_that_leaves_a_later_attempt_is_no_failure_of_its_worker(two: Scene) -> None:
    two.providers[1].scripts = {"broken_before": hanging_before_content}
    running = asyncio.create_task(two.run("broken_before"))
    await eventually(lambda: two.providers[1].running == 1, seconds=30)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [attempt.error_reason for attempt in two.attempts] == ["PROVIDER_UNAVAILABLE", "CANCELLED"]
    assert two.request.outcome == ledger.OUTCOME_CANCELLED
    await eventually(lambda: not two.placements._leases and len(two.router.said("outcome")) == 2, seconds=1)
