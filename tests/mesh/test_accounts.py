"""Whatever becomes of requests, and of the database: each accepted one has one row, and sums are exact."""

import asyncio
import contextlib
import json
import pathlib
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import httpx2
import pytest

from tests.mesh.driver import Mesh, mesh, until
from tests.mesh.scrape import total
from tests.postgres import EMBEDDED, Postgres

pytestmark = [pytest.mark.slow, pytest.mark.edge]

# How long the database is away. What is asked of a key with a budget is more than its lease covers by then.
OUTAGE_SECONDS = 60.0
CAUGHT_UP_SECONDS = 30.0

CONFIG = """
access: {{keyless: false}}
ledger: {{dsn: "{dsn}"}}
gateway: {{instances: 2, drain_seconds: 2}}
router: {{hedge: {{budget_ratio: 1.0, least_seconds: 0.2, paid: true}}}}
flags: {{hedging: {{models: [hedged]}}}}
providers:
  echo: {{kind: echo, workers: 2, token_ms: 10, loading_ms: 500, drain_seconds: 2}}
  narrow: {{kind: echo, workers: 1, capacity: 1, drain_seconds: 2}}
  slow: {{kind: echo, workers: 1, first_token_ms: 3000, drain_seconds: 2}}
models:
  - name: echo
    routes: [{{provider: echo, price: {{input: 1, output: 2}}}}]
  - name: narrow
    queue: {{max_waiting: 0}}
    routes: [{{provider: narrow, price: {{input: 1, output: 2}}}}]
  - name: hedged
    routes:
      - {{provider: slow, price: {{second: 0.001}}}}
      - {{provider: echo, role: fallback, price: {{input: 1, output: 2}}}}
"""
WORDS = "one two three four"
# Of one answer to that with three words, in nano-USD: a million tokens of prompt are 1 USD, of answer 2 USD.
COST = 4 * 1000 + 3 * 2000


class Books:
    """A mesh on a PostgreSQL of its own, which may be stopped."""

    def __init__(self, running: Mesh, postgres: Postgres) -> None:
        self.mesh = running
        self.postgres = postgres

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        made = await asyncpg.connect(self.postgres.dsn("ledger"))
        try:
            yield made
        finally:
            await made.close()

    async def fetch(self, query: str, *arguments: Any) -> list[asyncpg.Record]:
        async with self.connection() as connection:
            return list(await connection.fetch(query, *arguments))

    def key(self, *options: str) -> str:
        """A new key, by the command."""
        done = self.mesh.hybrid("keys", "create", "--owner", "tests", *options)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def client(self, key: str, timeout: float = 30.0) -> httpx2.AsyncClient:
        headers = {"authorization": f"Bearer {key}"}
        return httpx2.AsyncClient(base_url=self.mesh.base_url, headers=headers, timeout=timeout)


@pytest.fixture(scope="module")
def books() -> Iterator[Books]:
    """A mesh with keys, two gateways, and a database that a test can stop."""
    with tempfile.TemporaryDirectory(prefix="pg-") as directory:
        postgres = Postgres(EMBEDDED, pathlib.Path(directory))
        postgres.initialise()
        postgres.start()
        try:
            postgres.migrate("ledger")
            with mesh(CONFIG.format(dsn=postgres.dsn("ledger"))) as running:
                yield Books(running, postgres)
        finally:
            postgres.stop()


def chat(user: str, model: str = "echo", *, stream: bool = False, most: int = 400, **script: Any) -> dict[str, Any]:
    """The body of a request whose row is found by `user`."""
    asked = {"tokens": 3, **script}
    messages = [{"role": "user", "content": WORDS}]
    return {"model": model, "messages": messages, "user": user, "stream": stream, "max_tokens": most, "echo": asked}


async def cut(client: httpx2.AsyncClient, body: dict[str, Any], *, after: bytes) -> None:
    """Ask for a stream, and go away after some of it."""
    async with client.stream("POST", "/chat/completions", json=body) as reply:
        async for piece in reply.aiter_raw():
            if after in piece:
                return


