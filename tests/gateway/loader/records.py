"""Ledger records for tests."""

import datetime
import itertools
import pathlib
import time
import uuid

from hybridinference.gateway.v1 import ledger_pb2
from hybridinference.inference.v1 import generation_pb2, routing_pb2

from services.gateway.loader.reader import read_chunk
from services.gateway.spool.framing import Frame, frame
from services.gateway.spool.segments import CLOSED, ID_FILE, new_name, segments

_COUNT = itertools.count(1)
RECEIVED_AT = 1_790_000_000
TODAY = int(time.time()) // 86_400


def uuid7_of(moment: datetime.datetime) -> str:
    """A UUIDv7 of a moment."""
    milliseconds = int(moment.timestamp() * 1000)
    return str(uuid.UUID(int=(milliseconds << 80) | (0x7 << 76) | (0b10 << 62) | next(_COUNT)))


def uuid7() -> str:
    """A UUIDv7 that is later than those before it."""
    return uuid7_of(datetime.datetime.now(datetime.UTC))


RUN = uuid7()


def record(*, model: str = "smollm2", attempts: int = 1, seconds: int = 0) -> ledger_pb2.LedgerRecord:
    """A request that was answered in 250 ms, the first content after 50 ms, by its last attempt."""
    made = ledger_pb2.LedgerRecord()
    request = made.request
    request.generation_id = uuid7()
    request.api, request.operation, request.model, request.streamed = "openai", "chat", model, True
    request.received_at.FromMilliseconds((RECEIVED_AT + seconds) * 1000)
    request.first_content_at.FromMilliseconds((RECEIVED_AT + seconds) * 1000 + 50)
    request.ended_at.FromMilliseconds((RECEIVED_AT + seconds) * 1000 + 250)
    request.outcome = ledger_pb2.OUTCOME_SUCCESS
    request.finish_reasons.append(generation_pb2.FINISH_REASON_STOP)
    request.usage.input_tokens, request.usage.output_tokens = 40, 8
    request.usage.cached_tokens, request.usage.reasoning_tokens = 16, 2
    request.config_version, request.provider, request.worker = "0123456789ab", "local", "local-0"
    request.provider_model, request.user = "smollm2-135m-instruct", "someone"
    request.edge_request_id, request.trace_id = str(uuid.uuid4()), "ab" * 16
    request.key_id, request.owner, request.session = "0123456789abcdef", "search", "conversation"
    request.price_version, request.gateway_run = "fedcba9876543210", RUN
    request.placed_at.CopyFrom(request.received_at)
    request.criticality = routing_pb2.CRITICALITY_SHEDDABLE_PLUS
    for number in range(1, attempts + 1):
        attempt = made.attempts.add()
        attempt.attempt_id, attempt.number, attempt.strategy = uuid7(), number, "least_loaded"
        attempt.provider, attempt.worker, attempt.provider_model = (
            "local",
            f"local-{number - 1}",
            "smollm2-135m-instruct",
        )
        attempt.placed_at.CopyFrom(request.received_at)
        attempt.ended_at.CopyFrom(request.ended_at)
        attempt.outcome, attempt.error_reason = ledger_pb2.OUTCOME_ERROR, "WORKER_LOST"
        attempt.cost_nano_usd = 1000 + number
        request.cost_nano_usd += attempt.cost_nano_usd
        if number > 1:
            attempt.kind, attempt.follows = "retry", made.attempts[-2].attempt_id
        decision = attempt.decision
        decision.strategy, decision.targets, decision.eligible = "least_loaded", 4, 2
        decision.ruled_out["health"] = 2
        chosen = decision.candidates.add(worker=attempt.worker, provider="local", score=0.5)
        chosen.role, chosen.provider_model = routing_pb2.ROUTE_ROLE_PRIMARY, attempt.provider_model
        chosen.terms["generations"] = 3
    if attempts:
        attempt.outcome, attempt.error_reason = ledger_pb2.OUTCOME_SUCCESS, ""
        attempt.first_content_at.CopyFrom(request.first_content_at)
        attempt.usage.CopyFrom(request.usage)
    return made


def content(*, input: str = "asked", output: str = "answered") -> ledger_pb2.LedgerRecord:
    """What was said in a generation, of a key that has it stored for thirty days."""
    made = ledger_pb2.LedgerRecord()
    made.content.generation_id, made.content.key_id, made.content.policy = uuid7(), "0123456789abcdef", "stored"
    made.content.input, made.content.output, made.content.retention_days = input, output, 30
    return made


def prices(version: str, count: int) -> ledger_pb2.LedgerRecord:
    """A price table of so many models."""
    made = ledger_pb2.LedgerRecord()
    made.prices.version = version
    for number in range(count):
        made.prices.entries.add(
            provider="vendor",
            provider_model=f"m{number}",
            input_pico_usd=number,
            cached_input_pico_usd=number // 2,
            output_pico_usd=2 * number,
            source="configuration",
        )
    return made


def write_segment(
    directory: pathlib.Path, payloads: list[bytes], *, tail: bytes = b"", suffix: str = CLOSED
) -> pathlib.Path:
    """A segment as a gateway leaves it, in a spool that is made if it is not there."""
    directory.mkdir(exist_ok=True)
    if not (directory / ID_FILE).exists():
        (directory / ID_FILE).write_text(f"{uuid.uuid4()}\n")
    path = directory / (new_name(time.time_ns(), uuid.uuid4().hex[:8]) + suffix)
    # Whole when it has its name: a loader may be looking.
    being_written = path.with_suffix(".writing")
    being_written.write_bytes(b"".join(map(frame, payloads)) + tail)
    return being_written.rename(path)


def spooled(directory: pathlib.Path) -> list[ledger_pb2.LedgerRecord]:
    """Every whole record of a spool, in order."""
    found = []
    for segment in segments(directory):
        position = 0
        while chunk := read_chunk(directory, segment, position):
            position = chunk[-1].end
            found += [piece.payload for piece in chunk if isinstance(piece, Frame)]
    return [ledger_pb2.LedgerRecord.FromString(payload) for payload in found]
