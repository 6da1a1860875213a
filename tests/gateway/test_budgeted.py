"""Requests of a key with limits, from the relay to their end: what is set aside, for how long, and what is settled."""

import asyncio
import contextlib
import pathlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hybridinference.inference.v1 import error_reason_pb2 as reasons
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.failure import Failure
from services.config.mesh import MeshConfig
from services.gateway.identity.grant import Grant, Limits
from services.gateway.pricing.book import PriceBook
from services.gateway.quota.estimates import Estimates
from services.gateway.quota.reservation import Need
from tests.fakes import Events, Script, delta, eventually, saying, spec, started
from tests.gateway.quota.table import Table
from tests.gateway.scene import MODEL, Scene, scene

_ANSWERED = 8_000  # nano-USD for a token
_ASSUMED = 100
CONFIG = MeshConfig.model_validate(
    {
        "access": {"assumed_output_tokens": _ASSUMED},
        "providers": {"scripted": {"kind": "echo", "models": [MODEL]}, "dear": {"kind": "echo", "models": [MODEL]}},
        "models": [
            {
                "name": MODEL,
                "routes": [
                    {"provider": "scripted", "price": {"output": 8}},
                    {"provider": "dear", "price": {"output": 80}, "role": "fallback"},
                ],
            }
        ],
    }
)
HERE = _ASSUMED * _ANSWERED  # the most that an attempt costs where the router of these tests places it
DEAREST = 10 * HERE


def told(answered: int) -> generation.GenerationEvent:
    """The end of an answer of so many tokens."""
    usage = generation.Usage(input_tokens=5, output_tokens=answered)
    return generation.GenerationEvent(
        finished=generation.Finished(reasons=[generation.FINISH_REASON_STOP], usage=usage)
    )


async def broken() -> Events:
    yield started()
    raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")


async def silent() -> Events:
    yield started()
    await asyncio.get_running_loop().create_future()


WHOLE = saying(started(), delta("a"), told(3))


def key(**limits: int) -> Grant:
    return Grant(key_id="k", owner="o", limits=Limits(**limits))


@contextlib.asynccontextmanager
async def limited(directory: pathlib.Path, grant: Grant, *scripts: Script) -> AsyncIterator[tuple[Scene, Table]]:
    """A scene with a worker for each script, and the table that the key's limits are leased from."""
    table = Table(k=grant.limits)
    async with scene(directory, *({"s": script} for script in scripts), leases=table, config=CONFIG) as made:
        yield made, table


async def settled(running: Scene) -> None:
    for account in running.quota.accounts.values():
        await running.quota.give_back(account, everything=True)


async def refusal(running: Scene, grant: Grant) -> Failure:
    with pytest.raises(Failure) as caught:
        await running.run("s", grant=grant)
    return caught.value


async def test_what_a_request_cost_is_what_is_leased_in_the_end(directory: pathlib.Path) -> None:
    grant = key(usd_per_day=2 * DEAREST, tokens_per_minute=10_000, concurrency=3)
    async with limited(directory, grant, WHOLE) as (running, table):
        await running.run("s", grant=grant)
        await settled(running)
        assert running.request.cost_nano_usd == 3 * _ANSWERED
        assert table.amounts("k", "usd_day") == 3 * _ANSWERED
        assert table.amounts("k", "tokens") == 8
        assert table.amounts("k", "concurrency") == 0


async def test_the_dearest_route_is_reserved_and_nothing_is_asked_of_the_router_where_that_is_too_much(
    directory: pathlib.Path,
) -> None:
    grant = key(usd_per_day=DEAREST - 1)
    async with limited(directory, grant, WHOLE) as (running, _):
        assert (await refusal(running, grant)).reason == reasons.ERROR_REASON_QUOTA_EXHAUSTED
        assert running.router.said("ask") == []
        assert running.book.records == [], "it was not accepted"
        await running.run("s")  # somebody else's, with the room that it had


