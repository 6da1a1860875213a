"""A share of the requests is sent to a shadow as well, of which no caller sees anything."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons

from services.chassis.failure import Failure
from tests.fakes import Events, delta, eventually, finished, saying, started
from tests.gateway.scene import DEADLINES, Scene, scene

WHOLE = saying(started(), delta("a"), finished())


class Gated:
    """A script that ends once its gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()

    async def __call__(self) -> Events:
        yield started()
        yield delta("shadow")
        await self.gate.wait()
        yield finished(7)


@pytest.fixture
async def shaded(directory: pathlib.Path) -> AsyncIterator[Scene]:
    """One worker, and one for shadows, of which two may run at once."""
    async with scene(directory, {"s": WHOLE}, {"s": WHOLE}) as made:
        made.router.shadow = 1
        yield made


def recorded(running: Scene) -> list[ledger.AttemptRecord]:
    return [attempt for record in running.book.records for attempt in record.attempts]


async def test_the_caller_has_the_other_s_answer_and_both_are_recorded(shaded: Scene) -> None:
    gated = Gated()
    shaded.providers[1].scripts = {"s": gated}
    assert await shaded.run("s") == "a"
    request = shaded.request
    assert (request.worker, request.usage.output_tokens) == ("w0", 1)
    assert [one.kind for one in shaded.attempts] == [""]
    gated.gate.set()
    await eventually(lambda: len(shaded.book.records) == 2, seconds=30)
    late = shaded.book.records[1]
    assert late.request == request
    (shadow,) = late.attempts
    assert (shadow.kind, shadow.worker, shadow.outcome) == ("shadow", "w1", ledger.OUTCOME_SUCCESS)
    assert shadow.usage.output_tokens == 7
    assert shadow.HasField("first_content_at")
    await eventually(lambda: len(shaded.router.said("outcome")) == 2, seconds=30)
    assert not shaded.placements._leases


async def test_a_shadow_that_is_first_is_recorded_with_its_request(shaded: Scene) -> None:
    gated = Gated()
    shaded.providers[0].scripts = {"s": gated}
    running = asyncio.create_task(shaded.run("s"))
    await eventually(lambda: "s" in shaded.providers[1].closed, seconds=30)
    await eventually(lambda: len(shaded.router.said("outcome")) == 1, seconds=30)
    gated.gate.set()
    assert await running == "shadow"
    assert [(one.kind, one.number) for one in shaded.attempts] == [("", 1), ("shadow", 2)]
    assert shaded.request.usage.output_tokens == 7


async def test_a_failing_shadow_changes_nothing(shaded: Scene) -> None:
    async def fails() -> Events:
        raise Failure(reasons.ERROR_REASON_ENGINE_FAILED, "no")
        yield started()

    shaded.providers[1].scripts = {"s": fails}
    assert await shaded.run("s") == "a"
    await eventually(lambda: len(recorded(shaded)) == 2, seconds=30)
    assert {one.kind: one.error_reason for one in recorded(shaded)} == {"": "", "shadow": "ENGINE_FAILED"}


async def test_a_shadow_ends_at_the_deadline_of_its_request(shaded: Scene) -> None:
    shaded.providers[1].scripts = {"s": Gated()}
    text = ""
    for seconds in DEADLINES:
        with contextlib.suppress(Failure):
            text = await shaded.run("s", seconds=seconds)
            break
        await eventually(lambda: not shaded.placements._leases, seconds=30)
        shaded.book.records.clear()
    assert text == "a"
    await eventually(lambda: len(recorded(shaded)) == 2, seconds=30)
    assert recorded(shaded)[1].outcome == ledger.OUTCOME_DEADLINE
    await eventually(lambda: shaded.providers[1].running == 0, seconds=1)


async def test_a_caller_that_leaves_leaves_the_shadow(shaded: Scene) -> None:
    first, shadow = Gated(), Gated()
    shaded.providers[0].scripts, shaded.providers[1].scripts = {"s": first}, {"s": shadow}
    batches = (await shaded.begin("s")).events()
    await anext(batches)
    await batches.aclose()
    shadow.gate.set()
    await eventually(lambda: len(recorded(shaded)) == 2, seconds=30)
    assert [one.outcome for one in recorded(shaded)] == [ledger.OUTCOME_CANCELLED, ledger.OUTCOME_SUCCESS]


async def test_too_many_shadows_are_not_begun(shaded: Scene) -> None:
    gated = Gated()
    shaded.providers[1].scripts = {"s": gated}
    for _ in range(3):
        assert await shaded.run("s") == "a"
    # The third is over before it began, so its request's record has it.
    assert [one.outcome for one in shaded.book.records[2].attempts] == [
        ledger.OUTCOME_SUCCESS,
        ledger.OUTCOME_CANCELLED,
    ]
    await eventually(lambda: shaded.providers[1].running == 2, seconds=30)
    gated.gate.set()
    await eventually(lambda: len(recorded(shaded)) == 6, seconds=30)
    assert shaded.providers[1].most_running == 2
    await eventually(lambda: not shaded.placements._leases, seconds=30)


async def test_a_retry_is_the_second_attempt_beside_a_shadow(directory: pathlib.Path) -> None:
    async def fails() -> Events:
        raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")
        yield started()

    async with scene(directory, {"s": fails}, {"s": WHOLE}, {"s": WHOLE}) as made:
        made.router.shadow = 2
        running = await made.begin("s")
        text = [events async for events in running.events()]
        assert text
        assert running.route().attempts == 2
        await eventually(lambda: len(recorded(made)) == 3, seconds=30)
        assert [one.kind for one in recorded(made) if one.kind != "shadow"] == ["", "retry"]


async def test_a_restated_shadow_stands_for_itself(shaded: Scene) -> None:
    gated = Gated()
    shaded.providers[1].scripts = {"s": gated}
    assert await shaded.run("s") == "a"
    await shaded.stop_router()
    await eventually(lambda: not shaded.placements.connected.is_set(), seconds=30)
    shaded.router.commands.clear()
    await shaded.start_router()
    await eventually(lambda: len(shaded.router.said("hello")) == 1, seconds=3)
    (lease,) = shaded.router.said("hello")[0].leases
    assert (lease.worker, lease.generation_id) == ("w1", lease.attempt_id)
    gated.gate.set()
    await eventually(lambda: len(recorded(shaded)) == 2, seconds=30)
