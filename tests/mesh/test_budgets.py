"""Two gateways, one PostgreSQL: what a key may spend, at once, without the database, and after a gateway was lost."""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import openai
import psutil
import pytest

from services.cli import requests, running
from services.cli.home import Home
from services.gateway.identity.peppers import Peppers
from tests.gateway.identity.keys import insert, made
from tests.mesh.driver import Mesh, mesh, until
from tests.mesh.scrape import total

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
access: {keyless: false}
gateway: {instances: 2, drain_seconds: 2}
providers:
  echo: {kind: echo, workers: 2, first_token_ms: 50, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo, price: {output: 1}}]
"""
TOKENS = 10
PRICE = TOKENS * 1000  # nano-USD: a token costs 1000
MESSAGES: Any = [{"role": "user", "content": "word"}]


class Priced:
    """The mesh, its database and its keys."""

    def __init__(self, behind: Mesh) -> None:
        self.mesh = behind
        self.dsn = requests.dsn_of(running.required(Home(behind.home)))
        self._peppers = Peppers.of_file(behind.home / "pepper.key")

    @contextlib.asynccontextmanager
    async def key(self, **columns: Any) -> AsyncIterator["Key"]:
        """A new key, and a client that calls with it and never tries again."""
        credential = await insert(self.dsn, made(), peppers=self._peppers, **columns)
        connection = await asyncpg.connect(self.dsn)
        try:
            async with openai.AsyncOpenAI(
                base_url=self.mesh.base_url, api_key=credential.text(), max_retries=0
            ) as client:
                yield Key(credential.key_id, client, connection)
        finally:
            await connection.close()


class Key:
    """A key in use. `seen` counts answers, by status and code."""

    def __init__(self, key_id: str, client: openai.AsyncOpenAI, connection: asyncpg.Connection) -> None:
        self.id = key_id
        self.seen: collections.Counter[tuple[int, str]] = collections.Counter()
        self.headers: list[dict[str, str]] = []
        self._client = client
        self._connection = connection

    async def call(self, *, tokens: int = TOKENS, echo: int = TOKENS) -> bool:
        """One request that costs what was reserved for it, where the echo says as much as it may."""
        try:
            answer = await self._client.chat.completions.with_raw_response.create(
                model="echo", messages=MESSAGES, max_tokens=tokens, extra_body={"echo": {"tokens": echo}}
            )
        except openai.APIStatusError as error:
            self.seen[error.status_code, str(error.code)] += 1
            self.headers.append(dict(error.response.headers))
            return False
        self.seen[200, ""] += 1
        self.headers.append(dict(answer.headers))
        return True

    async def load(self, *, at_once: int, seconds: float) -> None:
        """Call all the time."""
        end = asyncio.get_running_loop().time() + seconds

        async def repeat() -> None:
            while asyncio.get_running_loop().time() < end:
                await self.call()

        await asyncio.gather(*(repeat() for _ in range(at_once)))

    async def spent(self) -> tuple[int, int]:
        """Nano-USD in the ledger, and in leases of the month."""
        row = await self._connection.fetchrow(
            "SELECT (SELECT coalesce(sum(cost_nano_usd), 0)::bigint FROM requests WHERE key_id = $1),"
            " (SELECT coalesce(sum(amount), 0)::bigint FROM quota_leases WHERE key_id = $1 AND measure = 'usd_month')",
            self.id,
        )
        return row[0], row[1]

    async def settled_at(self, spent: int) -> bool:
        """Whether ledger and leases have exactly that."""
        return await self.spent() == (spent, spent)


@pytest.fixture(scope="module")
def priced() -> Iterator[Priced]:
    with mesh(CONFIG) as behind:
        yield Priced(behind)


async def test_two_hundred_at_once_spend_no_more_than_a_budget_for_fifty_and_the_sums_are_exact(priced: Priced) -> None:
    async with priced.key(budget_nano_usd_per_month=50 * PRICE) as key:
        await asyncio.gather(*(key.call() for _ in range(200)))
        assert set(key.seen) <= {(200, ""), (429, "insufficient_quota"), (429, "rate_limit_exceeded")}, key.seen
        assert 0 < key.seen[200, ""] <= 50
        for gateway in ("gateway", "gateway-2"):
            asked = await asyncio.to_thread(total, priced.mesh, gateway, "hybrid_quota_leases_total")
            assert asked, "each has asked for its part"
        assert (await key.spent())[0] <= 50 * PRICE
        # What one gateway has leased and not used is given back when it is idle: then all of it can be spent.
        await until(lambda: key.settled_at(key.seen[200, ""] * PRICE), seconds=30)
        while await key.call():
            pass
        assert key.seen[200, ""] == 50
        assert key.seen[429, "insufficient_quota"]
        assert key.headers[-1]["x-should-retry"] == "false"
        await until(lambda: key.settled_at(50 * PRICE), seconds=30)


async def test_limits_of_a_minute_are_told_with_every_answer_and_refusal(priced: Priced) -> None:
    async with priced.key(requests_per_minute=4, tokens_per_minute=10_000) as key:
        for _ in range(10):  # a minute may end in between
            await asyncio.gather(*(key.call() for _ in range(8)))
            if key.seen[429, "rate_limit_exceeded"]:
                break
        told = key.headers[-1]
        assert (told["x-ratelimit-limit-requests"], told["x-ratelimit-limit-tokens"]) == ("4", "10000")
        assert told["x-ratelimit-reset-requests"].endswith("s")
        refused = next(headers for headers in key.headers if "retry-after" in headers)
        assert refused["x-ratelimit-remaining-requests"] == "0"
        assert 1 <= int(refused["retry-after"]) <= 60
        assert "x-should-retry" not in refused


async def test_without_the_database_keys_are_served_within_their_leases_and_then_told_to_come_back(
    priced: Priced,
) -> None:
    columns: list[dict[str, Any]] = [
        {"requests_per_minute": 100_000, "concurrency": 100},
        {"budget_nano_usd_per_month": 10**10},
        {"budget_nano_usd_per_month": 4 * PRICE},
    ]
    async with contextlib.AsyncExitStack() as stack:
        free, rich, poor = [await stack.enter_async_context(priced.key(**each)) for each in columns]
        await poor.call(tokens=1, echo=1)
        load = asyncio.gather(free.load(at_once=4, seconds=6), rich.load(at_once=4, seconds=6))
        await asyncio.sleep(1)  # both gateways know the keys, and have leased
        await asyncio.gather(*(poor.call(tokens=1, echo=1) for _ in range(8)))
        before = poor.seen[200, ""]
        with stopped(priced.mesh):
            await asyncio.sleep(0.5)
            await asyncio.gather(*(poor.call() for _ in range(8)))
            await asyncio.sleep(2)
        await load
        assert set(free.seen) == {(200, "")}, free.seen
        assert set(rich.seen) == {(200, "")}, rich.seen
        assert poor.seen[503, "service_unavailable"] >= 8 - 2, poor.seen
        assert "retry-after" in next(headers for headers in poor.headers if "x-hybrid-cost-usd" not in headers)
        await until(poor.call, seconds=30)
        assert poor.seen[200, ""] > before
        for key in (rich, poor):
            await until(lambda key=key: balanced(key), seconds=30)


async def test_what_a_killed_gateway_had_leased_is_settled_by_the_ledger(priced: Priced) -> None:
    async with priced.key(budget_nano_usd_per_month=10**10) as key:
        load = asyncio.create_task(key.load(at_once=16, seconds=3))
        await asyncio.sleep(1.5)
        for gateway in ("gateway", "gateway-2"):
            priced.mesh.kill(gateway)
        await load
        ledger, leased = await key.spent()
        assert leased > ledger, "until it is known, all that was leased counts as spent"
        await until(lambda: balanced(key), seconds=30)


async def balanced(key: Key) -> bool:
    """Whether all is settled."""
    ledger, leased = await key.spent()
    return 0 < ledger == leased


@contextlib.contextmanager
def stopped(behind: Mesh) -> Iterator[None]:
    """PostgreSQL does not answer: it takes connections and questions, and is silent."""
    server = psutil.Process(behind.pid("postgres"))
    processes = [server, *server.children(recursive=True)]
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
