"""What requests and their attempts cost."""

import asyncio
import contextlib
import itertools
import pathlib
import random
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2 as routing

from services.chassis import ids
from services.chassis.deadline import Deadline
from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.gateway.call import Call
from services.gateway.pricing.book import PriceBook
from tests.fakes import Events, delta, eventually, saying, spec, started
from tests.gateway.scene import DEADLINES, MODEL, Scene, scene

_ASKED, _ANSWERED = 2_000, 8_000  # nano-USD for a token
_PRICE = {"input": 2, "output": 8, "cached_input": 0.5}


def priced(price: dict[str, float]) -> MeshConfig:
    """A configuration whose only route costs so much."""
    return MeshConfig.model_validate(
        {
            "providers": {"scripted": {"kind": "echo", "models": [MODEL]}},
            "models": [{"name": MODEL, "routes": [{"provider": "scripted", "price": price}]}],
        }
    )


TOKENS = priced(_PRICE)


def told(asked: int, answered: int, cached: int = 0) -> generation.GenerationEvent:
    """The end of an answer, with the provider's count."""
    usage = generation.Usage(input_tokens=asked, output_tokens=answered, cached_tokens=cached)
    return generation.GenerationEvent(
        finished=generation.Finished(reasons=[generation.FINISH_REASON_STOP], usage=usage)
    )


def failing(reason: reasons.ErrorReason, *before: generation.GenerationEvent) -> Callable[[], Events]:
    async def script() -> Events:
        for event in (started(), *before):
            yield event
        raise Failure(reason, "no")

    return script


async def silent() -> Events:
    yield started()
    await asyncio.get_running_loop().create_future()


async def endless() -> Events:
    yield started()
    yield said("a", 1)
    yield said("b", 2)
    await asyncio.get_running_loop().create_future()


def said(text: str, *ids: int) -> generation.GenerationEvent:
    return generation.GenerationEvent(delta=generation.Delta(text=text, tokens=len(ids), token_ids=ids))


WHOLE = saying(started(), delta("a"), told(10, 3, 4))
WHOLE_COST = 6 * _ASKED + 4 * 500 + 3 * _ANSWERED


@contextlib.asynccontextmanager
async def paid(
    directory: pathlib.Path, *scripts: Callable[[], Events], config: MeshConfig = TOKENS
) -> AsyncIterator[Scene]:
    """A scene with a worker for each script, all of them at one price."""
    async with scene(directory, *({"s": script} for script in scripts), config=config) as made:
        yield made


def kinds(attempts: Sequence[ledger.AttemptRecord]) -> list[tuple[str, int]]:
    return [(attempt.kind, attempt.cost_nano_usd) for attempt in attempts]


def estimated(running: Scene) -> int:
    """Tokens of the prompt, as estimated."""
    asked = running.request.estimated_input_tokens
    assert asked > 0
    return asked


async def test_a_whole_answer_costs_what_its_provider_counted(directory: pathlib.Path) -> None:
    async with paid(directory, WHOLE) as running:
        await running.run("s")
        assert kinds(running.attempts) == [("", WHOLE_COST)]
        assert running.request.cost_nano_usd == WHOLE_COST
        (table,) = running.book.prices
        assert running.request.price_version == table.version == PriceBook(TOKENS).version


async def test_an_attempt_that_failed_before_any_content_costs_nothing(directory: pathlib.Path) -> None:
    overloaded = failing(reasons.ERROR_REASON_PROVIDER_OVERLOADED)
    async with paid(directory, overloaded, WHOLE, config=priced(_PRICE | {"second": 1})) as running:
        await running.run("s")
        first, second = running.attempts
        assert first.cost_nano_usd == 0
        assert not first.HasField("usage")
        assert running.request.cost_nano_usd == second.cost_nano_usd > 0
        assert (second.kind, second.follows) == ("retry", first.attempt_id)
        assert first.follows == ""


