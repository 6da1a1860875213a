"""Ledger records as rows of PostgreSQL."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson
from google.protobuf.message import DecodeError
from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import error_reason_pb2, generation_pb2, provider_try_pb2, routing_pb2

from services.gateway.loader import decisions
from services.gateway.loader.values import (
    RecordInvalid,
    Words,
    cost_of,
    day_of,
    signed,
    text_of,
    time_of,
    uuid_of,
    uuid_or_none,
)

REQUEST_COLUMNS = (
    *("generation_id", "received_at", "first_content_at", "ended_at", "api", "operation", "model", "streamed"),
    *("outcome", "error_reason", "finish_reasons", "provider", "worker", "provider_model"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usage_estimated"),
    *("config_version", "user_label", "edge_request_id", "trace_id"),
    *("estimated_input_tokens", "max_output_tokens", "refused_by", "prefix_hashes"),
    *("key_id", "owner", "cost_nano_usd", "price_version", "session_label", "gateway_run", "placed_at", "criticality"),
)
ATTEMPT_COLUMNS = (
    *("attempt_id", "generation_id", "number", "placed_at", "first_content_at", "ended_at"),
    *("provider", "worker", "provider_model", "strategy", "outcome", "error_reason"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usage_estimated"),
    *("tries", "kind", "decision"),
    *("key_id", "owner", "model", "cost_nano_usd", "price_version", "follows"),
)
CONTENT_COLUMNS = ("generation_id", "key_id", "policy", "input", "output", "retention_days")
PRICE_COLUMNS = (
    *("version", "provider", "provider_model", "above_input_tokens"),
    *("input_pico_usd", "cached_input_pico_usd", "output_pico_usd", "second_pico_usd", "source"),
)

Row = tuple[Any, ...]

_OUTCOMES = Words(ledger_pb2.Outcome, "OUTCOME_")
_FINISH_REASONS = Words(generation_pb2.FinishReason, "FINISH_REASON_")
_CRITICALITIES = Words(routing_pb2.Criticality, "CRITICALITY_", UNSPECIFIED="")
_REASONS = Words(error_reason_pb2.ErrorReason, "ERROR_REASON_")
_POLICIES = ("hashed", "redacted", "stored")
_MAX_RETENTION_DAYS = 3650
_KIND = ATTEMPT_COLUMNS.index("kind")
_SHADOW = "shadow"


class Rows(NamedTuple):
    """The rows of one record.

    Attributes:
        request: None where the record is of none.
        attempts: of that request.
        content: what was said in it, in a record of its own.
        prices: of one version.
        days: those in which the ids of request and attempts were made, since 1970: there must be partitions for them.
    """

    request: Row | None = None
    attempts: tuple[Row, ...] = ()
    content: Row | None = None
    prices: tuple[Row, ...] = ()
    days: frozenset[int] = frozenset()

    @property
    def is_end(self) -> bool:
        """Whether it is the record that a request ended with, and not of a shadow that ended later."""
        return self.request is not None and not (self.attempts and all(row[_KIND] == _SHADOW for row in self.attempts))


def parse(payload: bytes, today: int) -> Rows:
    """The rows of a serialized LedgerRecord. `today` is in days since 1970.

    Raises:
        RecordInvalid: the bytes are no record, or it lacks an id or a time, or has one that cannot be.
    """
    try:
        record = ledger_pb2.LedgerRecord.FromString(payload)
    except DecodeError as error:
        raise RecordInvalid("not a LedgerRecord") from error
    has = record.HasField
    content = _content_row(record.content, today) if has("content") else None
    prices = _price_rows(record.prices) if has("prices") else ()
    if not has("request") and (has("content") or has("prices")):
        return Rows(content=content, prices=prices)
    request = record.request
    days = {day_of(request.generation_id, "generation_id", today)}
    days.update(day_of(attempt.attempt_id, "attempt_id", today) for attempt in record.attempts)
    row = _request_row(request)
    attempts = tuple(_attempt_row(row, request, attempt) for attempt in record.attempts)
    return Rows(row, attempts, content, prices, frozenset(days))


def _request_row(request: ledger_pb2.RequestRecord) -> Row:
    text, has, usage = text_of, request.HasField, request.usage
    return (
        uuid_of(request.generation_id, "generation_id"),
        time_of(request.received_at, "received_at"),
        time_of(request.first_content_at, "first_content_at") if has("first_content_at") else None,
        time_of(request.ended_at, "ended_at"),
        text(request.api),
        text(request.operation),
        text(request.model),
        request.streamed,
        _OUTCOMES[request.outcome],
        text(request.error_reason) or None,
        [_FINISH_REASONS[reason] for reason in request.finish_reasons],
        text(request.provider) or None,
        text(request.worker) or None,
        text(request.provider_model) or None,
        *_usage(usage),
        text(request.config_version),
        text(request.user) or None,
        text(request.edge_request_id) or None,
        text(request.trace_id) or None,
        request.estimated_input_tokens,
        request.max_output_tokens,
        decisions.as_json(request.refused_by) if has("refused_by") else None,
        signed(request.prefix_hashes[:]),
        text(request.key_id),
        text(request.owner),
        cost_of(request.cost_nano_usd, "cost_nano_usd"),
        text(request.price_version),
        text(request.session) or None,
        uuid_or_none(request.gateway_run, "gateway_run"),
        time_of(request.placed_at, "placed_at") if has("placed_at") else None,
        _CRITICALITIES[request.criticality],
    )


def _attempt_row(of: Row, request: ledger_pb2.RequestRecord, attempt: ledger_pb2.AttemptRecord) -> Row:
    text, has = text_of, attempt.HasField
    return (
        uuid_of(attempt.attempt_id, "attempt_id"),
        of[0],
        attempt.number,
        time_of(attempt.placed_at, "placed_at"),
        time_of(attempt.first_content_at, "first_content_at") if has("first_content_at") else None,
        time_of(attempt.ended_at, "ended_at") if has("ended_at") else None,
        text(attempt.provider),
        text(attempt.worker),
        text(attempt.provider_model),
        text(attempt.strategy),
        _OUTCOMES[attempt.outcome],
        text(attempt.error_reason) or None,
        *_usage(attempt.usage),
        _tries(attempt.tries) if attempt.tries else "[]",
        text(attempt.kind),
        decisions.as_json(attempt.decision) if has("decision") else None,
        text(request.key_id),
        text(request.owner),
        text(request.model),
        cost_of(attempt.cost_nano_usd, "cost_nano_usd"),
        text(request.price_version),
        uuid_or_none(attempt.follows, "follows"),
    )


def _content_row(content: ledger_pb2.ContentRecord, today: int) -> Row:
    day_of(content.generation_id, "generation_id", today)
    if content.policy not in _POLICIES:
        raise RecordInvalid("policy is none of " + ", ".join(_POLICIES))
    if not 1 <= content.retention_days <= _MAX_RETENTION_DAYS:
        raise RecordInvalid("retention_days is out of range")
    return (
        uuid_of(content.generation_id, "generation_id"),
        text_of(content.key_id),
        content.policy,
        content.input.replace("\0", "\ufffd"),
        content.output.replace("\0", "\ufffd"),
        content.retention_days,
    )


def _price_rows(table: ledger_pb2.PriceTable) -> tuple[Row, ...]:
    if not table.version:
        raise RecordInvalid("the price table's version is missing")
    version = text_of(table.version)
    return tuple(
        (
            version,
            text_of(entry.provider),
            text_of(entry.provider_model),
            entry.above_input_tokens,
            entry.input_pico_usd,
            entry.cached_input_pico_usd,
            entry.output_pico_usd,
            entry.second_pico_usd,
            text_of(entry.source),
        )
        for entry in table.entries
    )


def _usage(usage: generation_pb2.Usage) -> Row:
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    )


def _tries(tries: Iterable[provider_try_pb2.ProviderTry]) -> str:
    """What was asked in vain, as JSON."""
    return orjson.dumps(
        [
            {
                "key": one.key,
                "reason": _REASONS[one.reason].upper(),
                "http_status": one.http_status,
                "ms": round(one.duration.seconds * 1e3 + one.duration.nanos / 1e6, 3),
            }
            for one in tries
        ]
    ).decode()
