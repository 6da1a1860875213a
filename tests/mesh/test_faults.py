"""Workers that are slow, fail, hang or are all gone, on a real mesh: what callers and upstreams see of it."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.mesh.driver import Mesh, mesh, until
from tests.mesh.open_load import OpenLoad, share
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

NAMES = ("a", "b", "c", "d")
WORKERS = tuple(f"{name}-0" for name in NAMES)
# A model for each test, since a model's retries are counted.
MODELS = {
    "slow": "adaptive",
    "flaky": "least_loaded",
    "outage": "least_loaded",
    "hung": "least_loaded",
    "killed": "adaptive",
    "warm": "round_robin",
}
TOKENS = 28
# An answer takes 0.3 s at a worker that is well, and 1.5 s at one that is five times slower.
SETTINGS = {"first_token_ms": 20.0, "token_ms": 10.0}
SOON = 1.0


def _config() -> str:
    providers = {
        name: {"kind": "echo", "faults_file": f"{name}.json", **SETTINGS, "drain_seconds": 1} for name in NAMES
    }
    routes = [{"provider": name} for name in NAMES]
    models = [{"name": name, "strategy": strategy, "routes": routes} for name, strategy in MODELS.items()]
    processes = {"access": {"keyless": True}, "gateway": {"drain_seconds": 1}, "router": {"probe": {"seconds": 3}}}
    return json.dumps({**processes, "providers": providers, "models": models})


@pytest.fixture(scope="module")
def four() -> Iterator[Mesh]:
    """A mesh of four workers, all of which serve every model."""
    with mesh(_config()) as running:
        yield running


@contextlib.asynccontextmanager
async def faults(four: Mesh, *names: str, **settings: float) -> AsyncIterator[None]:
    """Workers have these settings while the context lasts, and are then as they were."""
    for name in names:
        there = four.home / f"{name}.json"
        new = there.with_suffix(".new")
        new.write_text(json.dumps(settings), encoding="utf-8")
        os.replace(new, there)
    try:
        yield
    finally:
        for name in names:
            (four.home / f"{name}.json").unlink(missing_ok=True)


async def well(four: Mesh) -> None:
    """Wait until every worker counts as healthy."""
    await until(lambda: all(healthy(four, name) for name in WORKERS), seconds=40)


def healthy(four: Mesh, worker: str, health: str = "healthy") -> bool:
    return total(four, "router", "hybrid_router_worker_health", worker=worker, health=health) == 1


def placed(four: Mesh) -> dict[str, float]:
    """Attempts that the router has placed, by worker."""
    return {name: total(four, "router", "hybrid_router_placements_total", worker=name) for name in WORKERS}


def since(four: Mesh, before: dict[str, float]) -> dict[str, float]:
    return {name: count - before[name] for name, count in placed(four).items()}


@pytest.fixture(autouse=True)
async def warm(four: Mesh) -> None:
    """Every worker has served somebody, and all are well."""
    await well(four)
    async with OpenLoad(four, "warm", rate=40, tokens=1):
        await asyncio.sleep(0.5)


async def test_a_worker_that_is_five_times_slower_soon_has_less_than_half_its_share(four: Mesh) -> None:
    """With the strategy `adaptive`; `least_loaded` would need some load to notice."""
    async with OpenLoad(four, "slow", rate=40, tokens=TOKENS) as load:
        await asyncio.sleep(2)
        async with faults(four, "a", **{name: 5 * value for name, value in SETTINGS.items()}):
            begun = time.monotonic()
            await asyncio.sleep(3)
            before, middle = placed(four), time.monotonic()
            await asyncio.sleep(3)
            counts, ended = since(four, before), time.monotonic()
    slow = counts["a-0"] / sum(counts.values())
    well, at_first, then = (
        share(load.between(*span), seconds=SOON) for span in ((0, begun), (begun, middle), (middle, ended))
    )
    print(f"{slow:.1%} go to the slow one after 3 s; answered in {SOON} s: {well:.1%}, {at_first:.1%}, {then:.1%}")
    assert slow < 0.125
    assert then >= 0.95 * well


async def test_a_worker_that_fails_half_its_attempts_is_ejected_within_25(four: Mesh) -> None:
    async with OpenLoad(four, "flaky", rate=40, tokens=TOKENS) as load:
        await asyncio.sleep(1)
        async with faults(four, "a", failure_rate=0.5):
            before = placed(four)
            took = await until(lambda: healthy(four, "a-0", "ejected"), seconds=30)
            count = since(four, before)["a-0"]
    print(f"ejected {took:.1f} s and {count:.0f} attempts after it began to fail")
    assert count <= 25
    assert share(load.calls, seconds=60.0) == 1.0, "callers notice nothing"


async def test_an_outage_of_all_is_not_made_worse_and_over_within_five_seconds(four: Mesh) -> None:
    async with OpenLoad(four, "outage", rate=20, tokens=TOKENS) as load:
        await asyncio.sleep(2)
        before, begun = placed(four), time.monotonic()
        async with faults(four, *NAMES, failure_rate=1.0):
            await asyncio.sleep(10)
            sent, ended = sum(since(four, before).values()), time.monotonic()
        await asyncio.sleep(6.5)
    asked = len(load.between(begun, ended))
    probes = total(four, "router", "hybrid_router_probes_total")
    back = [share(load.between(ended + at, ended + at + 1), seconds=SOON) for at in range(6)]
    print(
        f"{sent:.0f} attempts for {asked} requests ({sent / asked:.2f}), {probes:.0f} probes so far; "
        f"answered in each second after: {', '.join(f'{part:.0%}' for part in back)}"
    )
    assert sent <= 1.2 * asked + 1
    assert share(load.between(ended + 4.5, ended + 6), seconds=SOON) >= 0.95


async def test_a_hung_worker_has_less_than_two_in_a_hundred_within_five_seconds(four: Mesh) -> None:
    async with OpenLoad(four, "hung", rate=40, tokens=TOKENS, last_seconds=1.5):
        await asyncio.sleep(1)
        async with faults(four, "a", hang_rate=1.0):
            await asyncio.sleep(5)
            before = placed(four)
            assert healthy(four, "a-0", "stalled")
            await asyncio.sleep(2.5)
            counts = since(four, before)
        back = await until(lambda: healthy(four, "a-0"), seconds=30)
    print(f"{counts['a-0']:.0f} of {sum(counts.values()):.0f} go there after 5 s; well {back:.1f} s after it was")
    assert counts["a-0"] < 0.02 * sum(counts.values())


async def test_a_killed_router_costs_nobody_an_answer_and_decides_again_within_seconds(four: Mesh) -> None:
    def alone() -> float:
        return total(four, "gateway", "hybrid_gateway_fallback_placements_total")

    def decides() -> bool:
        with contextlib.suppress(OSError, AssertionError):
            return min(placed(four).values()) > 0
        return False

    async with OpenLoad(four, "killed", rate=40, tokens=50) as load:
        await asyncio.sleep(1)
        four.kill("router")
        again = await until(decides, seconds=30)
        by_itself = alone()
        await asyncio.sleep(1)
        assert alone() == by_itself, "the router is asked again"
        await asyncio.sleep(0.5)
    slowest = max(call.seconds for call in load.calls)
    counts = placed(four)
    print(f"{by_itself:.0f} placed without a router, which decided again after {again:.1f} s; then {counts}")
    assert share(load.calls, seconds=2.0) == 1.0, f"the slowest took {slowest:.1f} s"
    # The router hears of the last ends a moment after the callers.
    await until(lambda: total(four, "router", "hybrid_router_leases") == 0, seconds=30)