async def test_once_placed_only_what_it_may_cost_there_stays_set_aside(directory: pathlib.Path) -> None:
    grant = key(usd_per_day=DEAREST + HERE)
    async with limited(directory, grant, silent) as (running, _):
        tasks = [asyncio.create_task(running.run("s", grant=grant))]
        await eventually(lambda: len(running.router.said("ask")) == 1, seconds=30)
        await eventually(lambda: reserved(running) == HERE, seconds=30)
        tasks.append(asyncio.create_task(running.run("s", grant=grant)))
        await eventually(lambda: reserved(running) == 2 * HERE, seconds=30)
        assert (await refusal(running, grant)).reason == reasons.ERROR_REASON_RATE_LIMITED, "it is only set aside"
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert reserved(running) == 0


def reserved(running: Scene) -> int:
    return sum(each.reserved for account in running.quota.accounts.values() for each in account.all())


async def test_a_retry_after_an_attempt_that_cost_nothing_needs_no_more(directory: pathlib.Path) -> None:
    grant = key(usd_per_day=DEAREST)
    async with limited(directory, grant, broken, WHOLE) as (running, table):
        assert await running.run("s", grant=grant) == "a"
        await settled(running)
        assert len(running.attempts) == 2
        assert table.amounts("k", "usd_day") == 3 * _ANSWERED


async def test_a_hedge_is_set_aside_beside_the_attempt_that_is_slow(directory: pathlib.Path) -> None:
    grant = key(usd_per_day=DEAREST)
    async with limited(directory, grant, silent, WHOLE) as (running, table):
        running.router.hedge_after = 0.02
        assert await running.run("s", grant=grant) == "a"
        assert len(running.attempts) == 2
        await settled(running)
        assert table.amounts("k", "usd_day") == running.request.cost_nano_usd


async def test_a_hedge_that_the_budget_has_no_room_for_is_not_made(directory: pathlib.Path) -> None:
    grant = key(usd_per_day=DEAREST)
    async with limited(directory, grant, silent, WHOLE) as (running, _):
        running.router.hedge_after = 0.02
        full, hedge = asyncio.Event(), running.placements.hedge

        async def hedge_once_full(*arguments: Any, **options: Any) -> placement.Placement | None:
            await full.wait()
            return await hedge(*arguments, **options)

        running.placements.hedge = hedge_once_full  # type: ignore[method-assign]
        task = asyncio.create_task(running.run("s", grant=grant))
        await eventually(lambda: reserved(running) == HERE, seconds=30)
        other = await running.quota.reserve(grant, Need(0, 9 * HERE))
        full.set()
        await eventually(lambda: len(running.router.said("outcome")) == 1, seconds=30)  # the place is given back
        assert reserved(running) == DEAREST
        task.cancel()
        await asyncio.wait((task,))
        assert len(running.attempts) == 1
        other.cancel()
        assert reserved(running) == 0


@pytest.mark.parametrize("room", [True, False])
async def test_a_dearer_retry_is_made_where_the_budget_has_room_else_the_caller_is_told_what_failed(
    room: bool, directory: pathlib.Path
) -> None:
    fails = asyncio.Event()

    async def slow_to_fail() -> Events:
        yield started()
        await fails.wait()
        raise Failure(reasons.ERROR_REASON_PROVIDER_UNAVAILABLE, "no")

    grant = key(usd_per_day=DEAREST)
    async with limited(directory, grant, slow_to_fail, WHOLE) as (running, _):
        running.router.providers[1] = "dear"
        task = asyncio.create_task(running.run("s", grant=grant))
        await eventually(lambda: reserved(running) == HERE, seconds=30)
        if room:
            fails.set()
            assert await task == "a"
            assert running.request.cost_nano_usd == 3 * 10 * _ANSWERED
            return
        await running.quota.reserve(grant, Need(0, 9 * HERE))
        fails.set()
        with pytest.raises(Failure) as caught:
            await task
        assert caught.value.reason == reasons.ERROR_REASON_PROVIDER_UNAVAILABLE
        assert len(running.attempts) == 1
        assert reserved(running) == 9 * HERE