async def test_what_was_said_before_a_failure_costs_that_and_the_prompt(directory: pathlib.Path) -> None:
    cut = failing(reasons.ERROR_REASON_PROVIDER_OVERLOADED, delta("a"), delta("b"))
    async with paid(directory, cut) as running:
        with pytest.raises(Failure):
            await running.run("s")
        asked = estimated(running)
        expected = asked * _ASKED + 2 * _ANSWERED
        (attempt,) = running.attempts
        assert (attempt.cost_nano_usd, running.request.cost_nano_usd) == (expected, expected)
        assert attempt.usage == generation.Usage(input_tokens=asked, output_tokens=2, estimated=True)


async def test_what_had_content_was_not_shed_whatever_its_failure_says(directory: pathlib.Path) -> None:
    async with paid(directory, failing(reasons.ERROR_REASON_RATE_LIMITED, delta("a"))) as running:
        with pytest.raises(Failure):
            await running.run("s")
        assert running.request.outcome == running.attempts[0].outcome == ledger.OUTCOME_ERROR


async def test_what_is_paid_for_was_not_shed_though_nobody_had_room_in_the_end(directory: pathlib.Path) -> None:
    no_room = Failure(reasons.ERROR_REASON_FLEET_SATURATED, "no room")
    async with paid(directory) as running:
        for spent, outcome in ((0, ledger.OUTCOME_SHED), (1, ledger.OUTCOME_ERROR)):
            call = Call(spec=spec("s"), api="inference", streamed=True, deadline=Deadline(None))
            entry = running.recorder.begin(ids.new_id(), call)
            entry.spent = spent
            running.recorder.end(entry, no_room)
            assert running.book.records[-1].request.outcome == outcome


@pytest.mark.parametrize(("script", "answered"), [(silent, 0), (endless, 2)])
async def test_a_caller_who_leaves_pays_for_the_prompt_and_what_was_said(
    directory: pathlib.Path, script: Callable[[], Events], answered: int
) -> None:
    async with paid(directory, script) as running:
        reading = asyncio.create_task(running.run("s"))
        await eventually(lambda: running.providers[0].running == 1, seconds=30)
        if answered:
            await eventually(lambda: len(running.router.said("first_content")) == 1, seconds=30)
            await asyncio.sleep(0.02)  # the second piece is on its way
        reading.cancel()
        await asyncio.wait([reading])
        assert running.request.outcome == ledger.OUTCOME_CANCELLED
        assert running.request.cost_nano_usd == estimated(running) * _ASKED + answered * _ANSWERED
        assert running.attempts[0].usage.estimated


async def test_a_deadline_that_passes_in_a_prompt_costs_the_prompt(directory: pathlib.Path) -> None:
    async with paid(directory, silent) as running:
        for seconds in DEADLINES:
            running.book.records.clear()
            with pytest.raises(Failure):
                await running.run("s", seconds=seconds)
            assert running.request.outcome == ledger.OUTCOME_DEADLINE
            if running.attempts:
                break
        assert running.request.cost_nano_usd == estimated(running) * _ASKED


async def test_the_loser_of_a_hedge_costs_its_prompt(directory: pathlib.Path) -> None:
    async with paid(directory, silent, WHOLE) as running:
        running.router.hedge_after = 0.02
        await running.run("s")
        slow, beside = running.attempts
        assert kinds(running.attempts) == [("", estimated(running) * _ASKED), ("hedge", WHOLE_COST)]
        assert running.request.cost_nano_usd == slow.cost_nano_usd + beside.cost_nano_usd
        assert beside.follows == slow.attempt_id


