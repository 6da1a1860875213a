"""Leases: which attempts run where, and for which gateway."""

import dataclasses

from hybridinference.router.v1 import placement_pb2 as placement

from services.router.pools import Pool
from services.router.worker import Worker


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What was asked for: where it may go, and what its worker must be able to do."""

    ask: placement.PlacementAsk
    pool: Pool
    needs: frozenset[int]


@dataclasses.dataclass(slots=True, eq=False)
class Generation:
    """A request that has not ended.

    Attributes:
        request: what was asked; None for one that began before this router did.
        model: the model's name, as the caller gave it.
        ends_at: its deadline; None is never.
        tried: names of workers that were given an attempt.
        attempts: number of attempts so far.
        held: attempt ids of its leases.
    """

    id: str
    model: str
    request: Request | None = None
    ends_at: float | None = None
    tried: set[str] = dataclasses.field(default_factory=set)
    attempts: int = 0
    held: set[str] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(slots=True, eq=False)
class Lease:
    """A place that an attempt holds at a worker until it ends.

    Attributes:
        epoch: the worker's process at the time: what becomes of the attempt says nothing of a later one.
        probe: whether the worker's breaker waits for it.
        committed: whether content has reached the caller.
    """

    attempt_id: str
    generation: Generation
    worker: Worker
    stream: "GatewayStream"
    epoch: int
    probe: bool = False
    committed: bool = False


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

    def take(self, lease: Lease) -> None:
        """Enter a lease. One that is restated moves here from the stream it began on."""
        earlier = self._leases.get(lease.attempt_id)
        if earlier is not None:
            # It keeps what its first stream knew of it, so that the breaker's probe is still found.
            lease.probe, lease.epoch = earlier.probe, earlier.epoch
            self.release(earlier)
        self._leases[lease.attempt_id] = lease
        lease.stream.leases[lease.attempt_id] = lease
        lease.generation.held.add(lease.attempt_id)
        lease.worker.on_leased(1)

    def release(self, lease: Lease) -> None:
        """Strike a lease out."""
        if self._leases.pop(lease.attempt_id, None) is None:
            return
        lease.stream.leases.pop(lease.attempt_id, None)
        lease.generation.held.discard(lease.attempt_id)
        lease.worker.on_leased(-1)
