"""What the caller was given is what is kept, whatever became of the request; and nothing without a policy."""

import asyncio
import contextlib
import json
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from prometheus_client import CollectorRegistry

from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.gateway.call import Call
from services.gateway.content import keeping
from services.gateway.content.hashing import Hasher
from services.gateway.content.hearing import Heard
from services.gateway.content.keeping import open_contents
from services.gateway.identity.grant import ANYBODY, Grant
from tests.fakes import Events, delta, eventually, finished, saying, spec, started
from tests.gateway.scene import Scene, scene

STORED = Grant(key_id="k", owner="o", content="stored")
REDACTED = Grant(key_id="k", owner="o", content="redacted")


async def hanging_after_content() -> Events:
    yield started()
    yield delta("a")
    await asyncio.get_running_loop().create_future()


async def broken_before_content() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")


async def slow() -> Events:
    yield started()
    await asyncio.sleep(30)
    yield delta("late")


def token(text: str, number: int) -> generation.GenerationEvent:
    return generation.GenerationEvent(delta=generation.Delta(text=text, tokens=1, token_ids=[number]))


async def dying_after_content() -> Events:
    yield started()
    yield token("a", 1)
    raise Failure(reasons.ERROR_REASON_ENGINE_FAILED, "no")


async def broken_after_content() -> Events:
    yield started()
    yield delta("a")
    raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")


@pytest.fixture
async def two(directory: pathlib.Path) -> AsyncIterator[Scene]:
    first = {
        "whole": saying(started(), delta("a"), delta("b"), finished(2)),
        "hangs": hanging_after_content,
        "elsewhere": broken_before_content,
        "slow": slow,
        "breaks": broken_after_content,
        "dies": dying_after_content,
        "nobody": broken_before_content,
    }
    second = dict.fromkeys(first, saying(started(), token("c", 2), finished(1))) | {"nobody": broken_before_content}
    async with scene(directory, first, second) as made:
        yield made


async def run(two: Scene, script: str, grant: Grant = STORED) -> None:
    running = await two.begin(script, grant=grant)
    async with contextlib.aclosing(running.events()) as batches:
        async for _ in batches:
            pass


def answer(two: Scene) -> Any:
    [content] = two.book.contents
    assert content.generation_id == two.request.generation_id
    assert json.loads(content.input)["messages"][0]["parts"] == [{"text": "hello"}]
    return [choice["text"] for choice in json.loads(content.output)["choices"]]


async def test_a_whole_answer_is_kept_beside_its_request(two: Scene) -> None:
    await run(two, "whole")
    assert answer(two) == ["ab"]


async def test_without_a_policy_nothing_is_kept_and_nothing_hears(two: Scene) -> None:
    running = await two.begin("whole", grant=ANYBODY)
    assert running._entry.heard is None
    async with contextlib.aclosing(running.events()) as batches:
        async for _ in batches:
            pass
    assert two.request.outcome == ledger.OUTCOME_SUCCESS
    assert not two.book.contents


async def test_of_an_answer_that_was_cancelled_is_kept_what_had_been_delivered(two: Scene) -> None:
    async with contextlib.aclosing((await two.begin("hangs", grant=STORED)).events()) as batches:
        await anext(batches)
    assert two.request.outcome == ledger.OUTCOME_CANCELLED
    assert answer(two) == ["a"]


async def test_of_a_failed_answer_is_kept_what_came_before(two: Scene) -> None:
    with pytest.raises(Failure):
        await run(two, "breaks")
    assert answer(two) == ["a"]


async def test_of_a_request_that_nobody_answers_the_question_is_kept(two: Scene) -> None:
    with pytest.raises(Failure):
        await run(two, "nobody")
    assert answer(two) == []


async def test_of_several_attempts_is_kept_what_the_caller_got(two: Scene) -> None:
    await run(two, "elsewhere")
    assert answer(two) == ["c"]


async def test_of_an_answer_that_went_on_elsewhere_both_parts_are_kept_as_one(two: Scene) -> None:
    await run(two, "dies")
    assert [attempt.kind for attempt in two.attempts] == ["", "continuation"]
    assert answer(two) == ["ac"]


async def test_of_a_hedge_is_kept_what_the_caller_got_and_of_a_shadow_nothing(two: Scene) -> None:
    two.router.hedge_after = 0.01
    two.router.shadow = 1
    await run(two, "slow")
    await eventually(lambda: len(two.router.said("outcome")) == 3, seconds=30)
    assert [json.loads(content.output)["choices"][0]["text"] for content in two.book.contents] == ["c"]


async def test_of_an_embedding_the_inputs_are_kept(two: Scene) -> None:
    made = await two.embed("", "one", "two")
    object.__setattr__(made._entry, "heard", Heard())
    object.__setattr__(made.call, "grant", STORED)
    async with made.vectors():
        pass
    [content] = two.book.contents
    assert [each["text"] for each in json.loads(content.input)["inputs"]] == ["one", "two"]
    assert json.loads(content.output) == {"embeddings": 2, "dimensions": 1}


class Shelf:
    """Takes contents while there is room."""

    def __init__(self) -> None:
        self.taken: list[ledger.ContentRecord] = []
        self.full = False

    def append_content(self, content: ledger.ContentRecord, *, strict: bool) -> bool:
        if not self.full:
            self.taken.append(content)
        return not self.full


def long_call(grant: Grant, size: int) -> Call[Any]:
    return Call(spec=spec(text="x" * size), api="inference", streamed=True, deadline=Deadline(None), grant=grant)


def counted(registry: CollectorRegistry, policy: str, outcome: str) -> float | None:
    return registry.get_sample_value("hybrid_gateway_contents_total", {"policy": policy, "outcome": outcome})


async def test_long_texts_are_looked_through_off_the_event_loop_and_all_by_the_end() -> None:
    shelf, registry = Shelf(), CollectorRegistry()
    async with open_contents(shelf, Hasher(b"k"), registry) as contents:
        for _ in range(3):
            contents.keep("g", long_call(REDACTED, 100_000), Heard())
        assert not shelf.taken
    assert len(shelf.taken) == 3
    assert counted(registry, "redacted", "kept") == 3


async def test_what_finds_no_room_is_counted_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, registry = Shelf(), CollectorRegistry()
    monkeypatch.setattr(keeping, "_WAITING_BYTES", 250_000)
    async with open_contents(shelf, Hasher(b"k"), registry) as contents:
        for _ in range(3):
            contents.keep("g", long_call(STORED, 100_000), Heard())
        assert counted(registry, "stored", "shed") == 1
        shelf.full = True
        contents.keep("g", long_call(STORED, 10), Heard())
        assert counted(registry, "stored", "shed") == 2
        shelf.full = False
    assert len(shelf.taken) == 2


async def test_a_fault_in_keeping_costs_the_content_alone_and_quotes_nothing(
    two: Scene, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaks(*_: Any) -> ledger.ContentRecord:
        raise ValueError("said in confidence")

    monkeypatch.setattr(keeping, "content_record", breaks)
    await run(two, "whole")
    assert two.request.outcome == ledger.OUTCOME_SUCCESS
    assert not two.book.contents
    assert counted(two.registry, "stored", "failed") == 1
    assert "confidence" not in "".join(capsys.readouterr())
