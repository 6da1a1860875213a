"""Leases that a gateway restates on a new stream: what this router has to know of attempts that began before it did."""

from collections.abc import Callable, Mapping

from hybridinference.router.v1 import placement_pb2 as placement

from services.chassis.deadline import to_seconds
from services.router.leases import GatewayStream, Generation, Lease
from services.router.pools import Pool
from services.router.request import Request
from services.router.target import Target
from services.router.worker import Worker


def lease(
    restated: placement.RunningLease,
    stream: GatewayStream,
    pools: Mapping[str, Pool],
    known: Callable[[str], Worker],
    now: float,
) -> Lease:
    """The lease, with a generation that may be placed again if the gateway has said what was asked.

    Its prompt's blocks are in its worker's cache, so that a router that has just begun predicts hits there again.
    """
    worker = known(restated.worker)
    placed_at = now - to_seconds(restated.age)
    generation = stream.generations.setdefault(
        restated.generation_id, Generation(restated.generation_id, restated.model, restated.ask.traceparent)
    )
    generation.hedged = generation.hedged or bool(generation.held)
    generation.tried.update(restated.tried, (restated.worker,))
    # One that was placed after it, beside it, may have ended while nobody was told.
    generation.attempts = max(generation.attempts, restated.number, len(generation.tried))
    target: Target | None = None
    tokens = 0
    pool = pools.get(restated.model)
    if pool is not None and restated.HasField("ask"):
        ask = restated.ask
        request = generation.request = Request.of(ask, pool)
        if ask.HasField("time_left"):
            # Seen from the attempt's beginning, which is not before the ask: the outcome will tell what is really left.
            generation.ends_at = placed_at + to_seconds(ask.time_left)
        target = next((t for t in pool.targets if t.worker is worker and t.role in ("primary", "fallback")), None)
        tokens = request.input_tokens
        if target is not None and request.blocks:
            pool.prefixes.learn(target.position, request.blocks)
    return Lease(
        restated.attempt_id,
        generation,
        worker,
        stream,
        worker.epoch,
        target,
        placed_at=placed_at,
        uncached_tokens=tokens,
        context_tokens=tokens,
        running_then=worker.leases + worker.others,
        committed=restated.committed,
        most_cost=0 if target is None or generation.request is None else target.most_cost(generation.request),
    )
