"""The record of a request whose gateway was lost."""

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation

from services.gateway.abandoned import SHADOW, abandoned
from tests.gateway.loader.records import uuid7

BEGUN = 1_790_000_000


def cost(provider: str, provider_model: str, usage: generation.Usage | None, seconds: float) -> int:
    """A nano-USD for a token of the prompt, ten for one of the answer, a hundred for a second."""
    assert (provider, provider_model) == ("p", "m")
    tokens = usage.input_tokens + 10 * usage.output_tokens if usage else 0
    return tokens + round(100 * seconds)


def known(*attempts: ledger.AttemptRecord) -> ledger.LedgerRecord:
    request = ledger.RequestRecord(generation_id=uuid7(), gateway_run="the dead one's", estimated_input_tokens=50)
    request.received_at.FromSeconds(BEGUN)
    return ledger.LedgerRecord(request=request, attempts=attempts)


def attempt(worker: str = "w0", *, tokens: int | None = None, kind: str = "") -> ledger.AttemptRecord:
    made = ledger.AttemptRecord(attempt_id=uuid7(), provider="p", worker=worker, provider_model="m", kind=kind)
    made.placed_at.FromSeconds(BEGUN + 1)
    if tokens is not None:
        made.usage.output_tokens, made.usage.estimated = tokens, True
        made.first_content_at.FromSeconds(BEGUN + 2)
    return made


def failed(tokens: int) -> ledger.AttemptRecord:
    made = attempt("w9", tokens=tokens)
    made.ended_at.FromSeconds(BEGUN + 3)
    made.outcome, made.error_reason, made.cost_nano_usd = ledger.OUTCOME_ERROR, "WORKER_LOST", 7
    return made


def ended(record: ledger.LedgerRecord) -> ledger.LedgerRecord:
    return abandoned(record, at=BEGUN + 5.5, cost=cost, price_version="v")


def test_one_that_was_never_placed_is_abandoned_at_no_cost() -> None:
    record = ended(known())
    request = record.request
    assert (request.outcome, request.cost_nano_usd, request.price_version) == (ledger.OUTCOME_ABANDONED, 0, "v")
    assert request.ended_at.ToNanoseconds() == (BEGUN + 5) * 10**9 + 5 * 10**8
    assert request.gateway_run == "the dead one's"
    assert not request.HasField("usage")


def test_an_attempt_that_had_not_ended_is_abandoned_with_what_it_had_used() -> None:
    record = ended(known(attempt("w1", tokens=64)))
    (only,) = record.attempts
    assert only.outcome == ledger.OUTCOME_ABANDONED
    assert only.ended_at == record.request.ended_at
    assert (only.usage.input_tokens, only.usage.output_tokens, only.usage.estimated) == (50, 64, True)
    assert only.cost_nano_usd == record.request.cost_nano_usd == 50 + 640 + 450
    assert (record.request.provider, record.request.worker, record.request.provider_model) == ("p", "w1", "m")
    assert record.request.usage == only.usage
    assert record.request.first_content_at == only.first_content_at


def test_an_attempt_without_content_is_charged_for_the_prompt_and_its_time() -> None:
    record = ended(known(attempt()))
    assert record.attempts[0].cost_nano_usd == record.request.cost_nano_usd == 50 + 450
    assert (record.attempts[0].usage.input_tokens, record.attempts[0].usage.estimated) == (50, True)
    assert record.request.worker == "w0"


def test_what_had_ended_stays_as_it_ended_and_counts() -> None:
    before = failed(tokens=10)
    record = ended(known(before, attempt("w1", tokens=64)))
    assert record.attempts[0] == before
    assert record.request.cost_nano_usd == 7 + 50 + 640 + 450
    assert (record.request.worker, record.request.usage.output_tokens) == ("w1", 74)


def test_a_shadow_is_abandoned_too_and_counts_nothing() -> None:
    record = ended(known(attempt("w1", tokens=64), attempt("w2", tokens=1000, kind=SHADOW)))
    assert [one.outcome for one in record.attempts] == [ledger.OUTCOME_ABANDONED] * 2
    assert (record.request.worker, record.request.usage.output_tokens) == ("w1", 64)
    assert record.request.cost_nano_usd == record.attempts[0].cost_nano_usd


def test_no_time_is_before_its_beginning() -> None:
    record = abandoned(known(attempt()), at=BEGUN - 3600.0, cost=cost, price_version="v")
    assert record.request.ended_at == record.request.received_at
    assert record.attempts[0].ended_at == record.attempts[0].placed_at
    assert record.attempts[0].cost_nano_usd == 50
