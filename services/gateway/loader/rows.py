"""Ledger records as rows of PostgreSQL."""

import dataclasses
import datetime
import json
import uuid
from collections.abc import Iterable
from typing import Any, Literal

from google.protobuf import timestamp_pb2
from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper
from google.protobuf.message import DecodeError
from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import error_reason_pb2, generation_pb2, provider_try_pb2

from services.gateway.loader import decisions

REQUEST_COLUMNS = (
    *("generation_id", "received_at", "first_content_at", "ended_at", "api", "operation", "model", "streamed"),
    *("outcome", "error_reason", "finish_reasons", "provider", "worker", "provider_model"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usage_estimated"),
    *("config_version", "user_label", "edge_request_id", "trace_id"),
    *("estimated_input_tokens", "max_output_tokens", "refused_by", "prefix_hashes"),
)
ATTEMPT_COLUMNS = (
    *("attempt_id", "generation_id", "number", "placed_at", "first_content_at", "ended_at"),
    *("provider", "worker", "provider_model", "strategy", "outcome", "error_reason"),
    *("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "usage_estimated"),
    *("tries", "kind", "decision"),
)

Row = tuple[Any, ...]

# Names and labels; what is longer was made to be in the way.
_MAX_TEXT = 1024
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class RecordInvalid(Exception):
    """A record that can never become rows."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rows:
    """The rows of one record."""

    request: Row
    attempts: tuple[Row, ...]


def parse(payload: bytes) -> Rows:
    """The rows of a serialized LedgerRecord.

    Raises:
        RecordInvalid: the bytes are no record, or it lacks an id or a time.
    """
    try:
        record = ledger_pb2.LedgerRecord.FromString(payload)
    except DecodeError as error:
        raise RecordInvalid("not a LedgerRecord") from error
    generation_id = _id(record.request.generation_id, "generation_id")
    return Rows(
        _request_row(generation_id, record.request),
        tuple(_attempt_row(generation_id, attempt) for attempt in record.attempts),
    )


def _request_row(generation_id: uuid.UUID, request: ledger_pb2.RequestRecord) -> Row:
    return (
        generation_id,
        _time(request.received_at, "received_at"),
        _time_or_none(request, "first_content_at"),
        _time(request.ended_at, "ended_at"),
        _text(request.api),
        _text(request.operation),
        _text(request.model),
        request.streamed,
        _word(ledger_pb2.Outcome, request.outcome, "OUTCOME_"),
        _text(request.error_reason) or None,
        [_word(generation_pb2.FinishReason, reason, "FINISH_REASON_") for reason in request.finish_reasons],
        _text(request.provider) or None,
        _text(request.worker) or None,
        _text(request.provider_model) or None,
        *_usage(request.usage),
        _text(request.config_version),
        _text(request.user) or None,
        _text(request.edge_request_id) or None,
        _text(request.trace_id) or None,
        request.estimated_input_tokens,
        request.max_output_tokens,
        decisions.as_json(request.refused_by) if request.HasField("refused_by") else None,
        [_signed(value) for value in request.prefix_hashes],
    )


def _attempt_row(generation_id: uuid.UUID, attempt: ledger_pb2.AttemptRecord) -> Row:
    return (
        _id(attempt.attempt_id, "attempt_id"),
        generation_id,
        attempt.number,
        _time(attempt.placed_at, "placed_at"),
        _time_or_none(attempt, "first_content_at"),
        _time_or_none(attempt, "ended_at"),
        _text(attempt.provider),
        _text(attempt.worker),
        _text(attempt.provider_model),
        _text(attempt.strategy),
        _word(ledger_pb2.Outcome, attempt.outcome, "OUTCOME_"),
        _text(attempt.error_reason) or None,
        *_usage(attempt.usage),
        _tries(attempt.tries),
        _text(attempt.kind),
        decisions.as_json(attempt.decision) if attempt.HasField("decision") else None,
    )


def _signed(value: int) -> int:
    """64 bits as PostgreSQL has them."""
    return value - (1 << 64) if value >> 63 else value


def _tries(tries: Iterable[provider_try_pb2.ProviderTry]) -> str:
    """What was asked in vain, as JSON."""
    return json.dumps(
        [
            {
                "key": one.key,
                "reason": _name(error_reason_pb2.ErrorReason, one.reason, "ERROR_REASON_"),
                "http_status": one.http_status,
                "ms": round(one.duration.seconds * 1e3 + one.duration.nanos / 1e6, 3),
            }
            for one in tries
        ]
    )


def _usage(usage: generation_pb2.Usage) -> Row:
    return (
        usage.input_tokens,
        usage.output_tokens,
        usage.cached_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    )


def _id(text: str, name: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError as error:
        raise RecordInvalid(f"{name} is no UUID") from error


def _time(stamp: timestamp_pb2.Timestamp, name: str) -> datetime.datetime:
    if not stamp.seconds and not stamp.nanos:
        raise RecordInvalid(f"{name} is missing")
    try:
        return _EPOCH + datetime.timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
    except OverflowError as error:
        raise RecordInvalid(f"{name} is out of range") from error


def _time_or_none(
    record: ledger_pb2.RequestRecord | ledger_pb2.AttemptRecord, name: Literal["first_content_at", "ended_at"]
) -> datetime.datetime | None:
    return _time(getattr(record, name), name) if record.HasField(name) else None


def _text(text: str) -> str:
    # PostgreSQL's text holds no NUL.
    return text[:_MAX_TEXT].replace("\0", "\ufffd")


def _word(enum: EnumTypeWrapper, value: int, prefix: str) -> str:
    """An enum's value as a word; a newer writer's value by its number."""
    return _name(enum, value, prefix).lower()


def _name(enum: EnumTypeWrapper, value: int, prefix: str) -> str:
    known = enum.DESCRIPTOR.values_by_number.get(value)
    return known.name.removeprefix(prefix) if known else f"UNKNOWN_{value}"
