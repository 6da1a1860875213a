"""What requests cost, from a worker through the edge to the rows in PostgreSQL."""

import json
import re
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest

from tests.mesh.driver import Mesh, mesh, until, wait_until

pytestmark = pytest.mark.slow

CONFIG = """
providers:
  tokens: {kind: echo, models: [echo]}
  time: {kind: echo, models: [echo], token_ms: 20}
models:
  - name: by-token
    routes: [{provider: tokens, price: {input: 2, output: 8}}]
  - name: by-second
    routes: [{provider: time, price: {second: 0.5}}]
"""
MESSAGES: Any = [{"role": "user", "content": "one two three four five"}]


@pytest.fixture(scope="module")
def paid() -> Iterator[Mesh]:
    with mesh(CONFIG) as running:
        yield running


async def rows(paid: Mesh, generation_id: str) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """A request, its attempts, and the price that its first one was charged by."""
    dsn = json.loads((paid.home / "run/supervisor.json").read_text())["dsn"]
    connection = await asyncpg.connect(dsn)
    try:

        async def request() -> Any:
            return await connection.fetchrow("SELECT * FROM requests WHERE generation_id = $1", generation_id)

        await until(request, seconds=30)
        row = dict(await request())
        attempts = await connection.fetch("SELECT * FROM attempts WHERE generation_id = $1", generation_id)
        price = await connection.fetchrow(
            "SELECT * FROM prices WHERE version = $1 AND provider = $2 AND provider_model = $3",
            row["price_version"],
            attempts[0]["provider"],
            attempts[0]["provider_model"],
        )
        return row, [dict(one) for one in attempts], dict(price)
    finally:
        await connection.close()


def worked_out(attempt: dict[str, Any], price: dict[str, Any]) -> int:
    """What an attempt costs by its row and that of its price, as docs/money.md says."""
    uncached = attempt["input_tokens"] - attempt["cached_tokens"]
    tokens = uncached * price["input_pico_usd"] + attempt["cached_tokens"] * price["cached_input_pico_usd"]
    tokens += attempt["output_tokens"] * price["output_pico_usd"]
    taken = attempt["ended_at"] - attempt["placed_at"]
    microseconds = (taken.days * 86_400 + taken.seconds) * 10**6 + taken.microseconds
    return -(-(tokens * 10**6 + microseconds * price["second_pico_usd"]) // 10**9)


@pytest.mark.parametrize("model", ["by-token", "by-second"])
async def test_the_header_is_what_the_rows_come_to(paid: Mesh, model: str) -> None:
    raw = paid.client.chat.completions.with_raw_response.create(model=model, messages=MESSAGES)
    request, attempts, price = await rows(paid, raw.parse().id.removeprefix("chatcmpl-"))
    (attempt,) = attempts
    assert request["cost_nano_usd"] == attempt["cost_nano_usd"] == worked_out(attempt, price) > 0
    assert raw.headers["x-hybrid-cost-usd"] == f"{request['cost_nano_usd'] / 1e9:.9f}"
    assert price["source"] == "configuration"


@pytest.mark.parametrize("model", ["by-token", "by-second"])
async def test_a_stream_says_in_its_last_comment_what_its_rows_come_to(paid: Mesh, model: str) -> None:
    asking = paid.client.chat.completions.with_streaming_response
    with asking.create(model=model, messages=MESSAGES, stream=True) as raw:
        assert "x-hybrid-cost-usd" not in raw.headers
        *_, before, comment, last = [line for line in raw.iter_lines() if line]
    assert last == "data: [DONE]"
    request, _, _ = await rows(paid, json.loads(before.removeprefix("data: "))["id"].removeprefix("chatcmpl-"))
    assert comment == f": x-hybrid-cost-usd: {request['cost_nano_usd'] / 1e9:.9f}"
    assert request["cost_nano_usd"] > 0


async def test_a_price_that_changes_is_another_version_from_then_on(paid: Mesh) -> None:
    def version() -> str:
        reply = paid.client.chat.completions.create(model="by-token", messages=MESSAGES)
        seen.append(reply.id.removeprefix("chatcmpl-"))
        return str(paid.row_of(seen[-1])["config_version"])

    seen: list[str] = []
    before = version()
    path = paid.home / "hybrid.yaml"
    path.write_text(re.sub("output: 8", "output: 80", path.read_text()))
    wait_until(lambda: version() != before, seconds=30)
    (old, _, cheap), (new, attempts, dear) = await rows(paid, seen[0]), await rows(paid, seen[-1])
    assert old["price_version"] != new["price_version"]
    assert (cheap["output_pico_usd"], dear["output_pico_usd"]) == (8_000_000, 80_000_000)
    assert new["cost_nano_usd"] == worked_out(attempts[0], dear) > old["cost_nano_usd"]