async def test_a_key_may_not_have_more_requests_under_way_than_its_slots(directory: pathlib.Path) -> None:
    grant = key(concurrency=1)
    async with limited(directory, grant, silent) as (running, _):
        task = asyncio.create_task(running.run("s", grant=grant))
        await eventually(lambda: len(running.router.said("ask")) == 1, seconds=30)
        assert (await refusal(running, grant)).metadata == {"limit": "concurrency"}
        task.cancel()
        await asyncio.wait((task,))
        assert reserved(running) == 0


async def test_a_spool_that_takes_nothing_leaves_the_limits_as_they_were(directory: pathlib.Path) -> None:
    grant = key(requests_per_minute=5, concurrency=1)
    async with limited(directory, grant, WHOLE) as (running, table):
        running.book.full = Failure(reasons.ERROR_REASON_ACCOUNTING_UNAVAILABLE, "full")
        await refusal(running, grant)
        await settled(running)
        assert table.amounts("k", "requests") == 0


async def test_vectors_are_limited_as_answers_are(directory: pathlib.Path) -> None:
    grant = key(tokens_per_minute=100, requests_per_minute=1)
    async with limited(directory, grant, WHOLE) as (running, _):
        async with (await running.embed("", "hello", grant=grant)).vectors():
            pass
        with pytest.raises(Failure) as caught:
            await running.embed("", "hello", grant=grant)
        assert caught.value.metadata == {"limit": "requests"}


def test_a_request_may_take_its_prompt_and_every_choice_at_its_longest() -> None:
    estimates = Estimates(CONFIG, PriceBook(CONFIG))
    asked = spec()
    assert estimates.need(asked, None, priced=True) == Need(5 + _ASSUMED, DEAREST)
    asked.max_output_tokens, asked.choices = 7, 3
    assert estimates.need(asked, None, priced=True) == Need(5 + 21, 21 * 80_000)
    assert estimates.need(asked, None, priced=False) == Need(5 + 21, 0)
    assert estimates.need(asked, None, priced=True, providers=("scripted",)).cost_nano_usd == 21 * _ANSWERED
    assert estimates.attempt(asked, "scripted", MODEL, None, input_tokens=5) == 21 * _ANSWERED


def test_where_the_model_is_smaller_than_what_is_assumed_its_context_is_the_longest_answer() -> None:
    model = CONFIG.models[0].model_copy(update={"context_tokens": 30})
    config = CONFIG.model_copy(update={"models": (model,)})
    assert Estimates(config, PriceBook(config)).need(spec(), None, priced=False).tokens == 35


def test_time_that_is_paid_for_is_reserved_up_to_the_deadline() -> None:
    price = {"second": 0.001}
    routes = [{"provider": "scripted", "price": price}]
    config = MeshConfig.model_validate(
        {"providers": {"scripted": {"kind": "echo", "models": [MODEL]}}, "models": [{"name": MODEL, "routes": routes}]}
    )
    estimates = Estimates(config, PriceBook(config))
    assert estimates.need(spec(), 2.5, priced=True).cost_nano_usd == 2_500_000
    assert estimates.need(spec(), None, priced=True).cost_nano_usd == 600_000_000


def test_an_attempt_may_cost_what_it_would_wherever_its_prompt_is_cached() -> None:
    """A cache may be dearer than the prompt: writes are, at some vendors."""
    price = {"input": 1, "cached_input": 3, "output": 2}
    config = MeshConfig.model_validate(
        {
            "providers": {"scripted": {"kind": "echo", "models": [MODEL]}},
            "models": [{"name": MODEL, "routes": [{"provider": "scripted", "price": price}]}],
        }
    )
    asked, estimates = spec(), Estimates(config, PriceBook(config))
    asked.max_output_tokens = 10
    need = estimates.need(asked, 60.0, priced=True)
    assert need.cost_nano_usd == (need.tokens - 10) * 3000 + 10 * 2000
    most = estimates.attempt(asked, "scripted", MODEL, 60.0, input_tokens=need.tokens - 10)
    assert most == need.cost_nano_usd
