"""A request that has ended, as it is told. Pure."""

from collections.abc import Mapping

from google.protobuf import duration_pb2, timestamp_pb2
from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.gateway.v1 import overview_pb2 as overview
from hybridinference.inference.v1 import routing_pb2 as routing

from services.gateway.abandoned import SHADOW
from services.gateway.overview.sight import Sight


def told(record: ledger.LedgerRecord, names: Mapping[str, str], sight: Sight) -> overview.RecentRequest:
    """A record without what is not for that caller.

    Args:
        record: as the ledger has it.
        names: the models' own names by all names that callers may give.
        sight: how much the caller is told. Shadows are the operator's, and whose request it was is for those alone who
            see everybody's.
    """
    request = record.request
    made = overview.RecentRequest(
        generation_id=request.generation_id,
        api=request.api,
        operation=request.operation,
        model=names.get(request.model, "other"),
        streamed=request.streamed,
        received_at=request.received_at,
        duration=between(request.received_at, request.ended_at),
        outcome=request.outcome,
        error_reason=request.error_reason,
        provider=request.provider,
        worker=request.worker if sight.workers else "",
        input_tokens=request.usage.input_tokens,
        cached_tokens=request.usage.cached_tokens,
        output_tokens=request.usage.output_tokens,
        cost_nano_usd=request.cost_nano_usd,
        trace_id=request.trace_id,
        attempts=[
            _attempt(attempt, request.received_at, sight)
            for attempt in record.attempts
            if sight.whole or attempt.kind != SHADOW
        ],
    )
    if request.HasField("first_content_at"):
        made.first_content.CopyFrom(between(request.received_at, request.first_content_at))
    if request.HasField("refused_by"):
        made.refused_by.CopyFrom(_decision(request.refused_by, sight))
    if sight.whole:
        made.key_id, made.owner = request.key_id, request.owner
    return made


def between(begin: timestamp_pb2.Timestamp, end: timestamp_pb2.Timestamp) -> duration_pb2.Duration:
    """The time from one moment to another; 0 where the clock was set back meanwhile."""
    nanos = (end.seconds - begin.seconds) * 10**9 + end.nanos - begin.nanos
    seconds, rest = divmod(max(0, nanos), 10**9)
    return duration_pb2.Duration(seconds=seconds, nanos=rest)


def _attempt(
    attempt: ledger.AttemptRecord, received_at: timestamp_pb2.Timestamp, sight: Sight
) -> overview.RecentAttempt:
    made = overview.RecentAttempt(
        number=attempt.number,
        kind=attempt.kind,
        provider=attempt.provider,
        worker=attempt.worker if sight.workers else "",
        provider_model=attempt.provider_model,
        strategy=attempt.strategy,
        placed_after=between(received_at, attempt.placed_at),
        duration=between(attempt.placed_at, attempt.ended_at),
        outcome=attempt.outcome,
        error_reason=attempt.error_reason,
        cost_nano_usd=attempt.cost_nano_usd,
    )
    if attempt.HasField("first_content_at"):
        made.first_content.CopyFrom(between(attempt.placed_at, attempt.first_content_at))
    if attempt.HasField("decision"):
        made.decision.CopyFrom(_decision(attempt.decision, sight))
    return made


def _decision(decision: routing.Decision, sight: Sight) -> routing.Decision:
    made = routing.Decision()
    made.CopyFrom(decision)
    candidates = [each for each in decision.candidates if sight.sees(each.provider)]
    del made.candidates[:]
    made.candidates.extend(candidates)
    if not sight.workers:
        for candidate in made.candidates:
            candidate.worker = ""
    return made
