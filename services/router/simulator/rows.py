"""What became of each request."""

from collections.abc import Mapping
from typing import NamedTuple

from hybridinference.router.v1 import placement_pb2 as placement

from services.config.tariff import Tariff
from services.router.simulator.call import COMPLETED, Call
from services.router.simulator.sections import Slo


class Row(NamedTuple):
    """What became of one request. Times in seconds.

    Attributes:
        identity: the request's.
        key: whom it was served for.
        at: when it came, counted from the beginning of the traffic.
        input_tokens: of its prompt.
        output_tokens: that the caller got.
        wanted_tokens: of the answer that it would get.
        hit_tokens: of the prompt, found cached in the last attempt.
        ttft: until the first token; None where none came.
        tpot: for each further token; None where none came.
        e2e: until the end, whatever it was.
        cost_nano_usd: of all its attempts.
        worker: of the last attempt; empty where there was none.
        attempts: how many were started.
        outcome: `completed`, `interrupted`, `timed_out`, or the reason of a refusal.
        good: whether it was completed within what counts as good.
    """

    identity: int
    key: str
    at: float
    input_tokens: int
    output_tokens: int
    wanted_tokens: int
    hit_tokens: int
    ttft: float | None
    tpot: float | None
    e2e: float
    cost_nano_usd: int
    worker: str
    attempts: int
    outcome: str
    good: bool


def row(call: Call, slo: Slo, prices: Mapping[str, Tariff]) -> Row:
    """What became of a request that has ended."""
    request, arrived, output = call.request, call.arrived_at, call.tokens
    attempts = [attempt for attempt in call.attempts if attempt.kind != placement.ATTEMPT_KIND_SHADOW]
    last = attempts[-1] if attempts else None
    ttft = call.first_at - arrived if call.first_at >= 0 else None
    tpot = (call.ended_at - call.first_at) / (output - 1) if ttft is not None and output > 1 else None
    good = (
        call.outcome == COMPLETED
        and ttft is not None
        and ttft <= slo.first_content(request)
        and (tpot is None or tpot <= slo.token(request))
    )
    cost = sum(attempt.cost(prices[attempt.worker.rpartition("-")[0]]) for attempt in call.attempts)
    return Row(
        identity=request.identity,
        key=request.key,
        at=request.at,
        input_tokens=request.input_tokens,
        output_tokens=output,
        wanted_tokens=request.output_tokens,
        hit_tokens=last.hit_tokens if last is not None else 0,
        ttft=ttft,
        tpot=tpot,
        e2e=call.ended_at - arrived,
        cost_nano_usd=cost,
        worker=last.worker if last is not None else "",
        attempts=len(attempts),
        outcome=call.outcome,
        good=good,
    )
