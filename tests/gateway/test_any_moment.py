"""Requests that end at any moment, in every way: each accepted one has one row, and nothing stays set aside."""

import asyncio
import pathlib
import random
from collections.abc import Callable

import pytest
from hybridinference.gateway.v1 import ledger_pb2 as ledger

from services.chassis.failure import Failure
from services.gateway.abandoned import SHADOW
from tests.fakes import Events, delta, eventually, started
from tests.gateway.quota.table import Table
from tests.gateway.scene import Scene, scene
from tests.gateway.test_budgeted import CONFIG, DEAREST, WHOLE, broken, key, reserved, settled, told

_AT_ONCE, _ROUNDS, _ROOM = 15, 6, 100
_GRANT = key(
    usd_per_day=20 * DEAREST,
    usd_per_month=40 * DEAREST,
    tokens_per_minute=10**6,
    requests_per_minute=10**4,
    concurrency=12,
)


def slow(chance: random.Random) -> Callable[[], Events]:
    async def script() -> Events:
        yield started()
        await asyncio.sleep(chance.random() / 50)
        yield delta("a")
        await asyncio.sleep(chance.random() / 50)
        yield told(3)

    return script


async def run(running: Scene, chance: random.Random) -> None:
    """A request that its caller may leave, after some milliseconds or some turns of the event loop."""
    task = asyncio.create_task(running.run("s", grant=_GRANT, seconds=chance.choice((None, 0.02, 0.05))))
    way = chance.randrange(3)
    if way == 0:
        await asyncio.sleep(chance.random() / 20)
    for _ in range(chance.randrange(40) if way == 1 else 0):
        await asyncio.sleep(0)
    if way < 2:
        task.cancel()
    (end,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(end, str | Failure | asyncio.CancelledError), end


def of_a_shadow(record: ledger.LedgerRecord) -> bool:
    """Whether it is of a shadow that ended after its request."""
    return bool(record.attempts) and all(one.kind == SHADOW for one in record.attempts)


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_ends_a_request_it_has_one_row_and_nothing_of_its_key_stays_set_aside(
    directory: pathlib.Path, seed: int
) -> None:
    chance = random.Random(seed)
    scripts = [broken, slow(chance), WHOLE]
    chance.shuffle(scripts)
    table = Table(k=_GRANT.limits)
    async with scene(directory, *({"s": script} for script in scripts), leases=table, config=CONFIG) as running:
        running.router.hedge_after = 0.005 if seed else None
        running.router.shadow = 2
        for _ in range(_ROUNDS):
            await asyncio.gather(*(run(running, chance) for _ in range(_AT_ONCE)))
        await eventually(lambda: not running.placements._leases, seconds=30)  # shadows may end later
        ends = [record for record in running.book.records if not of_a_shadow(record)]
        accepted = [kept.requests[0].generation_id for kept in running.book.opened_requests]
        assert sorted(record.request.generation_id for record in ends) == sorted(accepted)
        for record in ends:
            charged = sum(one.cost_nano_usd for one in record.attempts if one.kind != SHADOW)
            assert record.request.cost_nano_usd == charged
        assert running.relay._room == _ROOM
        assert reserved(running) == 0
        await settled(running)
        spent = sum(record.request.cost_nano_usd for record in ends)
        assert table.amounts("k", "usd_day") == table.amounts("k", "usd_month") == spent
        assert table.amounts("k", "concurrency") == 0
