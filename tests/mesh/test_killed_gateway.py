"""A gateway that is killed under load: whatever a caller has seen of a request, the ledger has it, once."""

import asyncio
import json
import random
from collections.abc import Iterator

import asyncpg
import openai
import pytest

from tests.gateway.loader.sums import assert_sums
from tests.mesh.driver import Mesh, mesh, until

pytestmark = [pytest.mark.slow, pytest.mark.edge]

CONFIG = """
gateway: {drain_seconds: 2}
providers:
  echo: {kind: echo, workers: 2, token_ms: 5, drain_seconds: 2}
models:
  - name: echo
    routes: [{provider: echo}]
"""
MESSAGES = [{"role": "user", "content": "one two three"}]
ROUNDS, CALLERS = 3, 16


@pytest.fixture
def running() -> Iterator[Mesh]:
    with mesh(CONFIG) as made:
        yield made


class Callers:
    """Some clients who ask all the time: the ids they saw, and of which they saw the end."""

    def __init__(self, client: openai.AsyncOpenAI, rng: random.Random) -> None:
        self.seen: set[str] = set()
        self.whole: set[str] = set()
        self._client = client
        self._rng = rng

    async def ask(self) -> None:
        while True:
            tokens = self._rng.choice((1, 3, 40, 400))
            try:
                await (self._streamed(tokens) if self._rng.random() < 0.7 else self._at_once(tokens))
            except openai.APIError:
                await asyncio.sleep(0.05)

    async def _streamed(self, tokens: int) -> None:
        stream = await self._client.chat.completions.create(
            model="echo", messages=MESSAGES, stream=True, extra_body={"echo": {"tokens": tokens}}
        )
        async for chunk in stream:
            self.seen.add(chunk.id)
            if chunk.choices[0].finish_reason:
                self.whole.add(chunk.id)

    async def _at_once(self, tokens: int) -> None:
        answer = await self._client.chat.completions.create(
            model="echo", messages=MESSAGES, extra_body={"echo": {"tokens": tokens}}
        )
        self.seen.add(answer.id)
        self.whole.add(answer.id)


async def rows(dsn: str) -> dict[str, str]:
    """The outcome of each request, as its caller would call it."""
    connection = await asyncpg.connect(dsn)
    try:
        found = await connection.fetch("SELECT generation_id, outcome FROM requests")
        left = await connection.fetchval("SELECT count(*) FROM attempts WHERE ended_at IS NULL")
    finally:
        await connection.close()
    assert left == 0
    return {f"chatcmpl-{row['generation_id']}": row["outcome"] for row in found}


async def test_a_gateway_killed_under_load_leaves_a_row_of_every_request(running: Mesh) -> None:
    rng = random.Random(1)
    dsn = json.loads((running.home / "run/supervisor.json").read_text(encoding="utf-8"))["dsn"]
    async with running.async_client() as client, asyncio.TaskGroup() as tasks:
        callers = Callers(client, rng)
        asking = [tasks.create_task(callers.ask()) for _ in range(CALLERS)]
        for _ in range(ROUNDS):
            before = len(callers.whole)
            await until(lambda before=before: len(callers.whole) >= before + 30, seconds=40)
            await asyncio.sleep(rng.uniform(0.0, 0.5))
            running.kill("gateway")
        before = len(callers.whole)
        await until(lambda: len(callers.whole) >= before + 30, seconds=40)
        for task in asking:
            task.cancel()

    async def loaded() -> bool:
        return callers.seen <= (await rows(dsn)).keys()

    await until(loaded, seconds=30)
    outcomes = await rows(dsn)
    # What a caller has had whole may have been lost to us before we knew that it was taken.
    assert {outcomes[key] for key in callers.whole} <= {"success", "abandoned"}
    broken = [outcomes[key] for key in callers.seen - callers.whole]
    assert set(broken) <= {"abandoned", "cancelled", "success"}
    count = list(outcomes.values()).count("abandoned")
    print(f"{len(outcomes)} rows, {len(callers.seen)} seen, {len(callers.whole)} whole, {count} abandoned")
    assert 1 <= count <= ROUNDS * CALLERS
    await assert_sums(dsn)
    assert not (running.home / "spool" / "dead").exists()