async def test_both_parts_of_an_answer_that_went_on_are_paid(directory: pathlib.Path) -> None:
    lost = failing(reasons.ERROR_REASON_WORKER_DRAINING, said("a", 1))
    async with paid(directory, lost, saying(started(), said("b", 2), told(11, 1))) as running:
        assert await running.run("s") == "ab"
        first, second = running.attempts
        assert (second.kind, second.follows) == ("continuation", first.attempt_id)
        assert first.cost_nano_usd == estimated(running) * _ASKED + _ANSWERED
        assert second.cost_nano_usd == 11 * _ASKED + _ANSWERED
        assert running.request.cost_nano_usd == first.cost_nano_usd + second.cost_nano_usd
        outcome, _ = await outcomes(running, 2)
        assert outcome.spent_nano_usd == first.cost_nano_usd, "the router hears what was spent"


async def test_a_shadow_has_a_cost_of_its_own_that_is_nobodys(directory: pathlib.Path) -> None:
    async with paid(directory, WHOLE, saying(started(), delta("x"), told(1, 1))) as running:
        running.router.shadow = 1
        await running.run("s")
        await eventually(lambda: sum(len(one.attempts) for one in running.book.records) == 2, seconds=30)
        attempts = {one.kind: one for record in running.book.records for one in record.attempts}
        assert (attempts[""].cost_nano_usd, attempts["shadow"].cost_nano_usd) == (WHOLE_COST, _ASKED + _ANSWERED)
        assert attempts["shadow"].follows == attempts[""].attempt_id
        assert {record.request.cost_nano_usd for record in running.book.records} == {WHOLE_COST}


async def test_time_is_paid_from_placement_to_the_last_event(directory: pathlib.Path) -> None:
    async def slow() -> Events:
        yield started()
        await asyncio.sleep(0.05)
        yield delta("a")
        yield told(10, 1)

    async with paid(directory, slow, config=priced({"second": 1})) as running:
        await running.run("s")
        (attempt,) = running.attempts
        taken = attempt.ended_at.ToMicroseconds() - attempt.placed_at.ToMicroseconds()
        assert attempt.cost_nano_usd == taken * 1000, "whoever has the record can work it out"
        assert 50_000 <= taken <= 5_000_000


async def test_nobody_pays_for_what_is_past_the_deadline(directory: pathlib.Path) -> None:
    async with paid(directory, silent, config=priced({"second": 1})) as running:
        for seconds in DEADLINES:
            running.book.records.clear()
            with pytest.raises(Failure):
                await running.run("s", seconds=seconds)
            assert running.request.cost_nano_usd <= seconds * 1e9
            if running.attempts:
                break
        assert running.request.cost_nano_usd > 0


async def test_vectors_cost_what_they_are_counted_as(directory: pathlib.Path) -> None:
    async with paid(directory, WHOLE) as running:
        async with (await running.embed()).vectors():
            pass
        assert running.request.cost_nano_usd == _ASKED


async def test_a_request_is_charged_by_the_prices_that_it_began_with(directory: pathlib.Path) -> None:
    gate = asyncio.Event()

    async def waits() -> Events:
        yield started()
        yield delta("a")
        await gate.wait()
        yield told(10, 1)

    async with paid(directory, waits) as running:
        reading = asyncio.create_task(running.run("s"))
        await eventually(lambda: len(running.router.said("first_content")) == 1, seconds=30)
        dearer = PriceBook(priced({"input": 100, "output": 100}))
        for _ in range(2):  # the second time nothing has changed
            running.recorder.reconfigure(config_version="w", models={MODEL: MODEL}, book=dearer)
        gate.set()
        await reading
        assert running.request.cost_nano_usd == 10 * _ASKED + _ANSWERED
        assert [table.version for table in running.book.prices] == [running.request.price_version, dearer.version]
        await running.run("s")
        later = running.book.records[1].request
        assert (later.cost_nano_usd, later.price_version) == (11 * 100_000, dearer.version)


