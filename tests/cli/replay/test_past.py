"""What is read of the ledger, to be replayed."""

import pytest
from hybridinference.gateway.v1 import ledger_pb2

from services.cli.replay import past
from services.gateway.loader.rows import parse
from services.gateway.loader.store import open_store
from tests.gateway.loader.records import TODAY, record


def recent(*, ago: int = 0, model: str = "smollm2", attempts: int = 1) -> ledger_pb2.LedgerRecord:
    """A request so many seconds ago."""
    made = record(model=model, attempts=attempts)
    made.request.received_at.GetCurrentTime()
    made.request.received_at.seconds -= ago
    return made


async def stored(dsn: str, *records: ledger_pb2.LedgerRecord) -> None:
    async with open_store(dsn) as store:
        rows = [parse(one.SerializeToString(), TODAY) for one in records]
        await store.load("00000000-0000-4000-8000-000000000000", "1-a", 0, 1, rows)


async def test_requests_of_all_names_of_a_model_come_in_order_of_time(dsn: str) -> None:
    whole, refused = recent(ago=10), recent(ago=30, model="alias", attempts=0)
    whole.request.prefix_hashes.extend([5, 2**64 - 1])
    refused.request.outcome, refused.request.estimated_input_tokens = ledger_pb2.OUTCOME_SHED, 77
    refused.request.ClearField("usage")
    vectors = recent()
    vectors.request.operation = "embeddings"
    await stored(dsn, whole, refused, vectors, recent(model="other"), recent(ago=3 * 86_400))
    first, second = await past.asked(dsn, ("smollm2", "alias"), days=2, most=10)
    assert (first.input_tokens, first.output_tokens) == (77, None)
    assert (second.input_tokens, second.output_tokens, list(second.prefix_hashes)) == (40, 8, [5, -1])
    assert second.at - first.at == pytest.approx(20, abs=1)
    assert await past.asked(dsn, ("smollm2", "alias"), days=2, most=1) == [second]


async def test_attempts_tell_what_they_took(dsn: str) -> None:
    made = recent(attempts=2)
    for attempt in made.attempts:
        attempt.placed_at.CopyFrom(made.request.received_at)
        attempt.ended_at.FromNanoseconds(attempt.placed_at.ToNanoseconds() + 250_000_000)
    made.attempts[1].first_content_at.FromNanoseconds(made.attempts[1].placed_at.ToNanoseconds() + 50_000_000)
    await stored(dsn, made)
    assert await past.served(dsn, ("elsewhere",), days=1, most=10) == []
    failed, served = sorted(await past.served(dsn, ("local",), days=1, most=10), key=lambda one: one.worker)
    assert (failed.succeeded, failed.reason, failed.first_at) == (False, "WORKER_LOST", None)
    assert served.first_at is not None
    assert served.first_at - served.placed_at == pytest.approx(0.05, abs=1e-5)
    assert served.ended_at - served.placed_at == pytest.approx(0.25, abs=1e-5)
    assert (served.uncached_tokens, served.output_tokens, served.model) == (24, 8, "smollm2-135m-instruct")
