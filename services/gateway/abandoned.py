"""The record of a request whose gateway was lost, out of what it had written down until then."""

from collections.abc import Callable

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation

SHADOW = "shadow"

# What an attempt costs in nano-USD: provider, its model, tokens, seconds.
Cost = Callable[[str, str, generation.Usage | None, float], int]


def abandoned(known: ledger.LedgerRecord, *, at: float, cost: Cost, price_version: str) -> ledger.LedgerRecord:
    """The whole record of a request that has none.

    Args:
        known: what is known of it.
        at: the last moment that its gateway is known to have lived, in seconds since 1970.
        cost: prices an attempt.
        price_version: of these prices.
    """
    record = ledger.LedgerRecord()
    record.CopyFrom(known)
    request = record.request
    for attempt in record.attempts:
        if not attempt.HasField("ended_at"):
            _end(attempt, request, at, cost)
    answering = [attempt for attempt in record.attempts if attempt.kind != SHADOW]
    request.outcome = ledger.OUTCOME_ABANDONED
    request.ended_at.FromMicroseconds(max(int(at * 1e6), request.received_at.ToMicroseconds()))
    request.price_version = price_version
    request.cost_nano_usd = sum(attempt.cost_nano_usd for attempt in answering)
    _serve(request, answering)
    return record


def _end(attempt: ledger.AttemptRecord, request: ledger.RequestRecord, at: float, cost: Cost) -> None:
    """End an attempt, charged like one that we had ended: with the prompt, and what was counted of the answer."""
    begun = attempt.placed_at.ToMicroseconds()
    micros = max(0, int(at * 1e6) - begun)
    attempt.outcome = ledger.OUTCOME_ABANDONED
    attempt.ended_at.FromMicroseconds(begun + micros)
    attempt.usage.estimated = True
    attempt.usage.input_tokens = request.estimated_input_tokens
    attempt.cost_nano_usd = cost(attempt.provider, attempt.provider_model, attempt.usage, micros / 1e6)


def _serve(request: ledger.RequestRecord, attempts: list[ledger.AttemptRecord]) -> None:
    """Say who was at it: whoever had content last, or else the last that was asked; and the tokens of all."""
    with_content = [attempt for attempt in attempts if attempt.HasField("first_content_at")]
    for served in (with_content or attempts)[-1:]:
        request.provider, request.worker = served.provider, served.worker
        request.provider_model = request.provider_model or served.provider_model
    if with_content:
        request.first_content_at.CopyFrom(with_content[0].first_content_at)
    used = [attempt.usage for attempt in attempts if attempt.HasField("usage")]
    if used:
        request.usage.estimated = True
        request.usage.input_tokens = max(usage.input_tokens for usage in used)
        request.usage.output_tokens = sum(usage.output_tokens for usage in used)