async def test_a_request_says_who_it_was_for_and_when_it_was_placed(directory: pathlib.Path) -> None:
    hints = routing.RoutingHints(session="talk", criticality=routing.CRITICALITY_SHEDDABLE)
    async with paid(directory, failing(reasons.ERROR_REASON_PROVIDER_OVERLOADED), WHOLE) as running:
        for asked in (hints, routing.RoutingHints()):
            call = Call(spec=spec("s"), api="inference", streamed=True, deadline=Deadline(None), routing=asked)
            async with contextlib.aclosing((await running.relay.begin(call)).events()) as batches:
                async for _ in batches:
                    pass
        first, second = running.book.records
        assert (first.request.session, first.request.criticality) == ("talk", routing.CRITICALITY_SHEDDABLE)
        assert (second.request.session, second.request.criticality) == ("", routing.CRITICALITY_CRITICAL)
        assert first.request.placed_at == first.attempts[0].placed_at


async def outcomes(running: Scene, count: int) -> list[object]:
    await eventually(lambda: len(running.router.said("outcome")) == count, seconds=30)
    return running.router.said("outcome")


_REFUSALS = (reasons.ERROR_REASON_PROVIDER_OVERLOADED, reasons.ERROR_REASON_RATE_LIMITED)


class Lives:
    """Workers that do what chance says, and callers who leave when it says so."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.ids = itertools.count(1)

    async def __call__(self) -> Events:
        yield started()
        for _ in range(self.chance.randint(0, 3)):
            yield said("x", next(self.ids))
            await asyncio.sleep(0)
        fate = self.chance.random()
        if fate < 0.25:
            raise Failure(reasons.ERROR_REASON_WORKER_DRAINING, "no")
        if fate < 0.4:
            raise Failure(self.chance.choice(_REFUSALS), "no")
        if fate < 0.6:
            await asyncio.sleep(0.5)
        yield said("x", next(self.ids))
        yield told(self.chance.randint(1, 50), self.chance.randint(1, 50))


@pytest.mark.parametrize("seed", range(4))
async def test_a_request_costs_the_sum_of_its_attempts_whatever_becomes_of_them(
    directory: pathlib.Path, seed: int
) -> None:
    life = Lives(seed)
    config = priced(_PRICE | {"second": 0.001})
    book = PriceBook(config)
    async with scene(directory, *({"s": life} for _ in range(3)), config=config, max_shadows=50) as running:

        async def ask() -> None:
            with contextlib.suppress(Failure, TimeoutError):
                async with asyncio.timeout(life.chance.choice((0.005, 0.05, 2.0))):
                    await running.run("s", seconds=life.chance.choice((0.03, 5.0)))

        for _ in range(25):
            running.router.hedge_after = life.chance.choice((None, 0.001, 0.01))
            running.router.shadow = life.chance.choice((None, 2))
            await asyncio.gather(*(ask() for _ in range(2)))
        await eventually(lambda: not running.placements._leases, seconds=30)
        records = running.book.records
    requests = {record.request.generation_id: record.request for record in records}
    attempts = {one.attempt_id: (record.request, one) for record in records for one in record.attempts}
    assert len(requests) == 50
    assert len({one.kind for _, one in attempts.values()}) >= 3, "which of them there are is up to the moment"
    for request in requests.values():
        mine = [one for of, one in attempts.values() if of.generation_id == request.generation_id]
        assert request.cost_nano_usd == sum(one.cost_nano_usd for one in mine if one.kind != "shadow")
        assert all(one.follows in {other.attempt_id for other in mine} for one in mine if one.kind)
    for _, one in attempts.values():
        assert one.outcome != ledger.OUTCOME_SHED or one.cost_nano_usd == 0
        seconds = (one.ended_at.ToMicroseconds() - one.placed_at.ToMicroseconds()) / 1e6
        worked_out = book.cost(one.provider, one.provider_model, one.usage, seconds) if one.HasField("usage") else 0
        assert one.cost_nano_usd == worked_out, "whoever has the rows can work it out"
    assert sum(request.cost_nano_usd for request in requests.values()) > 0