async def test_every_accepted_request_has_one_row_however_it_ended(books: Books) -> None:
    def running(worker: str) -> float:
        return total(books.mesh, worker, "hybrid_worker_attempts_running")

    def at_echoes() -> float:
        return running("echo-0") + running("echo-1")

    async with books.client(books.key()) as client:
        post = client.post

        async def ask(user: str, model: str = "echo", **script: Any) -> int:
            return (await post("/chat/completions", json=chat(user, model, **script))).status_code

        assert await ask("whole") == 200
        assert "data: [DONE]" in (await post("/chat/completions", json=chat("streamed", stream=True))).text
        assert await ask("failed", fail="PROVIDER_UNAVAILABLE") == 503
        assert "error" in (await post("/chat/completions", json=chat("broken", stream=True, cut_after_tokens=2))).text
        await until(lambda: at_echoes() == 0, seconds=30)
        left = asyncio.create_task(ask("left-before", stream=True, first_token_ms=60_000))
        await until(lambda: at_echoes() == 1, seconds=30)
        left.cancel()
        await cut(client, chat("left-after", stream=True, tokens=400), after=b"one")
        late = {"x-hybrid-timeout-ms": "300"}
        assert (
            await post("/chat/completions", json=chat("late", hang_after_tokens=0), headers=late)
        ).status_code == 504
        busy = asyncio.create_task(ask("first-there", "narrow", first_token_ms=3000))
        await until(lambda: running("narrow-0") == 1, seconds=30)
        assert await ask("shed", "narrow") == 429
        assert await busy == 200
        assert await ask("warm", "hedged", first_token_ms=1) == 200  # now it is known how soon one usually begins
        assert await ask("hedged", "hedged") == 200
        texts = {"model": "echo", "prompt": ["a b", "c d"], "user": "both", "max_tokens": 3}
        assert (await post("/completions", json=texts)).status_code == 200
        vectors = {"model": "echo", "input": ["a b", "c"], "user": "embedded"}
        assert (await post("/embeddings", json=vectors)).status_code == 200
        assert (await post("/chat/completions", json={"model": "echo"})).status_code == 400
        going_on = [
            asyncio.create_task(post("/chat/completions", json=chat("continued", tokens=400))) for _ in range(6)
        ]
        await until(lambda: at_echoes() == 6, seconds=30)
        await asyncio.sleep(0.5)  # so that they have begun to answer
        books.mesh.kill("echo-0")
        assert {reply.status_code for reply in await asyncio.gather(*going_on)} == {200}
    wanted = {
        "whole": ("success", 1),
        "streamed": ("success", 1),
        "failed": ("error", 1),
        "broken": ("error", 1),
        "left-before": ("cancelled", 1),
        "left-after": ("cancelled", 1),
        "late": ("deadline", 1),
        "first-there": ("success", 1),
        "shed": ("shed", 1),
        "warm": ("success", 1),
        "hedged": ("success", 1),
        "both": ("success", 2),
        "embedded": ("success", 1),
        "continued": ("success", 6),
    }
    found: Counter[tuple[str, str]] = Counter()

    async def all_there() -> bool:
        rows = await books.fetch("SELECT user_label, outcome FROM requests WHERE user_label = ANY($1)", list(wanted))
        found.clear()
        found.update((row["user_label"], row["outcome"]) for row in rows)
        return sum(found.values()) >= sum(count for _, count in wanted.values())

    await until(all_there, seconds=30)
    assert dict(found) == {(user, outcome): count for user, (outcome, count) in wanted.items()}
    costs = {
        row["user_label"]: row["cost_nano_usd"]
        for row in await books.fetch("SELECT user_label, cost_nano_usd FROM requests WHERE user_label <> 'both'")
    }
    assert (costs["whole"], costs["streamed"], costs["shed"]) == (COST, COST, 0)
    assert costs["hedged"] > COST, "the slow one that was begun costs, too"
    attempts = await books.fetch(
        "SELECT r.user_label, a.kind FROM attempts a JOIN requests r USING (generation_id) ORDER BY a.number"
    )
    kinds = {(row["user_label"], row["kind"]) for row in attempts}
    assert {("hedged", "hedge"), ("continued", "continuation"), ("failed", "retry")} <= kinds
    await books_balance(books)


