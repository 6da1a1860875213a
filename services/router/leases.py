"""Leases: which attempts run where, and for which gateway."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from services.chassis import traceparent as w3c
from services.router.request import Request
from services.router.target import Target
from services.router.worker import Worker

if TYPE_CHECKING:
    from services.router.admission.waiter import Waiter
    from services.router.pools import Pool


@dataclasses.dataclass(slots=True, eq=False)
class Generation:
    """A request that has not ended.

    Attributes:
        request: what was asked; None for one that began before this router did.
        model: the model's name, as the caller gave it.
        traceparent: its W3C trace context; empty where there is none.
        ends_at: its deadline; None is never.
        tried: names of workers that were given an attempt.
        attempts: number of attempts so far, shadows aside.
        continued: how often another worker was to go on with its answer.
        hedged: whether an attempt was placed beside another.
        held: attempt ids of its leases.
        waiter: its place in the queue, while it waits for one at a worker.
    """

    id: str
    model: str
    traceparent: str = ""
    request: Request | None = None
    ends_at: float | None = None
    tried: set[str] = dataclasses.field(default_factory=set)
    attempts: int = 0
    continued: int = 0
    hedged: bool = False
    held: set[str] = dataclasses.field(default_factory=set)
    waiter: "Waiter | None" = None

    @property
    def trace_id(self) -> str:
        """The trace's id; empty without a trace."""
        return w3c.trace_id(self.traceparent)


@dataclasses.dataclass(slots=True, eq=False)
class Lease:
    """A place that an attempt holds at a worker until it ends.

    Attributes:
        epoch: the worker's process at the time: what becomes of the attempt says nothing of a later one.
        target: where it was placed; None for one that began before this router did, on a route that is no more.
        placed_at: when it was placed.
        uncached_tokens: prompt tokens that its worker has to read first.
        expected_seconds: expected time to the first content; None where nothing was known.
        charged: what its key was charged for it.
        running_then: generations at the worker when it was placed, without it.
        waiting_then: prompt tokens that waited there when it was placed, without its own.
        context_tokens: tokens of its prompt; 0 where nothing is known of it.
        busy_then: how busy the worker was when it was placed, without it; see `prediction.busyness`.
        busy_begun: the same when it began.
        first_content_seconds: how long it took to begin; None before that.
        probe: whether the worker's breaker waits for it.
        committed: whether content has reached the caller.
        most_cost: the dearest it may come to, in nano-USD, by the prices at the time.
    """

    attempt_id: str
    generation: Generation
    worker: Worker
    stream: "GatewayStream"
    epoch: int
    target: Target | None = None
    placed_at: float = 0.0
    uncached_tokens: int = 0
    expected_seconds: float | None = None
    charged: float = 0.0
    running_then: int = 0
    waiting_then: int = 0
    context_tokens: int = 0
    busy_then: float = 0.0
    busy_begun: float = 0.0
    first_content_seconds: float | None = None
    probe: bool = False
    committed: bool = False
    most_cost: int = 0

    def rebind(self, pools: "Mapping[str, Pool]") -> None:
        """Belong to pools of a new configuration, by the models' names and aliases.

        A request whose model is no more has no further attempt: for that nothing must be known of it.
        """
        generation, request = self.generation, self.generation.request
        pool = None if request is None else pools.get(request.pool.model)
        if request is None or pool is None:
            generation.request = self.target = None
            return
        if self.target is not None:
            self.target = pool.counterpart(self.target)
        if request.pool is not pool:
            generation.request = Request.of(request.ask, pool)
            generation.request.max_cost = request.max_cost


@dataclasses.dataclass(slots=True, eq=False)
class GatewayStream:
    """What one gateway holds through one Place stream. It all goes when the stream does."""

    gateway: str
    generations: dict[str, Generation] = dataclasses.field(default_factory=dict)
    leases: dict[str, Lease] = dataclasses.field(default_factory=dict)


class LeaseBook:
    """All leases. Every one counts at its worker, exactly once, from `take` to `release`."""

    def __init__(self) -> None:
        self._leases: dict[str, Lease] = {}

    def __len__(self) -> int:
        return len(self._leases)

    def __iter__(self) -> Iterator[Lease]:
        return iter(self._leases.values())

    def take(self, lease: Lease) -> None:
        """Enter a lease. One that is restated moves here from the stream it began on."""
        earlier = self._leases.get(lease.attempt_id)
        if earlier is not None:
            lease.generation.continued = max(lease.generation.continued, earlier.generation.continued)
            lease.generation.hedged |= earlier.generation.hedged
            self.release(earlier)
            # All else that is known of it stays known: what it teaches at its end goes by how it began.
            earlier.stream, earlier.generation = lease.stream, lease.generation
            earlier.committed |= lease.committed
            lease = earlier
        self._leases[lease.attempt_id] = lease
        lease.stream.leases[lease.attempt_id] = lease
        lease.generation.held.add(lease.attempt_id)
        lease.worker.on_leased(1)
        lease.worker.context_placed += lease.context_tokens
        if not lease.committed:
            lease.worker.on_pending(lease.attempt_id, lease.uncached_tokens, lease.placed_at, lease.expected_seconds)

    def release(self, lease: Lease) -> None:
        """Strike a lease out."""
        if self._leases.pop(lease.attempt_id, None) is None:
            return
        lease.stream.leases.pop(lease.attempt_id, None)
        lease.generation.held.discard(lease.attempt_id)
        lease.worker.on_leased(-1)
        lease.worker.context_placed -= lease.context_tokens
        lease.worker.on_read(lease.attempt_id)
