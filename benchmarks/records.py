"""Ledger records as a gateway writes them: a request that was served by its first attempt, and why it went there."""

import itertools
import pathlib
import random
import time
import uuid
from collections.abc import Iterator

from hybridinference.gateway.v1 import ledger_pb2 as ledger
from hybridinference.inference.v1 import generation_pb2 as generation
from hybridinference.inference.v1 import routing_pb2 as routing

from services.gateway.spool.framing import frame
from services.gateway.spool.segments import CLOSED, ID_FILE, new_name

KEYS = 50
_TERMS = ("generations", "waiting", "prefill_tokens", "cached_tokens", "decode_ms", "first_content_ms", "score_ms")
_BLOCKS = 16
_SEGMENT_BYTES = 8 << 20


def decision(chance: random.Random) -> routing.Decision:
    """Why a request went to the first of eight workers: the chosen one and the next best, with their terms."""
    made = routing.Decision(strategy="adaptive", targets=8, eligible=6, ruled_out={"health": 1, "capacity": 1})
    for number in range(2):
        made.candidates.add(
            worker=f"local-{number}",
            provider="local",
            provider_model="smollm2-135m-instruct",
            role=routing.ROUTE_ROLE_PRIMARY,
            score=chance.uniform(10, 500),
            terms={name: chance.uniform(1, 500) for name in _TERMS},
        )
    return made


def records(seed: int) -> Iterator[ledger.LedgerRecord]:
    """Requests of some keys, one after the other."""
    chance, count = random.Random(seed), itertools.count()
    run = _uuid7(chance, next(count))
    while True:
        now = time.time_ns()
        made = ledger.LedgerRecord()
        request = made.request
        request.generation_id = _uuid7(chance, next(count))
        request.api, request.operation, request.model, request.streamed = "openai", "chat", "smollm2", True
        request.received_at.FromNanoseconds(now - 800_000_000)
        request.placed_at.FromNanoseconds(now - 798_000_000)
        request.first_content_at.FromNanoseconds(now - 700_000_000)
        request.ended_at.FromNanoseconds(now)
        request.outcome = ledger.OUTCOME_SUCCESS
        request.finish_reasons.append(generation.FINISH_REASON_STOP)
        request.usage.input_tokens, request.usage.output_tokens = chance.randrange(100, 2000), chance.randrange(500)
        request.usage.cached_tokens = request.usage.input_tokens // 2
        request.config_version, request.price_version = "0123456789ab", "ba9876543210"
        request.provider, request.worker, request.provider_model = "local", "local-0", "smollm2-135m-instruct"
        request.user, request.session = f"user-{chance.randrange(1000)}", f"conversation-{chance.randrange(10_000)}"
        request.edge_request_id, request.trace_id = str(uuid.uuid4()), f"{chance.getrandbits(128):032x}"
        request.estimated_input_tokens, request.max_output_tokens = request.usage.input_tokens, 512
        request.prefix_hashes.extend(chance.getrandbits(64) for _ in range(_BLOCKS))
        key = chance.randrange(KEYS)
        request.key_id, request.owner, request.gateway_run = f"{key:016d}", f"owner-{key % 10}", run
        request.cost_nano_usd = 150 * request.usage.input_tokens + 600 * request.usage.output_tokens
        request.criticality = routing.CRITICALITY_CRITICAL
        attempt = made.attempts.add(number=1, provider="local", worker="local-0", strategy="adaptive")
        attempt.attempt_id, attempt.provider_model = _uuid7(chance, next(count)), request.provider_model
        attempt.placed_at.CopyFrom(request.placed_at)
        attempt.first_content_at.CopyFrom(request.first_content_at)
        attempt.ended_at.CopyFrom(request.ended_at)
        attempt.outcome, attempt.cost_nano_usd = ledger.OUTCOME_SUCCESS, request.cost_nano_usd
        attempt.usage.CopyFrom(request.usage)
        attempt.decision.CopyFrom(decision(chance))
        yield made


def write_spool(directory: pathlib.Path, count: int) -> int:
    """A spool of so many requests, in segments as a gateway closes them. Returns its bytes."""
    directory.mkdir(mode=0o700)
    (directory / ID_FILE).write_text(f"{uuid.uuid4()}\n")
    written, waiting = 0, bytearray()
    for number, record in enumerate(itertools.islice(records(1), count), 1):
        waiting += frame(record.SerializeToString())
        if len(waiting) >= _SEGMENT_BYTES or number == count:
            path = directory / (new_name(time.time_ns(), f"{number:08x}") + CLOSED)
            path.write_bytes(waiting)
            written += len(waiting)
            waiting.clear()
    return written


def _uuid7(chance: random.Random, count: int) -> str:
    milliseconds = time.time_ns() // 1_000_000
    low = (count & 0xFFF) << 64 | 0b10 << 62 | chance.getrandbits(62)
    return str(uuid.UUID(int=milliseconds << 80 | 0x7 << 76 | low))
