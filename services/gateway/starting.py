"""How an attempt is begun at a worker."""

from google.protobuf import duration_pb2
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.router.v1 import placement_pb2 as placement
from hybridinference.worker.v1 import session_pb2 as session

from services.chassis.deadline import to_duration
from services.gateway.call import Call
from services.gateway.entry import Entry

# A worker's time ends so much before the caller's: its last word says what it asked in vain, and is still heard.
LAST_WORD_SECONDS = 0.02


def start_attempt(entry: Entry, placed: placement.Placement, left: float | None) -> session.StartAttempt:
    """The command that begins an attempt; `left` is the caller's time in seconds, None is unbounded."""
    call: Call[generation.GenerationSpec] = entry.call
    start = session.StartAttempt(
        attempt_id=placed.attempt_id,
        spec=call.spec,
        traceparent=entry.traceparent(placed.attempt_id),
        generation_id=entry.generation_id,
        tenant=call.tenant,
        drop_unsupported=placed.drop_unsupported,
        time_left=time_for_worker(left),
        prefix_hashes=entry.so_far.prefix_hashes,
    )
    start.spec.model = placed.provider_model
    return start


def time_for_worker(left: float | None) -> duration_pb2.Duration | None:
    """A worker's share of the caller's time."""
    return None if left is None else to_duration(max(0.0, left - LAST_WORD_SECONDS))
