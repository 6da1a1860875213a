"""A strict key's answer ends once its record is on disk; what is under way is written down as it goes on."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import embedding_pb2 as embedding
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from prometheus_client import CollectorRegistry

from services.chassis import ids
from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.gateway.call import Call
from services.gateway.embedding import Embedding
from services.gateway.generation import Generation
from services.gateway.identity.grant import Grant
from services.gateway.spool.open_requests import OpenRequests
from services.gateway.spool.spool import open_spool
from tests.fakes import Events, delta, eventually, finished, saying, spec, started
from tests.gateway.loader.records import spooled
from tests.gateway.recording import open_recorder
from tests.gateway.scene import MODEL, Scene, scene, text_of

FULL = Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, "the spool cannot be written", retry_after=5.0)
STRICT, RELAXED = Grant("a" * 16, "o", strict=True), Grant("b" * 16, "o", strict=False)
ANSWER = saying(started(), delta("a"), delta("b"), finished(2))


async def slow() -> Events:
    """Each piece by itself."""
    yield started()
    for text in "abc":
        yield delta(text)
        await asyncio.sleep(0.005)
    yield finished(3)


# Whichever of them come together, what is not written down yet at the end is less than 64.
LONG = 400


async def long() -> Events:
    yield started()
    for _ in range(LONG):
        yield delta("x")
        await asyncio.sleep(0)
    await asyncio.get_running_loop().create_future()


async def broken() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")


async def hanging() -> Events:
    yield started()
    yield delta("a")
    await asyncio.get_running_loop().create_future()


class Disk:
    """Says when what was written is on disk."""

    def __init__(self, scene: Scene) -> None:
        self.written = asyncio.Event()
        self.asked = 0
        self._scene = scene
        scene.book.flushed = self._flushed  # type: ignore[method-assign]

    async def _flushed(self) -> None:
        self.asked += 1
        assert self._scene.book.records, "nothing was written yet"
        await self.written.wait()


@pytest.fixture
async def two(directory: pathlib.Path) -> AsyncIterator[Scene]:
    """Two workers; the second does what the first one does not."""
    scripts = {"answer": ANSWER, "slow": slow, "broken": broken, "hanging": hanging, "long": long}
    async with scene(directory, scripts, scripts | {"retried": ANSWER}) as made:
        made.providers[0].scripts = scripts | {"retried": broken}
        yield made


async def begin(scene: Scene, script: str, grant: Grant = STRICT) -> Generation:
    deadline = Deadline.after(None, now=0.0)
    return await scene.relay.begin(
        Call(spec=spec(script), api="inference", streamed=True, deadline=deadline, grant=grant)
    )


async def embed(scene: Scene, grant: Grant = STRICT) -> Embedding:
    made = embedding.EmbeddingSpec(model=MODEL, inputs=[embedding.EmbeddingInput(text="x")])
    deadline = Deadline.after(None, now=0.0)
    return await scene.relay.embed(Call(spec=made, api="inference", streamed=False, deadline=deadline, grant=grant))


async def read(running: Generation, into: list[generation.GenerationEvent]) -> None:
    async with contextlib.aclosing(running.events()) as batches:
        async for events in batches:
            into += events


def ended(events: list[generation.GenerationEvent]) -> bool:
    return any(event.HasField("finished") for event in events)


async def test_content_is_handed_out_at_once_and_the_end_when_its_record_is_on_disk(two: Scene) -> None:
    ends = asyncio.Event()

    async def until_told() -> Events:
        yield started()
        for text in "abc":
            yield delta(text)
        await ends.wait()
        yield finished(3)

    two.providers[0].scripts = {"slow": until_told}
    disk, got = Disk(two), list[generation.GenerationEvent]()
    reading = asyncio.create_task(read(await begin(two, "slow"), got))
    await eventually(lambda: text_of(got) == "abc", seconds=30)
    ends.set()
    await eventually(lambda: disk.asked == 1, seconds=30)
    assert not ended(got)
    assert two.request.outcome == ledger.OUTCOME_SUCCESS
    assert not reading.done()
    disk.written.set()
    await reading
    assert (text_of(got), ended(got), len(two.book.records)) == ("abc", True, 1)


async def test_other_keys_do_not_wait(two: Scene) -> None:
    got: list[generation.GenerationEvent] = []
    await read(await begin(two, "slow", RELAXED), got)
    async with (await embed(two, RELAXED)).vectors():
        pass
    assert ended(got)
    assert two.book.flushes == 0


async def test_without_a_record_there_is_no_end(two: Scene) -> None:
    two.book.unwritable = FULL
    got: list[generation.GenerationEvent] = []
    with pytest.raises(Failure) as caught:
        await read(await begin(two, "slow"), got)
    assert caught.value.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE
    assert not ended(got)
    assert len(two.book.records) == 1
    assert two.relay._room == 100


async def test_a_failure_is_told_when_its_record_is_on_disk(two: Scene) -> None:
    disk = Disk(two)
    reading = asyncio.create_task(read(await begin(two, "broken"), []))
    await eventually(lambda: disk.asked == 1, seconds=30)
    assert (two.request.outcome, reading.done()) == (ledger.OUTCOME_ERROR, False)
    disk.written.set()
    with pytest.raises(Failure, match="no"):
        await reading


async def test_who_leaves_while_the_disk_is_waited_for_has_one_record(two: Scene) -> None:
    disk = Disk(two)
    reading = asyncio.create_task(read(await begin(two, "answer"), []))
    await eventually(lambda: disk.asked == 1, seconds=30)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (two.request.outcome, two.relay._room) == (ledger.OUTCOME_SUCCESS, 100)


async def test_who_leaves_before_the_end_is_not_waited_for(two: Scene) -> None:
    reading = asyncio.create_task(read(await begin(two, "hanging"), []))
    await eventually(lambda: two.providers[0].running == 1, seconds=30)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert (two.request.outcome, two.book.flushes) == (ledger.OUTCOME_CANCELLED, 0)


async def test_vectors_are_handed_out_when_their_record_is_on_disk(two: Scene) -> None:
    disk, got = Disk(two), list[Any]()

    async def vectors() -> None:
        async with (await embed(two)).vectors() as answer:
            got.append(answer)

    reading = asyncio.create_task(vectors())
    await eventually(lambda: disk.asked == 1, seconds=30)
    assert (two.request.outcome, got) == (ledger.OUTCOME_SUCCESS, [])
    disk.written.set()
    await reading
    assert (len(got), len(two.book.records)) == (1, 1)


async def test_without_a_record_there_are_no_vectors(two: Scene) -> None:
    two.book.unwritable = FULL
    with pytest.raises(Failure) as caught:
        async with (await embed(two)).vectors():
            raise AssertionError("there are")
    assert caught.value.reason == reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE


async def test_a_stream_is_written_down_each_64_tokens_while_it_goes_on(two: Scene) -> None:
    reading = asyncio.create_task(read(await begin(two, "long"), []))
    (kept,) = two.book.opened_requests
    await eventually(lambda: kept.attempts[-1:] != [] and kept.attempts[-1].usage.output_tokens > LONG - 64, seconds=30)
    reading.cancel()
    await asyncio.wait([reading])
    first, *progress = kept.attempts
    assert (first.worker, first.HasField("usage")) == ("w0", False)
    counted = [one.usage.output_tokens for one in progress]
    assert 1 <= len(counted) <= LONG // 64
    assert counted == sorted(counted)
    assert all(one.attempt_id == first.attempt_id and one.HasField("first_content_at") for one in progress)


async def test_what_becomes_of_an_attempt_is_written_down_before_the_request_ends(two: Scene) -> None:
    await read(await begin(two, "retried"), [])
    (kept,) = two.book.opened_requests
    assert [(one.number, one.error_reason) for one in kept.attempts] == [
        (1, ""),
        (1, "PROVIDER_UNAVAILABLE"),
        (2, ""),
    ]
    begun, placed = kept.requests
    assert (begun.key_id, begun.gateway_run) == (STRICT.key_id, two.request.gateway_run)
    assert placed.estimated_input_tokens == two.request.estimated_input_tokens > 0


async def test_what_a_dead_gateway_left_is_abandoned_once_under_its_own_name(tmp_path: pathlib.Path) -> None:
    dead, run = OpenRequests(tmp_path), ids.new_id()
    left = ledger.RequestRecord(generation_id=ids.new_id(), gateway_run=run, key_id="k")
    dead.begin(left)
    whole = ledger.LedgerRecord(request=ledger.RequestRecord(generation_id=ids.new_id(), gateway_run=run))
    dead.begin(whole.request).ended(whole.SerializeToString())
    registry = CollectorRegistry()
    async with open_spool(tmp_path, registry=registry) as spool, open_recorder(spool) as recorder:
        recorder.take_over()
        await spool.flushed()
        assert registry.get_sample_value("hybrid_spool_abandoned_total") == 1
        assert spool.left == [], "not held for as long as the gateway lives"
    abandoned, ended = [one for one in spooled(tmp_path) if one.HasField("request")]
    assert (abandoned.request.outcome, abandoned.request.gateway_run) == (ledger.OUTCOME_ABANDONED, run)
    assert abandoned.request.generation_id == left.generation_id
    assert ended == whole
    async with open_spool(tmp_path, registry=registry) as spool:
        assert spool.left == []