async def books_balance(books: Books) -> None:
    """What holds of the ledger whatever happened."""
    unequal = """
        SELECT count(*) FROM (
            SELECT date_trunc('hour', received_at, 'UTC') AS hour, key_id, outcome,
                count(*), sum(input_tokens), sum(output_tokens), sum(cost_nano_usd) FROM requests GROUP BY 1, 2, 3
        ) rows FULL JOIN (
            SELECT hour, key_id, outcome,
                sum(requests) AS count, sum(input_tokens), sum(output_tokens), sum(cost_nano_usd)
            FROM requests_hourly GROUP BY 1, 2, 3
        ) sums USING (hour, key_id, outcome) WHERE rows::text IS DISTINCT FROM sums::text
    """
    assert [tuple(row) for row in await books.fetch(unequal)] == [(0,)]
    of_attempts = """
        SELECT r.generation_id FROM requests r LEFT JOIN attempts a USING (generation_id)
        GROUP BY r.generation_id, r.cost_nano_usd
        HAVING r.cost_nano_usd <> coalesce(sum(a.cost_nano_usd) FILTER (WHERE a.kind <> 'shadow'), 0)
    """
    assert await books.fetch(of_attempts) == []
    assert await books.fetch("SELECT 1 FROM requests WHERE outcome = 'shed' AND cost_nano_usd > 0") == []
    ids = await books.fetch("SELECT generation_id FROM requests GROUP BY 1 HAVING count(*) > 1")
    assert ids == []


class Steady:
    """Requests at a steady rate with one key, whatever becomes of those before."""

    def __init__(self, client: httpx2.AsyncClient, label: str, *, rate: float) -> None:
        self.answers: list[tuple[float, int, str]] = []  # when it was asked, the status, the error's code
        self.over = False
        self._client = client
        self._label = label
        self._pause = 1 / rate

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            while not self.over:
                tasks.create_task(self._ask())
                await asyncio.sleep(self._pause)

    async def _ask(self) -> None:
        asked = time.monotonic()
        reply = await self._client.post("/chat/completions", json=chat(self._label, most=8, token_ms=0))
        code = "" if reply.status_code == 200 else json.loads(reply.text)["error"]["code"]
        self.answers.append((asked, reply.status_code, code))


@pytest.mark.timeout(300)
async def test_a_database_that_is_away_for_a_minute_costs_no_row_and_no_request_of_a_key_without_a_budget(
    books: Books,
) -> None:
    free, tight = books.key(), books.key("--budget-usd-day", "0.03")
    async with books.client(free) as free_client, books.client(tight) as tight_client:
        freely, tightly = Steady(free_client, "free", rate=25), Steady(tight_client, "tight", rate=25)
        async with asyncio.TaskGroup() as tasks:
            for load in (freely, tightly):
                tasks.create_task(load.run())
            await asyncio.sleep(2)
            books.postgres.stop()
            stopped = time.monotonic()
            await asyncio.sleep(OUTAGE_SECONDS)
            books.postgres.start()
            back = time.monotonic()
            await asyncio.sleep(5)
            freely.over = tightly.over = True
    assert {answer[1:] for answer in freely.answers} == {(200, "")}
    # Also in the moments in which it goes, and is back.
    assert {answer[1:] for answer in tightly.answers} == {(200, ""), (503, "service_unavailable")}
    during = [answer[1:] for answer in tightly.answers if stopped + 1 < answer[0] < back]
    # As long as the lease lasts it is served; then it is told to come back, since nobody can say what is left.
    assert set(during) == {(200, ""), (503, "service_unavailable")}
    assert during[0] == (200, "")
    after = [answer[1:] for answer in tightly.answers if answer[0] > back + 3]
    assert set(after) == {(200, "")}
    answered = Counter(
        label for label, load in (("free", freely), ("tight", tightly)) for _, code, _ in load.answers if code == 200
    )

    async def caught_up() -> bool:
        rows = await books.fetch(
            "SELECT user_label, count(*) FROM requests WHERE user_label = ANY($1) GROUP BY 1", [*answered]
        )
        return {row[0]: row[1] for row in rows} == dict(answered)

    seconds = time.monotonic() - back + await until(caught_up, seconds=CAUGHT_UP_SECONDS)
    print(f"{answered} answered; {Counter(during)} of the budgeted key while away; caught up {seconds:.1f} s after")
    assert seconds < CAUGHT_UP_SECONDS
    await books_balance(books)
